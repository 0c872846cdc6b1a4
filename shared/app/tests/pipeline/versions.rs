//! Rules that change while they are evaluated.

use crate::program::{TestProgram, context};
use crate::rule_runs::with_players;
use app::Act;
use app::program::Program;
use app::runs::{self, Rewards};
use domain::facts::Facts;
use domain::id::{PlayerId, RuleId};
use domain::money::round_reward;
use domain::rule::Rule;
use futures_util::stream::{self, StreamExt};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testing::Csv;
use tokio::time::{MissedTickBehavior, interval};

/// Players evaluated while the rule is edited.
const PLAYERS: &str = "LOYALTY_EDITED_PLAYERS";
const PLAYERS_DEFAULT: usize = 10_000;
const BATCH_PLAYERS: usize = 50;

/// Every version reads other facts and grants another amount.
fn version(n: usize) -> Value {
    let (condition, formula) = match n % 3 {
        0 => ("net_loss_min", format!("net_loss * 0.01 + {n}")),
        1 => ("total_wagered_min", format!("total_wagered * 0.005 + {n} / 100")),
        _ => (
            "session_count_min",
            format!("session_count + {n} * 0.01 + wagered_30d / 1000"),
        ),
    };
    json!({ "rule_id": "EDITED", "name": format!("version {n}"), "priority": 1, "is_active": true,
        "conditions": { condition: 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "formula": formula, "max_amount": 5000 + n } })
}

/// Makes version `n` of the one before it, and clears its condition.
fn change(n: usize) -> Value {
    let mut patch = version(n);
    for condition in version(n - 1)["conditions"].as_object().unwrap().keys() {
        patch["conditions"][condition] = Value::Null;
    }
    patch
}

/// Makes a hundred edits a second until `done` and returns how many.
async fn edit(program: Arc<TestProgram>, done: Arc<AtomicBool>) -> usize {
    let rule_id = RuleId::parse("EDITED").unwrap();
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut edits = 0;
    while !done.load(Ordering::Relaxed) {
        ticks.tick().await;
        edits += 1;
        app::rules::update(&program.db, &rule_id, &change(edits), &Act::of("editor", context()))
            .await
            .unwrap();
    }
    edits
}

/// Runs on its own threads: otherwise the evaluation would slow the editor down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_of_a_rule_that_is_being_edited_follows_from_its_version_and_the_kept_facts() {
    let players = std::env::var(PLAYERS)
        .ok()
        .map_or(PLAYERS_DEFAULT, |text| text.parse().unwrap());
    let program = Arc::new(with_players(&Csv::players().numbered("P", players), &[version(0)]).await);
    let ids: Vec<PlayerId> = (1..=players)
        .map(|number| PlayerId::parse(format!("P{number:06}")).unwrap())
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let editor = tokio::spawn(edit(Arc::clone(&program), Arc::clone(&done)));
    stream::iter(ids.chunks(BATCH_PLAYERS))
        .for_each_concurrent(2, |batch| async {
            let run = runs::start_batch(&program.db, batch, Rewards::Evaluate, &Act::of("test", context()))
                .await
                .unwrap();
            program.work_off(run.run_id).await;
        })
        .await;
    let seconds = started.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let edits = editor.await.unwrap();
    eprintln!("{players} players in {seconds:.1} s, {edits} edits");

    let client = program.db.client().await.unwrap();
    let loaded = Program::load(&client, context().now).await.unwrap();
    let query = "SELECT version, definition FROM rule_versions WHERE rule_id = 'EDITED'";
    let rules: BTreeMap<i32, Rule> = client
        .query(query, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| {
            (
                row.get(0),
                Rule::load(&row.get::<_, Value>(1), &loaded.catalogue, &loaded.settings).unwrap(),
            )
        })
        .collect();
    let query = "SELECT g.rule_version, g.amount, d.facts::text, d.decisions::text
        FROM grants g JOIN reward_decisions d USING (player_id, evaluation_id) WHERE g.rule_id = 'EDITED'";
    let mut granted: BTreeMap<i32, usize> = BTreeMap::new();
    for row in client.query(query, &[]).await.unwrap() {
        let (version, amount): (i32, Decimal) = (row.get(0), row.get(1));
        let kept: Map<String, Value> = serde_json::from_str(row.get(2)).unwrap();
        let decisions: Vec<Value> = serde_json::from_str(row.get(3)).unwrap();
        assert_eq!((decisions.len(), &decisions[0]["rule_version"]), (1, &json!(version)));
        let facts = Facts::from_json(&kept, &loaded.catalogue);
        let rule = &rules[&version];
        assert!(rule.matches(&facts));
        let value = rule
            .reward
            .formula
            .eval(&facts)
            .unwrap()
            .min(rule.reward.max_amount.unwrap());
        assert_eq!(
            amount,
            round_reward(value, rule.reward.reward_type.asset()),
            "version {version} with {kept:?}"
        );
        *granted.entry(version).or_default() += 1;
    }
    let grants: usize = granted.values().sum();
    assert!(
        grants > players / 2 && granted.len() > 10,
        "{grants} grants of {} versions",
        granted.len()
    );
    drop(client);
    program.audit().await;
}
