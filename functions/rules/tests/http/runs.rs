use crate::{loss_cashback, program, program_with};
use app::Db;
use app::runs::ShardMessage;
use app::runs::{rewards, segmentation};
use serde_json::{Value, json};
use testing::{Player, TestApi};

/// Starts a run and returns the response.
pub async fn start(program: &TestApi, path: &str, body: Option<Value>) -> Value {
    let response = program.send("POST", path, body).await;
    let place = response.header("location").unwrap().to_owned();
    let started = response.expect(202);
    assert_eq!(started["run_url"], json!(place));
    assert_eq!(place, format!("/api/runs/{}", started["run_id"].as_str().unwrap()));
    started
}

fn messages(program: &TestApi) -> Vec<ShardMessage> {
    let messages = program.cloud().messages().into_iter();
    messages
        .map(|(_, message)| serde_json::from_value(message).unwrap())
        .collect()
}

/// Delivers the last message `times` times to both workers.
pub async fn work_off(program: &TestApi, times: usize) {
    let message = *messages(program).last().unwrap();
    for _ in 0..times {
        work(&program.db(), message).await;
    }
}

async fn work(db: &Db, message: ShardMessage) {
    if segmentation::run_shard(db, message, lambda::context()).await.unwrap() == segmentation::Next::Rewards {
        rewards::run_shard(db, message, lambda::context()).await.unwrap();
    }
}

/// P002 of the domain, who gets 480.00, and one whom the rule does not match. The segment of P004 is not what it would
/// be.
async fn with_players() -> TestApi {
    let program = program().await;
    let db = program.db();
    Player::new("P002")
        .deposited("1000")
        .wagered("5000")
        .won("200")
        .sessions(10)
        .segment("LOSING")
        .insert(&db)
        .await;
    Player::new("P004")
        .deposited("500")
        .wagered("500")
        .won("500")
        .sessions(5)
        .segment("WINNING")
        .insert(&db)
        .await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    program
}

#[tokio::test]
async fn switching_a_rule_on_pays_nobody_and_an_evaluation_pays_once() {
    let program = with_players().await;
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "0");
    let mut other = loss_cashback();
    (other["rule_id"], other["priority"]) = (json!("OTHER"), json!(99));
    program.post("/api/rules", other).await.expect(201);
    let started = start(&program, "/api/rules/LOSS_CASHBACK/evaluate", None).await;
    assert_eq!((&started["shards"], messages(&program).len()), (&json!(1), 1));
    work_off(&program, 3).await;
    let grants =
        "SELECT string_agg(player_id || ' ' || rule_id || ' ' || rule_version || ' ' || round(amount, 2), ', ')
        FROM grants";
    assert_eq!(program.text(grants).await, "P002 LOSS_CASHBACK 1 480.00");
    let run = "SELECT kind || ' ' || status || ' ' || rule_id || ' ' ||
          (SELECT players || ' ' || granted FROM run_shards s WHERE s.run_id = r.run_id)
        FROM runs r";
    assert_eq!(program.text(run).await, "EVALUATION COMPLETED LOSS_CASHBACK 2 1");
    assert_eq!(
        program
            .text("SELECT segment FROM player_segments WHERE player_id = 'P004'")
            .await,
        "WINNING",
        "segments stay"
    );

    start(&program, "/api/rules/LOSS_CASHBACK/evaluate", None).await;
    work_off(&program, 1).await;
    assert_eq!(program.text(grants).await, "P002 LOSS_CASHBACK 1 480.00");
    let audited = "SELECT string_agg(action || ' ' || (after ->> 'run_id' IS NOT NULL), ', ')
        FROM audit_log WHERE action = 'rule.evaluate'";
    assert_eq!(program.text(audited).await, "rule.evaluate true, rule.evaluate true");
    testing::audit(&program.owner()).await;
}

#[tokio::test]
async fn only_a_rule_that_applies_now_is_evaluated() {
    let program = with_players().await;
    for (field, value, code) in [
        ("is_active", json!(false), "not_active"),
        ("starts_at", json!("2099-01-01T00:00:00Z"), "not_live"),
        ("ends_at", json!("2020-01-01T00:00:00Z"), "not_live"),
        ("cadence", json!("PER_EVENT"), "needs_event"),
    ] {
        let mut patch = json!({ "is_active": true, "starts_at": null, "ends_at": null, "cadence": null });
        patch[field] = value;
        program
            .send("PUT", "/api/rules/LOSS_CASHBACK", Some(patch))
            .await
            .expect(200);
        let problem = program
            .send("POST", "/api/rules/LOSS_CASHBACK/evaluate", None)
            .await
            .expect(409);
        assert_eq!(problem["type"], format!("urn:loyalty:problem:{code}"));
    }
    // A manual evaluation needs no trigger.
    let patch = json!({ "cadence": null, "trigger": ["DEPOSIT"] });
    program
        .send("PUT", "/api/rules/LOSS_CASHBACK", Some(patch))
        .await
        .expect(200);
    start(&program, "/api/rules/LOSS_CASHBACK/evaluate", None).await;
    program
        .send("DELETE", "/api/rules/LOSS_CASHBACK", None)
        .await
        .expect(200);
    // Archived before the shard was processed: nothing is granted.
    work_off(&program, 1).await;
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "0");
    let problem = program
        .send("POST", "/api/rules/LOSS_CASHBACK/evaluate", None)
        .await
        .expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:archived");
    program.send("POST", "/api/rules/NONE/evaluate", None).await.expect(404);
    assert_eq!(program.text("SELECT count(*) FROM runs").await, "1");
}

#[tokio::test]
async fn a_revocation_cancels_the_open_grants_of_an_archived_rule_once() {
    let program = with_players().await;
    start(&program, "/api/rules/LOSS_CASHBACK/evaluate", None).await;
    work_off(&program, 1).await;
    program
        .send("DELETE", "/api/rules/LOSS_CASHBACK", None)
        .await
        .expect(200);
    let started = start(
        &program,
        "/api/rules/LOSS_CASHBACK/revoke",
        Some(json!({ "reason": "granted in error" })),
    )
    .await;
    assert_eq!(started["shards"], json!(1));
    work_off(&program, 3).await;
    assert_eq!(
        program
            .text("SELECT status || ' ' || status_reason || ' ' || balance FROM grants")
            .await,
        "CANCELLED granted in error 0.0000"
    );
    let postings =
        "SELECT string_agg(kind || ' ' || house || ' ' || direction * round(amount, 2), ', ' ORDER BY version)
        FROM postings";
    assert_eq!(
        program.text(postings).await,
        "reward_grant house:issuance 480.00, bonus_cancellation house:issuance -480.00"
    );
    let history = "SELECT string_agg(to_status || ' ' || reason || ' ' || left(actor, 4), ', ') FROM grant_history";
    assert_eq!(program.text(history).await, "CANCELLED granted in error test");
    assert_eq!(
        program
            .text("SELECT count(*) FROM outbox WHERE event_type = 'bonus.cancelled'")
            .await,
        "1"
    );
    let run = "SELECT status || ' ' || reason || ' ' ||
          (SELECT revoked || ' ' || round(taken_back, 2) FROM run_shards s WHERE s.run_id = r.run_id)
        FROM runs r WHERE kind = 'REVOCATION'";
    assert_eq!(program.text(run).await, "COMPLETED granted in error 1 480.00");
    assert_eq!(
        program
            .text("SELECT reason FROM audit_log WHERE action = 'rule.revoke'")
            .await,
        "granted in error"
    );

    let again = start(
        &program,
        "/api/rules/LOSS_CASHBACK/revoke",
        Some(json!({ "reason": "again" })),
    )
    .await;
    assert_eq!(again["shards"], json!(0), "nobody holds one any more");
    testing::audit(&program.owner()).await;
}

#[tokio::test]
async fn a_revocation_needs_a_reason_and_a_rule() {
    let program = with_players().await;
    for reason in ["", "  ", "a\u{0}", &"x".repeat(501)] {
        assert_eq!(
            program
                .errors(
                    "POST",
                    "/api/rules/LOSS_CASHBACK/revoke",
                    Some(json!({ "reason": reason }))
                )
                .await,
            ["/reason format"]
        );
    }
    assert_eq!(
        program
            .errors("POST", "/api/rules/LOSS_CASHBACK/revoke", Some(json!({})))
            .await,
        ["/reason required"]
    );
    program
        .post("/api/rules/NONE/revoke", json!({ "reason": "x" }))
        .await
        .expect(404);
    assert_eq!(program.text("SELECT count(*) FROM runs").await, "0");
    for (path, role) in [
        ("/api/rules/LOSS_CASHBACK/revoke", "operator"),
        ("/api/rules/LOSS_CASHBACK/evaluate", "viewer"),
    ] {
        let body = Some(json!({ "reason": "x" }));
        program.send_as(role, "POST", path, body).await.expect(403);
    }
}

#[tokio::test]
async fn a_run_of_a_rule_that_cannot_be_sent_is_given_up() {
    let refuse = |_: &testing::Request| {
        (
            400,
            json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}).to_string(),
        )
    };
    let program = program_with(refuse).await;
    Player::new("P001").insert(&program.db()).await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let problem = program
        .send("POST", "/api/rules/LOSS_CASHBACK/evaluate", None)
        .await
        .expect(503);
    let run = format!(
        "SELECT status FROM runs WHERE run_id = '{}'",
        problem["run_id"].as_str().unwrap()
    );
    assert_eq!(program.text(&run).await, "COMPLETED_WITH_ERRORS");
}
