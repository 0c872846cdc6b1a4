-- A player without activity. Adds no row when the id is taken.
WITH player AS (
  INSERT INTO players (player_id, email, name, tier, created_at)
  VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (player_id) DO NOTHING
  RETURNING player_id
)
INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn, session_count,
  playtime_hours, updated_at)
SELECT player_id, 0, 0, 0, 0, 0, 0, $5
FROM player
