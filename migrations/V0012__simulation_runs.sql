-- Simulations of more players than a request can wait for: a run, led by the message of its shard 0. Its shards are what
-- progress is counted in.

ALTER TABLE runs
  DROP CONSTRAINT runs_kind_check,
  DROP CONSTRAINT runs_rule_check,
  ADD CONSTRAINT runs_kind_check CHECK (kind IN ('IMPORT', 'RECALCULATION', 'BATCH', 'EVALUATION', 'REVOCATION', 'SIMULATION')),
  ADD CONSTRAINT runs_rule_check CHECK ((rule_id IS NOT NULL) = (kind IN ('EVALUATION', 'REVOCATION', 'SIMULATION')));

CREATE TABLE simulations (
  run_id   uuid PRIMARY KEY REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
  draft    json,                                        -- as it was asked for; null: the run's rule, as it is saved
  within   text NOT NULL CHECK (within IN ('ALONE', 'ACTIVE_SET')),
  attempt  integer NOT NULL DEFAULT 0 CHECK (attempt >= 0), -- who begins counts it up; whoever began before has lost the run
  ended_at timestamptz,
  report   json,                                        -- none: not ended, or failed
  CHECK (report IS NULL OR ended_at IS NOT NULL)
);

GRANT SELECT, INSERT, UPDATE ON simulations TO loyalty_runtime;
