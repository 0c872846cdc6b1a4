-- The redemption catalogue, and what players took from it. Ranges refuse NaN as in V0001.

CREATE TABLE redemption_rules (
  rule_id       text COLLATE "C" PRIMARY KEY,
  name          text NOT NULL CHECK (name <> ''),
  description   text,
  cost          numeric(19,4) NOT NULL CHECK (cost > 0 AND cost < 1e15),
  cost_asset    text COLLATE "C" NOT NULL CHECK (cost_asset IN ('RP', 'LP')),
  target        text COLLATE "C" NOT NULL CHECK (target IN ('CASH', 'BONUS', 'TICKETS')),
  amount        numeric(19,4) NOT NULL CHECK (amount > 0 AND amount < 1e15),
  tier_min      text REFERENCES tiers,                  -- null: any
  balance_min   numeric(19,4) CHECK (balance_min >= 0 AND balance_min < 1e15), -- of the cost's asset, before redeeming
  monthly_limit integer CHECK (monthly_limit >= 1),     -- per player; null: none
  is_active     boolean NOT NULL,
  terms         json,                                   -- of a BONUS; copied onto the grant
  created_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL,
  CHECK ((target = 'BONUS') = (terms IS NOT NULL))
);

CREATE TABLE redemptions (                              -- what was taken, with the rule's figures as they were
  player_id      text COLLATE "C" NOT NULL,
  redemption_id  uuid NOT NULL,                         -- UUIDv7: the order of time
  rule_id        text COLLATE "C" NOT NULL,
  transaction_id uuid NOT NULL,
  cost           numeric(19,4) NOT NULL CHECK (cost > 0 AND cost < 1e15),
  cost_asset     text COLLATE "C" NOT NULL CHECK (cost_asset IN ('RP', 'LP')),
  target         text COLLATE "C" NOT NULL CHECK (target IN ('CASH', 'BONUS', 'TICKETS')),
  amount         numeric(19,4) NOT NULL CHECK (amount > 0 AND amount < 1e15),
  grant_id       uuid,                                  -- of a BONUS
  month          date NOT NULL CHECK (month = date_trunc('month', month)), -- its first day; in the program's time zone
  redeemed_at    timestamptz NOT NULL,
  reversed_at    timestamptz,
  PRIMARY KEY (player_id, redemption_id),
  CONSTRAINT redemptions_one_per_transaction UNIQUE (player_id, transaction_id),
  CHECK ((target = 'BONUS') = (grant_id IS NOT NULL))
) WITH (fillfactor = 90);

-- What counts against a monthly limit: a reversed redemption does not.
CREATE INDEX redemptions_in_month ON redemptions (player_id, rule_id, month) WHERE reversed_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON redemption_rules TO loyalty_runtime;
GRANT SELECT, INSERT, UPDATE (reversed_at) ON redemptions TO loyalty_runtime;
