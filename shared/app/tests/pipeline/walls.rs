//! Figures at the wall of 15 integer digits: one player's stop nothing of another's.

use crate::program::{TestProgram, context};
use app::runs::triggers::{self, TriggerMessage};
use app::runs::{self, Rewards, RunStatus};
use app::wallet::{self, AddBonus, AddLp};
use app::{Act, Context};
use domain::id::{PlayerId, TriggerBatchId};
use domain::patch::merged;
use domain::rule::Trigger;
use serde_json::{Value, json};
use store::runs::triggers::NewTrigger;
use testing::Csv;
use uuid::Uuid;

/// The most that a wallet holds.
const MOST: &str = "999999999999999.99";

/// Pays 10 of an asset to everybody.
fn rule(reward_type: &str, more: Value) -> Value {
    let rule = json!({
        "rule_id": "TEN", "name": "Ten", "priority": 10, "is_active": true,
        "conditions": { "total_wagered_min": 1 },
        "trigger": ["RECALCULATION", "IMPORT", "SEGMENT_CHANGED"],
        "reward_config": { "type": reward_type, "amount": 10 },
    });
    merged(&rule, &more)
}

/// With P001 and P002, whose file was imported before there was a rule. P001's wallet holds the most it can.
async fn with_a_full_wallet(fill: impl AsyncFnOnce(&TestProgram), rule: Value) -> TestProgram {
    let program = TestProgram::new(&[]).await;
    program
        .import("players.csv", &file(&["P001", "P002"]).to_string())
        .await;
    fill(&program).await;
    let act = Act::of("test", context());
    app::rules::create(&program.db, &rule, &act).await.unwrap();
    program
}

fn file(players: &[&str]) -> Csv {
    let row = |file: Csv, player: &&str| file.row(&[player, "50000", "90000", "89000", "10"]);
    players.iter().fold(Csv::players(), row)
}

async fn fill_points(program: &TestProgram) {
    let command = AddLp {
        player_id: p001(),
        amount: MOST.parse().unwrap(),
        reason: None,
    };
    wallet::add_lp(&program.db, &command, &Act::of("test", context()))
        .await
        .unwrap();
}

/// Two months ago, so that it takes no room from the caps.
async fn fill_bonus(program: &TestProgram) {
    let command = AddBonus {
        player_id: p001(),
        amount: MOST.parse().unwrap(),
        wagering_required: "1".parse().unwrap(),
        expiry_hours: None,
        max_bet: None,
        eligible_games: None,
        reason: None,
    };
    let earlier = Context {
        now: "2026-09-20T12:00:00Z".parse().unwrap(),
        ..context()
    };
    wallet::add_bonus(&program.db, &command, &Act::of("test", earlier))
        .await
        .unwrap();
}

fn p001() -> PlayerId {
    PlayerId::parse("P001").unwrap()
}

/// The decisions, one per line.
async fn decisions(program: &TestProgram) -> String {
    let decisions =
        "SELECT string_agg(concat_ws(' ', player_id, d ->> 'verdict', d ->> 'amount', d ->> 'reason'), E'\n'
          ORDER BY player_id)
        FROM reward_decisions, json_array_elements(decisions) AS d";
    program.text(decisions).await
}

/// Only P002 was paid, and P001's decision says why not.
async fn only_p002_was_paid(program: &TestProgram, asset: &str) {
    let grants = "SELECT string_agg(concat_ws(' ', player_id, asset, round(amount, 2)), ', ') FROM grants
        WHERE rule_id = 'TEN'";
    assert_eq!(program.text(grants).await, format!("P002 {asset} 10.00"));
    let reason = format!("the balance of {asset} would leave the range of 15 integer digits");
    assert_eq!(
        decisions(program).await,
        format!("P001 NOT_APPLICABLE 0 amount out of range: {reason}\nP002 GRANTED 10.00")
    );
    program.audit().await;
}

async fn recalculate(program: &TestProgram) {
    let act = Act::of("test", context());
    let started = runs::start_recalculation(&program.db, Rewards::Evaluate, &act)
        .await
        .unwrap();
    program.work_off(started.run_id).await;
    let run = runs::get(&program.db, started.run_id).await.unwrap();
    let seen = (run.status, run.error, run.matched, run.granted, run.shards_total);
    assert_eq!(seen, (RunStatus::Completed, None, 2, 1, 1));
}

#[tokio::test]
async fn full_points_of_one_player_do_not_stop_the_grant_of_another_in_the_shard() {
    let program = with_a_full_wallet(fill_points, rule("LOYALTY_POINTS", json!({}))).await;
    recalculate(&program).await;
    only_p002_was_paid(&program, "LP").await;
}

#[tokio::test]
async fn a_full_bonus_wallet_of_one_player_does_not_stop_the_grant_of_another_in_the_shard() {
    let program = with_a_full_wallet(fill_bonus, rule("BONUS_BALANCE", json!({}))).await;
    recalculate(&program).await;
    only_p002_was_paid(&program, "BONUS").await;
}

/// 10 LP cost 0.10: the budget has room for one grant.
#[tokio::test]
async fn what_a_full_wallet_does_not_take_stays_in_the_budget() {
    let budget = json!({ "budget": { "total": 0.1 } });
    let program = with_a_full_wallet(fill_points, rule("LOYALTY_POINTS", budget)).await;
    recalculate(&program).await;
    only_p002_was_paid(&program, "LP").await;
}

#[tokio::test]
async fn a_full_wallet_of_one_player_does_not_stop_the_grant_of_another_in_the_batch() {
    let program = with_a_full_wallet(fill_points, rule("LOYALTY_POINTS", json!({}))).await;
    let batch_id = TriggerBatchId(Uuid::now_v7());
    let called = ["P001", "P002"].map(|player| NewTrigger {
        player_id: PlayerId::parse(player).unwrap(),
        trigger: Trigger::SegmentChanged,
        trigger_id: format!("segment:{player}"),
        occurred_at: context().now,
        amount: None,
        game: None,
        entered: None,
    });
    let mut client = program.db.client().await.unwrap();
    let tx = store::begin(&mut client).await.unwrap();
    store::runs::triggers::add(&tx, batch_id, &called, context().now)
        .await
        .unwrap();
    store::commit(tx).await.unwrap();
    let totals = triggers::run_batch(&program.db, TriggerMessage { batch_id }, context())
        .await
        .unwrap();
    assert_eq!((totals.players, totals.matched, totals.granted), (2, 2, 1));
    only_p002_was_paid(&program, "LP").await;
}

/// A file of absurd figures beside honest ones, again and again: the difference of the days passes every total.
#[tokio::test]
async fn absurd_figures_of_one_player_do_not_stop_the_import_of_another() {
    let program = TestProgram::new(&[rule("LOYALTY_POINTS", json!({ "cadence": "DAILY" }))]).await;
    let columns = [
        "player_id",
        "total_deposited",
        "total_wagered",
        "total_won",
        "registered_at",
    ];
    for (round, absurd) in [MOST, "0", MOST, "0", MOST].into_iter().enumerate() {
        let honest = (1_000 + round).to_string();
        let file = Csv::new(&columns)
            .row(&["P001", absurd, absurd, "0", "2020-01-01"])
            .row(&["P002", &honest, &honest, "0", "2020-01-01"]);
        let (import, run) = program.import(&format!("{round}.csv"), &file.to_string()).await;
        assert_eq!((import.total_rows, import.rejected_rows), (2, 0), "round {round}");
        assert_eq!(run.unwrap().status, RunStatus::Completed, "round {round}");
    }
    program.audit().await;
}

#[tokio::test]
async fn absurd_figures_in_a_shard_do_not_stop_the_rewards_of_the_honest() {
    let program = TestProgram::sample().await;
    let absurd = ["0", "0.01", MOST];
    let mut file = Csv::players().row(&["P002", "1000", "5000", "200", "10"]);
    for (number, (deposited, wagered, won)) in combinations(absurd).enumerate() {
        let sessions = if number % 2 == 0 { "0" } else { "2147483647" };
        file = file.row(&[&format!("X{number:02}"), deposited, wagered, won, sessions]);
    }
    for name in ["first.csv", "second.csv"] {
        let (import, run) = program.import(name, &file.to_string()).await;
        assert_eq!((import.total_rows, import.rejected_rows), (28, 0));
        assert_eq!(run.unwrap().status, RunStatus::Completed);
    }
    let granted = "SELECT rule_id || ' ' || round(amount, 2) FROM grants WHERE player_id = 'P002'";
    assert_eq!(program.text(granted).await, "LOSS_CASHBACK 480.00");
    program.audit().await;
}

/// Every combination of three.
fn combinations(figures: [&str; 3]) -> impl Iterator<Item = (&str, &str, &str)> {
    let pairs = move |a| figures.into_iter().flat_map(move |b| figures.map(|c| (a, b, c)));
    figures.into_iter().flat_map(pairs)
}
