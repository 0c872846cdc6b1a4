//! A simulation run gives the same report as a direct simulation, however its message is delivered.

use crate::program::{TestProgram, context};
use crate::simulations::{population, rule, saved, with_everything_in_play};
use app::Context;
use app::jobs::recovery;
use app::rules::simulation::{Subject, Within, simulate};
use app::runs::rewards;
use app::runs::run_view::RunView;
use app::runs::simulation_runs::{self, Answer, Outcome};
use app::runs::{self, RunStatus, ShardMessage};
use app::{Act, rules, tiers};
use domain::id::{RuleId, RunId};
use futures_util::future::{join_all, poll_immediate};
use jiff::SignedDuration;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::pin::Pin;

impl TestProgram {
    /// Starts a run whatever the number of players.
    async fn start(&self, subject: &Subject, within: Within) -> ShardMessage {
        let answer = simulation_runs::answer(&self.db, subject, within, 0, &Act::of("staff", context()))
            .await
            .unwrap();
        let Answer::Run(started) = answer else {
            panic!("{answer:?}")
        };
        let messages: Vec<ShardMessage> = started.messages().collect();
        assert_eq!(
            messages,
            [ShardMessage {
                run_id: started.run_id,
                shard: 0
            }],
            "one message leads it"
        );
        messages[0]
    }

    async fn run(&self, run_id: RunId) -> RunView {
        runs::get(&self.db, run_id).await.unwrap().into()
    }

    async fn report(&self, run_id: RunId) -> Option<Value> {
        match simulation_runs::report(&self.db, run_id).await.unwrap() {
            Outcome::Reported(report) => Some(serde_json::from_str(report.get()).unwrap()),
            Outcome::Pending | Outcome::Failed(_) => None,
        }
    }

    /// The direct report, with the evaluation time of the other.
    async fn direct(&self, subject: &Subject, within: Within, report: &Value) -> Value {
        let mut direct =
            serde_json::to_value(simulate(&self.db, subject, within, context().now).await.unwrap()).unwrap();
        direct["evaluated_at"] = report["evaluated_at"].clone();
        direct
    }

    async fn attempts(&self, run_id: RunId) -> String {
        self.text(&format!("SELECT attempt FROM simulations WHERE run_id = '{run_id}'"))
            .await
    }

    /// Polls a delivery until the run satisfies `looks`.
    async fn until(&self, delivery: &mut Delivery<'_>, message: ShardMessage, looks: impl Fn(&RunView) -> bool) {
        for _ in 0..100_000 {
            assert!(poll_immediate(&mut *delivery).await.is_none(), "it ended before");
            if looks(&self.run(message.run_id).await) {
                return;
            }
        }
        panic!("it never looked so");
    }
}

type Delivery<'a> = Pin<Box<dyn Future<Output = app::Result<rewards::RewardTotals>> + 'a>>;

fn deliver(program: &TestProgram, message: ShardMessage, context: Context) -> Delivery<'_> {
    Box::pin(rewards::run_shard(&program.db, message, context))
}

fn status(run: &RunView) -> String {
    format!(
        "{} {} {} of {}, {} players",
        run.kind, run.status, run.shards_done, run.shards_total, run.players
    )
}

/// 9,000 players in three shards, as an import and a segmentation would have left them.
async fn three_shards() -> TestProgram {
    let program = TestProgram::new(&[rule("TRIED", 1, "total_wagered * 0.001", json!({}))]).await;
    let script = "
        INSERT INTO players (player_id, tier, created_at) SELECT 'P' || lpad(n::text, 6, '0'), 'BRONZE', now()
        FROM generate_series(1, 9000) n;
        INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn,
        session_count, playtime_hours, updated_at)
          SELECT player_id, 1000, 2000 + right(player_id, 4)::integer, 1000, 0, 5, 0, now() FROM players;
        INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn)
          SELECT player_id, '2026-11-23', total_deposited, total_wagered, total_won, 0 FROM player_totals;
        INSERT INTO player_segments (player_id, segment, since) SELECT player_id, 'LOSING', now() FROM players;
        INSERT INTO segment_history (player_id, at, to_segment) SELECT player_id, now(), 'LOSING' FROM players;
        INSERT INTO stats (counter, slot, value)
          SELECT unnest(ARRAY['players_total', 'players_active', 'tier:BRONZE', 'segment:LOSING']), 0, 9000;";
    program.database.tamper(script).await;
    program
}

#[tokio::test]
async fn a_run_reports_what_the_direct_simulation_answers_and_a_second_delivery_changes_nothing() {
    let program = with_everything_in_play().await;
    let draft = rule(
        "TRIED",
        2,
        "total_wagered * 0.03",
        json!({ "budget": { "total": 200_000, "per_day": 150_000.50 } }),
    );
    for (subject, within) in [
        (saved("TRIED"), Within::Alone),
        (Subject::Draft(draft), Within::ActiveSet),
    ] {
        let message = program.start(&subject, within).await;
        let run = program.run(message.run_id).await;
        assert_eq!(
            (status(&run).as_str(), run.report_url),
            ("SIMULATION RUNNING 0 of 2, 0 players", None)
        );
        assert_eq!(
            (run.rule_id.as_ref().map(RuleId::as_str), run.created_by.as_str()),
            (Some("TRIED"), "staff")
        );
        assert_eq!(program.report(message.run_id).await, None);

        // Through both workers, as with the queues.
        assert_eq!(program.segment(message).await, app::runs::segmentation::Next::Rewards);
        rewards::run_shard(&program.db, message, context()).await.unwrap();
        let report = program.report(message.run_id).await.unwrap();
        assert_eq!(
            report.to_string(),
            program.direct(&subject, within, &report).await.to_string()
        );
        assert!(report["amount"].to_string().parse::<Decimal>().unwrap() > Decimal::ZERO);
        let ended = program.run(message.run_id).await;
        assert_eq!(status(&ended), "SIMULATION COMPLETED 2 of 2, 5000 players");
        assert_eq!(
            ended.report_url,
            Some(format!("/api/rules/simulations/{}", message.run_id))
        );
        assert_eq!(
            (ended.rewards_issued, ended.reward_cost),
            (0, Decimal::ZERO),
            "nobody was paid"
        );

        rewards::run_shard(&program.db, message, context()).await.unwrap();
        assert_eq!(
            (program.run(message.run_id).await, program.report(message.run_id).await),
            (ended, Some(report))
        );
        assert_eq!(program.attempts(message.run_id).await, "1");
    }
    program.audit().await;
}

#[tokio::test]
async fn the_number_of_players_decides_whether_it_is_a_run() {
    let program = population(&[rule("TRIED", 1, "1", json!({}))]).await;
    let answer = async |most| {
        simulation_runs::answer(
            &program.db,
            &saved("TRIED"),
            Within::Alone,
            most,
            &Act::of("staff", context()),
        )
        .await
        .unwrap()
    };
    assert!(matches!(answer(5_000).await, Answer::Report(simulated) if simulated.report.players == 5_000));
    assert!(matches!(answer(4_999).await, Answer::Run(_)));
    let nobody = TestProgram::new(&[rule("TRIED", 1, "1", json!({}))]).await;
    let answer = simulation_runs::answer(
        &nobody.db,
        &saved("TRIED"),
        Within::Alone,
        0,
        &Act::of("staff", context()),
    )
    .await
    .unwrap();
    assert!(matches!(answer, Answer::Report(_)), "there is nothing to go through");
}

#[tokio::test]
async fn one_that_is_killed_starts_again_with_its_next_delivery() {
    let program = three_shards().await;
    let message = program.start(&saved("TRIED"), Within::Alone).await;
    let mut killed = deliver(&program, message, context());
    program.until(&mut killed, message, |run| run.shards_done > 0).await;
    assert_eq!(
        status(&program.run(message.run_id).await),
        "SIMULATION RUNNING 1 of 3, 4000 players"
    );
    drop(killed);
    program.audit().await;

    let mut again = deliver(&program, message, context());
    program.until(&mut again, message, |run| run.players == 0).await;
    assert_eq!(
        status(&program.run(message.run_id).await),
        "SIMULATION RUNNING 0 of 3, 0 players",
        "it shows that it starts again"
    );
    assert_eq!(again.await.unwrap().players, 9_000);
    assert_eq!(program.attempts(message.run_id).await, "2");
    let report = program.report(message.run_id).await.unwrap();
    assert_eq!(report, program.direct(&saved("TRIED"), Within::Alone, &report).await);
    assert_eq!(
        status(&program.run(message.run_id).await),
        "SIMULATION COMPLETED 3 of 3, 9000 players"
    );
    program.audit().await;
}

#[tokio::test]
async fn who_lost_the_run_to_a_later_delivery_stops_and_writes_nothing() {
    let program = three_shards().await;
    let message = program.start(&saved("TRIED"), Within::Alone).await;
    let mut first = deliver(&program, message, context());
    program.until(&mut first, message, |run| run.shards_done == 1).await;
    let later = context();
    assert_eq!(deliver(&program, message, later).await.unwrap().players, 9_000);
    let ended = program.run(message.run_id).await;
    assert_eq!(first.await.unwrap().players, 0);
    assert_eq!(program.run(message.run_id).await, ended);
    assert_eq!(
        program.report(message.run_id).await.unwrap()["evaluated_at"],
        json!(later.now)
    );
    program.audit().await;
}

/// After its last progress report an attempt notices only at the end that it has lost the run.
#[tokio::test]
async fn who_comes_to_the_end_of_a_run_that_was_lost_stores_no_report() {
    let program = three_shards().await;
    let message = program.start(&saved("TRIED"), Within::Alone).await;
    let (mut first, later) = (deliver(&program, message, context()), context());
    program.until(&mut first, message, |run| run.shards_done == 2).await;
    let mut second = deliver(&program, message, later);
    program.until(&mut second, message, |run| run.shards_done == 0).await;
    assert_eq!(first.await.unwrap().players, 0);
    assert_eq!(program.run(message.run_id).await.status, RunStatus::Running);
    assert_eq!(second.await.unwrap().players, 9_000);
    assert_eq!(
        program.report(message.run_id).await.unwrap()["evaluated_at"],
        json!(later.now)
    );

    let message = program.start(&saved("TRIED"), Within::Alone).await;
    let mut given_up = deliver(&program, message, context());
    program.until(&mut given_up, message, |run| run.shards_done == 2).await;
    runs::give_up(&program.db, message, "lost", context()).await.unwrap();
    assert_eq!(given_up.await.unwrap().players, 0);
    assert_eq!(failure(&program, message).await, "lost");
}

#[tokio::test]
async fn many_deliveries_of_many_runs_at_once_end_each_run_once() {
    let program = three_shards().await;
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(program.start(&saved("TRIED"), Within::Alone).await);
    }
    // More simulations than connections.
    let deliveries = messages
        .iter()
        .flat_map(|message| [*message; 3])
        .map(|message| deliver(&program, message, context()));
    let players: Vec<usize> = join_all(deliveries)
        .await
        .into_iter()
        .map(|totals| totals.unwrap().players)
        .collect();
    assert_eq!(
        players.iter().filter(|players| **players == 9_000).count(),
        3,
        "{players:?}"
    );
    for message in messages {
        assert_eq!(
            status(&program.run(message.run_id).await),
            "SIMULATION COMPLETED 3 of 3, 9000 players"
        );
        assert!(program.report(message.run_id).await.is_some());
    }
    program.audit().await;
}

#[tokio::test]
async fn one_whose_message_was_lost_is_found_and_sent_again() {
    let program = three_shards().await;
    let message = program.start(&saved("TRIED"), Within::Alone).await;
    let mut killed = deliver(&program, message, context());
    program.until(&mut killed, message, |run| run.shards_done == 1).await;
    drop(killed);
    let later = |minutes| Context {
        now: context().now + SignedDuration::from_mins(minutes),
        ..context()
    };
    assert_eq!(
        recovery::find(&program.db, later(4)).await.unwrap().to_reward,
        Vec::<String>::new(),
        "a worker may be at it"
    );
    let lost = recovery::find(&program.db, later(6)).await.unwrap();
    let messages: Vec<ShardMessage> = lost
        .to_reward
        .iter()
        .map(|body| serde_json::from_str(body).unwrap())
        .collect();
    assert_eq!(
        messages.iter().map(|message| message.shard).collect::<Vec<_>>(),
        [0],
        "the one that leads it"
    );
    for message in messages {
        rewards::run_shard(&program.db, message, later(6)).await.unwrap();
    }
    assert_eq!(
        status(&program.run(message.run_id).await),
        "SIMULATION COMPLETED 3 of 3, 9000 players"
    );
    assert_eq!(program.attempts(message.run_id).await, "2");
    program.audit().await;
}

#[tokio::test]
async fn messages_of_other_shards_change_nothing() {
    let program = three_shards().await;
    let message = program.start(&saved("TRIED"), Within::Alone).await;
    let other = ShardMessage { shard: 2, ..message };
    let before = program.run(message.run_id).await;
    assert_eq!(program.segment(other).await, app::runs::segmentation::Next::Rewards);
    rewards::run_shard(&program.db, other, context()).await.unwrap();
    runs::give_up(&program.db, other, "lost", context()).await.unwrap();
    assert_eq!(program.run(message.run_id).await, before);
    rewards::run_shard(&program.db, message, context()).await.unwrap();
    assert_eq!(program.run(message.run_id).await.status, RunStatus::Completed);
    program.audit().await;
}

/// The error of a run that must have failed.
async fn failure(program: &TestProgram, message: ShardMessage) -> String {
    let run = program.run(message.run_id).await;
    assert_eq!(
        (run.status, run.report_url, run.shards_failed),
        (RunStatus::Failed, None, 1)
    );
    let Outcome::Failed(reason) = simulation_runs::report(&program.db, message.run_id).await.unwrap() else {
        panic!("no failure")
    };
    assert_eq!(run.error.as_deref(), Some(reason.as_str()));
    // A further delivery does not start it again.
    rewards::run_shard(&program.db, message, context()).await.unwrap();
    assert_eq!(program.run(message.run_id).await.status, RunStatus::Failed);
    program.audit().await;
    reason
}

#[tokio::test]
async fn a_rule_that_no_longer_holds_fails_the_run_with_the_reason() {
    let program = population(&[rule("SAVED", 1, "1", json!({}))]).await;
    let draft = Subject::Draft(rule(
        "TRIED",
        1,
        "total_wagered * 0.01 * cashback_multiplier",
        json!({}),
    ));
    let (of_draft, of_saved) = (
        program.start(&draft, Within::Alone).await,
        program.start(&saved("SAVED"), Within::Alone).await,
    );
    for tier in tiers::list(&program.db).await.unwrap() {
        tiers::update(
            &program.db,
            &tier.tier_level,
            &json!({ "benefits": null }),
            None,
            &Act::of("staff", context()),
        )
        .await
        .unwrap();
    }
    rules::archive(
        &program.db,
        &RuleId::parse("SAVED").unwrap(),
        &Act::of("staff", context()),
    )
    .await
    .unwrap();
    for message in [of_draft, of_saved] {
        rewards::run_shard(&program.db, message, context()).await.unwrap();
    }
    let reason = failure(&program, of_draft).await;
    assert!(
        reason.starts_with("/rule/reward_config/formula ") && reason.contains("cashback_multiplier"),
        "{reason}"
    );
    let reason = failure(&program, of_saved).await;
    assert!(reason.starts_with("rule SAVED is archived"), "{reason}");
}

#[tokio::test]
async fn one_that_fails_at_its_last_delivery_or_never_comes_to_its_end_is_given_up() {
    let program = three_shards().await;
    let message = program.start(&saved("TRIED"), Within::Alone).await;
    runs::give_up(&program.db, message, "rewards: the database failed", context())
        .await
        .unwrap();
    assert_eq!(failure(&program, message).await, "rewards: the database failed");

    let message = program.start(&saved("TRIED"), Within::Alone).await;
    program
        .database
        .tamper("UPDATE simulations SET attempt = 10 WHERE ended_at IS NULL")
        .await;
    assert_eq!(
        rewards::run_shard(&program.db, message, context())
            .await
            .unwrap()
            .players,
        0
    );
    assert_eq!(failure(&program, message).await, "gave up after 10 attempts");
}
