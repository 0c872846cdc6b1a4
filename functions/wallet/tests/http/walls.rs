//! Amounts at the wall of 15 integer digits.

use super::*;

const MOST: &str = "999999999999999.99";

#[tokio::test]
async fn a_credit_that_a_wallet_cannot_take_is_refused_by_name_and_changes_nothing() {
    let program = program().await;
    program.post("/api/wallet/add-lp", lp(json!(MOST))).await.expect(200);
    let problem = program
        .keyed("/api/wallet/add-lp", "k1", lp(json!(0.01)))
        .await
        .expect(422);
    assert_eq!(
        (&problem["type"], &problem["detail"]),
        (
            &json!("urn:loyalty:problem:overflow"),
            &json!("amount out of range: the balance of LP would leave the range of 15 integer digits")
        )
    );
    let bonus = json!({ "player_id": "P001", "amount": MOST, "wagering_requirement": 1 });
    program.post("/api/wallet/add-bonus", bonus.clone()).await.expect(200);
    let problem = program.post("/api/wallet/add-bonus", bonus).await.expect(422);
    assert_eq!(
        problem["detail"],
        "amount out of range: the balance of BONUS would leave the range of 15 integer digits"
    );
    let written = "SELECT (SELECT count(*) FROM postings) || ' ' || (SELECT count(*) FROM idempotency_keys)";
    assert_eq!(program.text(written).await, "2 0");
    program.audit().await;
}

#[tokio::test]
async fn a_quadrillion_points_are_earned_and_deducted_again_and_again() {
    let program = program().await;
    for _ in 0..3 {
        program.post("/api/wallet/add-lp", lp(json!(MOST))).await.expect(200);
        let receipt = program.post("/api/wallet/deduct", deduct("LP", json!(MOST))).await;
        assert_eq!(receipt.expect(200)["new_balance"].to_string(), "0.00");
    }
    program.post("/api/wallet/add-lp", lp(json!(5))).await.expect(200);
    let earned = program
        .text("SELECT lp_earned FROM player_daily WHERE lp_earned > 0")
        .await;
    assert_eq!(earned, "3000000000000004.9700");
    program.audit().await;
}
