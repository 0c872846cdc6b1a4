-- The points of play are a function of the day: round_down(lp_staked * lp_rate, 2). Points that are taken back after they
-- were spent are a debt.

ALTER TABLE wallets                                     -- LP that a void took back after they were spent; later LP repay them
  ADD COLUMN debt numeric(19,4) NOT NULL DEFAULT 0 CHECK (debt >= 0 AND debt < 1e15);

ALTER TABLE player_daily                                -- rows are added up, so a row to add may be negative; the audit looks at the sums
  ADD COLUMN lp_staked numeric(28,4) NOT NULL DEFAULT 0 CHECK (abs(lp_staked) < 1e24),  -- live stakes that earn
  ADD COLUMN lp_rate   numeric CHECK (lp_rate >= 0 AND lp_rate <= 1e9),                 -- LP per unit staked, fixed by the day's first stake
  ADD COLUMN lp_play   numeric(19,4) NOT NULL DEFAULT 0 CHECK (abs(lp_play) < 1e15),    -- what they earned, part of lp_earned
  ADD CHECK (lp_rate IS NOT NULL OR (lp_staked = 0 AND lp_play = 0));

ALTER TABLE activity_events
  ADD COLUMN lp_day date;                               -- the day for whose points a stake counts, or a void takes it back

-- So far points counted for the day on which they were posted, and a void took back what the player still had. Stakes
-- whose points were not all taken back stay as they are, apart from the days.
UPDATE activity_events AS s
SET lp_day = (s.recorded_at AT TIME ZONE coalesce((SELECT value #>> '{}' FROM settings WHERE key = 'time_zone'), 'UTC'))::date
WHERE s.lp IS NOT NULL
  AND NOT EXISTS (
    SELECT
    FROM activity_events AS v
    WHERE v.player_id = s.player_id
      AND v.voids = s.event_id
      AND coalesce((v.outcome ->> 'lp')::numeric, 0) <> -s.lp
  );
UPDATE activity_events AS v
SET lp_day = s.lp_day
FROM activity_events AS s
WHERE v.voids IS NOT NULL
  AND s.player_id = v.player_id
  AND s.event_id = v.voids;

-- A day that has been played counts on at its mean rate, rounded up far behind the cent.
INSERT INTO player_daily AS d (player_id, day, deposited, wagered, won, withdrawn, lp_staked, lp_rate, lp_play)
SELECT player_id, day, 0, 0, 0, 0, staked, CASE WHEN staked = 0 THEN 0 ELSE ceil(points * 1e17 / staked) / 1e17 END, points
FROM (
  SELECT s.player_id, s.lp_day AS day,
    coalesce(sum(s.amount) FILTER (WHERE v.event_id IS NULL), 0) AS staked,
    coalesce(sum(s.lp) FILTER (WHERE v.event_id IS NULL), 0) AS points
  FROM activity_events AS s
  LEFT JOIN activity_events AS v ON v.player_id = s.player_id AND v.voids = s.event_id
  WHERE s.lp_day IS NOT NULL
    AND s.type = 'STAKE'
  GROUP BY s.player_id, s.lp_day
) AS played
ON CONFLICT (player_id, day) DO UPDATE
SET lp_staked = EXCLUDED.lp_staked,
  lp_rate = EXCLUDED.lp_rate,
  lp_play = EXCLUDED.lp_play;

ALTER TABLE activity_events
  DROP COLUMN lp,
  DROP COLUMN lp_lot;

-- One lot collects what play earns on a day. A day that had several keeps the last.
UPDATE point_lots AS l
SET play_day = NULL
WHERE EXISTS (
  SELECT
  FROM point_lots AS later
  WHERE later.player_id = l.player_id
    AND later.play_day = l.play_day
    AND later.version > l.version
);
CREATE UNIQUE INDEX point_lots_of_play ON point_lots (player_id, play_day) WHERE play_day IS NOT NULL;

ALTER TABLE signals
  DROP CONSTRAINT signals_type_check,
  ADD CONSTRAINT signals_type_check CHECK (type IN ('BONUS_ONLY_PLAY', 'IMMEDIATE_WITHDRAWAL', 'BET_MANIPULATION',
    'ABNORMAL_WIN_RATE', 'LOW_RISK_WAGERING', 'MULTI_ACCOUNT', 'DEPOSIT_CYCLING', 'POINTS_OVERSPENT', 'BONUS_OVERDRAWN',
    'MANUAL_REVIEW'));
