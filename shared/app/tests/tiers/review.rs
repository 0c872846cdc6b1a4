use crate::program::{Program, at, context, tier_changed};
use app::tiers::review::{self, Reviewed};
use app::{Context, Db};
use serde_json::{Value, json};

const BERLIN: &str = "Europe/Berlin";

/// Reviews all players, three at a time, and returns the total counts.
async fn review_all(db: &Db, context: Context) -> Reviewed {
    let mut all = Reviewed::default();
    let mut after: Option<String> = None;
    loop {
        let reviewed = review::review(db, after.as_deref(), 3, context).await.unwrap();
        all.players += reviewed.players;
        all.promoted += reviewed.promoted;
        all.demoted += reviewed.demoted;
        all.due_announced += reviewed.due_announced;
        all.recovered += reviewed.recovered;
        match reviewed.last_player_id {
            Some(last) => after = Some(last.into()),
            None => return all,
        }
    }
}

/// The counts of one night: promoted, demoted, announced, recovered.
async fn night(program: &Program, now: &str) -> [usize; 4] {
    let reviewed = review_all(&program.db, at(now)).await;
    let again = review_all(&program.db, at(now)).await;
    assert_eq!(
        again,
        Reviewed {
            players: reviewed.players,
            ..Reviewed::default()
        },
        "a second review at {now}"
    );
    program.audit().await;
    [
        reviewed.promoted,
        reviewed.demoted,
        reviewed.due_announced,
        reviewed.recovered,
    ]
}

fn due(player_id: &str, (tier, to): (&str, &str), due_at: &str, (qualifying_lp, lp_missing): (&str, &str)) -> Value {
    let number = |text: &str| text.parse::<serde_json::Number>().unwrap();
    json!({
        "player_id": player_id, "tier": tier, "to": to, "due_at": due_at,
        "qualifying_lp": number(qualifying_lp), "lp_missing": number(lp_missing),
    })
}

#[tokio::test]
async fn who_no_longer_qualifies_goes_down_one_step_after_each_grace() {
    let program = Program::new().await;
    program.set(json!({ "time_zone": BERLIN })).await;
    // 10000 points, 500 of which are a day newer and count a day longer.
    program.add_lp("P001", "9500", at("2025-11-23T12:00:00Z")).await;
    program.add_lp("P001", "500", at("2025-11-24T12:00:00Z")).await;
    assert_eq!(program.tier("P001").await, "GOLD");
    assert_eq!(night(&program, "2026-11-22T02:00:00Z").await, [0, 0, 0, 0]);
    assert_eq!(night(&program, "2026-11-22T22:59:59Z").await, [0, 0, 0, 0]);

    // On 23 November in Berlin, the 9500 are 365 days old.
    assert_eq!(night(&program, "2026-11-22T23:00:00Z").await, [0, 0, 1, 0]);
    let first = due(
        "P001",
        ("GOLD", "SILVER"),
        "2026-12-22T23:00:00Z",
        ("500.00", "9500.00"),
    );
    assert_eq!(program.events("tier.downgrade_due").await, json!([first]));
    for now in ["2026-11-23T23:30:00Z", "2026-12-10T02:00:00Z", "2026-12-22T22:59:59Z"] {
        assert_eq!(night(&program, now).await, [0, 0, 0, 0]);
    }
    assert_eq!(program.tier("P001").await, "GOLD");

    // A missed night makes no difference: one step down, with a new grace period before the next.
    assert_eq!(night(&program, "2026-12-24T02:00:00Z").await, [0, 1, 1, 0]);
    assert_eq!(
        program.history("P001").await,
        "BRONZE>SILVER qualified, SILVER>GOLD qualified, GOLD>SILVER downgrade"
    );
    let second = due(
        "P001",
        ("SILVER", "BRONZE"),
        "2027-01-22T23:00:00Z",
        ("0.00", "1000.00"),
    );
    assert_eq!(program.events("tier.downgrade_due").await, json!([first, second]));
    assert_eq!(
        program.events("tier.changed").await[2],
        tier_changed("P001", ("GOLD", "SILVER"), "downgrade", "0.00")
    );
    assert_eq!(program.count("reward_triggers WHERE trigger = 'TIER_CHANGED'").await, 3);

    assert_eq!(night(&program, "2027-01-22T22:00:00Z").await, [0, 0, 0, 0]);
    assert_eq!(night(&program, "2027-01-23T02:00:00Z").await, [0, 1, 0, 0]);
    assert_eq!(program.tier("P001").await, "BRONZE");
    assert_eq!(night(&program, "2028-01-23T02:00:00Z").await, [0, 0, 0, 0]);
    assert_eq!(
        (
            program.count("tier_downgrades").await,
            program.count("tier_history").await
        ),
        (0, 4)
    );
}

#[tokio::test]
async fn who_qualifies_again_within_the_grace_keeps_the_tier() {
    let program = Program::new().await;
    let credit = program.add_lp("P001", "1000", context()).await;
    program.reverse(credit, context()).await;
    assert_eq!(night(&program, "2026-11-24T02:00:00Z").await, [0, 0, 1, 0]);
    program.add_lp("P001", "1000", at("2026-12-01T12:00:00Z")).await;
    assert_eq!(night(&program, "2026-12-24T02:00:00Z").await, [0, 0, 0, 1]);
    assert_eq!(
        (program.tier("P001").await, program.count("tier_downgrades").await),
        ("SILVER".into(), 0)
    );
    // Lapsing again starts a new grace period.
    program.set(json!({ "tier_qualification_days": 7 })).await;
    assert_eq!(night(&program, "2026-12-25T02:00:00Z").await, [0, 0, 1, 0]);
    assert_eq!(
        program.events("tier.downgrade_due").await[1]["due_at"],
        "2027-01-24T00:00:00Z"
    );
}

#[tokio::test]
async fn climbing_calls_the_step_down_off_at_once() {
    let program = Program::new().await;
    let credit = program.add_lp("P001", "1000", context()).await;
    program.reverse(credit, context()).await;
    assert_eq!(night(&program, "2026-11-24T02:00:00Z").await, [0, 0, 1, 0]);
    program.add_lp("P001", "10000", at("2026-11-24T12:00:00Z")).await;
    assert_eq!(
        (program.tier("P001").await, program.count("tier_downgrades").await),
        ("GOLD".into(), 0)
    );
    assert_eq!(night(&program, "2026-11-25T02:00:00Z").await, [0, 0, 0, 0]);
}

#[tokio::test]
async fn the_review_finds_who_qualifies_by_now() {
    let program = Program::new().await;
    program
        .require("SILVER", json!({ "kyc_completed": true, "monthly_active_days_min": 1 }))
        .await;
    program.add_lp("P001", "1000", context()).await;
    program.add_lp("P002", "900", context()).await;
    assert_eq!(night(&program, "2026-11-24T02:00:00Z").await, [0, 0, 0, 0]);
    // Neither change promotes by itself: an import brought the facts, and an operator lowered the threshold.
    let file = "UPDATE players SET kyc_completed = true;
      UPDATE player_daily SET deposited = 0;
      INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn) SELECT player_id, '2026-11-20',
      100, 0, 0, 0 FROM players";
    program.test.tamper(file).await;
    program
        .test
        .tamper("UPDATE tiers SET lp_min = 900 WHERE tier_level = 'SILVER'")
        .await;
    assert_eq!(night(&program, "2026-11-24T02:00:00Z").await, [2, 0, 0, 0]);
    assert_eq!(program.history("P002").await, "BRONZE>SILVER qualified");
    // After a month without play, SILVER's requirements no longer hold, although the points suffice.
    assert_eq!(night(&program, "2026-12-24T02:00:00Z").await, [0, 0, 2, 0]);
    assert_eq!(
        program.events("tier.downgrade_due").await[0],
        due(
            "P001",
            ("SILVER", "BRONZE"),
            "2027-01-23T00:00:00Z",
            ("1000.00", "0.00")
        )
    );
    assert_eq!(night(&program, "2027-01-23T02:00:00Z").await, [0, 2, 0, 0]);
}

#[tokio::test]
async fn without_grace_one_night_takes_one_step() {
    let program = Program::new().await;
    program.set(json!({ "tier_grace_days": 0 })).await;
    let credit = program.add_lp("P001", "50000", context()).await;
    program.reverse(credit, context()).await;
    assert_eq!(night(&program, "2026-11-24T02:00:00Z").await, [0, 1, 1, 0]);
    assert_eq!(night(&program, "2026-11-24T23:59:59Z").await, [0, 0, 0, 0]);
    assert_eq!(night(&program, "2026-11-25T02:00:00Z").await, [0, 1, 1, 0]);
    assert_eq!(night(&program, "2026-11-26T02:00:00Z").await, [0, 1, 0, 0]);
    assert_eq!(
        program.history("P001").await,
        "BRONZE>PLATINUM qualified, PLATINUM>GOLD downgrade, GOLD>SILVER downgrade, SILVER>BRONZE downgrade"
    );
}

/// 30 days across the end of summer time have 721 hours, across its start 719.
#[tokio::test]
async fn grace_is_counted_in_days_of_the_calendar_over_both_clock_changes() {
    for (found, due_at) in [
        ("2026-10-10T01:00:00Z", "2026-11-08T23:00:00Z"),
        ("2027-03-10T02:00:00Z", "2027-04-08T22:00:00Z"),
    ] {
        let program = Program::new().await;
        program.set(json!({ "time_zone": BERLIN })).await;
        let credit = program.add_lp("P001", "1000", at("2026-10-01T12:00:00Z")).await;
        program.reverse(credit, at("2026-10-01T12:00:00Z")).await;
        assert_eq!(night(&program, found).await, [0, 0, 1, 0]);
        assert_eq!(program.events("tier.downgrade_due").await[0]["due_at"], due_at);
        let due_at = at(due_at).now;
        let before = Context {
            now: due_at - jiff::SignedDuration::from_secs(1),
            ..context()
        };
        assert_eq!(review_all(&program.db, before).await.demoted, 0);
        assert_eq!(
            review_all(
                &program.db,
                Context {
                    now: due_at,
                    ..context()
                }
            )
            .await
            .demoted,
            1
        );
    }
}

/// Days leave the window at midnight in the program's time zone, also when the clocks change.
#[tokio::test]
async fn points_leave_the_period_at_midnight_on_both_clock_change_days() {
    for (earned, last, first_without) in [
        ("2026-10-18T10:00:00Z", "2026-10-24T21:59:59Z", "2026-10-24T22:00:00Z"),
        ("2026-10-19T10:00:00Z", "2026-10-25T22:59:59Z", "2026-10-25T23:00:00Z"),
        ("2027-03-21T10:00:00Z", "2027-03-27T22:59:59Z", "2027-03-27T23:00:00Z"),
        ("2027-03-22T10:00:00Z", "2027-03-28T21:59:59Z", "2027-03-28T22:00:00Z"),
    ] {
        let program = Program::new().await;
        program
            .set(json!({ "time_zone": BERLIN, "tier_qualification_days": 7 }))
            .await;
        program.add_lp("P001", "1000", at(earned)).await;
        assert_eq!(night(&program, last).await, [0, 0, 0, 0], "{last}");
        assert_eq!(night(&program, first_without).await, [0, 0, 1, 0], "{first_without}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_reviews_at_once_take_one_step() {
    let program = Program::new().await;
    program.set(json!({ "tier_grace_days": 1 })).await;
    for player_id in ["P001", "P002"] {
        let credit = program.add_lp(player_id, "10000", context()).await;
        program.reverse(credit, context()).await;
    }
    let reviews = |now: &'static str| {
        let dbs: Vec<Db> = (0..4).map(|_| program.test.db()).collect();
        async move { futures_util::future::join_all(dbs.iter().map(|db| review_all(db, at(now)))).await }
    };
    let announced: usize = reviews("2026-11-24T02:00:00Z")
        .await
        .iter()
        .map(|reviewed| reviewed.due_announced)
        .sum();
    assert_eq!(
        (
            announced,
            program.events("tier.downgrade_due").await.as_array().unwrap().len()
        ),
        (2, 2)
    );
    let demoted: usize = reviews("2026-11-25T02:00:00Z")
        .await
        .iter()
        .map(|reviewed| reviewed.demoted)
        .sum();
    assert_eq!(
        (demoted, program.history("P002").await),
        (2, "BRONZE>GOLD qualified, GOLD>SILVER downgrade".into())
    );
    program.audit().await;
}
