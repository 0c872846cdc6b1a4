-- The data model. Names are those of the domain; every table that has a player leads its key with
-- `player_id`, so that the schema can be distributed by player. Amounts are NUMERIC(19,4) with a range
-- check that also refuses NaN ('NaN' >= 0 is true in PostgreSQL, 'NaN' < 1e15 is not).
--
-- Tables that are written a million rows at a time carry no foreign keys: the lock on the player's row,
-- which every writer takes first, and `audit.sql` stand in for them.

------------------------------------------------------------------------------------------------ program

CREATE TABLE settings (
  key        text PRIMARY KEY,
  value      jsonb NOT NULL,
  updated_at timestamptz NOT NULL,
  updated_by text NOT NULL
);

CREATE TABLE api_keys (
  key_id     uuid PRIMARY KEY,
  key_hash   bytea NOT NULL UNIQUE,                     -- SHA-256 of a key with 256 random bits
  name       text NOT NULL,
  role       text NOT NULL CHECK (role IN ('viewer', 'ingest', 'operator', 'admin')),
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz
);

CREATE TABLE audit_log (                                -- writes by people: who, what, before, after, why
  audit_id uuid PRIMARY KEY,
  at       timestamptz NOT NULL,
  actor    text NOT NULL,
  action   text NOT NULL,
  subject  text NOT NULL,
  before   jsonb,
  after    jsonb,
  reason   text
);
CREATE INDEX audit_log_subject ON audit_log (subject, audit_id);

CREATE TABLE tiers (
  tier_level   text PRIMARY KEY,
  lp_min       numeric(19,4) NOT NULL UNIQUE CHECK (lp_min >= 0 AND lp_min < 1e15),
  benefits     jsonb NOT NULL DEFAULT '{}',
  requirements jsonb,
  updated_at   timestamptz NOT NULL DEFAULT now()
);

-- Figures of the dashboard, kept by the transactions that change them, so that no request scans players.
-- A counter is spread over slots: two writers seldom meet on one row.
CREATE TABLE stats (
  counter text NOT NULL,
  slot    smallint NOT NULL,
  value   numeric NOT NULL,
  PRIMARY KEY (counter, slot)
) WITH (fillfactor = 50);

------------------------------------------------------------------------------------------------ players

CREATE TABLE players (
  player_id           text COLLATE "C" PRIMARY KEY,
  email               text,
  name                text,
  tier                text COLLATE "C" NOT NULL,
  risk_score          smallint NOT NULL DEFAULT 0 CHECK (risk_score BETWEEN 0 AND 100),
  is_active           boolean NOT NULL DEFAULT true,
  is_blocked          boolean NOT NULL DEFAULT false,
  self_excluded_until timestamptz,
  kyc_completed       boolean NOT NULL DEFAULT false,
  profile_depth       numeric(5,2) NOT NULL DEFAULT 0 CHECK (profile_depth >= 0 AND profile_depth <= 100),
  registered_at       timestamptz,
  created_at          timestamptz NOT NULL,
  last_activity_at    timestamptz
) WITH (fillfactor = 85);

CREATE TABLE player_totals (                            -- lifetime totals, in the program currency
  player_id         text COLLATE "C" PRIMARY KEY,
  total_deposited   numeric(19,4) NOT NULL CHECK (total_deposited >= 0 AND total_deposited < 1e15),
  total_wagered     numeric(19,4) NOT NULL CHECK (total_wagered   >= 0 AND total_wagered   < 1e15),
  total_won         numeric(19,4) NOT NULL CHECK (total_won       >= 0 AND total_won       < 1e15),
  total_withdrawn   numeric(19,4) NOT NULL CHECK (total_withdrawn >= 0 AND total_withdrawn < 1e15),
  session_count     integer NOT NULL CHECK (session_count >= 0),
  playtime_hours    numeric(12,2) NOT NULL CHECK (playtime_hours >= 0 AND playtime_hours < 1e9),
  total_bets        bigint CHECK (total_bets >= 0),     -- null: not known
  last_deposit_date date,
  updated_at        timestamptz NOT NULL
) WITH (fillfactor = 85);

CREATE TABLE player_daily (                             -- what one day of the program's time zone added; corrections are negative
  player_id text COLLATE "C" NOT NULL,
  day       date NOT NULL,
  deposited numeric(19,4) NOT NULL CHECK (deposited > -1e15 AND deposited < 1e15),
  wagered   numeric(19,4) NOT NULL CHECK (wagered   > -1e15 AND wagered   < 1e15),
  won       numeric(19,4) NOT NULL CHECK (won       > -1e15 AND won       < 1e15),
  withdrawn numeric(19,4) NOT NULL CHECK (withdrawn > -1e15 AND withdrawn < 1e15),
  PRIMARY KEY (player_id, day)
);

CREATE TABLE player_segments (                          -- the current segment; no row: not classified yet
  player_id text COLLATE "C" PRIMARY KEY,
  segment   text COLLATE "C" NOT NULL CHECK (segment IN ('NEW', 'WINNING', 'BREAKEVEN', 'LOSING', 'VIP')),
  since     timestamptz NOT NULL
);
CREATE INDEX player_segments_by_segment ON player_segments (segment, player_id);

CREATE TABLE segment_history (
  player_id    text COLLATE "C" NOT NULL,
  at           timestamptz NOT NULL,
  from_segment text,                                    -- null: the first classification
  to_segment   text NOT NULL,
  run_id       uuid,
  PRIMARY KEY (player_id, at)
);

CREATE TABLE tier_history (
  player_id text COLLATE "C" NOT NULL,
  at        timestamptz NOT NULL,
  from_tier text,
  to_tier   text NOT NULL,
  reason    text NOT NULL,
  PRIMARY KEY (player_id, at)
);

-------------------------------------------------------------------------------------------------- rules

CREATE TABLE rules (
  rule_id         text COLLATE "C" PRIMARY KEY,
  current_version integer NOT NULL,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  archived_at     timestamptz
);

CREATE TABLE rule_versions (                            -- immutable: every save adds one
  rule_id    text COLLATE "C" NOT NULL REFERENCES rules DEFERRABLE INITIALLY DEFERRED,
  version    integer NOT NULL CHECK (version >= 1),
  definition jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  created_by text NOT NULL,
  PRIMARY KEY (rule_id, version)
);

CREATE TABLE rule_budgets (                             -- money reserved by grants; day is null for the whole life of the rule
  rule_id  text COLLATE "C" NOT NULL REFERENCES rules,
  day      date,
  reserved numeric(19,4) NOT NULL CHECK (reserved >= 0 AND reserved < 1e15),
  UNIQUE NULLS NOT DISTINCT (rule_id, day)
);

------------------------------------------------------------------------------------------------- ledger

CREATE TABLE wallets (
  player_id text COLLATE "C" NOT NULL,
  asset     text COLLATE "C" NOT NULL CHECK (asset IN ('LP', 'RP', 'BONUS', 'TICKETS')),
  balance   numeric(19,4) NOT NULL CHECK (balance >= 0 AND balance < 1e15),
  version   bigint NOT NULL CHECK (version >= 1),
  PRIMARY KEY (player_id, asset)
) WITH (fillfactor = 70);

CREATE TABLE postings (                                 -- append-only
  player_id      text COLLATE "C" NOT NULL,
  asset          text COLLATE "C" NOT NULL,
  version        bigint NOT NULL CHECK (version >= 1),  -- the wallet's, dense from 1
  transaction_id uuid NOT NULL,
  kind           text NOT NULL CHECK (kind <> ''),
  house          text NOT NULL CHECK (house IN ('house:issuance', 'house:redemption', 'house:expiry', 'house:conversion',
                                                'house:forfeit', 'house:wagering', 'house:cash_out', 'house:adjustment')),
  direction      smallint NOT NULL CHECK (direction IN (1, -1)), -- 1: house to wallet, -1: wallet to house
  amount         numeric(19,4) NOT NULL CHECK (amount > 0 AND amount < 1e15),
  balance_after  numeric(19,4) NOT NULL CHECK (balance_after >= 0 AND balance_after < 1e15),
  reference      text NOT NULL CHECK (reference <> ''), -- the business key: a grant, an event, a redemption, an idempotency key
  grant_id       uuid,                                  -- BONUS money lives on a grant
  actor          text NOT NULL,
  reason         text,
  created_at     timestamptz NOT NULL,
  PRIMARY KEY (player_id, asset, version)
);
CREATE INDEX postings_by_transaction ON postings (transaction_id);   -- UUIDv7: also the order of time

CREATE TABLE point_lots (                               -- LP and RP; spending takes the lot that expires first, then the oldest
  player_id  text COLLATE "C" NOT NULL,
  asset      text COLLATE "C" NOT NULL CHECK (asset IN ('LP', 'RP')),
  version    bigint NOT NULL,                           -- of the posting that earned it
  earned     numeric(19,4) NOT NULL CHECK (earned > 0 AND earned < 1e15),
  remaining  numeric(19,4) NOT NULL CHECK (remaining >= 0 AND remaining <= earned),
  earned_at  timestamptz NOT NULL,
  expires_at timestamptz,
  PRIMARY KEY (player_id, asset, version)
) WITH (fillfactor = 85);
CREATE INDEX point_lots_to_expire ON point_lots (expires_at) WHERE remaining > 0 AND expires_at IS NOT NULL;

CREATE TABLE grants (                                   -- every reward issued; BONUS grants hold money until they end
  player_id           text COLLATE "C" NOT NULL,
  grant_id            uuid NOT NULL,                    -- UUIDv7: the order of time
  rule_id             text COLLATE "C",                 -- null: given by a person
  rule_version        integer,
  period_key          text COLLATE "C",
  evaluation_id       uuid,                             -- the decision, in reward_decisions
  reward_type         text NOT NULL CHECK (reward_type IN ('BONUS_BALANCE', 'CASHBACK', 'FREE_PLAY', 'LOYALTY_POINTS', 'REWARD_POINTS', 'TICKETS')),
  asset               text COLLATE "C" NOT NULL CHECK (asset IN ('LP', 'RP', 'BONUS', 'TICKETS')),
  amount              numeric(19,4) NOT NULL CHECK (amount > 0 AND amount < 1e15),
  cost                numeric(19,4) NOT NULL CHECK (cost > -1e15 AND cost < 1e15), -- expected, in money
  expected_revenue    numeric(19,4) CHECK (expected_revenue > -1e15 AND expected_revenue < 1e15),
  status              text NOT NULL CHECK (status IN ('PENDING', 'ACTIVE', 'COMPLETED', 'EXPIRED', 'FORFEITED', 'CANCELLED', 'DEPLETED')),
  status_reason       text,
  balance             numeric(19,4) NOT NULL DEFAULT 0 CHECK (balance >= 0 AND balance < 1e15),
  wagering_required   numeric(19,4) NOT NULL DEFAULT 0 CHECK (wagering_required >= 0 AND wagering_required < 1e15),
  wagering_completed  numeric(19,4) NOT NULL DEFAULT 0 CHECK (wagering_completed >= 0 AND wagering_completed <= wagering_required),
  terms               json,                             -- of a BONUS grant, copied from the rule when it was made
  issued_at           timestamptz NOT NULL,
  expires_at          timestamptz,
  closed_at           timestamptz,
  PRIMARY KEY (player_id, grant_id),
  CONSTRAINT grants_once_per_period UNIQUE (player_id, rule_id, period_key),
  CHECK ((rule_id IS NULL) = (rule_version IS NULL) AND (rule_id IS NULL) = (period_key IS NULL)),
  CHECK (status IN ('PENDING', 'ACTIVE') OR balance = 0)
) WITH (fillfactor = 90);
CREATE INDEX grants_by_id ON grants (grant_id);
CREATE INDEX grants_by_rule ON grants (rule_id, grant_id);
CREATE INDEX grants_to_expire ON grants (expires_at) WHERE status IN ('PENDING', 'ACTIVE') AND expires_at IS NOT NULL;

CREATE TABLE reward_decisions (                         -- one row per player and evaluation in which a rule matched
  player_id     text COLLATE "C" NOT NULL,
  evaluation_id uuid NOT NULL,
  run_id        uuid,
  evaluated_at  timestamptz NOT NULL,
  facts         json NOT NULL,                          -- those the matching rules read; kept as written, never searched
  decisions     json NOT NULL,                          -- in order of priority: rule, version, verdict, every gate's figures
  PRIMARY KEY (player_id, evaluation_id)
);

CREATE TABLE idempotency_keys (                         -- claimed in the transaction that has the effect
  scope        text COLLATE "C" NOT NULL,               -- the operation, e.g. 'POST /wallet/add-lp'
  key          text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 128),
  request_hash bytea NOT NULL,
  status       smallint NOT NULL,
  response     jsonb NOT NULL,
  created_at   timestamptz NOT NULL,
  PRIMARY KEY (scope, key)
);

----------------------------------------------------------------------------------------- runs and imports

CREATE TABLE runs (                                     -- one fan-out over players
  run_id          uuid PRIMARY KEY,
  kind            text NOT NULL CHECK (kind IN ('IMPORT', 'RECALCULATION', 'BATCH')),
  scope           text NOT NULL CHECK (scope IN ('ALL', 'LISTED')), -- LISTED: the players of run_players that changed
  rewards         boolean NOT NULL,                     -- evaluate rewards after the segments
  status          text NOT NULL CHECK (status IN ('RUNNING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED')),
  shards_total    integer NOT NULL,
  shards_done     integer NOT NULL DEFAULT 0,
  created_at      timestamptz NOT NULL,
  created_by      text NOT NULL,
  finished_at     timestamptz
);
CREATE INDEX runs_by_status ON runs (status, run_id);

CREATE TABLE run_shards (
  run_id           uuid NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
  shard            integer NOT NULL,
  first_player_id  text COLLATE "C" NOT NULL,           -- both ends belong to the shard
  last_player_id   text COLLATE "C" NOT NULL,
  segmented_at     timestamptz,
  rewarded_at      timestamptz,
  failed_at        timestamptz,
  error            text,
  players          integer NOT NULL DEFAULT 0,
  segments_changed integer NOT NULL DEFAULT 0,
  matched          integer NOT NULL DEFAULT 0,          -- players for whom a rule matched
  granted          integer NOT NULL DEFAULT 0,
  reduced          integer NOT NULL DEFAULT 0,          -- of the granted
  refused          integer NOT NULL DEFAULT 0,          -- decisions, not players
  cost             numeric(19,4) NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, shard)
) WITH (fillfactor = 50);

CREATE TABLE run_players (                              -- the players of a LISTED run; of an import, one row per player of the file
  run_id    uuid NOT NULL,
  player_id text COLLATE "C" NOT NULL,
  line      bigint,                                     -- of the file
  changed   boolean NOT NULL,                           -- unchanged rows are not evaluated
  PRIMARY KEY (run_id, player_id)
);

CREATE TABLE imports (
  import_id      uuid PRIMARY KEY,
  run_id         uuid NOT NULL UNIQUE,                  -- the run it makes when its rows are in
  bucket         text NOT NULL,
  object_key     text NOT NULL,
  object_version text NOT NULL,                         -- version id, or the ETag where the bucket keeps no versions
  format         text CHECK (format IN ('CSV', 'XLSX')),
  size_bytes     bigint,
  status         text NOT NULL CHECK (status IN ('RUNNING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED')),
  failure        text,
  warnings       jsonb NOT NULL DEFAULT '[]',
  total_rows     bigint NOT NULL DEFAULT 0,
  created_rows   bigint NOT NULL DEFAULT 0,
  updated_rows   bigint NOT NULL DEFAULT 0,
  unchanged_rows bigint NOT NULL DEFAULT 0,
  rejected_rows  bigint NOT NULL DEFAULT 0,
  next_byte      bigint NOT NULL DEFAULT 0,             -- watermark: where the next chunk starts (CSV)
  next_line      bigint NOT NULL DEFAULT 0,             -- watermark: the next line, or sheet row; 0 before the first chunk
  chunks         integer NOT NULL DEFAULT 0,
  created_at     timestamptz NOT NULL,
  finished_at    timestamptz,
  UNIQUE (bucket, object_key, object_version),
  CHECK (total_rows = created_rows + updated_rows + unchanged_rows + rejected_rows)
) WITH (fillfactor = 50);

CREATE TABLE import_errors (
  import_id   uuid NOT NULL REFERENCES imports,
  line        bigint NOT NULL,
  ordinal     smallint NOT NULL,                        -- a row can have several
  column_name text,
  value       text,
  reason      text NOT NULL,
  PRIMARY KEY (import_id, line, ordinal)
);

CREATE TABLE outbox (                                   -- events for the operator's systems, written in the causing transaction
  outbox_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  player_id  text COLLATE "C" NOT NULL,
  event_type text NOT NULL,
  payload    json NOT NULL,
  created_at timestamptz NOT NULL
);

------------------------------------------------------------------------- refuse what must never happen

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: rows are only ever added', TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER rule_versions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_versions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The role the functions run as. Roles belong to the whole server, so another database may have made it already.
DO $$
BEGIN
  CREATE ROLE loyalty_runtime NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

GRANT USAGE ON SCHEMA public TO loyalty_runtime;
GRANT SELECT, INSERT, UPDATE ON settings, api_keys, tiers, stats, players, player_totals, player_daily, player_segments,
  rules, rule_budgets, wallets, point_lots, grants, runs, run_shards, run_players, imports TO loyalty_runtime;
GRANT SELECT, INSERT ON audit_log, segment_history, tier_history, rule_versions, postings, reward_decisions,
  idempotency_keys, import_errors, outbox TO loyalty_runtime;
GRANT UPDATE ON idempotency_keys TO loyalty_runtime;
GRANT DELETE ON settings, tiers, run_players, idempotency_keys, outbox TO loyalty_runtime;
