//! The life cycle of bonuses that rules grant, with a clock that the test sets.

use crate::program::{TestProgram, context};
use app::activity::{Action, Occurrence, Outcome, Payout, Remark, Stake, Traces};
use app::error::Error;
use app::jobs::expiry::{self, Expired};
use app::players::PlayerError;
use app::wallet::grants::{self, GrantError};
use app::wallet::{self, GrantStatus, WalletView};
use app::{Act, Context, activity, players};
use domain::account::AccountError;
use domain::id::{EventId, GrantId, PlayerId};
use domain::settings::Settings;
use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::str::FromStr;

const ACTOR: &str = "test";

fn d<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn p001() -> PlayerId {
    PlayerId::parse("P001").unwrap()
}

/// Hours after a common start, which is later than every [`context`].
fn at(hours: i64) -> Context {
    let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    Context {
        now: noon + SignedDuration::from_hours(hours),
        ..context()
    }
}

/// A player with one bonus of 100.00 under these terms.
async fn with_bonus(terms: Value) -> (TestProgram, GrantId) {
    let program = with_rules(&[terms]).await;
    let grant_id = program.wallet().await.grants[0].grant_id;
    (program, grant_id)
}

/// One bonus of 100.00 per set of terms.
async fn with_rules(terms: &[Value]) -> TestProgram {
    let rule = |(index, terms): (usize, &Value)| {
        let mut reward = json!({ "type": "BONUS_BALANCE", "amount": 100 });
        reward
            .as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        json!({ "rule_id": format!("R{index}"), "name": "bonus", "priority": 100 - index, "is_active": true,
            "conditions": { "total_wagered_min": 1 }, "reward_config": reward })
    };
    let rules: Vec<Value> = terms.iter().enumerate().map(rule).collect();
    let program = TestProgram::new(&rules).await;
    let settings = Settings {
        max_rewards_per_evaluation: 2,
        ..Settings::default()
    };
    app::program::settings::put(&program.db, &json!(settings), &Act::of(ACTOR, context()))
        .await
        .unwrap();
    let csv = "player_id,total_deposited,total_wagered,total_won,sessions\nP001,100000,90000,60000,50\n";
    program.import("p.csv", csv).await;
    assert_eq!(
        program.text("SELECT count(*) FROM grants").await,
        terms.len().to_string()
    );
    program
}

impl TestProgram {
    async fn wallet(&self) -> WalletView {
        wallet::get(&self.db, &p001()).await.unwrap()
    }

    async fn status(&self, grant_id: GrantId) -> GrantStatus {
        grants::get(&self.db, grant_id).await.unwrap().grant.status
    }

    async fn stake(
        &self,
        id: &str,
        amount: &str,
        bonus: &str,
        round: Option<&str>,
        context: Context,
    ) -> Result<Outcome, Error> {
        let round_id = round.map(str::to_owned);
        let stake = Stake {
            amount: d(amount),
            game: Some("slots".into()),
            round_id,
            bonus_amount: d(bonus),
        };
        Ok(activity::record_one(
            &self.db,
            what(id, Action::Stake(stake), context),
            &Act::of(ACTOR, context),
        )
        .await?
        .into_inner())
    }

    async fn payout(&self, id: &str, amount: &str, round: &str, context: Context) -> Outcome {
        let payout = Payout {
            amount: d(amount),
            round_id: Some(round.into()),
        };
        activity::record_one(
            &self.db,
            what(id, Action::Payout(payout), context),
            &Act::of(ACTOR, context),
        )
        .await
        .unwrap()
        .into_inner()
    }
}

fn what(id: &str, action: Action, context: Context) -> Occurrence {
    Occurrence {
        event_id: EventId::parse(id).unwrap(),
        player_id: p001(),
        at: context.now,
        action,
        traces: Traces::default(),
    }
}

#[tokio::test]
async fn a_conversion_is_capped_and_the_excess_is_forfeited_in_its_own_posting() {
    let (program, grant_id) = with_bonus(json!({ "wagering_requirement": 2, "max_conversion": 1.5 })).await;
    program.stake("s1", "40", "40", Some("r1"), at(0)).await.unwrap();
    program.payout("p1", "160", "r1", at(1)).await;
    program.stake("s2", "160", "0", None, at(2)).await.unwrap();
    let grant = grants::get(&program.db, grant_id).await.unwrap().grant;
    assert_eq!(
        (grant.status, grant.flows.converted),
        (GrantStatus::Completed, d("150.00"))
    );
    let postings = "SELECT string_agg(house || ' ' || round(amount, 2), ', ' ORDER BY version) FROM postings
        WHERE kind = 'bonus_conversion'";
    assert_eq!(
        program.text(postings).await,
        "house:cash_out 150.00, house:forfeit 70.00"
    );
    assert_eq!(
        program
            .text("SELECT count(DISTINCT transaction_id) FROM postings WHERE kind = 'bonus_conversion'")
            .await,
        "1"
    );
    program.audit().await;
}

#[tokio::test]
async fn what_exceeds_one_requirement_flows_to_the_next_bonus() {
    let terms = json!({ "wagering_requirement": 1, "expiry_hours": 72 });
    let later = json!({ "wagering_requirement": 5 });
    let program = with_rules(&[later, terms]).await;
    let outcome = program.stake("s1", "130", "0", None, at(0)).await.unwrap();
    let shown: Vec<_> = outcome
        .grants
        .iter()
        .map(|effect| (effect.contribution, effect.status))
        .collect();
    // The bonus that expires first is wagered first.
    assert_eq!(
        shown,
        [(d("100"), GrantStatus::Completed), (d("30"), GrantStatus::Active)]
    );
    program.audit().await;
}

#[tokio::test]
async fn a_stake_above_the_max_bet_does_not_contribute_or_forfeits() {
    let (program, _) = with_bonus(json!({ "wagering_requirement": 2, "max_bet": 5 })).await;
    let outcome = program.stake("s1", "5.01", "0", None, at(0)).await.unwrap();
    assert_eq!(
        (outcome.remark, outcome.grants[0].contribution),
        (Some(Remark::AboveMaxBet), d("5"))
    );
    assert_eq!(
        program.stake("s2", "5", "0", None, at(0)).await.unwrap().grants[0].contribution,
        d("5")
    );

    let (program, grant_id) =
        with_bonus(json!({ "wagering_requirement": 2, "max_bet": 5, "max_bet_action": "FORFEIT" })).await;
    program.stake("s1", "5.01", "0", None, at(0)).await.unwrap();
    let grant = grants::get(&program.db, grant_id).await.unwrap();
    assert_eq!(
        (grant.grant.status, grant.grant.reason.as_deref()),
        (GrantStatus::Forfeited, Some("max_bet"))
    );
    assert_eq!(program.wallet().await.bonus, d("0"));
    program.audit().await;
}

#[tokio::test]
async fn a_bonus_waits_for_its_opt_in() {
    let (program, grant_id) =
        with_bonus(json!({ "wagering_requirement": 1, "requires_opt_in": true, "expiry_hours": 48 })).await;
    assert_eq!(program.wallet().await.bonus, d("0"));
    // Stakes before the opt-in do not contribute.
    assert_eq!(program.stake("s1", "60", "0", None, at(0)).await.unwrap().grants, []);
    let receipt = grants::activate(&program.db, grant_id, &Act::of(ACTOR, at(1)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((receipt.status, receipt.balance), (GrantStatus::Active, d("100.00")));
    let again = grants::activate(&program.db, grant_id, &Act::of(ACTOR, at(1)))
        .await
        .unwrap_err();
    assert!(
        matches!(again, Error::Account(AccountError::NotPending { .. })),
        "{again}"
    );
    // Nor does one from before the opt-in that arrives later.
    assert_eq!(
        program
            .stake(
                "s2",
                "60",
                "0",
                None,
                Context {
                    now: at(1).now,
                    ..at(1)
                }
            )
            .await
            .unwrap()
            .grants
            .len(),
        1
    );
    let late = Stake {
        amount: d("60"),
        game: Some("slots".into()),
        round_id: None,
        bonus_amount: d("0"),
    };
    let outcome = activity::record_one(
        &program.db,
        what("s3", Action::Stake(late), at(0)),
        &Act::of(ACTOR, at(2)),
    )
    .await
    .unwrap()
    .into_inner();
    assert_eq!(outcome.grants, []);
    assert_eq!(
        program.stake("s4", "40", "0", None, at(3)).await.unwrap().grants[0].status,
        GrantStatus::Completed
    );
    let steps: Vec<_> = grants::get(&program.db, grant_id)
        .await
        .unwrap()
        .history
        .iter()
        .map(|step| (step.from, step.to))
        .collect();
    assert_eq!(
        steps,
        [
            (GrantStatus::Pending, GrantStatus::Active),
            (GrantStatus::Active, GrantStatus::Completed)
        ]
    );
    let over = grants::forfeit(&program.db, grant_id, "late", &Act::of(ACTOR, at(4)))
        .await
        .unwrap_err();
    assert!(matches!(over, Error::Grant(GrantError::Closed { .. })), "{over}");
    program.audit().await;
}

#[tokio::test]
async fn a_withdrawal_forfeits_unless_the_terms_keep() {
    let program = with_rules(&[
        json!({ "wagering_requirement": 2 }),
        json!({ "wagering_requirement": 2, "on_withdrawal": "KEEP" }),
    ])
    .await;
    activity::record_one(
        &program.db,
        what("w1", Action::Withdrawal { amount: d("10") }, at(0)),
        &Act::of(ACTOR, at(0)),
    )
    .await
    .unwrap();
    let wallet = program.wallet().await;
    assert_eq!((wallet.bonus, wallet.grants.len()), (d("100"), 1));
    assert_eq!(wallet.grants[0].rule_id.as_deref(), Some("R1"));
    program.audit().await;
}

#[tokio::test]
async fn a_self_exclusion_forfeits_every_open_bonus_at_once() {
    let program = with_rules(&[
        json!({ "wagering_requirement": 2 }),
        json!({ "requires_opt_in": true, "on_withdrawal": "KEEP" }),
    ])
    .await;
    let until = Some(Some(at(24 * 30).now));
    let changes = players::Changes {
        self_excluded_until: until,
        ..players::Changes::default()
    };
    players::update(&program.db, &p001(), &changes, &Act::of(ACTOR, at(0)))
        .await
        .unwrap();
    assert_eq!(program.wallet().await.grants, []);
    assert_eq!(
        program
            .text("SELECT string_agg(status || ' ' || status_reason, ', ') FROM grants")
            .await,
        "FORFEITED self_exclusion, FORFEITED self_exclusion"
    );
    let add = wallet::AddLp {
        player_id: p001(),
        amount: "1".parse().unwrap(),
        reason: None,
    };
    let refused = wallet::add_lp(&program.db, &add, &Act::of(ACTOR, at(1)))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Player(PlayerError::SelfExcluded { .. })),
        "{refused}"
    );
    program.audit().await;
}

#[tokio::test]
async fn an_emptied_bonus_lives_until_its_rounds_are_settled() {
    let (program, grant_id) = with_bonus(json!({ "wagering_requirement": 10 })).await;
    program.stake("s1", "50", "50", Some("r1"), at(0)).await.unwrap();
    program.stake("s2", "50", "50", Some("r2"), at(0)).await.unwrap();
    program.payout("p1", "0", "r1", at(1)).await;
    assert_eq!(program.status(grant_id).await, GrantStatus::Active);
    program.payout("p2", "8.50", "r2", at(2)).await;
    assert_eq!(program.wallet().await.bonus, d("8.50"));
    program.stake("s3", "8.50", "8.50", Some("r3"), at(3)).await.unwrap();
    assert_eq!(program.status(grant_id).await, GrantStatus::Active);
    program.payout("p3", "0", "r3", at(4)).await;
    assert_eq!(program.status(grant_id).await, GrantStatus::Depleted);
    program.audit().await;
}

#[tokio::test]
async fn a_round_that_is_never_settled_is_lost_after_a_day() {
    let (program, grant_id) = with_bonus(json!({ "wagering_requirement": 10 })).await;
    program.stake("s1", "100", "100", Some("r1"), at(0)).await.unwrap();
    assert_eq!(
        expiry::expire_due(&program.db, 100, at(23)).await.unwrap(),
        Expired::default()
    );
    let swept = expiry::expire_due(&program.db, 100, at(24)).await.unwrap();
    assert_eq!((swept.players, swept.bonuses_depleted), (1, 1));
    assert_eq!(program.status(grant_id).await, GrantStatus::Depleted);
    // A payout after that revives the bonus, which has not expired: another grant continues it.
    let outcome = program.payout("p1", "500", "r1", at(25)).await;
    assert_eq!((outcome.real_amount, outcome.forfeited_amount), (d("0"), d("0")));
    let continued = program.wallet().await.grants.remove(0);
    assert_eq!((continued.corrects, continued.balance), (Some(grant_id), d("500")));
    assert_eq!(program.status(grant_id).await, GrantStatus::Depleted);
    program.audit().await;
}

#[tokio::test]
async fn rounds_left_open_over_the_completion_do_not_escape_the_conversion_limit() {
    let (program, _) = with_bonus(json!({ "wagering_requirement": 1, "max_conversion": 2 })).await;
    program.stake("s1", "60", "60", Some("r1"), at(0)).await.unwrap();
    program.stake("s2", "30", "30", Some("r2"), at(0)).await.unwrap();
    // Completes with 10 left: at most 200 may convert, so 190 remain.
    program.stake("s3", "10", "0", None, at(0)).await.unwrap();
    let first = program.payout("p1", "150", "r1", at(1)).await;
    assert_eq!((first.real_amount, first.forfeited_amount), (d("150"), d("0")));
    let second = program.payout("p2", "150", "r2", at(1)).await;
    assert_eq!((second.real_amount, second.forfeited_amount), (d("40"), d("110")));
    program.audit().await;
}

#[tokio::test]
async fn expiry_and_a_completing_stake_at_once_have_one_of_the_two_outcomes() {
    let mut completed = 0;
    let (program, _) = with_bonus(json!({ "wagering_requirement": 1 })).await;
    for round in 0..200 {
        let bonus = wallet::AddBonus {
            player_id: p001(),
            amount: "10".parse().unwrap(),
            wagering_required: "10".parse().unwrap(),
            expiry_hours: Some(1),
            max_bet: None,
            eligible_games: None,
            reason: None,
        };
        let issued = at(round * 2);
        let grant_id = wallet::add_bonus(&program.db, &bonus, &Act::of(ACTOR, issued))
            .await
            .unwrap()
            .into_inner()
            .grant_id
            .unwrap();
        // The last microsecond before its expiry against the first after it.
        let expiry = Context {
            now: issued.now + SignedDuration::from_hours(1),
            ..issued
        };
        let last = Context {
            now: expiry.now - SignedDuration::from_micros(1),
            ..issued
        };
        let id = format!("s{round}");
        let (stake, swept) = join(
            program.stake(&id, "10", "0", None, last),
            expiry::expire_due(&program.db, 10, expiry),
        )
        .await;
        let (stake, swept) = (stake.unwrap(), swept.unwrap());
        match program.status(grant_id).await {
            GrantStatus::Completed => {
                completed += 1;
                assert_eq!(
                    (stake.grants[0].status, swept.bonuses_expired),
                    (GrantStatus::Completed, 0)
                );
            }
            GrantStatus::Expired => {
                // The stake counted for the other bonus or for none.
                assert!(stake.grants.iter().all(|effect| effect.grant_id != grant_id));
                assert_eq!(swept.bonuses_expired, 1);
            }
            other => panic!("{other}"),
        }
    }
    assert!(completed > 0, "the stake never won: nothing was tried");
    program.audit().await;
}
