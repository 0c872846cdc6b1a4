-- Players as their detail page shows them. All joins are by player_id. The totals must follow the id: they are read by
-- position.
SELECT p.player_id,
  coalesce(t.total_deposited, 0) AS total_deposited,
  coalesce(t.total_wagered, 0) AS total_wagered,
  coalesce(t.total_won, 0) AS total_won,
  coalesce(t.total_withdrawn, 0) AS total_withdrawn,
  coalesce(t.session_count, 0) AS session_count,
  coalesce(t.playtime_hours, 0) AS playtime_hours,
  t.total_bets, t.last_deposit_date,
  p.email, p.name, p.tier, p.risk_score, p.is_active, p.is_blocked, p.self_excluded_until,
  p.created_at, p.last_activity_at, s.segment,
  w.lp, w.rp, w.bonus, w.tickets,
  g.wagering_required, g.wagering_completed, g.next_expiry
FROM players p
LEFT JOIN player_totals t ON t.player_id = p.player_id
LEFT JOIN player_segments s ON s.player_id = p.player_id
CROSS JOIN LATERAL (
  SELECT
    coalesce(sum(balance) FILTER (WHERE asset = 'LP'), 0) AS lp,
    coalesce(sum(balance) FILTER (WHERE asset = 'RP'), 0) AS rp,
    coalesce(sum(balance) FILTER (WHERE asset = 'BONUS'), 0) AS bonus,
    coalesce(sum(balance) FILTER (WHERE asset = 'TICKETS'), 0) AS tickets
  FROM wallets
  WHERE player_id = p.player_id
) w
CROSS JOIN LATERAL ( -- the open bonus grants together
  SELECT
    coalesce(sum(wagering_required), 0) AS wagering_required,
    coalesce(sum(wagering_completed), 0) AS wagering_completed,
    min(expires_at) AS next_expiry
  FROM grants
  WHERE player_id = p.player_id
    AND asset = 'BONUS'
    AND status IN ('PENDING', 'ACTIVE')
) g
WHERE p.player_id = ANY($1)
ORDER BY p.player_id
