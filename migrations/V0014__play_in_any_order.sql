-- Play in the order in which it happened: bonuses that can be taken back and played again, what people did to them in
-- between, and what was corrected.

ALTER TABLE grants
  ADD COLUMN root_id uuid,                              -- the first grant of a chain of corrections; null: itself
  ADD COLUMN corrects uuid,                             -- the ended grant that this one continues
  ADD COLUMN corrected_by uuid,                         -- the grant that continues it
  -- What moved through the bonus, over the whole chain: balance = amount + played + adjusted - lost - converted.
  ADD COLUMN played numeric(19,4) NOT NULL DEFAULT 0 CHECK (played > -1e15 AND played < 1e15),
  ADD COLUMN adjusted numeric(19,4) NOT NULL DEFAULT 0 CHECK (adjusted > -1e15 AND adjusted < 1e15),
  ADD COLUMN lost numeric(19,4) NOT NULL DEFAULT 0 CHECK (lost >= 0 AND lost < 1e15),
  ADD COLUMN released numeric(19,4) NOT NULL DEFAULT 0 CHECK (released >= 0 AND released < 1e15), -- came back after its end, and is the player's
  ADD COLUMN ended_at timestamptz,                      -- the instant of play at which it ended
  ADD CHECK ((root_id IS NULL) = (corrects IS NULL)),
  ADD CHECK (corrects IS NULL OR (rule_id IS NULL AND cost = 0));
CREATE INDEX grants_of_chain ON grants (player_id, root_id) WHERE root_id IS NOT NULL;
CREATE INDEX grants_fulfilled ON grants (player_id, grant_id) WHERE status = 'ACTIVE' AND wagering_completed = wagering_required;

ALTER TABLE grant_history
  ADD COLUMN cash numeric(19,4) NOT NULL DEFAULT 0 CHECK (cash >= 0 AND cash < 1e15); -- the cashier was told to pay

ALTER TABLE activity_events
  ADD COLUMN is_in_play boolean NOT NULL DEFAULT true;  -- false: it came too late to change bonuses
GRANT UPDATE (outcome) ON activity_events TO loyalty_runtime; -- of a payout that waited

-- What an event does to a bonus as of now, by its first grant. It follows the events; the postings are what happened.
GRANT DELETE ON grant_wagering TO loyalty_runtime;

ALTER TABLE players
  ADD COLUMN played_at timestamptz,                     -- the last place of play on bonuses
  ADD COLUMN played_rank text COLLATE "C",              -- its order at that instant
  ADD CHECK ((played_at IS NULL) = (played_rank IS NULL));

CREATE TABLE interventions (                            -- what people did to bonuses, at the instant it was recorded
  player_id text COLLATE "C" NOT NULL,
  at        timestamptz NOT NULL,
  id        uuid NOT NULL,                              -- the transaction, where it moved money
  what      json NOT NULL,
  parts     json NOT NULL,                              -- what it moves as of now, by the bonus's first grant
  PRIMARY KEY (player_id, at, id)
);
CREATE INDEX interventions_by_id ON interventions (player_id, id);
GRANT SELECT, INSERT, UPDATE (parts) ON interventions TO loyalty_runtime;

CREATE TABLE bonus_adjustments (                        -- corrections of bonuses, as told to the cashier
  player_id  text COLLATE "C" NOT NULL,
  root_id    uuid NOT NULL,
  event_id   text COLLATE "C" NOT NULL,                 -- that made it necessary
  grant_id   uuid NOT NULL,                             -- the bonus's grant since
  at         timestamptz NOT NULL,
  cash_delta numeric(19,4) NOT NULL CHECK (cash_delta > -1e15 AND cash_delta < 1e15),
  total_owed numeric(19,4) NOT NULL CHECK (total_owed >= 0 AND total_owed < 1e15),
  PRIMARY KEY (player_id, root_id, event_id)
);
GRANT SELECT, INSERT ON bonus_adjustments TO loyalty_runtime;

-- Stakes with bonus money whose rounds have no result since: a bonus that they emptied may still win.
DROP VIEW unsettled_rounds;
CREATE VIEW unsettled_rounds AS
SELECT w.player_id, w.grant_id AS root_id, s.round_id, s.occurred_at
FROM grant_wagering AS w
JOIN activity_events AS s ON s.player_id = w.player_id AND s.event_id = w.event_id
WHERE w.bonus < 0
  AND s.round_id IS NOT NULL
  AND NOT EXISTS (
    SELECT
    FROM activity_events AS p
    WHERE p.player_id = s.player_id
      AND p.round_id = s.round_id
      AND p.type = 'PAYOUT'
      -- A payout stands at the later of itself and the first live stake.
      AND greatest(p.occurred_at, (
        SELECT min(f.occurred_at)
        FROM activity_events AS f
        WHERE f.player_id = s.player_id
          AND f.round_id = s.round_id
          AND f.type = 'STAKE'
          AND NOT EXISTS (
            SELECT FROM activity_events AS v WHERE v.player_id = f.player_id AND v.voids = f.event_id AND v.is_in_play
          )
      )) >= s.occurred_at
      AND NOT EXISTS (
        SELECT FROM activity_events AS v WHERE v.player_id = p.player_id AND v.voids = p.event_id AND v.is_in_play
      )
  );
GRANT SELECT ON unsettled_rounds TO loyalty_runtime;
