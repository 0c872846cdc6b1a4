//! How long a simulation takes. `simulate.sh` says how to start it.

use std::time::Instant;

use app::rules::simulation::{Subject, Within, simulate};
use app::runs::simulation_runs::{self, Answer};
use app::{Act, Db};
use bench::Result;
use clap::Parser;
use serde_json::{Value, json};

/// Makes players, and puts rules in front of all of them
#[derive(Debug, Parser)]
struct Arguments {
    /// PostgreSQL URL of a database that is empty, or was made by an earlier call
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database: String,
    #[arg(long, default_value_t = 1_000_000)]
    players: i32,
    /// Of each simulation
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// Two days of play each, and a bonus of yesterday for one in four.
const PLAYERS: &str = "
CREATE TEMPORARY TABLE numbered AS
SELECT number, 'P' || lpad(number::text, 9, '0') AS player_id, (500 + number::bigint * 7919 % 60000)::numeric AS wagered
FROM generate_series(1, $PLAYERS) AS number;
INSERT INTO players (player_id, tier, created_at, registered_at)
SELECT player_id, 'BRONZE', now(), now() - interval '90 days' FROM numbered;
INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn, session_count,
  playtime_hours, updated_at)
SELECT player_id, 1000, wagered, round(wagered * (80 + number % 40) / 100, 2), 0, number % 120, 10, now() FROM numbered;
INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn)
SELECT player_id, (now() AT TIME ZONE 'UTC')::date - day, 500, round(wagered / 2, 2),
  round(wagered * (80 + number % 40) / 200, 2), 0
FROM numbered CROSS JOIN generate_series(0, 1) AS day;
INSERT INTO player_segments (player_id, segment, since)
SELECT player_id, CASE
    WHEN wagered < 1000 THEN 'NEW'
    WHEN number % 40 > 25 THEN 'WINNING'
    WHEN number % 40 < 15 THEN 'LOSING'
    ELSE 'BREAKEVEN'
  END, now()
FROM numbered;
INSERT INTO wallets (player_id, asset, balance, version)
SELECT player_id, 'LP', 100, 1 FROM numbered;
INSERT INTO grants (player_id, grant_id, rule_id, rule_version, period_key, reward_type, asset, amount, cost, status,
  balance, issued_at)
SELECT player_id, gen_random_uuid(), 'EARLIER', 1, 'ONCE', 'BONUS_BALANCE', 'BONUS', 10, 8, 'ACTIVE', 10,
  now() - interval '1 day'
FROM numbered WHERE number % 4 = 0;
DROP TABLE numbered;";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let db = Db::new(&arguments.database, None)?;
    app::migrate::run(&db).await?;
    let client = db.client().await?;
    // A database that was made by an earlier call is used again.
    if client
        .query_one("SELECT EXISTS (SELECT FROM players)", &[])
        .await?
        .get(0)
    {
        drop(client);
    } else {
        client
            .batch_execute(&PLAYERS.replace("$PLAYERS", &arguments.players.to_string()))
            .await?;
        client.batch_execute("VACUUM ANALYZE").await?;
        drop(client);
        for rule in serde_json::from_str::<Vec<Value>>(include_str!("../../../../events/sample/rules.json"))? {
            app::rules::create(&db, &rule, &Act::of("bench", lambda::context())).await?;
        }
    }
    println!("{} players", arguments.players);
    for (name, rule, within) in [
        (
            "a third match",
            rule(json!({ "segment": "LOSING" }), json!({})),
            Within::Alone,
        ),
        (
            "nobody matches",
            rule(json!({ "segment": "VIP" }), json!({})),
            Within::Alone,
        ),
        (
            "everybody matches, a budget for half",
            rule(
                json!({ "total_wagered_min": 1 }),
                json!({ "total": i64::from(arguments.players) * 100 }),
            ),
            Within::Alone,
        ),
        (
            "balances and windows are read",
            rule(json!({ "lp_balance_min": 1, "net_loss_30d_min": 100 }), json!({})),
            Within::Alone,
        ),
        (
            "within the 15 of the sample",
            rule(json!({ "segment": "LOSING" }), json!({})),
            Within::ActiveSet,
        ),
    ] {
        time(&db, name, &Subject::Draft(rule), within, arguments.rounds).await?;
    }
    let subject = Subject::Draft(rule(json!({ "segment": "LOSING" }), json!({})));
    let mut seconds = Vec::new();
    for _ in 0..arguments.rounds.max(1) {
        seconds.push(as_run(&db, &subject).await?);
    }
    println!(
        "{:40} {:6.2} s",
        "a third match, as a run with progress",
        median(seconds)
    );
    Ok(())
}

/// Seconds from the message to the stored report.
async fn as_run(db: &Db, subject: &Subject) -> Result<f64> {
    let answer = simulation_runs::answer(db, subject, Within::Alone, 0, &Act::of("bench", lambda::context())).await?;
    let Answer::Run(run) = answer else {
        return Err("there are no players".into());
    };
    let started = Instant::now();
    for message in run.messages() {
        app::runs::rewards::run_shard(db, message, lambda::context()).await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

fn rule(conditions: Value, budget: Value) -> Value {
    let mut rule = json!({ "rule_id": "TRIED", "name": "Cashback", "priority": 19, "conditions": conditions,
        "reward_config": {
            "type": "BONUS_BALANCE", "formula": "net_loss * 0.10", "min_amount": 1, "max_amount": 500,
            "wagering_requirement": 10,
        } });
    if budget != json!({}) {
        rule["budget"] = budget;
    }
    rule
}

/// Prints the median.
async fn time(db: &Db, name: &str, subject: &Subject, within: Within, rounds: u32) -> Result<()> {
    let mut seconds = Vec::new();
    let mut figures = None;
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        figures = Some(
            simulate(db, subject, within, lambda::context().now)
                .await?
                .report
                .figures,
        );
        seconds.push(started.elapsed().as_secs_f64());
    }
    let (median, figures) = (median(seconds), figures.ok_or("nothing was simulated")?);
    println!(
        "{name:40} {median:6.2} s   matched {}, granted {}, refused {}",
        figures.matched, figures.granted, figures.refused
    );
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or_default()
}
