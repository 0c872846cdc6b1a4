-- What a day adds may pass the range of an amount, 15 integer digits: points are spent and earned again, imports
-- correct totals up and down, and each time the day gets the difference. Every single figure stays below 1e15, so a
-- billion of them fit into one day. The rows that exist obeyed the narrower checks.

ALTER TABLE player_daily
  DROP CONSTRAINT player_daily_deposited_check,
  DROP CONSTRAINT player_daily_wagered_check,
  DROP CONSTRAINT player_daily_won_check,
  DROP CONSTRAINT player_daily_withdrawn_check,
  DROP CONSTRAINT player_daily_lp_earned_check,
  ALTER COLUMN deposited TYPE numeric(28,4),
  ALTER COLUMN wagered   TYPE numeric(28,4),
  ALTER COLUMN won       TYPE numeric(28,4),
  ALTER COLUMN withdrawn TYPE numeric(28,4),
  ALTER COLUMN lp_earned TYPE numeric(28,4),
  ADD CONSTRAINT player_daily_range_check CHECK (
    abs(deposited) < 1e24 AND abs(wagered) < 1e24 AND abs(won) < 1e24 AND abs(withdrawn) < 1e24
    AND abs(lp_earned) < 1e24
  ) NOT VALID;

-- The sums over the players of a shard.
ALTER TABLE run_shards
  ALTER COLUMN cost       TYPE numeric(28,4),
  ALTER COLUMN taken_back TYPE numeric(28,4);
