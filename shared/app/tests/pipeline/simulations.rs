//! An evaluation does what the simulation showed.

use crate::program::{TestProgram, context};
use crate::rule_runs::with_players;
use app::Act;
use app::Error;
use app::rules::RuleError;
use app::rules::simulation::{Outcome, Report, Simulated, Subject, Within, simulate, simulate_with};
use domain::facts::FactSource;
use domain::gate::GateKind;
use domain::id::{PlayerId, RuleId};
use domain::money::Money;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use store::rules::population::{Population, Reading};
use testing::Csv;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub fn saved(id: &str) -> Subject {
    Subject::Saved(RuleId::parse(id).unwrap())
}

impl TestProgram {
    async fn simulate(&self, subject: &Subject, within: Within) -> Simulated {
        simulate(&self.db, subject, within, context().now).await.unwrap()
    }

    /// Row counts of all tables.
    async fn rows(&self) -> String {
        let query = "SELECT string_agg(relname || ' ' || (xpath('/row/n/text()',
            query_to_xml('SELECT count(*) AS n FROM ' || relname, false, true, '')))[1], ', ' ORDER BY relname)
             FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
        self.text(query).await
    }
}

pub fn rule(id: &str, priority: i32, formula: &str, more: Value) -> Value {
    let mut rule = json!({ "rule_id": id, "name": "r", "priority": priority, "is_active": true,
        "conditions": { "total_wagered_min": 1 },
        "reward_config": { "type": "BONUS_BALANCE", "formula": formula, "wagering_requirement": 10 } });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

/// 5,000 players in two shards; some are suspicious, blocked or near the daily cap.
pub async fn population(rules: &[Value]) -> TestProgram {
    let program = with_players(&Csv::players().numbered("P", 5_000), rules).await;
    let script = "INSERT INTO signals (player_id, signal_id, type, severity, evidence, raised_at, last_seen_at, status)
          SELECT player_id, gen_random_uuid(), type, severity, '{}', '2026-11-23T12:00Z', '2026-11-23T12:00Z', 'OPEN'
          FROM players
          JOIN (VALUES ('1', 'BONUS_ONLY_PLAY', 5), ('2', 'IMMEDIATE_WITHDRAWAL', 7), ('3', 'MANUAL_REVIEW', 10)) AS
          s (ends, type, severity)
            ON right(player_id, 1) = s.ends;
        UPDATE players p SET risk_score = 10 * s.severity FROM signals s WHERE s.player_id = p.player_id;
        INSERT INTO outbox (player_id, event_type, payload, created_at)
          SELECT player_id, 'signal.raised', json_build_object('signal_id', signal_id, 'type', type, 'severity',
          severity), raised_at FROM signals;
        UPDATE players SET is_blocked = true WHERE right(player_id, 2) = '44';
        UPDATE players SET self_excluded_until = '2030-01-01' WHERE right(player_id, 2) = '45';";
    program.database.tamper(script).await;
    program
}

/// Count, amount and cost of what a rule granted.
async fn granted(program: &TestProgram, id: &str) -> String {
    let query = format!(
        "SELECT count(*) || ' ' || coalesce(round(sum(amount), 2), 0) || ' ' || coalesce(round(sum(cost), 2), 0)
          FROM grants WHERE rule_id = '{id}'"
    );
    program.text(&query).await
}

fn seen(report: &Report) -> String {
    let figures = &report.figures;
    format!(
        "{} {} {}",
        figures.granted,
        figures.amount,
        figures.cost.value().round_dp(2)
    )
}

/// A first rule has used part of the caps; the budget of the second ends among the players.
pub async fn with_everything_in_play() -> TestProgram {
    let earlier = json!({ "reward_config": { "type": "CASHBACK", "amount": 990, "wagering_requirement": 1 },
        "conditions": { "segment": "WINNING" } });
    let budget = json!({ "budget": { "total": 200000, "per_day": 150000 } });
    let program = population(&[
        rule("EARLIER", 1, "1", earlier),
        rule("TRIED", 2, "total_wagered * 0.02", budget),
    ])
    .await;
    // The profit gate passes everything, so that some grants reach the cap.
    let loyal = json!({ "BONUS_BALANCE": 100, "CASHBACK": 100 });
    let open = json!({ "profit": { "retention_multiplier": { "NEW": loyal, "WINNING": loyal, "BREAKEVEN": loyal,
        "LOSING": loyal, "VIP": loyal } } });
    app::program::settings::put(&program.db, &open, &Act::of("test", context()))
        .await
        .unwrap();
    program.work_off_in_order(program.evaluate("EARLIER").await).await;
    program
}

#[tokio::test]
async fn a_simulation_names_the_players_and_amounts_of_the_evaluation_that_follows() {
    let program = with_everything_in_play().await;
    let before = program.rows().await;
    let mut recipients = Vec::new();
    let tell = |player: &PlayerId, _: Outcome, amount: Decimal| {
        if !amount.is_zero() {
            recipients.push(format!("{player} {amount}"));
        }
    };
    let simulated = simulate_with(&program.db, &saved("TRIED"), Within::Alone, context().now, tell)
        .await
        .unwrap();
    assert_eq!(program.rows().await, before, "nothing is written");
    let report = &simulated.report;
    let stopped: Vec<(GateKind, bool, bool)> = report
        .gates
        .iter()
        .map(|gate| (gate.name, gate.refused.count > 0, gate.reduced.count > 0))
        .collect();
    let expected = [
        (GateKind::Eligibility, true, false),
        (GateKind::Fraud, true, true),
        (GateKind::Profit, false, false),
        (GateKind::Caps, false, true),
        (GateKind::Budget, true, false),
    ];
    assert_eq!(stopped, expected, "everything is in play");
    assert!(report.budget.as_ref().unwrap().is_reached);

    let run = program.evaluate("TRIED").await;
    program.work_off_in_order(run).await;
    let granted_to = "SELECT string_agg(player_id || ' ' || round(amount, 2), ', ' ORDER BY player_id) FROM grants
        WHERE rule_id = 'TRIED'";
    assert_eq!(recipients.join(", "), program.text(granted_to).await);
    assert_eq!(seen(report), granted(&program, "TRIED").await);
    // Figures of the run, of the gates and of each segment.
    let run = app::runs::get(&program.db, run.run_id).await.unwrap();
    let figures = &report.figures;
    let counts = [
        figures.matched - figures.already_granted,
        figures.granted,
        figures.reduced,
        figures.refused,
    ]
    .map(|count| i64::try_from(count).unwrap());
    assert_eq!(counts, [run.matched, run.granted, run.reduced, run.refused]);
    let by_segment = "SELECT string_agg(segment || ' ' || n || ' ' || amount, ', ' ORDER BY segment)
        FROM (SELECT segment, count(*) AS n, round(sum(amount), 2) AS amount FROM grants
        JOIN player_segments USING (player_id) WHERE rule_id = 'TRIED' GROUP BY 1) s";
    let groups = report.by_segment.iter().filter(|group| group.figures.granted > 0);
    let groups: Vec<String> = groups
        .map(|g| {
            format!(
                "{} {} {}",
                g.name.as_deref().unwrap(),
                g.figures.granted,
                g.figures.amount
            )
        })
        .collect();
    assert_eq!(groups.join(", "), program.text(by_segment).await);
    let refused = |gate: GateKind| {
        format!(
            "SELECT count(*) FROM reward_decisions, json_array_elements(decisions) d,
              json_array_elements(d -> 'gates') g
            WHERE d ->> 'rule_id' = 'TRIED' AND g ->> 'name' = '{gate}' AND g ->> 'verdict' = 'REFUSE'"
        )
    };
    for gate in &report.gates {
        assert_eq!(
            gate.refused.count.to_string(),
            program.text(&refused(gate.name)).await,
            "{}",
            gate.name
        );
    }
    // Each sampled player got the amount in the sample.
    assert_eq!(report.samples.len(), 10);
    for sample in &report.samples {
        let amount = sample
            .decision
            .as_ref()
            .map(|decision| decision.amount)
            .filter(|amount| !amount.is_zero());
        let query = format!(
            "SELECT max(amount) FROM grants WHERE rule_id = 'TRIED' AND player_id = '{}'",
            sample.player_id
        );
        let got = program.text(&query).await;
        assert_eq!(amount, got.parse::<Decimal>().ok(), "{}", sample.player_id);
    }
    let distribution = report.amounts.as_ref().unwrap();
    let query = "SELECT round(min(amount), 2) || ' ' || round(percentile_disc(0.5) WITHIN GROUP (ORDER BY amount),
        2) || ' ' || round(percentile_disc(0.99) WITHIN GROUP (ORDER BY amount), 2) || ' ' || round(max(amount),
        2) || ' ' || round(avg(amount), 2)
        FROM grants WHERE rule_id = 'TRIED'";
    let shown = [
        distribution.min,
        distribution.median,
        distribution.p99,
        distribution.max,
        distribution.mean,
    ]
    .map(|amount| amount.to_string());
    assert_eq!(shown.join(" "), program.text(query).await);

    let after = program.simulate(&saved("TRIED"), Within::Alone).await.report;
    assert_eq!(
        (after.figures.granted, after.figures.already_granted),
        (0, figures.granted),
        "who has it does not get it again"
    );
    assert_eq!(
        after.budget.unwrap().total_room,
        Some(Money::of(d("200000")) - figures.cost)
    );
    program.audit().await;
}

#[tokio::test]
async fn within_the_active_set_a_rule_shares_the_players_as_in_a_recalculation() {
    let program = population(&[
        rule("HIGH", 9, "300", json!({ "conditions": { "segment": "LOSING" } })),
        rule(
            "MIDDLE",
            5,
            "net_loss * 0.03",
            json!({ "conditions": { "net_loss_min": 10 }, "budget": { "total": 3000 } }),
        ),
        rule("LOW", 1, "1", json!({})),
        rule("DEPOSITED", 8, "1", json!({ "trigger": ["DEPOSIT"] })),
    ])
    .await;
    let simulated = program.simulate(&saved("MIDDLE"), Within::ActiveSet).await.report;
    let run = app::runs::start_recalculation(&program.db, app::runs::Rewards::Evaluate, &Act::of("test", context()))
        .await
        .unwrap();
    for message in run.messages() {
        program.segment(message).await;
        app::runs::rewards::run_shard(&program.db, message, context())
            .await
            .unwrap();
    }
    assert_eq!(seen(&simulated), granted(&program, "MIDDLE").await);
    let figures = &simulated.figures;
    assert!(
        figures.granted > 0 && figures.displaced > 0 && figures.refused > 0,
        "{figures:?}"
    );
    let sum = figures.already_granted + figures.displaced + figures.not_applicable + figures.refused + figures.granted;
    assert_eq!(figures.matched, sum);
    let all = app::runs::get(&program.db, run.run_id).await.unwrap();
    assert_eq!(
        (
            i64::try_from(simulated.all_rules.granted).unwrap(),
            simulated.all_rules.cost.value()
        ),
        (all.granted, all.cost)
    );
}

#[tokio::test]
async fn a_draft_is_compared_with_the_version_in_force() {
    let program = population(&[rule("TRIED", 2, "10", json!({ "is_active": false }))]).await;
    let draft = Subject::Draft(rule(
        "TRIED",
        2,
        "10 + 2",
        json!({ "is_active": false, "conditions": { "segment": "LOSING" } }),
    ));
    let simulated = program.simulate(&draft, Within::Alone).await;
    assert_eq!((simulated.rule_version, simulated.is_live), (2, false));
    let current = program.simulate(&saved("TRIED"), Within::Alone).await;
    assert_eq!((current.rule_version, &current.report.difference), (1, &None));
    let (new, old) = (&simulated.report.figures, &current.report.figures);
    let difference = simulated.report.difference.as_ref().unwrap();
    assert_eq!((difference.version, &difference.current), (1, old));
    assert_eq!(difference.granted, i128::from(new.granted) - i128::from(old.granted));
    assert_eq!(
        (difference.amount.value, difference.cost),
        (new.amount.value - old.amount.value, new.cost - old.cost)
    );
    assert!(difference.granted < 0 && new.granted > 0);
    // A new rule has nothing to be compared with.
    let fresh = program
        .simulate(&Subject::Draft(rule("FRESH", 2, "10", json!({}))), Within::Alone)
        .await;
    assert_eq!(
        (fresh.rule_version, fresh.is_live, fresh.report.difference),
        (1, true, None)
    );
    assert_eq!(
        program
            .text("SELECT count(*) || ' ' || max(current_version) FROM rules")
            .await,
        "1 1"
    );
}

#[tokio::test]
async fn what_cannot_be_simulated_is_refused_with_its_place() {
    let program = TestProgram::new(&[rule("EVENTS", 1, "1", json!({ "cadence": "PER_EVENT" }))]).await;
    let wrong = Subject::Draft(rule("TRIED", 1, "1", json!({ "conditions": { "net_los": 1 } })));
    for (subject, expected) in [
        (wrong, "/rule/conditions/net_los unknown"),
        (saved("EVENTS"), "/rule_id needs_event"),
    ] {
        let Err(Error::Validation(errors)) = simulate(&program.db, &subject, Within::Alone, context().now).await else {
            panic!("{subject:?}")
        };
        assert_eq!(format!("{} {}", errors[0].pointer, errors[0].code), expected);
    }
    assert!(matches!(
        simulate(&program.db, &saved("NONE"), Within::Alone, context().now).await,
        Err(Error::NotFound { .. })
    ));
    app::rules::archive(
        &program.db,
        &RuleId::parse("EVENTS").unwrap(),
        &Act::of("test", context()),
    )
    .await
    .unwrap();
    assert!(matches!(
        simulate(&program.db, &saved("EVENTS"), Within::Alone, context().now).await,
        Err(Error::Rule(RuleError::Archived { .. }))
    ));
}

#[tokio::test]
async fn an_empty_population_and_a_crowd_of_simulations_are_answered() {
    let program = TestProgram::new(&[rule("TRIED", 1, "1", json!({}))]).await;
    let report = program.simulate(&saved("TRIED"), Within::Alone).await.report;
    assert_eq!(
        (report.players, report.figures.matched, report.amounts, report.roi),
        (0, 0, None, None)
    );
    // More simulations than connections: each uses those that are free.
    let program = population(&[rule("TRIED", 1, "1", json!({}))]).await;
    let subject = saved("TRIED");
    let reports = futures_util::future::join_all((0..6).map(|_| program.simulate(&subject, Within::Alone))).await;
    assert!(
        reports
            .iter()
            .all(|simulated| simulated.report == reports[0].report && simulated.report.players == 5_000)
    );
}

#[tokio::test]
async fn the_population_is_read_as_the_workers_read_players() {
    let program = with_everything_in_play().await;
    let script = "INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn)
        SELECT player_id, '2026-11-23'::date - (row_number() OVER () % 40)::integer - 1, 10, 20, 5, 1 FROM players";
    program.database.tamper(script).await;
    // Two deposits count, the third was voided.
    let script =
        "INSERT INTO activity_events (player_id, event_id, type, occurred_at, recorded_at, amount, voids, outcome)
        SELECT player_id, event_id, type, now(), now(), amount, voids, '{}'
        FROM players, (VALUES ('d1', 'DEPOSIT', 10, NULL), ('d2', 'DEPOSIT', 10, NULL), ('d3', 'DEPOSIT', 10, NULL),
          ('v3', 'VOID', NULL, 'd3')) AS events (event_id, type, amount, voids)
        WHERE player_id LIKE '%7'";
    program.database.tamper(script).await;
    let now = context().now;
    let client = program.db.client().await.unwrap();
    let loaded = app::program::Program::load(&client, now).await.unwrap();
    let ids = program
        .text("SELECT string_agg(player_id, ' ' ORDER BY player_id) FROM players")
        .await;
    let ids: Vec<&str> = ids.split(' ').collect();
    let expected = app::program::snapshot::load_all(&client, &ids, &loaded).await.unwrap();
    drop(client);
    let reading = |sources: &[FactSource]| Reading {
        sources: sources.iter().copied().collect(),
        moment: loaded.moment.clone(),
        period_keys: vec!["ONCE".into()],
        rule_ids: vec!["EARLIER".into(), "TRIED".into()],
        exclusive_groups: Vec::new(),
    };
    for sources in [&FactSource::ALL[..], &[FactSource::Totals]] {
        let mut population = Population::open(&program.db, reading(sources)).await.unwrap();
        let mut read = Vec::new();
        while let Some(players) = population.next().await.unwrap() {
            read.extend(players);
        }
        assert_eq!(read.len(), expected.len());
        for (mut read, expected) in read.into_iter().zip(&expected) {
            if !sources.contains(&FactSource::Windows) {
                assert_eq!(read.windows.wagered_30d, expected.windows.wagered_30d);
                assert_eq!((&read.losses, read.deposit_count), (&None, None));
                (read.windows, read.balances) = (expected.windows.clone(), expected.balances.clone());
                (read.losses, read.deposit_count) = (expected.losses.clone(), expected.deposit_count);
            }
            assert_eq!(read, *expected);
        }
    }
    assert!(expected.iter().any(|player| !player.past_grants.is_empty()
        && !player.spend.day.is_zero()
        && !player.balances.bonus.is_zero()));
    let losses = expected.iter().filter_map(|player| player.losses.as_ref());
    assert!(
        losses.clone().any(|losses| !losses.last_week.is_zero())
            && losses.clone().any(|losses| !losses.last_month.is_zero())
    );
    assert!(expected.iter().any(|player| player.deposit_count == Some(2)));
}
