//! Idempotency keys: what a repeated request returns, and what a key may look like.

use super::*;

#[tokio::test]
async fn the_same_key_gives_the_first_answer_again() {
    let program = program().await;
    let path = "/api/wallet/add-lp";
    let first = program.keyed(path, "k1", lp(json!(10))).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = program.keyed(path, "k1", lp(json!(10))).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(200), again.expect(200));
    program.keyed(path, "k1", lp(json!(11))).await.expect(422);
    program.keyed(path, "k2", lp(json!(10))).await.expect(200);
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "20.00");
}

/// A key that looks like the id of an earlier transaction is another key, so the books hold.
#[tokio::test]
async fn a_key_may_equal_an_earlier_transaction_id() {
    let program = program().await;
    let first = program.post("/api/wallet/add-lp", lp(json!(10))).await.expect(200);
    let id = first["transaction_id"].as_str().unwrap();
    program.keyed("/api/wallet/add-lp", id, lp(json!(5))).await.expect(200);
    let deducted = program
        .post("/api/wallet/deduct", deduct("LP", json!(1)))
        .await
        .expect(200);
    let id = deducted["transaction_id"].as_str().unwrap();
    program
        .keyed("/api/wallet/deduct", id, deduct("LP", json!(2)))
        .await
        .expect(200);
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "12.00");
    program.audit().await;
}
