use crate::program::{TestProgram, chunk, context, sample_rules};
use app::Act;
use app::imports::{self, Applied, Ending};
use app::runs::rewards;
use app::runs::segmentation::Next;
use app::runs::{self, Rewards, RunStatus};
use app::wallet::{AddLp, add_lp};
use domain::id::PlayerId;
use domain::idempotency::IdempotencyKey;
use domain::page::Page;
use futures_util::future::join_all;
use serde_json::{Value, json};
use testing::Csv;

/// `asset amount requirement` of each grant of a player.
async fn grants(program: &TestProgram, player_id: &str) -> String {
    let query = format!(
        "SELECT coalesce(string_agg(rule_id || ' ' || asset || ' ' || round(amount, 2) || ' ' ||
          round(wagering_required, 2), '; '), 'none')
         FROM grants WHERE player_id = '{player_id}'"
    );
    program.text(&query).await
}

#[tokio::test]
async fn the_sample_is_segmented_and_rewarded_as_the_domain_says() {
    let program = TestProgram::sample().await;
    let (import, run) = program.import("players.csv", &Csv::sample().to_string()).await;
    let run = run.unwrap();
    assert_eq!(
        (import.total_rows, import.created_rows, run.status, run.players),
        (10, 10, RunStatus::Completed, 10)
    );
    let segments = program
        .text("SELECT string_agg(player_id || ' ' || segment, ', ' ORDER BY player_id) FROM player_segments")
        .await;
    assert_eq!(
        segments,
        "P001 WINNING, P002 LOSING, P003 LOSING, P004 NEW, P005 WINNING, P006 LOSING, P007 WINNING, P008 NEW, \
          P009 LOSING, P010 BREAKEVEN"
    );
    assert_eq!(grants(&program, "P002").await, "LOSS_CASHBACK BONUS 480.00 4800.00");
    assert_eq!(grants(&program, "P004").await, "WELCOME_BONUS BONUS 25.00 250.00");
    assert_eq!(grants(&program, "P010").await, "BREAKEVEN_POINTS LP 150.00 0.00");
    assert_eq!(
        program
            .text("SELECT balance FROM wallets WHERE player_id = 'P002' AND asset = 'BONUS'")
            .await,
        "480.0000"
    );
    assert_eq!(
        program
            .text("SELECT count(*) FROM outbox WHERE event_type = 'reward.granted'")
            .await,
        run.granted.to_string()
    );
    program.audit().await;
}

#[tokio::test]
async fn refused_rules_are_kept_with_their_figures() {
    let program = TestProgram::sample().await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    let page = Page {
        after: None,
        skip: 0,
        limit: 10,
    };
    let evaluations = app::players::decisions(&program.db, &PlayerId::parse("P002").unwrap(), &page)
        .await
        .unwrap();
    assert_eq!(evaluations.len(), 1);
    assert_eq!(evaluations[0].facts["net_loss"].to_string(), "4800");
    let decisions = &evaluations[0].decisions;
    let figures = |index: usize| {
        let decision = &decisions[index];
        let gates = decision["gates"].as_array().unwrap();
        let profit = gates.iter().find(|gate| gate["name"] == "profit").unwrap();
        let number = |value: &Value| {
            value
                .to_string()
                .parse::<rust_decimal::Decimal>()
                .unwrap()
                .round_dp(2)
                .to_string()
        };
        [
            decision["rule_id"].as_str().unwrap().to_owned(),
            decision["verdict"].as_str().unwrap().to_owned(),
            number(&decision["reward_amount"]),
            number(&profit["figures"]["cost"]),
            number(&profit["figures"]["revenue"]),
        ]
    };
    assert_eq!(
        figures(0),
        ["BIG_LOSS_CASHBACK", "REFUSED", "960.00", "753.12", "375.00"]
    );
    assert_eq!(figures(1), ["STEADY_LOSER", "REFUSED", "770.00", "580.89", "450.00"]);
    assert_eq!(figures(2), ["LOSS_CASHBACK", "GRANTED", "480.00", "362.11", "450.00"]);
}

#[tokio::test]
async fn the_same_file_under_another_name_creates_and_rewards_nothing() {
    let program = TestProgram::sample().await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    let before = program
        .text("SELECT count(*) || ' ' || sum(amount) FROM postings")
        .await;
    let (import, run) = program.import("again.csv", &Csv::sample().to_string()).await;
    assert_eq!((import.total_rows, import.unchanged_rows), (10, 10));
    assert_eq!(run.unwrap().status, RunStatus::Completed);
    assert_eq!(
        program
            .text("SELECT count(*) || ' ' || sum(amount) FROM postings")
            .await,
        before
    );
}

#[tokio::test]
async fn a_changed_row_is_one_update_and_its_segment_is_classified_anew() {
    let program = TestProgram::sample().await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    // P010 wins: 4500 staked, 6000 won.
    let changed = Csv::sample()
        .to_string()
        .replace("P010,1500,4500,4500,", "P010,1500,4500,6000,");
    let (import, run) = program.import("later.csv", &changed).await;
    assert_eq!((import.updated_rows, import.unchanged_rows), (1, 9));
    let run = run.unwrap();
    assert_eq!((run.players, run.segments_changed), (1, 1));
    let history = "SELECT string_agg(coalesce(from_segment, '-') || '>' || to_segment, ' '
        ORDER BY from_segment NULLS FIRST) FROM segment_history WHERE player_id = 'P010'";
    assert_eq!(program.text(history).await, "->BREAKEVEN BREAKEVEN>WINNING");
    assert_eq!(
        program
            .text("SELECT payload ->> 'to' FROM outbox WHERE event_type = 'segment.changed'")
            .await,
        "WINNING"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_shard_delivered_many_times_at_once_has_the_effect_of_one_delivery() {
    let program = TestProgram::sample().await;
    let import = program.open("players.csv").await;
    assert_eq!(
        program.apply(&import, &chunk(&Csv::sample().to_string(), 0, 12)).await,
        Applied::Advanced
    );
    imports::end(&program.db, import.import_id, &Ending::Read, context())
        .await
        .unwrap();
    let message = runs::open_messages(&program.db, import.run_id).await.unwrap()[0];
    let next = join_all((0..4).map(|_| program.segment(message))).await;
    assert!(
        next.iter().all(|next| *next == Next::Rewards),
        "a lost reward message is sent again"
    );
    let granted: usize = join_all((0..4).map(|_| rewards::run_shard(&program.db, message, context())))
        .await
        .into_iter()
        .map(|totals| totals.unwrap().granted)
        .sum();
    let run = runs::get(&program.db, import.run_id).await.unwrap();
    assert_eq!((run.shards_done, run.status), (1, RunStatus::Completed));
    assert_eq!(i64::try_from(granted).unwrap(), run.granted);
    assert_eq!(program.segment(message).await, Next::Nothing);
    assert_eq!(program.text("SELECT count(*) FROM segment_history").await, "10");
    program.audit().await;
}

#[tokio::test]
async fn rewards_wait_for_the_segments() {
    let program = TestProgram::sample().await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    let run = runs::start_recalculation(&program.db, Rewards::Evaluate, &Act::of("test", context()))
        .await
        .unwrap();
    let message = run.messages().next().unwrap();
    let error = rewards::run_shard(&program.db, message, context()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("shard 0 of run {} has no segments yet", run.run_id)
    );
}

#[tokio::test]
async fn evaluations_of_one_player_at_once_never_exceed_the_cap() {
    // 64 rules, each granting 10,000 LP at a cost of 100.00; the cap is 1000 a day.
    let rule = |n: usize| {
        json!({ "rule_id": format!("R{n:02}"), "name": "r", "priority": 1, "is_active": true,
            "conditions": { "total_wagered_min": 1 },
                "reward_config": { "type": "LOYALTY_POINTS", "amount": 10000 } })
    };
    let program = TestProgram::new(&(0..64).map(rule).collect::<Vec<_>>()).await;
    let import = program.open("p.csv").await;
    let csv = "player_id,total_deposited,total_wagered,total_won\nA,1000,90000,60000\n";
    program.apply(&import, &chunk(csv, 0, 3)).await;
    // Nobody has been evaluated yet, so all rewards come from the 64 batches.
    let player = [PlayerId::parse("A").unwrap()];
    let mut messages = Vec::new();
    for _ in 0..64 {
        let run = runs::start_batch(&program.db, &player, Rewards::Evaluate, &Act::of("test", context()))
            .await
            .unwrap();
        let message = run.messages().next().unwrap();
        program.segment(message).await;
        messages.push(message);
    }
    // One worker per batch, each with its own connections.
    let workers: Vec<_> = (0..16).map(|_| program.database.db()).collect();
    let evaluations = messages
        .iter()
        .zip(workers.iter().cycle())
        .map(|(message, db)| rewards::run_shard(db, *message, context()));
    let granted: Vec<usize> = join_all(evaluations)
        .await
        .into_iter()
        .map(|totals| totals.unwrap().granted)
        .collect();
    assert_eq!((granted.len(), granted.iter().sum::<usize>()), (64, 10));
    assert_eq!(
        program
            .text("SELECT count(*) || ' grants, cost ' || round(sum(cost), 2) FROM grants")
            .await,
        "10 grants, cost 1000.00"
    );
    let capped = "SELECT count(DISTINCT evaluation_id)
                  FROM reward_decisions, json_array_elements(decisions) d, json_array_elements(d -> 'gates') g
                  WHERE g ->> 'name' = 'caps' AND g ->> 'verdict' = 'REFUSE'";
    assert_eq!(program.text(capped).await, "54");
    program.audit().await;
}

#[tokio::test]
async fn what_cannot_be_computed_is_kept_with_the_reason() {
    let rule = |rule_id: &str, priority: i32, conditions: Value, formula: &str| {
        json!({ "rule_id": rule_id, "name": "r", "priority": priority, "is_active": true, "conditions": conditions,
                "reward_config": { "type": "LOYALTY_POINTS", "formula": formula } })
    };
    let program = TestProgram::new(&[
        rule("NULL", 6, json!({}), "avg_bet_size * 2"),
        rule("ZERO", 5, json!({}), "100 / net_loss"),
        rule("OVERFLOW", 4, json!({}), "total_wagered ^ 8"),
        rule("NEGATIVE", 3, json!({}), "0 - total_wagered"),
        rule("WHEN", 2, json!({ "when": "100 / net_loss > 1" }), "10"),
        rule("LAST", 1, json!({}), "10"),
    ])
    .await;
    program
        .import(
            "p.csv",
            "player_id,total_deposited,total_wagered,total_won\nA,1000,90000,90000\n",
        )
        .await;
    let kept =
        "SELECT string_agg((d ->> 'rule_id') || ' ' || (d ->> 'verdict') || coalesce(': ' || (d ->> 'reason'), ''),
          '; ' ORDER BY nr)
                FROM reward_decisions, json_array_elements(decisions) WITH ORDINALITY AS t (d, nr)";
    let expected = [
        "NULL NOT_APPLICABLE: avg_bet_size is not known for this player",
        "ZERO NOT_APPLICABLE: division by zero",
        "OVERFLOW NOT_APPLICABLE: the value is too large",
        "NEGATIVE NOT_APPLICABLE: the amount is not above 0",
        "WHEN NOT_APPLICABLE: division by zero",
        "LAST GRANTED",
    ];
    assert_eq!(program.text(kept).await, expected.join("; "));
}

#[tokio::test]
async fn a_batch_names_the_players_it_does_not_know() {
    let program = TestProgram::new(&sample_rules()).await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    let ids = ["P001", "X1", "P002", "X2"].map(|id| PlayerId::parse(id).unwrap());
    let error = runs::start_batch(&program.db, &ids, Rewards::Evaluate, &Act::of("test", context()))
        .await
        .unwrap_err();
    let app::Error::Validation(errors) = error else {
        panic!("{error}")
    };
    assert_eq!(
        errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(),
        ["/player_ids/1", "/player_ids/3"]
    );
    assert_eq!(
        program.text("SELECT count(*) FROM runs WHERE kind = 'BATCH'").await,
        "0"
    );
}

#[tokio::test]
async fn a_shard_that_is_given_up_ends_its_run_with_errors() {
    let program = TestProgram::sample().await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    let run = runs::start_recalculation(&program.db, Rewards::Evaluate, &Act::of("test", context()))
        .await
        .unwrap();
    let message = run.messages().next().unwrap();
    for _ in 0..2 {
        runs::give_up(&program.db, message, "rewards: the database failed", context())
            .await
            .unwrap();
    }
    let run = runs::get(&program.db, run.run_id).await.unwrap();
    assert_eq!(
        (run.status, run.shards_done, run.shards_failed),
        (RunStatus::CompletedWithErrors, 1, 1)
    );
    assert_eq!(run.error.as_deref(), Some("rewards: the database failed"));
    assert_eq!(program.segment(message).await, Next::Nothing);
}

/// A grant of points is known by the reference of its posting, which no caller's key may take.
#[tokio::test]
async fn a_key_may_equal_the_id_of_a_grant_of_points() {
    let program = TestProgram::sample().await;
    program.import("players.csv", &Csv::sample().to_string()).await;
    let grant = "SELECT grant_id FROM grants WHERE player_id = 'P010' AND asset = 'LP'";
    let key = IdempotencyKey {
        scope: "POST /api/wallet/add-lp".into(),
        key: program.text(grant).await,
        request_hash: [1; 32],
    };
    let act = Act {
        key: Some(key),
        ..Act::of("test", context())
    };
    let command = AddLp {
        player_id: "P010".parse().unwrap(),
        amount: "5".parse().unwrap(),
        reason: None,
    };
    add_lp(&program.db, &command, &act).await.unwrap();
    program.audit().await;
}
