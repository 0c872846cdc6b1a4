//! The audit passes on sound books and names each broken invariant.

use std::collections::BTreeSet;
use testing::{Player, TestDb, audit};

const SOUND: &str = include_str!("sound_books.sql");

/// The invariant, SQL that breaks it (as the owner, with triggers disabled), and text that a reported key must contain.
#[rustfmt::skip] // a table: one line per part would make it four times as long
const TAMPERED: &[(&str, &str, &str)] = &[
    ("I1 wallets and house accounts sum to 0 per asset",
     "UPDATE wallets SET balance = 479.9999 WHERE asset = 'BONUS' AND player_id = 'P001'", "BONUS"),
    ("I2 wallet balance = sum of its postings",
     "UPDATE wallets SET balance = balance + 1 WHERE asset = 'LP'", "P001 LP"),
    ("I2 wallet balance = sum of its postings", "DELETE FROM wallets WHERE player_id = 'P002'", "P002 BONUS"),
    (
        "I3 no balance below 0",
        "ALTER TABLE wallets DROP CONSTRAINT wallets_balance_check;
         UPDATE wallets SET balance = -1 WHERE player_id = 'P002'",
        "wallet P002 BONUS",
    ),
    ("I3 no balance below 0",
     "ALTER TABLE grants DROP CONSTRAINT grants_balance_check;
      UPDATE grants SET balance = 'NaN' WHERE status = 'ACTIVE'",
     "NaN"),
    ("I4 versions dense, balance_after = previous + amount",
     "UPDATE postings SET amount = 49 WHERE kind = 'manual_debit'", "P001 LP 2"),
    ("I4 versions dense, balance_after = previous + amount",
     "DELETE FROM postings WHERE asset = 'LP' AND version = 1", "P001 LP 2"),
    (
        "I6 one grant per player, group and period",
        "DROP INDEX grants_once_per_group;
         UPDATE grants SET exclusive_group = 'welcome' WHERE rule_id IS NOT NULL",
        "P001 welcome once",
    ),
    (
        "I5 every posting belongs to one transaction with a kind and a reference",
        "UPDATE postings SET transaction_id = '00000000-0000-0000-0000-0000000000c4' WHERE kind = 'bonus_conversion'",
        "0000000000c4",
    ),
    (
        "I6 one business key, one effect",
        "INSERT INTO postings SELECT player_id, asset, 3, gen_random_uuid(), kind, house, direction, amount, 50,
           reference, grant_id, actor, reason, created_at
         FROM postings WHERE reference = 'key-1'",
        "P001 LP manual_debit key-1",
    ),
    (
        "I6 one grant per player, rule and period",
        "ALTER TABLE grants DROP CONSTRAINT grants_once_per_period;
         UPDATE grants SET rule_id = 'LOSS_CASHBACK' WHERE rule_id = 'POINTS'",
        "P001 LOSS_CASHBACK once",
    ),
    (
        "I5 every posting belongs to one transaction with a kind and a reference",
        "UPDATE postings SET player_id = 'P001' WHERE kind = 'reversal';
         UPDATE postings SET transaction_id = '00000000-0000-0000-0000-0000000000c6', kind = 'manual_credit',
           reference = 'key-2' WHERE kind = 'reversal'",
        "0000000000c6",
    ),
    ("I7 open lots = balance", "UPDATE point_lots SET remaining = earned", "P001 LP"),
    ("I7 every lot is a credit", "UPDATE point_lots SET version = 2 WHERE player_id = 'P001'", "P001 LP 2"),
    ("I7 lot = what was earned and moved",
     "UPDATE lot_movements SET amount = -49 WHERE player_id = 'P001'",
     "P001 LP 1 remaining 100.0000 of 150.0000 moved -49.0000"),
    ("I7 lot = what was earned and moved",
     "UPDATE lot_movements SET lot_version = 9 WHERE player_id = 'P001'", "P001 LP 9"),
    ("I7 every point posted is in a lot",
     "DELETE FROM lot_movements WHERE player_id = 'P002'", "P002 RP 2 posted -10.0000"),
    ("I8 wagering and play of a bonus = what events say",
     "UPDATE grant_wagering SET contribution = 99 WHERE player_id = 'P001'", "wagered 100.0000 events 99.0000"),
    ("I8 wagering and play of a bonus = what events say",
     "UPDATE grant_wagering SET bonus = -5 WHERE player_id = 'P001'", "played 0.0000 events -5.0000"),
    ("I8 wagering and play of a bonus = what events say",
     "UPDATE grant_wagering SET released = 5 WHERE player_id = 'P002'", "released 0.0000 events 5.0000"),
    ("I8 a bonus holds its amount and what moved since",
     "UPDATE grants SET adjusted = -1 WHERE status = 'ACTIVE'", "P001 00000000-0000-0000-0000-000000000001 balance 480"),
    ("I8 what moved through a bonus = its postings",
     "UPDATE grants SET adjusted = -1 WHERE status = 'ACTIVE'", "house:adjustment bonus -1.0000 posted 0"),
    ("I8 a chain of corrections continues ended grants",
     "UPDATE grants SET corrects = '00000000-0000-0000-0000-000000000001',
        root_id = '00000000-0000-0000-0000-000000000001', cost = 0 WHERE rule_id IS NULL",
     "000000000003 corrects 00000000-0000-0000-0000-000000000001"),
    ("what a bonus became in cash stays within its limit",
     "UPDATE grants SET terms = '{\"max_conversion\": 0.5}' WHERE rule_id IS NULL", "cash 25.0000 limit 12.50"),
    ("what the cashier was told = what bonuses became",
     "UPDATE grant_history SET cash = 24", "told 24.0000 is 25.0000"),
    ("what the cashier was told = what bonuses became",
     "INSERT INTO bonus_adjustments VALUES ('P002', '00000000-0000-0000-0000-000000000003', 'e2',
        '00000000-0000-0000-0000-000000000003', now(), -5, 20)", "told 20.0000 is 25.0000"),
    ("I8 every contribution to wagering has its event", "DELETE FROM activity_events WHERE event_id = 'e2'", "P002"),
    ("I8 what moved through a bonus = its postings",
     "UPDATE grants SET converted = 24.99 WHERE wagering_required = 250", "house:cash_out bonus -24.9900 posted -25.0000"),
    ("the status of a bonus is the last of its history", "DELETE FROM grant_history", "000000000003"),
    ("the status of a bonus is the last of its history", "UPDATE grant_history SET to_status = 'EXPIRED'",
        "COMPLETED history EXPIRED"),
    ("steps of a bonus's history follow each other", "UPDATE grant_history SET step = 2", "000000000003 2"),
    ("a reversal is the opposite of what it reverses", "DELETE FROM reversals", "0000000000c6"),
    ("a reversal is the opposite of what it reverses",
     "UPDATE postings SET amount = 9 WHERE kind = 'reversal'", "0000000000c6 RP reversed 10.0000 by -9.0000"),
    ("I8 open grants hold the BONUS wallet", "UPDATE grants SET balance = 481 WHERE status = 'ACTIVE'", "P001"),
    ("I8 grant balance = sum of its postings",
     "UPDATE postings SET grant_id = NULL WHERE asset = 'BONUS' AND player_id = 'P001'", "P001"),
    ("LP posted for stakes and voids = LP of their events",
     "UPDATE activity_events SET outcome = '{\"lp\": 10}' WHERE event_id = 'e1'", "P001 e1 posted event 10"),
    ("LP posted for stakes and voids = LP of their events",
     "UPDATE postings SET amount = 2 WHERE kind = 'void'", "P002 e4 posted -2.0000 event -10"),
    ("LP of a day of play = LP posted for its stakes and voids",
     "UPDATE player_daily SET lp_play = 0.51 WHERE day = '2026-01-07'", "P002 2026-01-07 day 0.5100 posted 0.5000"),
    ("LP of a day of play = LP posted for its stakes and voids",
     "UPDATE activity_events SET lp_day = '2026-01-06' WHERE event_id = 'e5'", "P002 2026-01-06 day posted 0.5000"),
    ("LP of a day of play = its live stakes at its rate",
     "UPDATE player_daily SET lp_rate = 0.2 WHERE day = '2026-01-07'",
     "P002 2026-01-07 staked 5.0900 events 5.0900 rate 0.2 LP 0.5000"),
    ("LP of a day of play = its live stakes at its rate",
     "DELETE FROM activity_events WHERE event_id = 'e4'", "P002 2026-01-05 staked 0.0000 events 100.0000"),
    ("LP of play are in the lot of their day",
     "UPDATE point_lots SET play_day = '2026-01-08' WHERE play_day = '2026-01-07'", "P002 e5 2026-01-07 in 2026-01-08"),
    ("LP owed = lent less repaid",
     "UPDATE wallets SET debt = 5 WHERE debt = 4.50", "P002 LP owed 5.0000 postings 4.5000"),
    ("LP owed = lent less repaid", "UPDATE wallets SET debt = 0", "P002 LP owed postings 4.5000"),
    ("who owes LP has none",
     "UPDATE wallets SET balance = 1 WHERE debt > 0", "P002 LP balance 1.0000 owed 4.5000"),
    ("I3 no balance below 0",
     "ALTER TABLE wallets DROP CONSTRAINT wallets_debt_check;
      UPDATE wallets SET debt = -1 WHERE debt > 0",
     "debt P002 LP -1.0000"),
    (
        "every trigger of an event has its event",
        "INSERT INTO reward_triggers (player_id, trigger, trigger_id, batch_id, occurred_at, created_at)
         VALUES ('P001', 'DEPOSIT', 'e1', gen_random_uuid(), now(), now())",
        "P001 DEPOSIT e1",
    ),
    (
        "I8 wagering between 0 and its requirement",
        "ALTER TABLE grants DROP CONSTRAINT grants_check;
         UPDATE grants SET wagering_completed = 4801 WHERE status = 'ACTIVE'",
        "4801.0000 of 4800.0000",
    ),
    ("I9 a terminal grant never moves",
     "UPDATE grants SET closed_at = '2026-01-02T12:00Z' WHERE wagering_required = 250", "posting 2"),
    ("I9 a terminal grant never moves", "UPDATE grants SET status = 'ACTIVE' WHERE asset = 'LP'", "ACTIVE"),
    (
        "I10 a bonus converts at most once",
        "INSERT INTO postings SELECT player_id, asset, 3, transaction_id, kind, house, direction, amount, 0,
           reference, grant_id, actor, reason, created_at
         FROM postings WHERE kind = 'bonus_conversion'",
        "000000000003",
    ),
    ("redemptions = their postings",
     "UPDATE redemptions SET cost = 41 WHERE target = 'TICKETS'", "0000000000d2 RP redeemed -41.0000 posted -40.0000"),
    ("redemptions = their postings",
     "UPDATE redemptions SET amount = 3 WHERE target = 'TICKETS'",
     "0000000000d2 TICKETS redeemed 3.0000 posted 2.0000"),
    ("redemptions = their postings",
     "UPDATE redemptions SET target = 'CASH'", "0000000000d2 TICKETS redeemed posted 2.0000"),
    ("redemptions = their postings",
     "UPDATE postings SET kind = 'manual_debit' WHERE reference = 'key-5'", "0000000000d3 RP redeemed -30.0000"),
    ("redemptions = their postings",
     "UPDATE postings SET house = 'house:adjustment' WHERE reference = 'key-5'", "0000000000d3 RP"),
    ("redemptions = their postings",
     "DELETE FROM redemptions WHERE target = 'CASH'", "0000000000d3 RP redeemed posted -30.0000"),
    ("every redemption names an entry of the catalogue",
     "DELETE FROM redemption_rules WHERE rule_id = 'CASH_1'", "0000000000f2 CASH_1"),
    ("a redemption is reversed with its transaction",
     "UPDATE redemptions SET reversed_at = NULL", "0000000000f2 reversed transaction 2026-01-07"),
    ("a redemption is reversed with its transaction",
     "UPDATE redemptions SET reversed_at = '2026-01-08' WHERE target = 'TICKETS'", "0000000000f1 reversed 2026-01-08"),
    ("every grant has its posting", "UPDATE grants SET amount = 149 WHERE asset = 'LP'", "000000000002"),
    ("every grant has its posting",
     "UPDATE postings SET reference = 'elsewhere' WHERE asset = 'LP' AND version = 1", "000000000002"),
    ("every reward posting has its grant", "DELETE FROM grants WHERE asset = 'LP'", "P001 LP 1"),
    ("every grant of a rule names a version of it", "DELETE FROM rule_versions WHERE rule_id = 'POINTS'", "POINTS 1"),
    ("grants of rules = decisions that grant", "DELETE FROM reward_decisions", "P001 LOSS_CASHBACK"),
    ("grants of rules = decisions that grant", "UPDATE grants SET rule_version = 2 WHERE asset = 'LP'", "P001 POINTS"),
    ("grants of rules = decisions that grant",
     "UPDATE grants SET evaluation_id = NULL WHERE asset = 'LP'", "P001 POINTS"),
    (
        "grants of rules = decisions that grant",
        "UPDATE reward_decisions SET decisions = replace(decisions::text, 'REFUSED', 'GRANTED')::jsonb",
        "P001 OTHER",
    ),
    ("reserved budgets are covered by grants",
     "UPDATE rule_budgets SET reserved = 362.12 WHERE day IS NULL", "LOSS_CASHBACK"),
    ("reserved budgets are covered by grants", "UPDATE rule_budgets SET reserved = 400", "LOSS_CASHBACK"),
    ("nothing belongs to an unknown player", "DELETE FROM players WHERE player_id = 'P002'", "P002"),
    ("nothing belongs to an unknown player", "UPDATE player_traces SET player_id = 'P404'", "trace P404"),
    (
        "at most one unresolved signal per player and type",
        "DROP INDEX signals_open_once;
         UPDATE signals SET status = 'OPEN', decided_at = NULL, decided_by = NULL, note = NULL
         WHERE status = 'RESOLVED'",
        "P001 MULTI_ACCOUNT",
    ),
    ("a risk score is within the weights of the player's signals",
     "UPDATE players SET risk_score = 1 WHERE player_id = 'P002'", "P002 score 1 between 0 and 0"),
    ("a risk score is within the weights of the player's signals",
     "UPDATE players SET risk_score = 79 WHERE player_id = 'P001'", "P001 score 79 between 80 and 100"),
    ("a risk score is within the weights of the player's signals", "DELETE FROM signals WHERE status = 'OPEN'",
        "P001 score 86 between 80 and 80"),
    ("every decision about a signal is in the audit log",
     "DELETE FROM audit_log WHERE action = 'signal.resolve'", "0000000000d3 RESOLVED"),
    ("every decision about a signal is in the audit log", "UPDATE audit_log SET actor = 'bob'",
        "0000000000d1 CONFIRMED"),
    ("every announced signal is there", "UPDATE signals SET severity = 1 WHERE status = 'CONFIRMED'", "0000000000d1"),
    ("every delivery has its webhook", "DELETE FROM webhooks WHERE deleted_at IS NOT NULL", "00000000001b 11"),
    ("every pending delivery is in the stream of its player", "DELETE FROM webhook_streams",
        "00000000001a from pending 12"),
    ("every pending delivery is in the stream of its player", "UPDATE webhook_streams SET head = 13",
        "00000000001a from 13 pending 12"),
    ("every pending delivery is in the stream of its player",
     "UPDATE webhook_deliveries SET status = 'PARKED', ended_at = attempted_at WHERE delivery_id = 12", "from 12"),
    ("every pending delivery is in the stream of its player",
     "UPDATE webhooks SET deleted_at = NULL, secret = 'whsec_2'", "00000000001b from pending 11"),
    ("the current segment is the last of its history",
     "UPDATE player_segments SET segment = 'VIP' WHERE player_id = 'P001'", "P001 segment VIP"),
    ("segment changes follow each other",
     "UPDATE segment_history SET from_segment = 'VIP' WHERE from_segment = 'NEW'", "P001"),
    ("the current tier is the last of its history",
     "UPDATE players SET tier = 'GOLD' WHERE player_id = 'P001'", "P001 tier GOLD"),
    ("tier changes follow each other",
     "UPDATE tier_history SET from_tier = 'PLATINUM' WHERE reason = 'downgrade'", "P001 2026-01-03"),
    ("tier changes follow each other",
     "UPDATE tier_history SET from_tier = to_tier WHERE reason = 'qualified'", "P001 2026-01-02"),
    ("every tier of a player is on the ladder", "DELETE FROM tiers WHERE tier_level = 'SILVER'", "P001 SILVER"),
    ("LP of the days = LP issued",
     "UPDATE player_daily SET lp_earned = 100 WHERE lp_earned = 150", "P001 days 100.0000 issued 150.0000"),
    ("LP of the days = LP issued",
     "UPDATE player_daily SET lp_earned = 1 WHERE player_id = 'P002'", "P002 days 3.0000 issued 3.5000"),
    ("an announced downgrade leaves the player's current tier",
     "UPDATE tier_downgrades SET tier = 'GOLD'", "P001 GOLD is in SILVER"),
    ("the dashboard's counters = the tables",
     "UPDATE stats SET value = 2 WHERE counter = 'players_active'", "players_active counted 2 is 1"),
    ("the dashboard's counters = the tables",
     "UPDATE grants SET cost = 0 WHERE asset = 'LP'", "reward_cost counted 386.13 is 384.63"),
    ("the counts of an import = its rows", "DELETE FROM import_errors", "0000000000a1"),
    ("the counts of an import = its rows", "DELETE FROM run_players WHERE player_id = 'P002'", "0000000000a1"),
    (
        "a run whose player list was deleted has ended",
        "UPDATE runs SET players_kept = 'SOME', status = 'RUNNING', finished_at = NULL",
        "0000000000b1 RUNNING SOME",
    ),
    ("a run whose player list was deleted has ended",
     "UPDATE runs SET players_kept = 'NONE'", "0000000000b1 COMPLETED NONE"),
    (
        "a scheduled recalculation made its run",
        "UPDATE schedule_runs SET run_id = '00000000-0000-0000-0000-0000000000b9'",
        "0000000000e1 COMPLETED 00000000-0000-0000-0000-0000000000b9",
    ),
    ("a run counts its shards", "UPDATE runs SET shards_done = 0", "0000000000b1"),
    ("a simulation has its report when its run is complete",
     "UPDATE simulations SET report = NULL", "0000000000b2 SIMULATION COMPLETED no report"),
    ("a simulation has its report when its run is complete",
     "DELETE FROM simulations", "0000000000b2 SIMULATION COMPLETED"),
    (
        "a simulation has its report when its run is complete",
        "UPDATE runs SET status = 'RUNNING', finished_at = NULL WHERE kind = 'SIMULATION'",
        "0000000000b2 SIMULATION RUNNING report",
    ),
    ("the totals of a run = the grants it made", "UPDATE run_shards SET granted = 3", "granted 3 grants 2"),
];

async fn sound() -> TestDb {
    let test = TestDb::new().await;
    test.tamper(SOUND).await;
    test
}

#[tokio::test]
async fn sound_books_pass() {
    audit(&sound().await.db()).await;
}

#[tokio::test]
async fn an_empty_program_and_built_players_pass() {
    let test = TestDb::new().await;
    audit(&test.db()).await;
    Player::new("P002")
        .deposited("1000")
        .wagered("5000")
        .won("200")
        .sessions(10)
        .segment("LOSING")
        .insert(&test.db())
        .await;
    Player::new("P004").tier("GOLD").insert(&test.db()).await;
    audit(&test.db()).await;
}

#[tokio::test]
async fn what_was_tampered_with_is_named() {
    let test = sound().await;
    let owner = test.owner();
    let mut client = owner.client().await.unwrap();
    for (name, script, key) in TAMPERED {
        let tx = store::begin(&mut client).await.unwrap();
        for table in ["postings", "rule_versions"] {
            tx.batch_execute(&format!("ALTER TABLE {table} DISABLE TRIGGER USER"))
                .await
                .unwrap();
        }
        tx.batch_execute(script).await.unwrap();
        let invariants = store::jobs::audit::check(&tx).await.unwrap();
        tx.rollback().await.unwrap();
        let invariant = invariants
            .iter()
            .find(|invariant| invariant.name == *name)
            .unwrap_or_else(|| panic!("no invariant is called {name}"));
        assert!(!invariant.holds(), "{name} did not see: {script}");
        assert!(
            invariant.examples.iter().any(|example| example.contains(key)),
            "{name}: {:?}",
            invariant.examples
        );
    }
    audit(&test.db()).await;
}

#[test]
fn every_invariant_is_tried() {
    let tried: BTreeSet<&str> = TAMPERED.iter().map(|(name, ..)| *name).collect();
    let audited: BTreeSet<&str> = store::jobs::audit::statements().map(|(name, _)| name).collect();
    assert_eq!(tried, audited);
}
