//! Issuing: a grant and its postings, lots, events and figures, decided in memory and written together.

use crate::error::{Error, Result};
use domain::id::{PlayerId, TransactionId};
use domain::ledger::{Direction, House, LedgerError, NewLot, Operation, Posting};
use domain::money::Asset;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::json;
use store::Tx;
use store::grants::NewGrant;
use store::ledger::Wallets;
use store::outbox::Event;
use store::stats::{self, Counter, Slot};

impl From<LedgerError> for Error {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::InsufficientBalance { available, requested, .. } => Self::InsufficientBalance { available, requested },
            other => Self::Overflow(other.to_string()),
        }
    }
}

/// Who acts, and as what the ledger shall name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act<'a> {
    pub kind: &'static str,
    pub actor: &'a str,
    pub reason: Option<&'a str>,
    pub now: Timestamp,
}

impl Act<'_> {
    pub fn operation(&self, transaction_id: TransactionId, reference: String) -> Operation {
        Operation {
            transaction_id,
            kind: self.kind,
            reference,
            actor: self.actor.to_owned(),
            reason: self.reason.map(str::to_owned),
            at: self.now,
        }
    }
}

/// Everything that issuing some rewards writes.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    pub grants: Vec<NewGrant>,
    postings: Vec<Posting>,
    lots: Vec<NewLot>,
    events: Vec<Event>,
}

impl Issued {
    /// Adds a grant. Its value is posted to the wallet, unless it waits (`PENDING`); a bonus that needs no wagering
    /// is converted to cash at once. On an error nothing was added.
    pub fn issue(
        &mut self,
        mut grant: NewGrant,
        transaction_id: TransactionId,
        points_expire_at: Option<Timestamp>,
        wallets: &mut Wallets,
        act: Act<'_>,
    ) -> Result<()> {
        let is_bonus = grant.asset == Asset::Bonus;
        if grant.status != "PENDING" {
            let operation = act.operation(transaction_id, grant.grant_id.to_string());
            let wallet = wallets.of(&grant.player_id, grant.asset);
            let mut after = wallet.clone();
            let grant_id = is_bonus.then_some(grant.grant_id);
            let credit = after.post(Direction::Credit, House::Issuance, grant.amount, grant_id, operation.clone())?;
            let conversion = if is_bonus && grant.wagering_required.is_zero() {
                Some(after.post(Direction::Debit, House::CashOut, grant.amount, grant_id, operation)?)
            } else {
                None
            };
            *wallet = after;
            self.lots.extend(NewLot::of(&credit, points_expire_at));
            self.postings.push(credit);
            if let Some(conversion) = conversion {
                (grant.status, grant.balance, grant.closed_at) = ("COMPLETED", Decimal::ZERO, Some(act.now));
                self.events.push(completed(&grant, conversion.amount));
                self.postings.push(conversion);
            }
        }
        self.events.push(granted(&grant));
        self.grants.push(grant);
        Ok(())
    }

    /// Expected cost of all, in money.
    pub fn cost(&self) -> Decimal {
        self.grants.iter().map(|grant| grant.cost).sum()
    }

    /// Writes all of it: a fixed number of statements. The caller holds the players' locks.
    pub async fn write(&self, tx: &Tx<'_>, slot: Slot, now: Timestamp) -> Result<()> {
        store::grants::add(tx, &self.grants).await?;
        store::ledger::append(tx, &self.postings).await?;
        store::ledger::add_lots(tx, &self.lots).await?;
        store::outbox::add(tx, &self.events, now).await?;
        let issued = Decimal::from(self.grants.len());
        stats::add(tx, &[(Counter::RewardsIssued, issued), (Counter::RewardCost, self.cost())], slot).await?;
        Ok(())
    }
}

fn granted(grant: &NewGrant) -> Event {
    let payload = json!({
        "player_id": grant.player_id,
        "grant_id": grant.grant_id,
        "rule_id": grant.rule.as_ref().map(|rule| &rule.rule_id),
        "reward_type": grant.reward_type,
        "currency_type": grant.asset,
        "amount": grant.amount,
        "status": grant.status,
        "wagering_required": grant.wagering_required,
        "expires_at": grant.expires_at,
    });
    Event { player_id: grant.player_id.clone(), event_type: "reward.granted", payload }
}

/// The operator's cashier pays it.
fn completed(grant: &NewGrant, cash: Decimal) -> Event {
    let payload = json!({ "player_id": grant.player_id, "grant_id": grant.grant_id, "cash_amount": cash });
    Event { player_id: grant.player_id.clone(), event_type: "bonus.completed", payload }
}

/// A credit that is no grant: points given by a person.
pub(crate) fn credit_points(
    wallets: &mut Wallets,
    player_id: &PlayerId,
    amount: Decimal,
    operation: Operation,
) -> Result<(Posting, Option<NewLot>)> {
    let posting = wallets.of(player_id, Asset::Lp).post(Direction::Credit, House::Issuance, amount, None, operation)?;
    let lot = NewLot::of(&posting, None);
    Ok((posting, lot))
}
