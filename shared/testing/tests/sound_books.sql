-- A small program with consistent books: two players from one import, one run, and a rule with a budget.
INSERT INTO players (player_id, tier, is_active, created_at)
VALUES ('P001', 'SILVER', true, '2026-01-01'), ('P002', 'BRONZE', false, '2026-01-01');
INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn, session_count,
  playtime_hours, updated_at)
VALUES ('P001', 1000, 5000, 200, 0, 10, 20, '2026-01-01'), ('P002', 500, 500, 500, 0, 5, 10, '2026-01-01');
INSERT INTO player_daily VALUES ('P001', '2026-01-01', 1000, 5000, 200, 0), ('P002', '2026-01-01', 500, 500, 500, 0);
INSERT INTO segment_history (player_id, at, from_segment, to_segment)
VALUES ('P001', '2026-01-01', NULL, 'NEW'), ('P001', '2026-01-02', 'NEW', 'LOSING'),
  ('P002', '2026-01-01', NULL, 'NEW');
INSERT INTO player_segments VALUES ('P001', 'LOSING', '2026-01-02'), ('P002', 'NEW', '2026-01-01');
INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn, lp_earned)
VALUES ('P001', '2026-01-02', 0, 0, 0, 0, 150);
INSERT INTO tier_history
VALUES ('P001', '2026-01-02', 'BRONZE', 'GOLD', 'qualified'), ('P001', '2026-01-03', 'GOLD', 'SILVER', 'downgrade');
INSERT INTO tier_downgrades VALUES ('P001', 'SILVER', '2026-02-02', '2026-01-03');

INSERT INTO imports (import_id, run_id, bucket, object_key, object_version, status, total_rows, created_rows,
  updated_rows, unchanged_rows, rejected_rows, created_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', 'b', 'k', 'v',
  'COMPLETED_WITH_ERRORS', 3, 1, 0, 1, 1, '2026-01-02');
INSERT INTO run_players
VALUES ('00000000-0000-0000-0000-0000000000b1', 'P001', 2, true),
  ('00000000-0000-0000-0000-0000000000b1', 'P002', 3, false);
INSERT INTO import_errors VALUES ('00000000-0000-0000-0000-0000000000a1', 4, 0, 'total_won', 'x', 'not a number'),
  ('00000000-0000-0000-0000-0000000000a1', 4, 1, 'total_wagered', 'y', 'not a number');
INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, shards_done, created_at, created_by, finished_at)
VALUES ('00000000-0000-0000-0000-0000000000b1', 'IMPORT', 'LISTED', true, 'COMPLETED', 1, 1, '2026-01-02', 'test',
  '2026-01-02');
INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id, players, matched, granted, cost)
VALUES ('00000000-0000-0000-0000-0000000000b1', 0, 'P001', 'P001', 1, 1, 2, 363.61);
INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, shards_done, created_at, created_by, finished_at,
  rule_id)
VALUES ('00000000-0000-0000-0000-0000000000b2', 'SIMULATION', 'ALL', true, 'COMPLETED', 1, 1, '2026-01-02', 'test',
  '2026-01-02', 'POINTS');
INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id, players)
VALUES ('00000000-0000-0000-0000-0000000000b2', 0, 'P001', 'P002', 2);
INSERT INTO simulations VALUES ('00000000-0000-0000-0000-0000000000b2', NULL, 'ALONE', 1, '2026-01-02', '{}');

INSERT INTO rules
VALUES ('LOSS_CASHBACK', 1, '2026-01-01', '2026-01-01', NULL), ('POINTS', 1, '2026-01-01', '2026-01-01', NULL);
INSERT INTO rule_versions
VALUES ('LOSS_CASHBACK', 1, '{}', '2026-01-01', 'test'), ('POINTS', 1, '{}', '2026-01-01', 'test');
INSERT INTO rule_budgets VALUES ('LOSS_CASHBACK', NULL, 362.11), ('LOSS_CASHBACK', '2026-01-02', 362.11);
INSERT INTO reward_decisions (player_id, evaluation_id, run_id, evaluated_at, facts, decisions)
VALUES ('P001', '00000000-0000-0000-0000-0000000000e1', '00000000-0000-0000-0000-0000000000b1', '2026-01-02', '{}',
  '[{"rule_id": "LOSS_CASHBACK", "rule_version": 1, "verdict": "REDUCED", "amount": 480.00},
    {"rule_id": "OTHER", "rule_version": 3, "verdict": "REFUSED", "amount": 0},
    {"rule_id": "POINTS", "rule_version": 1, "verdict": "GRANTED", "amount": 150}]');

-- An active bonus of 480.00, 150 points of which 50 are spent, and a bonus of 25.00 that was converted.
INSERT INTO grants (player_id, grant_id, rule_id, rule_version, period_key, evaluation_id, reward_type, asset, amount,
  cost, status,
  balance, wagering_required, wagering_completed, issued_at, activated_at, closed_at, converted, transitions)
VALUES
  ('P001', '00000000-0000-0000-0000-000000000001', 'LOSS_CASHBACK', 1, 'once', '00000000-0000-0000-0000-0000000000e1',
    'BONUS_BALANCE', 'BONUS',
    480, 362.11, 'ACTIVE', 480, 4800, 100, '2026-01-02', '2026-01-02', NULL, 0, 0),
  ('P001', '00000000-0000-0000-0000-000000000002', 'POINTS', 1, 'once', '00000000-0000-0000-0000-0000000000e1',
    'LOYALTY_POINTS', 'LP',
    150, 1.50, 'COMPLETED', 0, 0, 0, '2026-01-02', NULL, '2026-01-02', 0, 0),
  ('P002', '00000000-0000-0000-0000-000000000003', NULL, NULL, NULL, NULL, 'BONUS_BALANCE', 'BONUS',
    25, 22.52, 'COMPLETED', 0, 250, 250, '2026-01-02', '2026-01-02', '2026-01-03', 25, 1);
INSERT INTO grant_history
VALUES ('P002', '00000000-0000-0000-0000-000000000003', 1, '00000000-0000-0000-0000-0000000000c5', '2026-01-03',
  'ACTIVE', 'COMPLETED', NULL, 'worker', 25);
INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
  reference, grant_id, actor, created_at)
VALUES
  ('P001', 'BONUS', 1, '00000000-0000-0000-0000-0000000000c1', 'reward_grant', 'house:issuance', 1, 480, 480,
    '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 'worker', '2026-01-02'),
  ('P001', 'LP', 1, '00000000-0000-0000-0000-0000000000c2', 'reward_grant', 'house:issuance', 1, 150, 150,
    '00000000-0000-0000-0000-000000000002', NULL, 'worker', '2026-01-02'),
  ('P001', 'LP', 2, '00000000-0000-0000-0000-0000000000c3', 'manual_debit', 'house:adjustment', -1, 50, 100, 'key-1',
    NULL, 'operator', '2026-01-03'),
  ('P002', 'BONUS', 1, '00000000-0000-0000-0000-0000000000c4', 'manual_credit', 'house:issuance', 1, 25, 25,
    '00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000003', 'operator', '2026-01-02'),
  ('P002', 'BONUS', 2, '00000000-0000-0000-0000-0000000000c5', 'bonus_conversion', 'house:cash_out', -1, 25, 0,
    '00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000003', 'worker', '2026-01-03');
INSERT INTO wallets VALUES ('P001', 'BONUS', 480, 1), ('P001', 'LP', 100, 2), ('P002', 'BONUS', 0, 2);
INSERT INTO point_lots VALUES ('P001', 'LP', 1, 150, 100, '2026-01-02', NULL);
INSERT INTO lot_movements VALUES ('P001', 'LP', 2, 1, -50);

-- Play: 100 on slots towards the active bonus, 250 towards the converted one.
INSERT INTO activity_events (player_id, event_id, type, occurred_at, recorded_at, amount, bonus_amount, game, round_id,
  outcome)
VALUES ('P001', 'e1', 'STAKE', '2026-01-03', '2026-01-03', 100, 0, 'slots', NULL, '{}'),
  ('P002', 'e2', 'STAKE', '2026-01-03', '2026-01-03', 250, 0, 'slots', NULL, '{}');
INSERT INTO grant_wagering
VALUES ('P001', 'e1', '00000000-0000-0000-0000-000000000001', 100, 0, 0),
  ('P002', 'e2', '00000000-0000-0000-0000-000000000003', 250, 0, 0);

-- Ten points credited to P002 by mistake, then reversed.
INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
  reference, grant_id, actor, created_at)
VALUES
  ('P002', 'RP', 1, '00000000-0000-0000-0000-0000000000c6', 'manual_credit', 'house:issuance', 1, 10, 10, 'key-2', NULL,
    'operator', '2026-01-04'),
  ('P002', 'RP', 2, '00000000-0000-0000-0000-0000000000c7', 'reversal', 'house:issuance', -1, 10, 0,
    '00000000-0000-0000-0000-0000000000c6', NULL, 'operator', '2026-01-04');
INSERT INTO wallets VALUES ('P002', 'RP', 0, 2);
INSERT INTO point_lots VALUES ('P002', 'RP', 1, 10, 0, '2026-01-04', NULL);
INSERT INTO lot_movements VALUES ('P002', 'RP', 2, 1, -10);
INSERT INTO reversals
VALUES ('P002', '00000000-0000-0000-0000-0000000000c6', '00000000-0000-0000-0000-0000000000c7', '2026-01-04');

-- P002 redeems 40 points for two tickets, and 30 for cash, which is then reversed.
INSERT INTO redemption_rules (rule_id, name, cost, cost_asset, target, amount, is_active, created_at, updated_at)
VALUES ('TICKETS_2', 'Two tickets', 40, 'RP', 'TICKETS', 2, true, '2026-01-01', '2026-01-01'),
  ('CASH_1', 'One in cash', 30, 'RP', 'CASH', 1, false, '2026-01-01', '2026-01-01');
INSERT INTO redemptions (player_id, redemption_id, rule_id, transaction_id, cost, cost_asset, target, amount, month,
  redeemed_at, reversed_at)
VALUES
  ('P002', '00000000-0000-0000-0000-0000000000f1', 'TICKETS_2', '00000000-0000-0000-0000-0000000000d2', 40, 'RP',
    'TICKETS', 2, '2026-01-01', '2026-01-05', NULL),
  ('P002', '00000000-0000-0000-0000-0000000000f2', 'CASH_1', '00000000-0000-0000-0000-0000000000d3', 30, 'RP', 'CASH',
    1, '2026-01-01', '2026-01-06', '2026-01-07');
INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
  reference, actor, created_at)
VALUES
  ('P002', 'RP', 3, '00000000-0000-0000-0000-0000000000d1', 'manual_credit', 'house:issuance', 1, 100, 100, 'key-3',
    'operator', '2026-01-04'),
  ('P002', 'RP', 4, '00000000-0000-0000-0000-0000000000d2', 'redemption', 'house:redemption', -1, 40, 60, 'key-4',
    'operator', '2026-01-05'),
  ('P002', 'TICKETS', 1, '00000000-0000-0000-0000-0000000000d2', 'redemption', 'house:redemption', 1, 2, 2, 'key-4',
    'operator', '2026-01-05'),
  ('P002', 'RP', 5, '00000000-0000-0000-0000-0000000000d3', 'redemption', 'house:redemption', -1, 30, 30, 'key-5',
    'operator', '2026-01-06'),
  ('P002', 'RP', 6, '00000000-0000-0000-0000-0000000000d4', 'reversal', 'house:redemption', 1, 30, 60,
    '00000000-0000-0000-0000-0000000000d3', 'operator', '2026-01-07');
INSERT INTO wallets VALUES ('P002', 'TICKETS', 2, 1);
UPDATE wallets SET balance = 60, version = 6 WHERE player_id = 'P002' AND asset = 'RP';
INSERT INTO point_lots VALUES ('P002', 'RP', 3, 100, 60, '2026-01-04', NULL);
INSERT INTO lot_movements VALUES ('P002', 'RP', 4, 3, -40), ('P002', 'RP', 5, 3, -30), ('P002', 'RP', 6, 3, 30);
INSERT INTO reversals
VALUES ('P002', '00000000-0000-0000-0000-0000000000d3', '00000000-0000-0000-0000-0000000000d4', '2026-01-07');
-- P001 has three signals: a confirmed one about a shared device, an old open one, and a dismissed one.
INSERT INTO signals (player_id, signal_id, type, severity, evidence, raised_at, last_seen_at, status, decided_at,
  decided_by, note)
VALUES
  ('P001', '00000000-0000-0000-0000-0000000000d1', 'MULTI_ACCOUNT', 8, '{}', '2026-01-02', '2026-01-02', 'CONFIRMED',
    '2026-01-03', 'ann', 'same person'),
  ('P001', '00000000-0000-0000-0000-0000000000d2', 'ABNORMAL_WIN_RATE', 9, '{}', '2025-01-02', '2025-01-02', 'OPEN',
    NULL, NULL, NULL),
  ('P001', '00000000-0000-0000-0000-0000000000d3', 'MULTI_ACCOUNT', 8, '{}', '2025-01-02', '2025-01-02', 'RESOLVED',
    '2025-01-03', 'ann', 'a couple');
UPDATE players SET risk_score = 86 WHERE player_id = 'P001';
INSERT INTO player_traces VALUES ('P001', 'DEVICE', sha256('phone'), '2026-01-02');
INSERT INTO audit_log (audit_id, at, actor, action, subject, reason)
VALUES ('00000000-0000-0000-0000-0000000000f1', '2026-01-03', 'ann', 'signal.confirm',
  'signal:00000000-0000-0000-0000-0000000000d1', 'same person'),
  ('00000000-0000-0000-0000-0000000000f2', '2025-01-03', 'ann', 'signal.resolve',
    'signal:00000000-0000-0000-0000-0000000000d3', 'a couple');
INSERT INTO outbox (player_id, event_type, payload, created_at)
VALUES ('P001', 'signal.raised',
  '{"signal_id": "00000000-0000-0000-0000-0000000000d1", "type": "MULTI_ACCOUNT", "severity": 8}', '2026-01-02');
-- Two webhooks: one has received the first of two events, the other was deleted with a pending delivery.
INSERT INTO webhooks (webhook_id, url, secret, created_at, created_by, deleted_at)
VALUES ('00000000-0000-0000-0000-00000000001a', 'https://example.com/hook', 'whsec_1', '2026-01-01', 'ann', NULL),
  ('00000000-0000-0000-0000-00000000001b', 'https://example.com/old', NULL, '2026-01-01', 'ann', '2026-01-03');
INSERT INTO webhook_deliveries (player_id, webhook_id, delivery_id, event_id, event_type, payload, occurred_at, status,
  attempts, attempted_at, status_code, duration_ms, ended_at)
VALUES
  ('P001', '00000000-0000-0000-0000-00000000001a', 11, '00000000-0000-0000-0000-0000000000e1', 'segment.changed', '{}',
    '2026-01-02', 'DELIVERED', 1, '2026-01-02', 200, 5, '2026-01-02'),
  ('P001', '00000000-0000-0000-0000-00000000001a', 12, '00000000-0000-0000-0000-0000000000e2', 'tier.changed', '{}',
    '2026-01-02', 'PENDING', 1, '2026-01-02', 500, 5, NULL),
  ('P001', '00000000-0000-0000-0000-00000000001b', 11, '00000000-0000-0000-0000-0000000000e1', 'segment.changed', '{}',
    '2026-01-02', 'PENDING', 0, NULL, NULL, NULL, NULL);
INSERT INTO webhook_streams VALUES ('P001', '00000000-0000-0000-0000-00000000001a', 12, '2026-01-03', NULL);

INSERT INTO stats
VALUES ('players_total', 0, 1), ('players_total', 7, 1), ('players_active', 0, 1), ('tier:SILVER', 0, 1),
  ('tier:BRONZE', 1, 2),
  ('tier:BRONZE', 0, -1), ('segment:NEW', 0, 1), ('segment:LOSING', 3, 1), ('rewards_issued', 0, 3),
    ('reward_cost', 0, 386.13);

-- A nightly recalculation without players.
INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, shards_done, created_at, created_by, finished_at)
VALUES ('00000000-0000-0000-0000-0000000000b3', 'RECALCULATION', 'ALL', true, 'COMPLETED', 0, 0, '2026-01-03',
  'schedule', '2026-01-03');
INSERT INTO schedule_runs (job, scheduled_for, schedule_run_id, started_by, status, available_at, run_id, created_at,
  finished_at)
VALUES ('recalculate', '2026-01-03', '00000000-0000-0000-0000-0000000000e1', 'schedule', 'COMPLETED', '2026-01-03',
  '00000000-0000-0000-0000-0000000000b3', '2026-01-03', '2026-01-03');

-- P002 spends 8 of the 10 points of a stake that is voided: a debt of 8. Three points credited later repay it first, as
-- do the 0.50 of another stake.
INSERT INTO activity_events (player_id, event_id, type, occurred_at, recorded_at, amount, bonus_amount, voids, lp_day,
  outcome)
VALUES ('P002', 'e3', 'STAKE', '2026-01-05', '2026-01-05', 100, 0, NULL, '2026-01-05', '{"lp": 10}'),
  ('P002', 'e4', 'VOID', '2026-01-06', '2026-01-06', NULL, NULL, 'e3', '2026-01-05',
    '{"lp": -10, "lp_overspent": 8}'),
  ('P002', 'e5', 'STAKE', '2026-01-07', '2026-01-07', 5.09, 0, NULL, '2026-01-07', '{"lp": 0.50}');
INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn, lp_earned, lp_staked, lp_rate, lp_play)
VALUES ('P002', '2026-01-05', 0, 0, 0, 0, 0, 0, 0.1, 0), ('P002', '2026-01-07', 0, 5.09, 0, 0, 3.50, 5.09, 0.1, 0.50);
INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
  reference, actor, created_at)
VALUES
  ('P002', 'LP', 1, '00000000-0000-0000-0000-0000000000e3', 'stake', 'house:issuance', 1, 10, 10, 'e3', 'api',
    '2026-01-05'),
  ('P002', 'LP', 2, '00000000-0000-0000-0000-0000000000d5', 'manual_debit', 'house:adjustment', -1, 8, 2, 'key-6',
    'operator', '2026-01-05'),
  ('P002', 'LP', 3, '00000000-0000-0000-0000-0000000000e4', 'debt', 'house:adjustment', 1, 8, 10, 'e4', 'api',
    '2026-01-06'),
  ('P002', 'LP', 4, '00000000-0000-0000-0000-0000000000e5', 'void', 'house:issuance', -1, 10, 0, 'e4', 'api',
    '2026-01-06'),
  ('P002', 'LP', 5, '00000000-0000-0000-0000-0000000000d6', 'manual_credit', 'house:issuance', 1, 3, 3, 'key-7',
    'operator', '2026-01-07'),
  ('P002', 'LP', 6, '00000000-0000-0000-0000-0000000000d7', 'debt_repayment', 'house:adjustment', -1, 3, 0, '5',
    'operator', '2026-01-07'),
  ('P002', 'LP', 7, '00000000-0000-0000-0000-0000000000e6', 'stake', 'house:issuance', 1, 0.50, 0.50, 'e5', 'api',
    '2026-01-07'),
  ('P002', 'LP', 8, '00000000-0000-0000-0000-0000000000e7', 'debt_repayment', 'house:adjustment', -1, 0.50, 0, '7',
    'api', '2026-01-07');
INSERT INTO wallets (player_id, asset, balance, debt, version) VALUES ('P002', 'LP', 0, 4.50, 8);
INSERT INTO point_lots (player_id, asset, version, earned, remaining, earned_at, play_day)
VALUES ('P002', 'LP', 1, 10, 0, '2026-01-05', '2026-01-05'), ('P002', 'LP', 5, 3, 0, '2026-01-07', NULL),
  ('P002', 'LP', 7, 0.50, 0, '2026-01-07', '2026-01-07');
INSERT INTO lot_movements
VALUES ('P002', 'LP', 2, 1, -8), ('P002', 'LP', 3, 1, 8), ('P002', 'LP', 4, 1, -10), ('P002', 'LP', 6, 5, -3),
  ('P002', 'LP', 8, 7, -0.50);
