-- The life of a bonus, what points were taken from which lot, reversals, and the events that play is made of.

ALTER TABLE grants
  ADD COLUMN activated_at timestamptz,                  -- null: not yet, or active since it was issued
  ADD COLUMN converted numeric(19,4) NOT NULL DEFAULT 0 CHECK (converted >= 0 AND converted < 1e15), -- money it became
  ADD COLUMN transitions smallint NOT NULL DEFAULT 0 CHECK (transitions >= 0);                       -- rows of its history
CREATE INDEX grants_emptied ON grants (player_id, grant_id) WHERE status = 'ACTIVE' AND balance = 0;

CREATE TABLE grant_history (                            -- every change of a bonus after its issue
  player_id      text COLLATE "C" NOT NULL,
  grant_id       uuid NOT NULL,
  step           smallint NOT NULL CHECK (step >= 1),   -- dense
  transaction_id uuid NOT NULL,                         -- of the postings, where it moved money
  at             timestamptz NOT NULL,
  from_status    text NOT NULL,
  to_status      text NOT NULL CHECK (to_status <> from_status),
  reason         text,
  actor          text NOT NULL,
  PRIMARY KEY (player_id, grant_id, step)
);

CREATE TABLE lot_movements (                            -- what a posting took from a lot (below 0) or put back
  player_id   text COLLATE "C" NOT NULL,
  asset       text COLLATE "C" NOT NULL CHECK (asset IN ('LP', 'RP')),
  version     bigint NOT NULL,                          -- of the posting
  lot_version bigint NOT NULL,
  amount      numeric(19,4) NOT NULL CHECK (amount <> 0 AND amount > -1e15 AND amount < 1e15),
  PRIMARY KEY (player_id, asset, version, lot_version)
);

CREATE TABLE reversals (                                -- a transaction is taken back once
  player_id      text COLLATE "C" NOT NULL,
  transaction_id uuid NOT NULL,
  reversed_by    uuid NOT NULL,                         -- the reversing transaction
  at             timestamptz NOT NULL,
  PRIMARY KEY (player_id, transaction_id)
);

CREATE TABLE activity_events (                          -- an event counts once, for ever
  player_id    text COLLATE "C" NOT NULL,
  event_id     text COLLATE "C" NOT NULL,
  type         text NOT NULL CHECK (type IN ('DEPOSIT', 'WITHDRAWAL', 'STAKE', 'PAYOUT', 'VOID', 'SESSION', 'KYC_COMPLETED', 'PROFILE', 'LOGIN')),
  occurred_at  timestamptz NOT NULL,
  recorded_at  timestamptz NOT NULL,
  amount       numeric(19,4) CHECK (amount >= 0 AND amount < 1e15),
  bonus_amount numeric(19,4) CHECK (bonus_amount >= 0 AND bonus_amount <= amount),
  game         text,
  round_id     text COLLATE "C",
  voids        text COLLATE "C" CHECK ((voids IS NOT NULL) = (type = 'VOID')),
  outcome      json NOT NULL,                           -- what it did to bonuses: the answer to a replay
  PRIMARY KEY (player_id, event_id)
);
CREATE INDEX activity_events_by_round ON activity_events (player_id, round_id) WHERE round_id IS NOT NULL;
CREATE UNIQUE INDEX activity_events_voided_once ON activity_events (player_id, voids) WHERE voids IS NOT NULL;

CREATE TABLE grant_wagering (                           -- what an event did to a bonus; voids are rows of their own
  player_id    text COLLATE "C" NOT NULL,
  event_id     text COLLATE "C" NOT NULL,
  grant_id     uuid NOT NULL,
  contribution numeric(19,4) NOT NULL CHECK (contribution > -1e15 AND contribution < 1e15),
  bonus        numeric(19,4) NOT NULL CHECK (bonus > -1e15 AND bonus < 1e15),      -- above 0: came back; below 0: was staked
  released     numeric(19,4) NOT NULL CHECK (released >= 0 AND released < 1e15),   -- became real, the bonus being over
  PRIMARY KEY (player_id, event_id, grant_id)
);
CREATE INDEX grant_wagering_by_grant ON grant_wagering (player_id, grant_id);

GRANT SELECT, INSERT ON grant_history, lot_movements, reversals, activity_events, grant_wagering TO loyalty_runtime;

-- Rounds with bonus money that have no result yet: a bonus that they emptied may still win.
CREATE VIEW unsettled_rounds AS
SELECT w.player_id, w.grant_id, s.round_id, s.recorded_at
FROM grant_wagering AS w
JOIN activity_events AS s ON s.player_id = w.player_id AND s.event_id = w.event_id
WHERE w.bonus < 0
  AND s.type = 'STAKE'
  AND s.round_id IS NOT NULL
  AND NOT EXISTS (
    SELECT
    FROM activity_events AS p
    WHERE p.player_id = s.player_id
      AND p.round_id = s.round_id
      AND p.type = 'PAYOUT'
  )
  AND NOT EXISTS (
    SELECT
    FROM activity_events AS v
    WHERE v.player_id = s.player_id
      AND v.voids = s.event_id
  );

GRANT SELECT ON unsettled_rounds TO loyalty_runtime;
