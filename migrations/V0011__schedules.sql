-- What the program does by itself: scheduled times, how far each was worked on, and what was sent again.

CREATE TABLE schedules (                                -- until when a job's due times were looked at
  job     text COLLATE "C" PRIMARY KEY,
  seen_at timestamptz NOT NULL
);

CREATE TABLE schedule_runs (                            -- one scheduled time of a job, or one start of it by hand
  job             text COLLATE "C" NOT NULL CHECK (job IN ('recover', 'expire', 'tier_review', 'recalculate', 'risk_scan', 'retention', 'audit')),
  scheduled_for   timestamptz NOT NULL,
  schedule_run_id uuid NOT NULL UNIQUE,
  started_by      text NOT NULL,                        -- 'schedule', or who started it by hand
  skipped         integer NOT NULL DEFAULT 0 CHECK (skipped >= 0), -- earlier due times that were missed, for which this one stands
  status          text NOT NULL CHECK (status IN ('RUNNING', 'COMPLETED', 'COMPLETED_WITH_ERRORS', 'FAILED')),
  available_at    timestamptz NOT NULL,                 -- when RUNNING: from when on somebody may take it up
  claim           uuid,                                 -- of who took it up last; nobody else may save
  attempts        integer NOT NULL DEFAULT 0,           -- since the last page that was saved
  cursor          text,                                 -- where the next page begins
  counts          jsonb NOT NULL DEFAULT '{}',
  findings        jsonb,                                -- of an audit: the invariants that are broken
  run_id          uuid,                                 -- of a recalculation
  error           text,
  created_at      timestamptz NOT NULL,
  finished_at     timestamptz,
  PRIMARY KEY (job, scheduled_for),
  CHECK ((status = 'RUNNING') = (finished_at IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX schedule_runs_open ON schedule_runs (job, scheduled_for) WHERE status = 'RUNNING';
CREATE INDEX schedule_runs_ended ON schedule_runs (finished_at);

-- What was lost is sent again, ever more seldom, and given up in the end.
ALTER TABLE runs
  ADD COLUMN resent_at timestamptz,
  ADD COLUMN resends smallint NOT NULL DEFAULT 0,       -- since the last shard was done
  -- Retention: ALL until the first of a LISTED run's players is forgotten, NONE when the last one is.
  ADD COLUMN players_kept text NOT NULL DEFAULT 'ALL' CHECK (players_kept IN ('ALL', 'SOME', 'NONE'));
CREATE INDEX runs_to_forget ON runs (finished_at) WHERE scope = 'LISTED' AND players_kept <> 'NONE';

ALTER TABLE imports
  ADD COLUMN advanced_at timestamptz,                   -- when the watermark last moved
  ADD COLUMN resent_at timestamptz,
  ADD COLUMN resends smallint NOT NULL DEFAULT 0;
CREATE INDEX imports_running ON imports (import_id) WHERE status = 'RUNNING';

ALTER TABLE reward_triggers
  ADD COLUMN sent_at timestamptz,                       -- again, by the recovery
  ADD COLUMN sends smallint NOT NULL DEFAULT 0;

-- A key stays taken for ever: manual postings are known by it. Its answer goes.
ALTER TABLE idempotency_keys ADD COLUMN forgotten_at timestamptz;
CREATE INDEX idempotency_keys_to_forget ON idempotency_keys (created_at) WHERE forgotten_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON schedules TO loyalty_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON schedule_runs TO loyalty_runtime;
