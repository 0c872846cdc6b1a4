//! `/api/batch/process` and `/api/runs`.

use super::*;

#[tokio::test]
async fn a_batch_becomes_a_run_and_a_message_for_each_shard() {
    let api = program().await;
    for id in ["P001", "P002"] {
        Player::new(id).wagered("5000").won("200").insert(&api.db()).await;
    }
    let response = api
        .post("/api/batch/process", json!({"player_ids": ["P002", "P001", "P002"]}))
        .await;
    let place = response.header("location").unwrap().to_owned();
    let started = response.expect(202);
    assert_eq!((&started["shards"], &started["run_url"]), (&json!(1), &json!(place)));
    assert_eq!(shards(&api), [json!({"run_id": started["run_id"], "shard": 0})]);
    let run = api.get(&place).await;
    let seen = (
        &run["kind"],
        &run["status"],
        &run["trigger_rewards"],
        &run["shards_total"],
        &run["shards_done"],
    );
    assert_eq!(
        seen,
        (&json!("BATCH"), &json!("RUNNING"), &json!(true), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_batch_with_unknown_players_names_them_and_makes_no_run() {
    let api = program().await;
    Player::new("P001").insert(&api.db()).await;
    for (ids, expected) in [
        (json!(["P001", "P404"]), "/player_ids/1 unknown"),
        (json!([]), "/player_ids range"),
        (json!(vec!["P001"; 1001]), "/player_ids range"),
        (json!(["P 1"]), "/player_ids/0 format"),
    ] {
        assert_eq!(
            api.errors("POST", "/api/batch/process", Some(json!({ "player_ids": ids })))
                .await[0],
            expected
        );
    }
    assert_eq!(api.text("SELECT count(*) FROM runs").await, "0");
    assert_eq!(api.cloud().requests().len(), 0);
}

#[tokio::test]
async fn a_recalculation_covers_everybody() {
    let api = program().await;
    let body = json!({"kind": "RECALCULATION", "trigger_rewards": false});
    let nobody = api.post("/api/runs", body.clone()).await.expect(202);
    assert_eq!(api.cloud().requests().len(), 0);
    Player::new("P001").insert(&api.db()).await;
    let started = api.post("/api/runs", body).await.expect(202);
    assert_eq!(shards(&api).len(), 1);

    let running = api.get("/api/runs?status=RUNNING").await;
    assert_eq!(
        (running.as_array().unwrap().len(), &running[0]["run_id"]),
        (1, &started["run_id"])
    );
    let completed = api.get("/api/runs?status=COMPLETED").await;
    assert_eq!(completed[0]["run_id"], nobody["run_id"]);
    assert_eq!(
        api.errors("GET", "/api/runs?status=DONE", None).await[0],
        "?status unknown"
    );
    assert_eq!(
        api.errors("POST", "/api/runs", Some(json!({"kind": "IMPORT"}))).await[0],
        "/kind unknown"
    );
    api.send("GET", "/api/runs/0199a0b0-0000-7000-8000-000000000000", None)
        .await
        .expect(404);
}

#[tokio::test]
async fn a_run_that_cannot_be_sent_is_given_up_and_says_so() {
    let api = program_with(|_| {
        (
            400,
            json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}).to_string(),
        )
    })
    .await;
    Player::new("P001").insert(&api.db()).await;
    let problem = api
        .post("/api/batch/process", json!({"player_ids": ["P001"]}))
        .await
        .expect(503);
    let run = api
        .get(&format!("/api/runs/{}", problem["run_id"].as_str().unwrap()))
        .await;
    let seen = (&run["status"], &run["error"]);
    assert_eq!(
        seen,
        (
            &json!("COMPLETED_WITH_ERRORS"),
            &json!("the segmentation queue could not be reached")
        )
    );
}
