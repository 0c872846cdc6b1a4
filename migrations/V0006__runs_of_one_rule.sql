-- Runs about one rule: its evaluation over all players, and the revocation of its open grants.

ALTER TABLE runs
  ADD COLUMN rule_id text COLLATE "C",
  ADD COLUMN reason text,
  DROP CONSTRAINT runs_kind_check,
  DROP CONSTRAINT runs_scope_check,
  ADD CONSTRAINT runs_kind_check CHECK (kind IN ('IMPORT', 'RECALCULATION', 'BATCH', 'EVALUATION', 'REVOCATION')),
  ADD CONSTRAINT runs_scope_check CHECK (scope IN ('ALL', 'LISTED', 'HOLDERS')), -- HOLDERS: of an open grant of the rule
  ADD CONSTRAINT runs_rule_check CHECK ((rule_id IS NOT NULL) = (kind IN ('EVALUATION', 'REVOCATION')));

ALTER TABLE run_shards
  ADD COLUMN revoked integer NOT NULL DEFAULT 0,        -- grants cancelled
  ADD COLUMN taken_back numeric(19,4) NOT NULL DEFAULT 0; -- bonus money they held
