//! A self-excluded player gets nothing on any path and loses open bonuses at once.

use crate::program::{TestProgram, context};
use app::Act;
use app::Error;
use app::players::{self, Changes, PlayerError};
use app::runs::{self, Rewards};
use app::wallet::{self, AddBonus, AddLp};
use domain::id::PlayerId;
use jiff::SignedDuration;
use serde_json::json;

const ACTOR: &str = "ann";

fn p001() -> PlayerId {
    PlayerId::parse("P001").unwrap()
}

/// A daily bonus that the player got today and would get again tomorrow.
async fn program() -> TestProgram {
    let rule = json!({ "rule_id": "DAILY", "name": "daily", "priority": 1, "is_active": true, "cadence": "DAILY",
        "conditions": { "total_wagered_min": 1 }, "reward_config": { "type": "BONUS_BALANCE", "amount": 10,
        "wagering_requirement": 1 } });
    let program = TestProgram::new(&[rule]).await;
    program
        .import(
            "p.csv",
            "player_id,total_deposited,total_wagered,total_won,sessions\nP001,100000,90000,60000,50\n",
        )
        .await;
    assert_eq!(
        program.text("SELECT string_agg(status, ',') FROM grants").await,
        "ACTIVE"
    );
    program
}

async fn exclude(program: &TestProgram, days: i64) {
    let until = context().now + SignedDuration::from_hours(24 * days);
    let changes = Changes {
        self_excluded_until: Some(Some(until)),
        ..Changes::default()
    };
    players::update(&program.db, &p001(), &changes, &Act::of(ACTOR, context()))
        .await
        .unwrap();
}

async fn add_points(program: &TestProgram) -> Result<(), Error> {
    let command = AddLp {
        player_id: p001(),
        amount: "10".parse().unwrap(),
        reason: None,
    };
    wallet::add_lp(&program.db, &command, &Act::of(ACTOR, context()))
        .await
        .map(|_| ())
}

async fn add_bonus(program: &TestProgram) -> Result<(), Error> {
    let command = AddBonus {
        player_id: p001(),
        amount: "10".parse().unwrap(),
        wagering_required: "10".parse().unwrap(),
        expiry_hours: None,
        max_bet: None,
        eligible_games: None,
        reason: None,
    };
    wallet::add_bonus(&program.db, &command, &Act::of(ACTOR, context()))
        .await
        .map(|_| ())
}

#[tokio::test]
async fn an_exclusion_forfeits_at_once_and_refuses_everything_afterwards() {
    let program = program().await;
    exclude(&program, 30).await;
    assert_eq!(
        program
            .text("SELECT string_agg(status || ' ' || status_reason, ',') FROM grants")
            .await,
        "FORFEITED self_exclusion"
    );

    // The period of another day, so that only the exclusion can stop the rule.
    program
        .database
        .tamper("UPDATE grants SET period_key = '2000-01-01'")
        .await;
    let run = runs::start_batch(&program.db, &[p001()], Rewards::Evaluate, &Act::of(ACTOR, context()))
        .await
        .unwrap();
    program.work_off(run.run_id).await;
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "1");
    let refused = "SELECT g -> 'figures' ->> 'status' FROM reward_decisions, json_array_elements(decisions) d,
          json_array_elements(d -> 'gates') g
        WHERE g ->> 'name' = 'eligibility' AND g ->> 'verdict' = 'REFUSE'";
    assert_eq!(program.text(refused).await, "SELF_EXCLUDED");

    for refused in [add_points(&program).await, add_bonus(&program).await] {
        let error = refused.unwrap_err();
        assert!(
            matches!(error, Error::Player(PlayerError::SelfExcluded { .. })),
            "{error}"
        );
    }
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "1");
    program.audit().await;
}

#[tokio::test]
async fn nothing_is_saved_up_and_rewards_come_again_after_the_exclusion() {
    let program = program().await;
    exclude(&program, 30).await;
    program
        .database
        .tamper("UPDATE grants SET period_key = '2000-01-01'")
        .await;
    program
        .database
        .tamper("UPDATE players SET self_excluded_until = '2026-11-23T11:59:59Z'")
        .await;
    let run = runs::start_batch(&program.db, &[p001()], Rewards::Evaluate, &Act::of(ACTOR, context()))
        .await
        .unwrap();
    program.work_off(run.run_id).await;
    assert_eq!(
        program
            .text("SELECT string_agg(status, ',' ORDER BY grant_id) FROM grants")
            .await,
        "FORFEITED,ACTIVE"
    );
    add_points(&program).await.unwrap();
    program.audit().await;
}
