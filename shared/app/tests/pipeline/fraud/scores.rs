//! Risk scores: what rewards make of them, how they fade, and what people decide about signals.

use super::*;

#[tokio::test]
async fn what_an_import_shows_counts_for_the_rewards_of_the_same_shard() {
    let rule = json!({ "rule_id": "POINTS", "name": "points", "priority": 1, "is_active": true,
        "conditions": { "total_wagered_min": 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 100 } });
    let program = TestProgram::new(&[rule]).await;
    // 90 for an improbable win: refused. Without an earlier bonus or deposit there is no other signal.
    program
        .import(
            "p.csv",
            &format!("{HEADER}LUCKY,100,1000,2000.01,\nPOOR,0,1000,900,\nHONEST,100,1000,2000,\n"),
        )
        .await;
    assert_eq!(program.signals("LUCKY").await, "ABNORMAL_WIN_RATE 90");
    assert_eq!(
        [program.signals("POOR").await, program.signals("HONEST").await],
        ["0", "0"]
    );
    assert_eq!(
        program
            .text("SELECT string_agg(player_id, ',' ORDER BY player_id) FROM grants")
            .await,
        "HONEST,POOR"
    );
    let gate = "SELECT g -> 'figures' FROM reward_decisions, json_array_elements(decisions) d,
        json_array_elements(d -> 'gates') g
        WHERE player_id = 'LUCKY' AND g ->> 'name' = 'fraud'";
    let figures: Value = serde_json::from_str(&program.text(gate).await).unwrap();
    assert_eq!(figures, json!({ "risk_score": 90, "penalty": "REFUSAL" }));
    program.audit().await;
}

#[tokio::test]
async fn a_bonus_without_a_deposit_halves_the_next_reward() {
    let rule = |id: &str, wagered: i64| {
        json!({ "rule_id": id, "name": id, "priority": wagered, "is_active": true,
            "conditions": { "total_wagered_min": wagered },
            "reward_config": { "type": "LOYALTY_POINTS", "amount": 100 } })
    };
    let program = TestProgram::new(&[rule("FIRST", 1), rule("SECOND", 2000)]).await;
    program.import("p.csv", &format!("{HEADER}POOR,0,1000,900,\n")).await;
    program.give_bonus(&id("POOR"), at(0)).await;
    program.import("q.csv", &format!("{HEADER}POOR,0,2000,1800,\n")).await;
    assert_eq!(program.signals("POOR").await, "BONUS_ONLY_PLAY 50");
    assert_eq!(
        program
            .text("SELECT round(amount, 2) FROM grants WHERE rule_id = 'SECOND'")
            .await,
        "50.00"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_score_fades_from_scan_to_scan() {
    let program = ring(2, &device("phone-1")).await;
    for (day, expected) in [(1, "80"), (91, "40"), (181, "20")] {
        program.scan(&[id("P001")], at_day(day)).await;
        assert_eq!(
            program
                .text("SELECT risk_score FROM players WHERE player_id = 'P001'")
                .await,
            expected,
            "day {day}"
        );
    }
    assert_eq!(
        program.text("SELECT last_seen_at = raised_at FROM signals").await,
        "true"
    );
    let profile = risk::profile(&program.db, &id("P001"), at_day(271).now).await.unwrap();
    assert_eq!((profile.risk_score, profile.current_score), (20, 10));
    // A third account is new evidence and restarts the decay.
    program
        .database
        .tamper("INSERT INTO player_traces SELECT 'P003', kind, fingerprint, now() FROM player_traces LIMIT 1")
        .await;
    testing::Player::new("P003").insert(&program.database.owner()).await;
    assert_eq!(
        program.scan(&[id("P001")], at_day(271)).await,
        ScanTotals {
            players: 1,
            raised: 0,
            renewed: 1,
            scores_changed: 1
        }
    );
    assert_eq!(program.signals("P001").await, "MULTI_ACCOUNT 80");
    program.audit().await;
}

#[tokio::test]
async fn scans_at_once_raise_one_signal() {
    let program = ring(3, &device("phone-1")).await;
    // Opens connections and prepares statements, so that the scans meet only at the lock.
    join_all((0..8).map(|_| async { risk::scan(&program.db, &[], at(2)).await.unwrap() })).await;
    let scans = join_all((0..8).map(|_| async { risk::scan(&program.db, &ids(3), at(2)).await.unwrap().raised })).await;
    assert_eq!(scans.iter().sum::<usize>(), 3);
    assert_eq!(program.text("SELECT count(*) FROM signals").await, "3");
    program.audit().await;
}

#[tokio::test]
async fn a_resolved_signal_is_raised_again_by_new_evidence_only() {
    let program = ring(2, &device("phone-1")).await;
    program.scan(&[id("P001")], at(2)).await;
    let signal = program.only_signal().await;
    risk::judge(
        &program.db,
        signal.signal_id,
        Judgement::Resolve,
        "a couple",
        &Act::of(ACTOR, at(3)),
    )
    .await
    .unwrap();
    assert_eq!(program.signals("P001").await, "0");
    assert_eq!(
        program.scan(&[id("P001")], at(4)).await,
        ScanTotals {
            players: 1,
            ..ScanTotals::default()
        }
    );
    program
        .stake_with(&id("P001"), "e2", "10", "slots", device("tablet"), at(5))
        .await;
    program
        .stake_with(&id("P002"), "e2", "10", "slots", device("tablet"), at(5))
        .await;
    assert_eq!(program.scan(&[id("P001")], at(6)).await.raised, 1);
    assert_eq!(program.signals("P001").await, "MULTI_ACCOUNT 80");
    program.audit().await;
}

#[tokio::test]
async fn a_confirmed_signal_does_not_fade_and_is_judged_once() {
    let program = ring(2, &device("phone-1")).await;
    program.scan(&[id("P001")], at(2)).await;
    let signal_id = program.only_signal().await.signal_id;
    let judge = async |judgement, context| {
        risk::judge(
            &program.db,
            signal_id,
            judgement,
            "same person",
            &Act::of(ACTOR, context),
        )
        .await
    };
    let at_once = join_all((0..4).map(|_| judge(Judgement::Confirm, at(3)))).await;
    assert_eq!(at_once.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = at_once.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(refused, app::Error::Risk(RiskError::NotOpen(_))), "{refused}");
    program.scan(&[id("P001")], at_day(180)).await;
    assert_eq!(program.signals("P001").await, "MULTI_ACCOUNT 80");
    assert_eq!(
        program
            .text("SELECT count(*) || ' ' || min(reason) FROM audit_log WHERE action = 'signal.confirm'")
            .await,
        "1 same person"
    );

    judge(Judgement::Resolve, at_day(181)).await.unwrap();
    assert_eq!(program.signals("P001").await, "0");
    assert!(judge(Judgement::Resolve, at_day(181)).await.is_err());
    program.audit().await;
}

#[tokio::test]
async fn a_flag_refuses_rewards_until_it_is_resolved() {
    let program = players(1).await;
    let signal = risk::flag(&program.db, &id("P001"), "chargeback", &Act::of(ACTOR, at(0)))
        .await
        .unwrap();
    assert_eq!(program.signals("P001").await, "MANUAL_REVIEW 100");
    let again = risk::flag(&program.db, &id("P001"), "again", &Act::of(ACTOR, at(0)))
        .await
        .unwrap_err();
    assert!(
        matches!(again, app::Error::Risk(RiskError::AlreadyFlagged { .. })),
        "{again}"
    );
    program.scan(&[id("P001")], at(1)).await;
    assert_eq!(program.signals("P001").await, "MANUAL_REVIEW 100");
    risk::judge(
        &program.db,
        signal.signal_id,
        Judgement::Resolve,
        "paid",
        &Act::of(ACTOR, at(2)),
    )
    .await
    .unwrap();
    assert_eq!(program.signals("P001").await, "0");
    risk::flag(&program.db, &id("P001"), "another", &Act::of(ACTOR, at(3)))
        .await
        .unwrap();
    assert_eq!(program.signals("P001").await, "MANUAL_REVIEW 100");
    program.audit().await;
}

#[tokio::test]
async fn settings_move_the_thresholds() {
    let program = ring(5, &device("phone-1")).await;
    let mut settings = Settings::default();
    settings.risk.hub_accounts = 4;
    app::program::settings::put(&program.db, &json!(settings), &Act::of(ACTOR, at(1)))
        .await
        .unwrap();
    program.scan(&ids(5), at(2)).await;
    assert_eq!(flagged(&program).await, "0");
}
