//! Runs of one rule over all players: evaluation and revocation, by concurrent workers.

use crate::program::{TestProgram, chunk, context};
use app::Act;
use app::Context;
use app::activity::{self, Action, Occurrence, Stake, Traces};
use app::imports::{self, Ending};
use app::runs::rewards;
use app::runs::rule_runs;
use app::runs::{self, RunStarted, RunStatus};
use domain::id::{EventId, PlayerId, RuleId};
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use testing::Csv;

fn rule_id(text: &str) -> RuleId {
    RuleId::parse(text).unwrap()
}

/// A program whose players existed before its rules and have no grants.
pub async fn with_players(csv: &Csv, rules: &[Value]) -> TestProgram {
    let program = TestProgram::new(&[]).await;
    let csv = csv.to_string();
    let import = program.open("p.csv").await;
    let lines = u64::try_from(csv.lines().count()).unwrap();
    program.apply(&import, &chunk(&csv, 0, lines + 1)).await;
    imports::end(&program.db, import.import_id, &Ending::Read, context())
        .await
        .unwrap();
    program.work_off(import.run_id).await;
    for rule in rules {
        app::rules::create(&program.db, rule, &Act::of("test", context()))
            .await
            .unwrap();
    }
    program
}

impl TestProgram {
    pub async fn evaluate(&self, id: &str) -> RunStarted {
        rule_runs::start_evaluation(&self.db, &rule_id(id), &Act::of("test", context()))
            .await
            .unwrap()
    }

    /// Processes the shards one after the other, by player id.
    pub async fn work_off_in_order(&self, run: RunStarted) {
        for message in run.messages() {
            rewards::run_shard(&self.db, message, context()).await.unwrap();
        }
    }

    /// Processes every shard in `times` workers, all at once.
    async fn work_off_at_once(&self, run: RunStarted, times: usize) {
        let messages = run.messages().flat_map(|message| std::iter::repeat_n(message, times));
        join_all(
            messages.map(|message| async move { rewards::run_shard(&self.db, message, context()).await.unwrap() }),
        )
        .await;
    }
}

fn bonus(id: &str, terms: Value) -> Value {
    let mut reward = json!({ "type": "BONUS_BALANCE", "amount": 10, "wagering_requirement": 5 });
    reward
        .as_object_mut()
        .unwrap()
        .extend(terms.as_object().unwrap().clone());
    json!({ "rule_id": id, "name": "bonus", "priority": 1, "is_active": true,
        "conditions": { "total_wagered_min": 1 }, "reward_config": reward })
}

#[tokio::test]
async fn an_evaluation_of_ten_thousand_candidates_spends_a_budget_for_a_hundred_exactly() {
    // 500 LP cost 5.00 each.
    let rule = json!({ "rule_id": "BUDGETED", "name": "b", "priority": 1, "is_active": true,
        "conditions": { "total_wagered_min": 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 500 }, "budget": { "total": 500 } });
    let program = with_players(&Csv::players().numbered("P", 10_000), &[rule]).await;
    let run = program.evaluate("BUDGETED").await;
    assert_eq!(run.shards, 3);
    program.work_off_at_once(run, 2).await;
    assert_eq!(
        program
            .text("SELECT count(*) || ' ' || round(sum(cost), 2) FROM grants")
            .await,
        "100 500.00"
    );
    let run = runs::get(&program.db, run.run_id).await.unwrap();
    assert_eq!(
        (run.status, run.players, run.matched, run.granted, run.refused),
        (RunStatus::Completed, 10_000, 10_000, 100, 9_900)
    );
    program.audit().await;
}

#[tokio::test]
async fn a_revocation_takes_back_one_rule_and_leaves_the_others() {
    let waits = bonus("WAITS", json!({ "requires_opt_in": true }));
    let rules = [bonus("KEPT", json!({})), bonus("TAKEN", json!({})), waits];
    let program = with_players(&Csv::players().numbered("P", 40), &rules).await;
    for id in ["KEPT", "TAKEN", "WAITS"] {
        program.work_off_in_order(program.evaluate(id).await).await;
    }
    let granted = program
        .text("SELECT string_agg(DISTINCT rule_id || ' ' || status, ', ') FROM grants")
        .await;
    assert_eq!(granted, "KEPT ACTIVE, TAKEN ACTIVE, WAITS PENDING");
    for id in ["TAKEN", "WAITS"] {
        let run = rule_runs::start_revocation(&program.db, &rule_id(id), "wrong", &Act::of("admin", context()))
            .await
            .unwrap();
        program.work_off_at_once(run, 3).await;
        let run = runs::get(&program.db, run.run_id).await.unwrap();
        let grants = program
            .text(&format!("SELECT count(*) FROM grants WHERE rule_id = '{id}'"))
            .await;
        let held = program
            .text(&format!(
                "SELECT coalesce(round(sum(amount), 2), 0) FROM postings
            WHERE kind = 'bonus_cancellation' AND grant_id IN (SELECT grant_id FROM grants
            WHERE rule_id = '{id}')"
            ))
            .await;
        assert_eq!(
            (
                run.status,
                run.revoked.to_string(),
                run.taken_back.normalize().to_string()
            ),
            (RunStatus::Completed, grants, held.trim_end_matches(".00").to_owned())
        );
    }
    let left = program
        .text("SELECT string_agg(DISTINCT rule_id || ' ' || status, ', ') FROM grants")
        .await;
    assert_eq!(left, "KEPT ACTIVE, TAKEN CANCELLED, WAITS CANCELLED");
    program.audit().await;
}

#[tokio::test]
async fn what_has_expired_is_not_cancelled() {
    let program = with_players(
        &Csv::players().numbered("P", 10),
        &[bonus("SHORT", json!({ "expiry_hours": 1 }))],
    )
    .await;
    program.work_off_in_order(program.evaluate("SHORT").await).await;
    let later = Context {
        now: context().now + SignedDuration::from_hours(2),
        ..context()
    };
    let run = rule_runs::start_revocation(&program.db, &rule_id("SHORT"), "wrong", &Act::of("admin", later))
        .await
        .unwrap();
    for message in run.messages() {
        rewards::run_shard(&program.db, message, later).await.unwrap();
    }
    assert_eq!(
        program
            .text("SELECT string_agg(DISTINCT status || ' ' || coalesce(status_reason, '-'), ', ') FROM grants")
            .await,
        "EXPIRED -"
    );
    assert_eq!(runs::get(&program.db, run.run_id).await.unwrap().revoked, 0);
    program.audit().await;
}

#[tokio::test]
async fn stakes_on_grants_that_are_being_revoked_leave_the_books_right() {
    let program = with_players(&Csv::players().numbered("P", 60), &[bonus("TAKEN", json!({}))]).await;
    program.work_off_in_order(program.evaluate("TAKEN").await).await;
    let holders = program
        .text("SELECT string_agg(player_id, ' ' ORDER BY player_id) FROM grants")
        .await;
    let run = rule_runs::start_revocation(&program.db, &rule_id("TAKEN"), "wrong", &Act::of("admin", context()))
        .await
        .unwrap();
    let stake = |id: &str| {
        let player_id = PlayerId::parse(id).unwrap();
        let context = context();
        // Half of the stake is bonus money. It meets the whole requirement, so that the bonus completes if the stake
        // comes first.
        let stake = Stake {
            amount: "50".parse().unwrap(),
            game: Some("slots".into()),
            round_id: None,
            bonus_amount: "5".parse().unwrap(),
        };
        let (event_id, traces) = (EventId::parse("s1").unwrap(), Traces::default());
        let what = Occurrence {
            event_id,
            player_id,
            at: context.now,
            action: Action::Stake(stake),
            traces,
        };
        let db = program.db.clone();
        async move { activity::record_one(&db, what, &Act::of("test", context)).await.is_ok() }
    };
    let stakes = join_all(holders.split(' ').map(stake));
    let (_, accepted) = futures_util::future::join(program.work_off_at_once(run, 2), stakes).await;
    let completed = program
        .text("SELECT count(*) FROM grants WHERE status = 'COMPLETED'")
        .await;
    let accepted = accepted.into_iter().filter(|accepted| *accepted).count().to_string();
    assert_eq!(
        completed, accepted,
        "a stake of bonus money that was taken back is refused"
    );
    assert_eq!(
        program
            .text("SELECT count(*) FROM grants WHERE status NOT IN ('COMPLETED', 'CANCELLED')")
            .await,
        "0"
    );
    program.audit().await;
}
