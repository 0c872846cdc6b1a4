-- The audit of the books. Each statement checks one invariant and returns the keys of the rows that break it. I1 to I10
-- are invariants of the data; I11 to I13 are about behaviour and are tested instead.
--
-- Each statement reads its tables once and joins sets, so that a million players take seconds. `store::jobs::audit`
-- runs all of them on one snapshot, as the runtime role.

-- name: I1 wallets and house accounts sum to 0 per asset
-- A posting has two sides with the same amount, so the house accounts sum to the negative of all postings.
SELECT concat_ws(' ', asset, 'wallets', wallets, 'house', house) AS key
FROM (
  SELECT asset, coalesce(sum(balance), 0) AS wallets
  FROM wallets
  GROUP BY asset
) AS w
FULL JOIN (
  SELECT asset, -sum(direction * amount) AS house
  FROM postings
  GROUP BY asset
) AS h USING (asset)
WHERE coalesce(wallets, 0) + coalesce(house, 0) <> 0

-- name: I2 wallet balance = sum of its postings
SELECT concat_ws(' ', player_id, asset, 'balance', w.balance, 'postings', p.balance,
  'version', w.version, 'last', p.version) AS key
FROM wallets AS w
FULL JOIN (
  SELECT player_id, asset, sum(direction * amount) AS balance, max(version) AS version
  FROM postings
  GROUP BY player_id, asset
) AS p USING (player_id, asset)
WHERE w.balance IS DISTINCT FROM p.balance
   OR w.version IS DISTINCT FROM p.version

-- name: I3 no balance below 0
-- PostgreSQL sorts NaN above every number, hence the upper bound.
SELECT concat_ws(' ', 'wallet', player_id, asset, balance) AS key
FROM wallets
WHERE NOT (balance >= 0 AND balance < 1e15)
UNION ALL
SELECT concat_ws(' ', 'debt', player_id, asset, debt)
FROM wallets
WHERE NOT (debt >= 0 AND debt < 1e15)
UNION ALL
SELECT concat_ws(' ', 'posting', player_id, asset, version, balance_after)
FROM postings
WHERE NOT (balance_after >= 0 AND balance_after < 1e15)
   OR NOT (amount > 0 AND amount < 1e15)
UNION ALL
SELECT concat_ws(' ', 'lot', player_id, asset, version, remaining)
FROM point_lots
WHERE NOT (remaining >= 0 AND remaining < 1e15 AND earned < 1e15)
UNION ALL
SELECT concat_ws(' ', 'grant', grant_id, balance)
FROM grants
WHERE NOT (balance >= 0 AND balance < 1e15)
UNION ALL
SELECT concat_ws(' ', 'budget', rule_id, day, reserved)
FROM rule_budgets
WHERE NOT (reserved >= 0 AND reserved < 1e15)

-- name: I4 versions dense, balance_after = previous + amount
SELECT concat_ws(' ', player_id, asset, version) AS key
FROM (
  SELECT player_id, asset, version, direction * amount AS moved, balance_after,
    lag(version, 1, 0::bigint) OVER wallet AS previous_version,
    lag(balance_after, 1, 0::numeric) OVER wallet AS previous_balance
  FROM postings
  WINDOW wallet AS (PARTITION BY player_id, asset ORDER BY version)
) AS p
WHERE version <> previous_version + 1
   OR balance_after <> previous_balance + moved

-- name: I5 every posting belongs to one transaction with a kind and a reference
SELECT transaction_id::text AS key
FROM postings
GROUP BY transaction_id
HAVING min(kind) <> max(kind)
    OR min(player_id) <> max(player_id)
    OR min(reference) <> max(reference)
    OR min(actor) <> max(actor)
    OR min(created_at) <> max(created_at)
    OR bool_or(kind = '' OR reference = '' OR actor = '')

-- name: I6 one business key, one effect
-- A key may move several assets, or one asset several times, but only in one transaction.
SELECT concat_ws(' ', player_id, asset, kind, reference) AS key
FROM postings
GROUP BY player_id, asset, kind, reference
HAVING min(transaction_id::text) <> max(transaction_id::text)

-- name: I6 one grant per player, rule and period
SELECT concat_ws(' ', player_id, rule_id, period_key) AS key
FROM grants
WHERE rule_id IS NOT NULL
GROUP BY player_id, rule_id, period_key
HAVING count(*) > 1

-- name: I6 one grant per player, group and period
SELECT concat_ws(' ', player_id, exclusive_group, period_key) AS key
FROM grants
WHERE exclusive_group IS NOT NULL
GROUP BY player_id, exclusive_group, period_key
HAVING count(*) > 1

-- name: I7 open lots = balance
SELECT concat_ws(' ', player_id, asset, 'balance', balance, 'lots', remaining) AS key
FROM (
  SELECT player_id, asset, balance
  FROM wallets
  WHERE asset IN ('LP', 'RP')
) AS w
FULL JOIN (
  SELECT player_id, asset, sum(remaining) AS remaining
  FROM point_lots
  GROUP BY player_id, asset
) AS l USING (player_id, asset)
WHERE coalesce(balance, 0) <> coalesce(remaining, 0)

-- name: I7 every lot is a credit
SELECT concat_ws(' ', l.player_id, l.asset, l.version) AS key
FROM point_lots AS l
LEFT JOIN postings AS p USING (player_id, asset, version)
WHERE p.direction IS DISTINCT FROM 1
   OR p.amount IS DISTINCT FROM l.earned

-- name: I7 lot = what was earned and moved
SELECT concat_ws(' ', player_id, asset, version, 'remaining', l.remaining, 'of', l.earned, 'moved', m.amount) AS key
FROM point_lots AS l
FULL JOIN (
  SELECT player_id, asset, lot_version AS version, sum(amount) AS amount
  FROM lot_movements
  GROUP BY player_id, asset, lot_version
) AS m USING (player_id, asset, version)
WHERE l.earned IS NULL
   OR l.remaining <> l.earned + coalesce(m.amount, 0)

-- name: I7 every point posted is in a lot
-- A credit creates a lot or puts points back into lots; a debit takes points from lots.
SELECT concat_ws(' ', player_id, asset, version, 'posted', p.amount,
  'lots', coalesce(l.earned, 0) + coalesce(m.amount, 0)) AS key
FROM (
  SELECT player_id, asset, version, direction * amount AS amount
  FROM postings
  WHERE asset IN ('LP', 'RP')
) AS p
FULL JOIN (
  SELECT player_id, asset, version, sum(amount) AS amount
  FROM lot_movements
  GROUP BY player_id, asset, version
) AS m USING (player_id, asset, version)
LEFT JOIN point_lots AS l USING (player_id, asset, version)
WHERE p.amount IS DISTINCT FROM coalesce(l.earned, 0) + coalesce(m.amount, 0)

-- name: I8 open grants hold the BONUS wallet
SELECT concat_ws(' ', player_id, 'wallet', w.balance, 'grants', g.balance) AS key
FROM (
  SELECT player_id, balance
  FROM wallets
  WHERE asset = 'BONUS'
) AS w
FULL JOIN (
  SELECT player_id, sum(balance) AS balance
  FROM grants
  WHERE asset = 'BONUS'
  GROUP BY player_id
) AS g USING (player_id)
WHERE coalesce(w.balance, 0) <> coalesce(g.balance, 0)

-- name: I8 grant balance = sum of its postings
SELECT concat_ws(' ', player_id, grant_id, 'balance', g.balance, 'postings', p.balance) AS key
FROM grants AS g
FULL JOIN (
  SELECT player_id, grant_id, sum(direction * amount) AS balance
  FROM postings
  WHERE asset = 'BONUS'
  GROUP BY player_id, grant_id
) AS p USING (player_id, grant_id)
WHERE g.grant_id IS NULL
   OR g.balance <> coalesce(p.balance, 0)

-- name: I8 wagering between 0 and its requirement
SELECT concat_ws(' ', grant_id, wagering_completed, 'of', wagering_required) AS key
FROM grants
WHERE NOT (wagering_completed >= 0 AND wagering_completed <= wagering_required AND wagering_required < 1e15)

-- name: I8 a bonus holds its amount and what moved since
-- Only the last grant of a chain of corrections can hold money; its flows are those of the chain.
SELECT concat_ws(' ', g.player_id, g.grant_id, 'balance', g.balance, 'flows', f.balance) AS key
FROM grants AS g
CROSS JOIN LATERAL (
  SELECT CASE WHEN g.activated_at IS NULL THEN 0 ELSE g.amount END + g.played + g.adjusted - g.lost - g.converted AS balance
) AS f
WHERE g.asset = 'BONUS'
  AND g.corrected_by IS NULL
  AND g.balance <> f.balance

-- name: I8 what moved through a bonus = its postings
SELECT concat_ws(' ', g.player_id, g.bonus_id, g.house, 'bonus', g.amount, 'posted', coalesce(p.amount, 0)) AS key
FROM (
  SELECT g.player_id, coalesce(g.root_id, g.grant_id) AS bonus_id, f.house, sum(f.amount) AS amount
  FROM grants AS g
  CROSS JOIN LATERAL (
    VALUES
      ('house:wagering', g.played),
      ('house:adjustment', g.adjusted),
      ('house:cash_out', -g.converted),
      ('house:expiry', CASE WHEN g.status = 'EXPIRED' THEN -g.lost ELSE 0 END),
      ('house:forfeit', CASE WHEN g.status NOT IN ('EXPIRED', 'CANCELLED') THEN -g.lost ELSE 0 END)
  ) AS f (house, amount)
  WHERE g.asset = 'BONUS'
    AND g.corrected_by IS NULL
  GROUP BY 1, 2, 3
) AS g
LEFT JOIN (
  SELECT p.player_id, coalesce(g.root_id, g.grant_id) AS bonus_id, p.house, sum(p.direction * p.amount) AS amount
  FROM postings AS p
  JOIN grants AS g ON g.player_id = p.player_id AND g.grant_id = p.grant_id
  WHERE p.asset = 'BONUS'
  GROUP BY 1, 2, 3
) AS p USING (player_id, bonus_id, house)
WHERE g.amount <> coalesce(p.amount, 0)

-- name: I8 wagering and play of a bonus = what events say
SELECT concat_ws(' ', player_id, bonus_id, 'wagered', g.wagered, 'events', w.contribution,
  'played', g.played, 'events', w.bonus, 'released', g.released, 'events', w.released) AS key
FROM (
  SELECT player_id, coalesce(root_id, grant_id) AS bonus_id, wagering_completed AS wagered, played, released
  FROM grants
  WHERE corrected_by IS NULL
) AS g
FULL JOIN (
  SELECT player_id, grant_id AS bonus_id, sum(contribution) AS contribution, sum(bonus) AS bonus,
    sum(released) AS released
  FROM grant_wagering
  GROUP BY player_id, grant_id
) AS w USING (player_id, bonus_id)
WHERE g.wagered IS DISTINCT FROM coalesce(w.contribution, 0)
   OR g.played IS DISTINCT FROM coalesce(w.bonus, 0)
   OR g.released IS DISTINCT FROM coalesce(w.released, 0)

-- name: I8 a chain of corrections continues ended grants
SELECT concat_ws(' ', g.player_id, g.grant_id, 'corrects', g.corrects, c.status, 'corrected by', c.corrected_by) AS key
FROM grants AS g
LEFT JOIN grants AS c ON c.player_id = g.player_id AND c.grant_id = g.corrects
WHERE g.corrects IS NOT NULL
  AND (
    c.corrected_by IS DISTINCT FROM g.grant_id
    OR c.status IN ('PENDING', 'ACTIVE')
    OR coalesce(c.root_id, c.grant_id) <> g.root_id
  )

-- name: what a bonus became in cash stays within its limit
SELECT concat_ws(' ', player_id, grant_id, status, 'cash', converted + released, 'limit',
  trunc(amount * (terms ->> 'max_conversion')::numeric, 2)) AS key
FROM grants
WHERE asset = 'BONUS'
  AND corrected_by IS NULL
  AND (
    converted + released > trunc(amount * (terms ->> 'max_conversion')::numeric, 2)
    OR (converted + released > 0 AND status <> 'COMPLETED')
  )

-- name: what the cashier was told = what bonuses became
-- Conversions, answers to events that released money of completed bonuses, and adjustments.
SELECT concat_ws(' ', player_id, bonus_id, 'told', coalesce(t.told, 0), 'is', g.cash) AS key
FROM (
  SELECT player_id, coalesce(root_id, grant_id) AS bonus_id, converted + released AS cash
  FROM grants
  WHERE asset = 'BONUS'
    AND corrected_by IS NULL
) AS g
LEFT JOIN (
  SELECT player_id, bonus_id, sum(cash) AS told
  FROM (
    SELECT h.player_id, coalesce(g.root_id, g.grant_id) AS bonus_id, h.cash
    FROM grant_history AS h
    JOIN grants AS g USING (player_id, grant_id)
    UNION ALL
    SELECT player_id, root_id, cash_delta
    FROM bonus_adjustments
    UNION ALL
    SELECT e.player_id, coalesce(g.root_id, g.grant_id), (told ->> 'released')::numeric
    FROM activity_events AS e
    CROSS JOIN LATERAL json_array_elements(e.outcome -> 'grants') AS told
    JOIN grants AS g ON g.player_id = e.player_id AND g.grant_id = (told ->> 'grant_id')::uuid
    WHERE (told ->> 'released')::numeric <> 0
  ) AS t
  GROUP BY player_id, bonus_id
) AS t USING (player_id, bonus_id)
WHERE g.cash <> coalesce(t.told, 0)

-- name: I8 every contribution to wagering has its event
SELECT concat_ws(' ', w.player_id, w.grant_id, w.event_id) AS key
FROM grant_wagering AS w
LEFT JOIN activity_events AS e USING (player_id, event_id)
WHERE e.event_id IS NULL

-- name: LP posted for stakes and voids = LP of their events
-- What a void takes back beyond the wallet is lent by house:adjustment, so it is posted in full.
SELECT concat_ws(' ', player_id, event_id, 'posted', p.amount, 'event', e.lp) AS key
FROM (
  SELECT player_id, event_id, CASE type WHEN 'STAKE' THEN 'stake' ELSE 'void' END AS kind,
    (outcome ->> 'lp')::numeric AS lp
  FROM activity_events
  WHERE outcome ->> 'lp' IS NOT NULL
) AS e
FULL JOIN (
  SELECT player_id, reference AS event_id, kind, sum(direction * amount) AS amount
  FROM postings
  WHERE asset = 'LP'
    AND house = 'house:issuance'
    AND kind IN ('stake', 'void')
  GROUP BY player_id, reference, kind
) AS p USING (player_id, event_id, kind)
WHERE e.lp IS DISTINCT FROM p.amount

-- name: LP of a day of play = LP posted for its stakes and voids
SELECT concat_ws(' ', player_id, day, 'day', d.lp_play, 'posted', p.amount) AS key
FROM (
  SELECT player_id, day, lp_play
  FROM player_daily
  WHERE lp_play <> 0
) AS d
FULL JOIN (
  SELECT e.player_id, e.lp_day AS day, sum(p.direction * p.amount) AS amount
  FROM postings AS p
  JOIN activity_events AS e ON e.player_id = p.player_id AND e.event_id = p.reference
  WHERE p.asset = 'LP'
    AND p.house = 'house:issuance'
    AND p.kind IN ('stake', 'void')
    AND e.lp_day IS NOT NULL
  GROUP BY e.player_id, e.lp_day
) AS p USING (player_id, day)
WHERE coalesce(d.lp_play, 0) <> coalesce(p.amount, 0)

-- name: LP of a day of play = its live stakes at its rate
SELECT concat_ws(' ', player_id, day, 'staked', d.lp_staked, 'events', s.staked, 'rate', trim_scale(d.lp_rate),
  'LP', d.lp_play) AS key
FROM (
  SELECT player_id, day, lp_staked, lp_rate, lp_play
  FROM player_daily
  WHERE lp_rate IS NOT NULL
) AS d
FULL JOIN (
  SELECT s.player_id, s.lp_day AS day, sum(s.amount) AS staked
  FROM activity_events AS s
  LEFT JOIN activity_events AS v ON v.player_id = s.player_id AND v.voids = s.event_id
  WHERE s.lp_day IS NOT NULL
    AND s.type = 'STAKE'
    AND v.event_id IS NULL
  GROUP BY s.player_id, s.lp_day
) AS s USING (player_id, day)
WHERE coalesce(d.lp_staked, 0) <> coalesce(s.staked, 0)
   OR d.lp_play <> trunc(d.lp_staked * d.lp_rate, 2)

-- name: LP of play are in the lot of their day
SELECT concat_ws(' ', p.player_id, p.reference, e.lp_day, 'in', l.play_day) AS key
FROM postings AS p
JOIN activity_events AS e ON e.player_id = p.player_id AND e.event_id = p.reference
LEFT JOIN lot_movements AS m ON m.player_id = p.player_id AND m.asset = p.asset AND m.version = p.version
JOIN point_lots AS l
  ON l.player_id = p.player_id AND l.asset = p.asset AND l.version = coalesce(m.lot_version, p.version)
WHERE p.asset = 'LP'
  AND p.kind = 'stake'
  AND l.play_day <> e.lp_day

-- name: LP owed = lent less repaid
SELECT concat_ws(' ', player_id, asset, 'owed', w.debt, 'postings', p.debt) AS key
FROM (
  SELECT player_id, asset, debt
  FROM wallets
  WHERE debt <> 0
) AS w
FULL JOIN (
  SELECT player_id, asset, sum(CASE kind WHEN 'debt' THEN amount ELSE -amount END) AS debt
  FROM postings
  WHERE kind IN ('debt', 'debt_repayment')
  GROUP BY player_id, asset
) AS p USING (player_id, asset)
WHERE coalesce(w.debt, 0) <> coalesce(p.debt, 0)

-- name: who owes LP has none
-- A debt takes every later credit first.
SELECT concat_ws(' ', player_id, asset, 'balance', balance, 'owed', debt) AS key
FROM wallets
WHERE debt <> 0
  AND balance <> 0

-- name: every trigger of an event has its event
SELECT concat_ws(' ', t.player_id, t.trigger, t.trigger_id) AS key
FROM reward_triggers AS t
LEFT JOIN activity_events AS e ON e.player_id = t.player_id AND e.event_id = t.trigger_id
WHERE t.trigger IN ('DEPOSIT', 'KYC_COMPLETED', 'PROFILE')
  AND e.type IS DISTINCT FROM t.trigger

-- name: I9 a terminal grant never moves
SELECT concat_ws(' ', g.grant_id, g.status) AS key
FROM grants AS g
WHERE (g.status IN ('PENDING', 'ACTIVE')) <> (g.closed_at IS NULL)
   OR (g.status NOT IN ('PENDING', 'ACTIVE') AND g.balance <> 0)
UNION ALL
SELECT concat_ws(' ', g.grant_id, g.status, 'posting', p.version)
FROM grants AS g
JOIN postings AS p ON p.player_id = g.player_id AND p.grant_id = g.grant_id
WHERE p.created_at > g.closed_at

-- name: I10 a bonus converts at most once
-- A correction takes the conversion back, on the successor, before it converts again.
SELECT grant_id::text AS key
FROM postings
WHERE house IN ('house:conversion', 'house:cash_out')
  AND direction = -1
  AND grant_id IS NOT NULL
  AND kind <> 'bonus_correction'
GROUP BY grant_id
HAVING count(*) > 1

-- name: the status of a bonus is the last of its history
SELECT concat_ws(' ', player_id, grant_id, g.status, 'history', h.to_status, h.steps, 'of', g.transitions) AS key
FROM grants AS g
FULL JOIN (
  SELECT player_id, grant_id, count(*) AS steps, (array_agg(to_status ORDER BY step DESC))[1] AS to_status
  FROM grant_history
  GROUP BY player_id, grant_id
) AS h USING (player_id, grant_id)
WHERE g.transitions IS DISTINCT FROM coalesce(h.steps, 0)
   OR (h.steps > 0 AND h.to_status <> g.status)
   OR (h.steps IS NULL AND g.asset = 'BONUS' AND g.status NOT IN ('PENDING', 'ACTIVE'))

-- name: steps of a bonus's history follow each other
SELECT concat_ws(' ', player_id, grant_id, step) AS key
FROM (
  SELECT player_id, grant_id, step, from_status,
    lag(step, 1, 0::smallint) OVER life AS previous_step, lag(to_status) OVER life AS previous
  FROM grant_history
  WINDOW life AS (PARTITION BY player_id, grant_id ORDER BY step)
) AS h
WHERE step <> previous_step + 1
   OR from_status NOT IN ('PENDING', 'ACTIVE')
   OR from_status <> coalesce(previous, from_status)

-- name: a reversal is the opposite of what it reverses
SELECT concat_ws(' ', player_id, transaction_id, asset, 'reversed', p.amount, 'by', r.amount) AS key
FROM (
  SELECT r.player_id, r.transaction_id, p.asset, sum(p.direction * p.amount) AS amount
  FROM reversals AS r
  JOIN postings AS p ON p.player_id = r.player_id AND p.transaction_id = r.transaction_id
  GROUP BY r.player_id, r.transaction_id, p.asset
) AS p
FULL JOIN (
  SELECT player_id, reference::uuid AS transaction_id, asset, sum(direction * amount) AS amount
  FROM postings
  WHERE kind = 'reversal'
  GROUP BY player_id, reference::uuid, asset
) AS r USING (player_id, transaction_id, asset)
WHERE coalesce(p.amount, 0) + coalesce(r.amount, 0) <> 0
  -- Bonus money: what a deduction took may turn out otherwise, and is followed by corrections.
  AND NOT (asset = 'BONUS' AND EXISTS (
    SELECT FROM postings AS c WHERE c.player_id = p.player_id AND c.kind = 'bonus_correction'
  ))

-- name: redemptions = their postings
-- A redemption debits its cost and credits tickets or a bonus; the cashier pays cash. Nothing else has this kind.
SELECT concat_ws(' ', player_id, transaction_id, asset, 'redeemed', r.amount, 'posted', p.amount) AS key
FROM (
  SELECT player_id, transaction_id, cost_asset AS asset, 'house:redemption' AS house, -cost AS amount,
    NULL::uuid AS grant_id
  FROM redemptions
  UNION ALL
  SELECT player_id, transaction_id, target,
    CASE target WHEN 'BONUS' THEN 'house:issuance' ELSE 'house:redemption' END, amount, grant_id
  FROM redemptions
  WHERE target <> 'CASH'
) AS r
FULL JOIN (
  SELECT player_id, transaction_id, asset, house, grant_id, sum(direction * amount) AS amount
  FROM postings
  WHERE kind = 'redemption'
  GROUP BY player_id, transaction_id, asset, house, grant_id
) AS p USING (player_id, transaction_id, asset)
WHERE r.amount IS DISTINCT FROM p.amount
   OR r.house IS DISTINCT FROM p.house
   OR r.grant_id IS DISTINCT FROM p.grant_id

-- name: every redemption names an entry of the catalogue
SELECT concat_ws(' ', r.player_id, r.redemption_id, r.rule_id) AS key
FROM redemptions AS r
LEFT JOIN redemption_rules AS e USING (rule_id)
WHERE e.rule_id IS NULL

-- name: a redemption is reversed with its transaction
SELECT concat_ws(' ', r.player_id, r.redemption_id, 'reversed', r.reversed_at, 'transaction', v.at) AS key
FROM redemptions AS r
LEFT JOIN reversals AS v USING (player_id, transaction_id)
WHERE r.reversed_at IS DISTINCT FROM v.at

-- name: every grant has its posting
-- A pending grant has no posting yet, nor has one that ended while pending. No grant has two.
SELECT concat_ws(' ', g.grant_id, g.status, g.amount, g.asset,
  'postings', coalesce(p.postings, 0), 'amount', p.amount) AS key
FROM (
  SELECT player_id, grant_id, status, amount, asset
  FROM grants
  WHERE corrects IS NULL
) AS g
LEFT JOIN (
  SELECT player_id, asset, coalesce(grant_id::text, reference) AS reference, count(*) AS postings, sum(amount) AS amount
  FROM postings
  WHERE direction = 1
    AND house = 'house:issuance'
    AND kind <> 'bonus_correction'
  GROUP BY player_id, asset, coalesce(grant_id::text, reference)
) AS p ON p.player_id = g.player_id AND p.asset = g.asset AND p.reference = g.grant_id::text
WHERE CASE
  WHEN p.postings IS NULL THEN g.status IN ('ACTIVE', 'COMPLETED', 'DEPLETED')
  ELSE p.postings <> 1 OR p.amount <> g.amount
END

-- name: every reward posting has its grant
SELECT concat_ws(' ', p.player_id, p.asset, p.version, p.reference) AS key
FROM postings AS p
LEFT JOIN grants AS g ON g.player_id = p.player_id AND g.grant_id::text = p.reference
WHERE p.kind = 'reward_grant'
  AND g.grant_id IS NULL

-- name: every grant of a rule names a version of it
SELECT concat_ws(' ', g.grant_id, g.rule_id, g.rule_version) AS key
FROM grants AS g
LEFT JOIN rule_versions AS v ON v.rule_id = g.rule_id AND v.version = g.rule_version
WHERE g.rule_id IS NOT NULL
  AND v.rule_id IS NULL

-- name: grants of rules = decisions that grant
SELECT concat_ws(' ', player_id, rule_id, evaluation_id, 'decided', d.amount, 'granted', g.amount) AS key
FROM (
  SELECT r.player_id, r.evaluation_id, decision ->> 'rule_id' AS rule_id,
    (decision ->> 'rule_version')::integer AS rule_version, (decision ->> 'amount')::numeric AS amount
  FROM reward_decisions AS r
  CROSS JOIN LATERAL json_array_elements(r.decisions) AS decision
  WHERE decision ->> 'verdict' IN ('GRANTED', 'REDUCED')
) AS d
FULL JOIN (
  SELECT player_id, evaluation_id, rule_id, rule_version, amount
  FROM grants
  WHERE rule_id IS NOT NULL
) AS g USING (player_id, evaluation_id, rule_id)
WHERE d.amount IS DISTINCT FROM g.amount
   OR d.rule_version IS DISTINCT FROM g.rule_version

-- name: reserved budgets are covered by grants
-- Not equality: a rule may have granted before it had a budget, and an ended grant may have released its share.
SELECT concat_ws(' ', b.rule_id, 'reserved', b.reserved, 'days', b.days, 'granted', g.cost) AS key
FROM (
  SELECT rule_id, coalesce(sum(reserved) FILTER (WHERE day IS NULL), 0) AS reserved,
    coalesce(sum(reserved) FILTER (WHERE day IS NOT NULL), 0) AS days
  FROM rule_budgets
  GROUP BY rule_id
) AS b
LEFT JOIN (
  SELECT rule_id, sum(greatest(cost, 0)) AS cost
  FROM grants
  GROUP BY rule_id
) AS g USING (rule_id)
WHERE b.reserved <> b.days
   OR b.reserved > coalesce(g.cost, 0)

-- name: nothing belongs to an unknown player
SELECT concat_ws(' ', kind, player_id) AS key
FROM (
  SELECT 'wallet' AS kind, player_id FROM wallets
  UNION ALL
  SELECT 'posting', player_id FROM postings
  UNION ALL
  SELECT 'lot', player_id FROM point_lots
  UNION ALL
  SELECT 'grant', player_id FROM grants
  UNION ALL
  SELECT 'totals', player_id FROM player_totals
  UNION ALL
  SELECT 'day', player_id FROM player_daily
  UNION ALL
  SELECT 'segment', player_id FROM player_segments
  UNION ALL
  SELECT 'decision', player_id FROM reward_decisions
  UNION ALL
  SELECT 'event', player_id FROM activity_events
  UNION ALL
  SELECT 'redemption', player_id FROM redemptions
  UNION ALL
  SELECT 'signal', player_id FROM signals
  UNION ALL
  SELECT 'trace', player_id FROM player_traces
  UNION ALL
  SELECT 'trigger', player_id FROM reward_triggers
  UNION ALL
  SELECT 'downgrade', player_id FROM tier_downgrades
) AS owned
WHERE NOT EXISTS (SELECT FROM players AS p WHERE p.player_id = owned.player_id)

-- name: at most one unresolved signal per player and type
SELECT concat_ws(' ', player_id, type) AS key
FROM signals
WHERE status <> 'RESOLVED'
GROUP BY player_id, type
HAVING count(*) > 1

-- name: a risk score is within the weights of the player's signals
-- Confirmed signals count in full: the lower bound. Open signals decay, so their full weight gives the upper bound.
SELECT concat_ws(' ', player_id, 'score', p.risk_score,
  'between', coalesce(s.least, 0), 'and', coalesce(s.most, 0)) AS key
FROM players AS p
LEFT JOIN (
  SELECT player_id, least(100, 10 * sum(severity)) AS most,
    least(100, 10 * coalesce(sum(severity) FILTER (WHERE status = 'CONFIRMED'), 0)) AS least
  FROM signals
  WHERE status <> 'RESOLVED'
  GROUP BY player_id
) AS s USING (player_id)
WHERE p.risk_score NOT BETWEEN coalesce(s.least, 0) AND coalesce(s.most, 0)

-- name: every decision about a signal is in the audit log
SELECT concat_ws(' ', s.player_id, s.signal_id, s.status) AS key
FROM signals AS s
WHERE s.status <> 'OPEN'
  AND NOT EXISTS (
    SELECT
    FROM audit_log AS a
    WHERE a.subject = 'signal:' || s.signal_id
      AND a.action = CASE s.status WHEN 'CONFIRMED' THEN 'signal.confirm' ELSE 'signal.resolve' END
      AND a.actor = s.decided_by
  )

-- name: every announced signal is there
-- Not the reverse: events are deleted after delivery.
SELECT concat_ws(' ', o.player_id, o.payload ->> 'signal_id') AS key
FROM outbox AS o
LEFT JOIN signals AS s ON s.player_id = o.player_id AND s.signal_id = (o.payload ->> 'signal_id')::uuid
WHERE o.event_type = 'signal.raised'
  AND (s.type IS DISTINCT FROM o.payload ->> 'type' OR s.severity IS DISTINCT FROM (o.payload ->> 'severity')::integer)

-- name: every delivery has its webhook
SELECT concat_ws(' ', d.player_id, d.webhook_id, d.delivery_id) AS key
FROM webhook_deliveries AS d
LEFT JOIN webhooks AS w USING (webhook_id)
WHERE w.webhook_id IS NULL

-- name: every pending delivery is in the stream of its player
-- A player's stream starts at or before the first pending delivery. Deleted webhooks receive nothing.
SELECT concat_ws(' ', player_id, webhook_id, 'from', s.head, 'pending', p.head) AS key
FROM webhook_streams AS s
FULL JOIN (
  SELECT player_id, webhook_id, min(delivery_id) AS head
  FROM webhook_deliveries
  WHERE status = 'PENDING'
  GROUP BY player_id, webhook_id
) AS p USING (player_id, webhook_id)
LEFT JOIN webhooks AS w USING (webhook_id)
WHERE w.deleted_at IS NULL
  AND (s.head <= p.head) IS NOT TRUE

-- name: the current segment is the last of its history
SELECT concat_ws(' ', player_id, 'segment', s.segment, 'history', h.to_segment) AS key
FROM player_segments AS s
FULL JOIN (
  SELECT DISTINCT ON (player_id) player_id, to_segment
  FROM segment_history
  ORDER BY player_id, at DESC
) AS h USING (player_id)
WHERE s.segment IS DISTINCT FROM h.to_segment

-- name: segment changes follow each other
SELECT concat_ws(' ', player_id, at) AS key
FROM (
  SELECT player_id, at, from_segment, to_segment, lag(to_segment) OVER (PARTITION BY player_id ORDER BY at) AS previous
  FROM segment_history
) AS h
WHERE from_segment IS DISTINCT FROM previous
   OR from_segment = to_segment

-- name: the current tier is the last of its history
-- A player without a change of tier has no history.
SELECT concat_ws(' ', player_id, 'tier', p.tier, 'history', h.to_tier) AS key
FROM (
  SELECT DISTINCT ON (player_id) player_id, to_tier
  FROM tier_history
  ORDER BY player_id, at DESC
) AS h
LEFT JOIN players AS p USING (player_id)
WHERE p.tier IS DISTINCT FROM h.to_tier

-- name: tier changes follow each other
SELECT concat_ws(' ', player_id, at) AS key
FROM (
  SELECT player_id, at, from_tier, to_tier,
    lag(to_tier, 1, from_tier) OVER (PARTITION BY player_id ORDER BY at) AS previous
  FROM tier_history
) AS h
WHERE from_tier IS DISTINCT FROM previous
   OR from_tier = to_tier

-- name: every tier of a player is on the ladder
SELECT concat_ws(' ', p.player_id, p.tier) AS key
FROM players AS p
LEFT JOIN tiers AS t ON t.tier_level = p.tier
WHERE t.tier_level IS NULL

-- name: LP of the days = LP issued
-- Net of points taken back. Compares sums, not days, because the program's time zone may have changed.
SELECT concat_ws(' ', player_id, 'days', d.earned, 'issued', p.issued) AS key
FROM (
  SELECT player_id, sum(lp_earned) AS earned
  FROM player_daily
  GROUP BY player_id
) AS d
FULL JOIN (
  SELECT player_id, sum(direction * amount) AS issued
  FROM postings
  WHERE asset = 'LP'
    AND house = 'house:issuance'
  GROUP BY player_id
) AS p USING (player_id)
WHERE coalesce(d.earned, 0) <> coalesce(p.issued, 0)

-- name: an announced downgrade leaves the player's current tier
SELECT concat_ws(' ', d.player_id, d.tier, 'is in', p.tier) AS key
FROM tier_downgrades AS d
LEFT JOIN players AS p USING (player_id)
WHERE p.tier IS DISTINCT FROM d.tier

-- name: the dashboard's counters = the tables
SELECT concat_ws(' ', counter, 'counted', coalesce(counted, 0), 'is', coalesce(actual, 0)) AS key
FROM (
  SELECT counter, sum(value) AS counted
  FROM stats
  WHERE counter IN ('players_total', 'players_active', 'rewards_issued', 'reward_cost')
     OR counter LIKE 'segment:%'
     OR counter LIKE 'tier:%'
  GROUP BY counter
) AS s
FULL JOIN (
  SELECT 'players_total' AS counter, count(*)::numeric AS actual FROM players
  UNION ALL
  SELECT 'players_active', count(*) FROM players WHERE is_active
  UNION ALL
  SELECT 'tier:' || tier, count(*) FROM players GROUP BY tier
  UNION ALL
  SELECT 'segment:' || segment, count(*) FROM player_segments GROUP BY segment
  UNION ALL
  SELECT 'rewards_issued', count(*) FROM grants WHERE corrects IS NULL
  UNION ALL
  SELECT 'reward_cost', coalesce(sum(cost), 0) FROM grants
) AS t USING (counter)
WHERE coalesce(counted, 0) <> coalesce(actual, 0)

-- name: the counts of an import = its rows
-- Accepted rows are in `run_players` until retention deletes them; rejected rows are in `import_errors`, by line.
SELECT concat_ws(' ', i.import_id,
  'taken', i.created_rows + i.updated_rows + i.unchanged_rows, 'of', coalesce(p.players, 0),
  'changed', i.created_rows + i.updated_rows, 'of', coalesce(p.changed, 0),
  'rejected', i.rejected_rows, 'of', coalesce(e.lines, 0)) AS key
FROM imports AS i
LEFT JOIN (
  SELECT run_id, count(*) AS players, count(*) FILTER (WHERE changed) AS changed
  FROM run_players
  GROUP BY run_id
) AS p USING (run_id)
LEFT JOIN (
  SELECT import_id, count(DISTINCT line) AS lines
  FROM import_errors
  GROUP BY import_id
) AS e USING (import_id)
LEFT JOIN runs AS r USING (run_id)
WHERE i.total_rows <> i.created_rows + i.updated_rows + i.unchanged_rows + i.rejected_rows
   OR i.rejected_rows <> coalesce(e.lines, 0)
   OR (coalesce(r.players_kept, 'ALL') = 'ALL'
     AND i.created_rows + i.updated_rows + i.unchanged_rows <> coalesce(p.players, 0))
   OR (coalesce(r.players_kept, 'ALL') = 'ALL' AND i.created_rows + i.updated_rows <> coalesce(p.changed, 0))

-- name: a run whose player list was deleted has ended
SELECT concat_ws(' ', r.run_id, r.status, r.players_kept) AS key
FROM runs AS r
WHERE r.players_kept <> 'ALL'
  AND (
    r.status = 'RUNNING'
    OR (r.players_kept = 'NONE' AND EXISTS (SELECT FROM run_players AS p WHERE p.run_id = r.run_id))
  )

-- name: a scheduled recalculation made its run
SELECT concat_ws(' ', s.schedule_run_id, s.status, s.run_id) AS key
FROM schedule_runs AS s
LEFT JOIN runs AS r USING (run_id)
WHERE s.job = 'recalculate'
  AND (s.status = 'COMPLETED') <> (r.run_id IS NOT NULL)

-- name: a run counts its shards
SELECT concat_ws(' ', r.run_id, r.status, r.shards_done, 'of', r.shards_total, 'shards', coalesce(s.shards, 0)) AS key
FROM runs AS r
LEFT JOIN (
  SELECT run_id, count(*) AS shards
  FROM run_shards
  GROUP BY run_id
) AS s USING (run_id)
WHERE r.shards_total <> coalesce(s.shards, 0)
   OR r.shards_done > r.shards_total
   OR (r.status IN ('COMPLETED', 'COMPLETED_WITH_ERRORS') AND r.shards_done <> r.shards_total)
   OR (r.status = 'RUNNING') <> (r.finished_at IS NULL)

-- name: a simulation has its report when its run is complete
SELECT concat_ws(' ', run_id, r.kind, r.status,
  CASE WHEN s.report IS NULL THEN 'no report' ELSE 'report' END, 'ended', s.ended_at) AS key
FROM (
  SELECT run_id, kind, status
  FROM runs
  WHERE kind = 'SIMULATION'
) AS r
FULL JOIN simulations AS s USING (run_id)
WHERE (r.status = 'RUNNING') IS DISTINCT FROM (s.ended_at IS NULL)
   OR (r.status = 'COMPLETED') IS DISTINCT FROM (s.report IS NOT NULL)

-- name: the totals of a run = the grants it made
SELECT concat_ws(' ', run_id, 'granted', s.granted, 'grants', coalesce(g.granted, 0),
  'cost', s.cost, 'of', coalesce(g.cost, 0)) AS key
FROM (
  SELECT run_id, sum(granted) AS granted, sum(cost) AS cost
  FROM run_shards
  GROUP BY run_id
) AS s
FULL JOIN (
  SELECT d.run_id, count(*) AS granted, sum(g.cost) AS cost
  FROM grants AS g
  JOIN reward_decisions AS d ON d.player_id = g.player_id AND d.evaluation_id = g.evaluation_id
  WHERE d.run_id IS NOT NULL
  GROUP BY d.run_id
) AS g USING (run_id)
WHERE coalesce(s.granted, 0) <> coalesce(g.granted, 0)
   OR coalesce(s.cost, 0) <> coalesce(g.cost, 0)
