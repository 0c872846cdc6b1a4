//! What people do to bonuses. It stands at the instant at which it was recorded, and is replayed there when earlier play
//! turns out otherwise: never decided again.

use super::book::unexplained;
use super::{Account, Result};
use crate::bonus::GrantStatus;
use crate::id::{GrantId, TransactionId};
use crate::ledger::{Cause, House, Kind, LedgerError, Operation};
use crate::money::Asset;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub struct Intervention {
    /// Of the transaction, if it moved money.
    pub id: TransactionId,
    pub at: Timestamp,
    pub what: What,
    /// What it moved, by the bonus's root: below 0 what it took.
    pub parts: BTreeMap<GrantId, Decimal>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// Ends a bonus, named by its root, if it is active.
    End {
        root_id: GrantId,
        to: GrantStatus,
        reason: Option<String>,
    },
    /// Self-exclusion: forfeits every bonus.
    Exclude {
        reason: Option<String>,
    },
    /// Takes at most what is there.
    Deduct {
        amount: Decimal,
    },
    /// Gives back what this deduction took, as far as its bonuses have not ended, or are DEPLETED and not yet expired.
    Restore {
        deduction: TransactionId,
    },
    /// The player is blocked or inactive from now on: play completes nothing.
    Suspend,
    Resume,
}

impl Account {
    /// Deducts bonus money from the open bonuses, in the order in which stakes contribute to them.
    ///
    /// # Errors
    /// `InsufficientBalance`.
    pub fn deduct_bonus(&mut self, amount: Decimal, operation: &Operation, cause: &Cause<'_>) -> Result<()> {
        let available = self.balance(Asset::Bonus);
        if amount > available {
            return Err(LedgerError::InsufficientBalance {
                asset: Asset::Bonus,
                available,
                requested: amount,
            }
            .into());
        }
        self.intervene(What::Deduct { amount }, operation, cause)
    }

    /// Ends an open bonus as FORFEITED or CANCELLED. Its money is lost. The act's reason is recorded.
    ///
    /// # Errors
    /// `NotOpen`.
    pub fn end_grant(&mut self, grant_id: GrantId, to: GrantStatus, cause: &Cause<'_>) -> Result<()> {
        let index = self.open(grant_id)?;
        let what = What::End {
            root_id: self.grants[index].root_id,
            to,
            reason: cause.reason.map(str::to_owned),
        };
        self.intervene(what, &marker(cause), cause)
    }

    /// Ends every open bonus, as a self-exclusion does. The act's reason is recorded.
    pub fn forfeit_all(&mut self, cause: &Cause<'_>) -> Result<()> {
        let reason = cause.reason.map(str::to_owned);
        self.intervene(What::Exclude { reason }, &marker(cause), cause)
    }

    /// The player's play completes nothing until they are [resumed](Self::resume).
    pub fn suspend(&mut self, cause: &Cause<'_>) -> Result<()> {
        self.intervene(What::Suspend, &marker(cause), cause)
    }

    pub fn resume(&mut self, cause: &Cause<'_>) -> Result<()> {
        self.intervene(What::Resume, &marker(cause), cause)
    }

    pub fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    /// Notes that an intervention moved something else when play was applied again.
    pub(crate) fn note_replayed(&mut self, intervention: Intervention) {
        let player_id = self.book.player_id.clone();
        self.book.journal.replayed.push((player_id, intervention));
    }

    /// Does what people did, as far as it can be done, and records it.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn intervene(&mut self, what: What, operation: &Operation, cause: &Cause<'_>) -> Result<()> {
        let restored = match &what {
            What::Restore { deduction } => self.deductions.get(deduction).cloned().unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        let parts = self.act(&what, &restored, operation.at, operation, cause)?;
        self.book.journal.interventions.push((
            self.book.player_id.clone(),
            Intervention {
                id: operation.transaction_id,
                at: operation.at,
                what,
                parts,
            },
        ));
        Ok(())
    }

    /// Does what people did at the instant `at`. `restored`: what the deduction that is given back took.
    pub(crate) fn act(
        &mut self,
        what: &What,
        restored: &BTreeMap<GrantId, Decimal>,
        at: Timestamp,
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<BTreeMap<GrantId, Decimal>> {
        match what {
            What::End { root_id, to, reason } => {
                let is_it = |grant: &super::Grant| grant.root_id == *root_id && grant.status.is_open();
                if let Some(index) = self.grants.iter().position(is_it) {
                    let reason = reason.as_deref();
                    self.end(index, *to, at, &Cause { reason, ..*cause })?;
                }
            }
            What::Exclude { reason } => {
                let reason = reason.as_deref();
                for index in 0..self.grants.len() {
                    let grant = &self.grants[index];
                    if grant.status == GrantStatus::Pending || grant.is_active_at(at) {
                        self.end(index, GrantStatus::Forfeited, at, &Cause { reason, ..*cause })?;
                    }
                }
            }
            What::Deduct { amount } => {
                let parts = self.bonus_parts(*amount, at);
                return self.move_parts(
                    parts.into_iter().map(|(index, part)| (index, -part)).collect(),
                    operation,
                );
            }
            What::Restore { .. } => return self.restore_parts(restored, at, operation, cause),
            What::Suspend => self.is_suspended = true,
            What::Resume => {
                self.is_suspended = false;
                self.complete_fulfilled(at, &unexplained(cause))?;
            }
        }
        Ok(BTreeMap::new())
    }

    fn restore_parts(
        &mut self,
        restored: &BTreeMap<GrantId, Decimal>,
        at: Timestamp,
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<BTreeMap<GrantId, Decimal>> {
        let mut parts = Vec::new();
        for (root_id, taken) in restored {
            let index = self.bonus(*root_id)?;
            if self.grants[index].is_revived_at(at) {
                self.succeed(index, cause);
            }
            if self.grants[index].is_active_at(at) {
                parts.push((index, -taken));
            }
        }
        self.move_parts(parts, operation)
    }

    fn move_parts(
        &mut self,
        parts: Vec<(usize, Decimal)>,
        operation: &Operation,
    ) -> Result<BTreeMap<GrantId, Decimal>> {
        let mut moved = BTreeMap::new();
        for (index, part) in parts {
            self.move_bonus(index, part, House::Adjustment, operation)?;
            moved.insert(self.grants[index].root_id, part);
        }
        Ok(moved)
    }
}

/// The operation of an act that moves no money by itself: only its id and instant are used.
fn marker(cause: &Cause<'_>) -> Operation {
    cause.operation(Kind::ManualDebit, "")
}
