//! `/api/keys` and `/api/audit`.

use super::*;

#[tokio::test]
async fn a_key_is_shown_once_works_and_ends() {
    let api = program().await;
    let created = api
        .post("/api/keys", json!({"name": "dashboard", "role": "viewer"}))
        .await
        .expect(201);
    let key = created["key"].as_str().unwrap();
    assert!(key.len() == 67 && key.starts_with("lk_"), "{key}");
    call(api.router(), "GET", "/api/settings", Some(key), None)
        .await
        .expect(200);
    assert_eq!(
        api.text(&format!(
            "SELECT count(*) FROM api_keys WHERE api_keys::text LIKE '%{}%'",
            &key[3..]
        ))
        .await,
        "0"
    );
    assert_eq!(
        api.text(&format!(
            "SELECT count(*) FROM audit_log WHERE audit_log::text LIKE '%{}%'",
            &key[3..]
        ))
        .await,
        "0"
    );

    let path = format!("/api/keys/{}", created["key_id"].as_str().unwrap());
    let revoked = api.send("DELETE", &path, None).await.expect(200);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(api.send("DELETE", &path, None).await.expect(200), revoked);
    // Another warm function has not seen the key before.
    let cold = api.beside(|db, now| router(db, now, &api.cloud().url));
    assert_eq!(
        call(cold.router(), "GET", "/api/settings", Some(key), None)
            .await
            .status,
        401
    );
    assert_eq!(
        api.text("SELECT string_agg(action, ' ' ORDER BY audit_id) FROM audit_log")
            .await,
        "key.create key.revoke"
    );
}

#[tokio::test]
async fn wrong_keys_are_refused() {
    let api = program().await;
    for (body, expected) in [
        (json!({"name": "", "role": "viewer"}), "/name format"),
        (json!({"name": "x".repeat(101), "role": "viewer"}), "/name format"),
        (json!({"name": "x", "role": "owner"}), "/role unknown"),
        (json!({"name": "x"}), "/role required"),
        (
            json!({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at range",
        ),
    ] {
        assert_eq!(
            api.errors("POST", "/api/keys", Some(body.clone())).await[0],
            expected,
            "{body}"
        );
    }
    api.send("DELETE", "/api/keys/0199a0b0-0000-7000-8000-000000000000", None)
        .await
        .expect(404);
    api.send("DELETE", "/api/keys/first", None).await.expect(422);
}

#[tokio::test]
async fn the_audit_log_is_walked_by_cursor_newest_first() {
    let api = program().await;
    for name in ["a", "b", "c"] {
        api.post("/api/keys", json!({"name": name, "role": "viewer"}))
            .await
            .expect(201);
    }
    let mut path = "/api/audit?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let response = api.send("GET", &path, None).await;
        let next = response
            .header("link")
            .map(|link| link[1..link.find('>').unwrap()].to_owned());
        names.extend(
            response
                .expect(200)
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["after"]["name"].as_str().unwrap().to_owned()),
        );
        match next {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(names, ["c", "b", "a"]);
}
