//! The guards of the ledger itself, which hold even without the players' locks.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use domain::account::{Account, Book, Journal};
use domain::bonus::{GrantStatus, GrantTerms, NewGrant};
use domain::context::Context;
use domain::id::{GrantId, PlayerId};
use domain::ledger::{Cause, House, Kind};
use domain::money::Asset;
use jiff::Timestamp;
use store::{Db, Error};
use testing::{Player, TestDb};
use uuid::Uuid;

/// Credits 1 LP to P001, based on `book` and without a lock.
async fn credit(db: &Db, mut book: Book) -> store::Result<()> {
    let cause = Cause {
        actor: "test",
        reason: None,
        context: Context {
            now: Timestamp::UNIX_EPOCH,
            new_id: Uuid::now_v7,
        },
    };
    book.credit(
        Asset::Lp,
        1.into(),
        House::Issuance,
        None,
        &cause.operation(Kind::ManualCredit, "k"),
        &cause,
    )
    .unwrap();
    write(db, book.into_journal()).await
}

async fn read(db: &Db) -> Book {
    store::wallet::ledger::books(&db.client().await.unwrap(), &["P001"])
        .await
        .unwrap()
        .remove("P001")
        .unwrap()
}

#[tokio::test]
async fn two_writers_who_read_the_same_wallet_without_the_lock_do_not_both_write() {
    let test = TestDb::new().await;
    let db = test.db();
    Player::new("P001").insert(&db).await;
    let (first, second) = (read(&db).await, read(&db).await);
    credit(&db, first).await.unwrap();
    let refusal = credit(&db, second).await.unwrap_err();
    assert_eq!(refusal.violated_constraint(), Some("postings_pkey"), "{refusal:?}");
    assert_eq!(
        test.text("SELECT balance || ' ' || version FROM wallets").await,
        "1.0000 1"
    );
}

#[tokio::test]
async fn a_wallet_is_saved_only_over_the_version_that_was_read() {
    let test = TestDb::new().await;
    let db = test.db();
    Player::new("P001").insert(&db).await;
    credit(&db, read(&db).await).await.unwrap();
    let book = read(&db).await;
    // The wallet changes without a posting.
    test.tamper("UPDATE wallets SET balance = 9, version = 2").await;
    let refusal = credit(&db, book).await.unwrap_err();
    assert!(
        matches!(refusal, Error::LockNotHeld { saved: 0, wallets: 1 }),
        "{refusal}"
    );
    assert_eq!(test.text("SELECT count(*) FROM postings").await, "1");
    assert_eq!(
        test.text("SELECT balance || ' ' || version FROM wallets").await,
        "9.0000 2"
    );
}

#[tokio::test]
async fn a_grant_that_is_over_is_never_saved_again() {
    let test = TestDb::new().await;
    let db = test.db();
    Player::new("P001").insert(&db).await;
    let cause = Cause {
        actor: "test",
        reason: None,
        context: Context {
            now: Timestamp::UNIX_EPOCH,
            new_id: Uuid::now_v7,
        },
    };
    let grant = NewGrant {
        player_id: PlayerId::parse("P001").unwrap(),
        grant_id: GrantId(Uuid::now_v7()),
        rule: None,
        reward_type: domain::rule::RewardType::BonusBalance,
        asset: Asset::Bonus,
        amount: 10.into(),
        cost: 10.into(),
        expected_revenue: None,
        wagering_required: 100.into(),
        terms: Some(GrantTerms {
            requires_opt_in: true,
            ..GrantTerms::default()
        }),
        issued_at: cause.context.now,
        expires_at: None,
    };
    let grant_id = grant.grant_id;
    let mut book = read(&db).await;
    book.issue(
        grant,
        None,
        &cause.operation(Kind::ManualBonus, grant_id.to_string()),
        &cause,
    )
    .unwrap();
    write(&db, book.into_journal()).await.unwrap();

    // Both read the grant while it is pending, without a lock. Ending it moves no money, so no wallet version can show
    // the conflict.
    let (mut first, mut second) = (load(&db).await, load(&db).await);
    first.end_grant(grant_id, GrantStatus::Forfeited, &cause).unwrap();
    second.end_grant(grant_id, GrantStatus::Cancelled, &cause).unwrap();
    write(&db, first.into_journal()).await.unwrap();
    let refusal = write(&db, second.into_journal()).await.unwrap_err();
    assert!(
        matches!(refusal, Error::GrantsOver { saved: 0, grants: 1 }),
        "{refusal}"
    );
    assert_eq!(test.text("SELECT status FROM grants").await, "FORFEITED");
}

async fn load(db: &Db) -> Account {
    let mut client = db.client().await.unwrap();
    let tx = store::snapshot(&mut client).await.unwrap();
    store::wallet::accounts::load(&tx, &["P001"])
        .await
        .unwrap()
        .pop()
        .unwrap()
}

async fn write(db: &Db, journal: Journal) -> store::Result<()> {
    let mut client = db.client().await?;
    let tx = store::begin(&mut client).await?;
    store::wallet::accounts::write(&tx, &journal).await?;
    store::commit(tx).await
}
