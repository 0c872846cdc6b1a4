-- Tiers that players climb and fall by the points they earn.

-- A player who no longer holds their tier, and steps down when it is due unless they qualify again before.
CREATE TABLE tier_downgrades (
  player_id    text COLLATE "C" PRIMARY KEY,
  tier         text COLLATE "C" NOT NULL,               -- the player's, which is no longer held
  due_at       timestamptz NOT NULL,                    -- the beginning of a day in the program's time zone
  announced_at timestamptz NOT NULL
) WITH (fillfactor = 85);

GRANT SELECT, INSERT, UPDATE, DELETE ON tier_downgrades TO loyalty_runtime;

-- Days did not know the points they earned until now.
INSERT INTO player_daily AS d (player_id, day, deposited, wagered, won, withdrawn, lp_earned)
SELECT player_id, (created_at AT TIME ZONE coalesce((SELECT value #>> '{}' FROM settings WHERE key = 'time_zone'), 'UTC'))::date AS day,
  0, 0, 0, 0, sum(direction * amount)
FROM postings
WHERE asset = 'LP'
  AND house = 'house:issuance'
GROUP BY player_id, day
ON CONFLICT (player_id, day) DO UPDATE
SET lp_earned = EXCLUDED.lp_earned;
