-- The activity stream: points that play earns, the days they count for, and what evaluates rules because it happened.

ALTER TABLE player_daily                                -- LP earned less those taken back, on the day they were posted
  ADD COLUMN lp_earned numeric(19,4) NOT NULL DEFAULT 0 CHECK (lp_earned > -1e15 AND lp_earned < 1e15);

ALTER TABLE player_totals                               -- sessions come in minutes
  ALTER COLUMN playtime_hours TYPE numeric(13,4);

ALTER TABLE players
  ADD COLUMN profile_at timestamptz;                    -- when the event that set the profile depth occurred

-- What play earns on one day goes into one lot: more may be left of it than the posting that opened it brought.
ALTER TABLE point_lots
  ADD COLUMN play_day date,                             -- whose play it collects; null: of one credit only
  DROP CONSTRAINT point_lots_check,
  ADD CONSTRAINT point_lots_remaining_check CHECK (remaining >= 0 AND remaining < 1e15);

ALTER TABLE activity_events
  ADD COLUMN minutes numeric(9,2) CHECK (minutes >= 0 AND minutes <= 1440),    -- of a SESSION
  ADD COLUMN value numeric(5,2) CHECK (value >= 0 AND value <= 100),           -- of a PROFILE: percent filled in
  ADD COLUMN lp numeric(19,4) CHECK (lp > 0 AND lp < 1e15),                    -- points that a stake earned
  ADD COLUMN lp_lot bigint,                                                    -- the lot they went into
  ADD CHECK ((lp IS NULL) = (lp_lot IS NULL));

-- The same rounds, with the stake, so that the events of one batch can be taken in turn.
CREATE OR REPLACE VIEW unsettled_rounds AS
SELECT w.player_id, w.grant_id, s.round_id, s.recorded_at, s.event_id
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

-- Something happened to a player, and the rules with this trigger are to be evaluated once because of it. Rows of one
-- batch were written by one transaction, and are worked on together.
CREATE TABLE reward_triggers (
  player_id    text COLLATE "C" NOT NULL,
  trigger      text COLLATE "C" NOT NULL CHECK (trigger IN ('DEPOSIT', 'KYC_COMPLETED', 'PROFILE', 'SEGMENT_CHANGED', 'TIER_CHANGED')),
  trigger_id   text COLLATE "C" NOT NULL,               -- the event's id, or one of its own: the period of a rule that pays per event
  batch_id     uuid NOT NULL,                           -- UUIDv7: the order of time
  occurred_at  timestamptz NOT NULL,
  amount       numeric(19,4) CHECK (amount >= 0 AND amount < 1e15),
  game         text,
  created_at   timestamptz NOT NULL,
  evaluated_at timestamptz,
  failed_at    timestamptz,
  error        text CHECK ((error IS NULL) = (failed_at IS NULL)),
  PRIMARY KEY (player_id, trigger, trigger_id)
) WITH (fillfactor = 85);
CREATE INDEX reward_triggers_by_batch ON reward_triggers (batch_id);
CREATE INDEX reward_triggers_waiting ON reward_triggers (created_at) WHERE evaluated_at IS NULL AND failed_at IS NULL;
CREATE INDEX reward_triggers_done ON reward_triggers (created_at) WHERE evaluated_at IS NOT NULL OR failed_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON reward_triggers TO loyalty_runtime;
