use crate::program::{Program, at, context};
use app::tiers::{TierStanding, standing};
use domain::id::PlayerId;
use serde_json::json;

async fn stand(program: &Program, now: &str) -> TierStanding {
    standing(&program.db, &PlayerId::parse("P001").unwrap(), at(now).now)
        .await
        .unwrap()
}

async fn falls_below_on(program: &Program, now: &str) -> String {
    stand(program, now)
        .await
        .falls_below_on
        .map_or_else(|| "never".to_owned(), |day| day.to_string())
}

#[tokio::test]
async fn the_day_on_which_the_points_no_longer_reach_the_tier_is_known_before() {
    let program = Program::new().await;
    assert_eq!(falls_below_on(&program, "2026-11-23T12:00:00Z").await, "never");
    program.set(json!({ "tier_qualification_days": 30 })).await;
    for (now, amount) in [
        ("2026-11-01T12:00:00Z", "300"),
        ("2026-11-05T12:00:00Z", "500"),
        ("2026-11-10T12:00:00Z", "600"),
    ] {
        program.add_lp("P001", amount, at(now)).await;
    }
    // 1400 of 1000: the 300 may go, on 1 December; without the 500 there are 600, from 5 December on.
    let now = "2026-11-23T12:00:00Z";
    let silver = stand(&program, now).await;
    assert_eq!(
        (
            silver.tier.tier_level.as_str(),
            silver.rank.0,
            silver.qualifying_lp.to_string().as_str()
        ),
        ("SILVER", 1, "1400.0000")
    );
    assert_eq!(
        (silver.qualification_days, silver.qualifying_since.unwrap().to_string()),
        (Some(30), "2026-10-25".into())
    );
    let next = silver.next.unwrap();
    assert_eq!(
        (
            next.tier.tier_level.as_str(),
            next.rank.0,
            next.lp_missing.to_string().as_str()
        ),
        ("GOLD", 2, "8600.0000")
    );
    assert_eq!(falls_below_on(&program, now).await, "2026-12-05");
    let lapsed = |now: &'static str| async {
        app::tiers::review::review(&program.db, None, 10, at(now))
            .await
            .unwrap()
            .due_announced
    };
    assert_eq!(
        (
            lapsed("2026-12-04T23:59:59Z").await,
            lapsed("2026-12-05T00:00:00Z").await
        ),
        (0, 1)
    );
    // Already below the tier.
    let late = stand(&program, "2026-12-06T12:00:00Z").await;
    assert_eq!(late.falls_below_on.unwrap().to_string(), "2026-12-06");
    let due = late.due.unwrap();
    assert_eq!(
        (
            due.to.as_str(),
            due.due_at.to_string().as_str(),
            due.lp_missing.to_string().as_str()
        ),
        ("BRONZE", "2027-01-04T00:00:00Z", "400.0000")
    );
    assert_eq!(
        late.history.iter().map(|past| past.to.as_str()).collect::<Vec<_>>(),
        ["SILVER"]
    );
    // Without a period no day leaves the window.
    program.set(json!({ "tier_qualification_days": null })).await;
    assert_eq!(falls_below_on(&program, "2026-12-06T12:00:00Z").await, "never");
    program.audit().await;
}

#[tokio::test]
async fn points_taken_back_later_bring_the_day_forward() {
    let program = Program::new().await;
    program.set(json!({ "tier_qualification_days": 30 })).await;
    program.add_lp("P001", "400", at("2026-11-01T12:00:00Z")).await;
    let mistake = program.add_lp("P001", "500", at("2026-11-02T12:00:00Z")).await;
    program.add_lp("P001", "1000", at("2026-11-03T12:00:00Z")).await;
    assert_eq!(falls_below_on(&program, "2026-11-04T12:00:00Z").await, "2026-12-03");
    // 400, 500, 1000 and -500: without the 400 and the 500 there are 500.
    program.reverse(mistake, at("2026-11-04T12:00:00Z")).await;
    assert_eq!(falls_below_on(&program, "2026-11-04T12:00:00Z").await, "2026-12-02");
}

#[tokio::test]
async fn what_stands_before_the_next_tier_is_explained() {
    let program = Program::new().await;
    program
        .require("SILVER", json!({ "kyc_completed": true, "profile_depth_min": 0 }))
        .await;
    program.add_lp("P001", "1000", context()).await;
    let next = stand(&program, "2026-11-23T14:00:00Z").await.next.unwrap();
    assert!(next.lp_missing.is_zero());
    let unmet: Vec<_> = next
        .unmet
        .iter()
        .map(|unmet| (unmet.pointer.as_str(), &unmet.expected, &unmet.actual))
        .collect();
    assert_eq!(unmet, [("/requirements/kyc_completed", &json!(true), &json!(false))]);
    program.add_lp("P001", "49000", context()).await;
    let highest = stand(&program, "2026-11-23T14:00:00Z").await;
    assert_eq!((highest.tier.tier_level.as_str(), highest.next), ("PLATINUM", None));
}
