//! Runs a sequence in the program and in the model and compares them after each operation.

use crate::commands::{Command, PLAYERS, Request, Script};
use crate::model::{Answer, Effect, Grant, Model, Outcome, Refusal, Reply, Said};
use crate::operations::{Change, Operation};
use crate::world::{Done, Ids, Stored, World};
use app::Error;
use app::platform::idempotent::IdempotencyError;
use app::wallet::WalletView;
use domain::account::AccountError;
use domain::activity::{EventError, Outcome as Told};
use domain::bonus::GrantStatus;
use domain::idempotency::Answer as First;
use domain::ledger::LedgerError;
use domain::money::Asset;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tokio::runtime::Runtime;

/// Outcomes that all sequences together must have produced; otherwise the test covers less than intended.
pub const EXPECTED: [&str; 28] = [
    "CANCELLED",
    "COMPLETED",
    "DEPLETED",
    "EXPIRED",
    "FORFEITED",
    "PAYOUT Waiting",
    "PAYOUT ok",
    "STAKE AboveMaxBet",
    "STAKE GameNotEligible",
    "STAKE UnknownGame",
    "STAKE Voided",
    "STAKE event_id_reused",
    "STAKE ok",
    "STAKE on several",
    "STAKE overdrawn",
    "STAKE replayed",
    "VOID already_voided",
    "VOID ok",
    "activate ok",
    "add_bonus ok",
    "add_bonus replayed",
    "deduct insufficient",
    "deduct ok",
    "redeem ok",
    "reverse already_reversed",
    "reverse grant_closed",
    "reverse not_reversible",
    "reverse ok",
];

/// A database on which sequences run one after the other.
pub struct Sequences {
    runtime: Runtime,
    world: World,
    seen: RefCell<BTreeMap<String, u32>>,
}

fn start() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

impl Sequences {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let world = runtime.block_on(World::new(start()));
        Self {
            runtime,
            world,
            seen: RefCell::default(),
        }
    }

    /// How often each operation had each outcome.
    pub fn seen(&self) -> BTreeMap<String, u32> {
        self.seen.borrow().clone()
    }

    /// # Errors
    /// The first operation whose reply or resulting state differs from the model.
    pub fn run(&self, operations: &[Operation]) -> Result<(), String> {
        self.runtime.block_on(Box::pin(async {
            self.world.wipe().await;
            let mut sequence = Sequence::new(&self.world);
            for (step, operation) in operations.iter().enumerate() {
                let told = sequence
                    .step(operation)
                    .await
                    .map_err(|reason| format!("step {step}, {operation:?}:\n{reason}"))?;
                for what in told {
                    *self.seen.borrow_mut().entry(what).or_default() += 1;
                }
            }
            Ok(())
        }))
    }
}

struct Sequence<'a> {
    world: &'a World,
    now: Timestamp,
    script: Script,
    model: Model,
    ids: Ids,
    /// Number of rules created.
    rules: usize,
}

impl<'a> Sequence<'a> {
    fn new(world: &'a World) -> Self {
        let (script, model, ids) = (Script::default(), Model::new(PLAYERS), Ids::default());
        Self {
            world,
            now: start(),
            script,
            model,
            ids,
            rules: 0,
        }
    }

    async fn step(&mut self, operation: &Operation) -> Result<Vec<String>, String> {
        self.tick();
        if let Operation::Wait { minutes } = operation {
            self.now += SignedDuration::from_mins((*minutes).into());
            return Ok(Vec::new());
        }
        let told = match operation {
            Operation::Together(one, other) => Box::pin(self.together(one, other)).await?,
            operation => Box::pin(self.alone(operation)).await?,
        };
        let broken = self.world.audit().await;
        if broken.is_empty() {
            Ok(told)
        } else {
            Err(format!("the audit says: {}", broken.join("\n")))
        }
    }

    /// Each operation has an instant of its own: within one, what people do stands after play, not as it arrives.
    fn tick(&mut self) {
        self.now += SignedDuration::from_millis(1);
    }

    async fn command(&mut self, operation: &Operation) -> Option<Command> {
        let command = self.script.command(operation, &mut self.model, self.now);
        while self.rules < self.model.rules.len() {
            self.world
                .create_rule(self.rules, &self.model.rules[self.rules], self.now)
                .await;
            self.rules += 1;
        }
        command
    }

    async fn alone(&mut self, operation: &Operation) -> Result<Vec<String>, String> {
        let Some(command) = self.command(operation).await else {
            return Ok(Vec::new());
        };
        let done = Box::pin(self.world.perform(&command, &self.ids, self.now)).await;
        let before: Vec<_> = self.model.grants.iter().map(|grant| grant.status).collect();
        self.look().await;
        let answer = self.model.apply(&command, self.now);
        self.agree(&answer, &done).await?;
        self.check().await?;
        let after = self.model.grants.iter().enumerate();
        let ended = after.filter(|(grant, after)| !after.status.is_open() && before.get(*grant) != Some(&after.status));
        let ended = ended.map(|(_, after)| after.status.to_string());
        Ok(ended.chain([label(&command, &answer)]).collect())
    }
}

impl Sequence<'_> {
    /// Runs two operations concurrently: the result must match one of the two serial orders.
    async fn together(&mut self, one: &Operation, other: &Operation) -> Result<Vec<String>, String> {
        if depend(one, other) || depend(other, one) {
            let mut told = Box::pin(self.alone(one)).await?;
            self.tick();
            told.extend(Box::pin(self.alone(other)).await?);
            return Ok(told);
        }
        let (Some(a), Some(b)) = (self.command(one).await, self.command(other).await) else {
            return Ok(Vec::new());
        };
        let (done_a, done_b) = tokio::join!(
            Box::pin(self.world.perform(&a, &self.ids, self.now)),
            Box::pin(self.world.perform(&b, &self.ids, self.now))
        );
        self.look().await;
        let (model, ids) = (self.model.clone(), self.ids.clone());
        let mut reasons = Vec::new();
        for order in [[(&a, &done_a), (&b, &done_b)], [(&b, &done_b), (&a, &done_a)]] {
            (self.model, self.ids) = (model.clone(), ids.clone());
            match self.serial(order).await {
                Ok(told) => return Ok(told),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(format!(
            "neither order gives this.\nOne: {}\nOther: {}",
            reasons[0], reasons[1]
        ))
    }

    async fn serial(&mut self, order: [(&Command, &app::Result<Done>); 2]) -> Result<Vec<String>, String> {
        let mut told = Vec::new();
        for (command, done) in order {
            let answer = self.model.apply(command, self.now);
            // A sweep counts the players it looked at, even if another operation was faster.
            if !matches!(
                (command, done),
                (
                    Command {
                        request: Request::Expire { .. },
                        ..
                    },
                    Ok(_)
                )
            ) {
                self.agree(&answer, done).await?;
            }
            told.push(format!("at once: {}", label(command, &answer)));
        }
        self.check().await?;
        Ok(told)
    }

    /// Reads what the model does not predict: how chains of corrections continue, and the kinds of transactions.
    async fn look(&mut self) {
        let stored = self.world.grants().await;
        self.ids.roots = stored.iter().map(|grant| (grant.grant_id, grant.root_id)).collect();
        let last = stored.iter().filter(|grant| grant.is_last);
        self.ids.tails = last.map(|grant| (grant.root_id, grant.grant_id)).collect();
        for grant in stored.iter().filter(|grant| grant.grant_id != grant.root_id) {
            let place = self.ids.grant_of(grant.root_id);
            if let Some(grant) = self.model.grants.get_mut(place) {
                grant.is_continued = true;
            }
        }
        for player in 0..PLAYERS {
            self.model.players[player].kinds = self.world.kinds(player).await;
        }
    }

    async fn agree(&mut self, expected: &Answer, done: &app::Result<Done>) -> Result<(), String> {
        let told = match (expected, done) {
            (Ok(reply), Ok(done)) => Ok(self.read(reply, done).await),
            (_, Ok(done)) => return Err(format!("expected {expected:?}, was told {done:?}")),
            (_, Err(error)) => Err(refusal(error)?),
        };
        if told == *expected {
            Ok(())
        } else {
            Err(format!("expected {expected:?}, was told {told:?}"))
        }
    }

    /// Converts the program's reply to the model's terms. New ids are assigned to the indexes the model expects.
    async fn read(&mut self, expected: &Reply, done: &Done) -> Reply {
        let (replayed, said) = match (&expected.said, done) {
            (Said::Receipt { transaction, grant, .. }, Done::Receipt(answer)) => {
                unwrap(answer, |receipt| Said::Receipt {
                    transaction: receipt
                        .transaction_id
                        .map(|id| self.ids.transactions.place(*transaction, id)),
                    grant: receipt.grant_id.map(|id| self.ids.grants.place(*grant, id)),
                    asset: receipt.asset,
                    new_balance: receipt.new_balance,
                })
            }
            (_, Done::Grant(answer)) => unwrap(answer, |receipt| Said::Grant {
                grant: self.ids.grant_of(receipt.grant_id),
                status: receipt.status,
                balance: receipt.balance,
                new_balance: receipt.new_balance,
            }),
            (Said::Reversal { transaction, .. }, Done::Reversal(answer)) => unwrap(answer, |reversal| Said::Reversal {
                transaction: self.ids.transactions.place(Some(*transaction), reversal.transaction_id),
                reversed: self.ids.transactions.place(None, reversal.reversed_transaction_id),
                balances: reversal.balances.clone(),
            }),
            (Said::Redeemed { transaction, grant, .. }, Done::Redeemed(answer)) => {
                unwrap(answer, |redeemed| Said::Redeemed {
                    transaction: self
                        .ids
                        .transactions
                        .place(Some(*transaction), redeemed.redemption.transaction_id),
                    grant: redeemed.redemption.grant_id.map(|id| self.ids.grants.place(*grant, id)),
                    new_balance: redeemed.new_balance,
                })
            }
            (_, Done::Outcome(answer)) => unwrap(answer, |outcome| Said::Outcome(self.outcome(outcome))),
            (_, Done::Expired(all)) => {
                let (expired, depleted) = (all.bonuses_expired, all.bonuses_depleted);
                (
                    false,
                    Said::Expired {
                        players: all.players,
                        expired,
                        depleted,
                        lots: all.point_lots_expired,
                    },
                )
            }
            (Said::Rewarded(given), Done::Rewarded(count)) if given.len() == *count => {
                let mut found = given.clone();
                for given in &mut found {
                    let (grant_id, transaction_id) = self.world.given(given.player, given.rule).await;
                    given.grant = given.grant.map(|grant| self.ids.grants.place(Some(grant), grant_id));
                    given.transaction = transaction_id.map(|id| self.ids.transactions.place(given.transaction, id));
                }
                (false, Said::Rewarded(found))
            }
            (_, Done::Rewarded(count)) => (false, Said::Rewarded(vec![crate::model::Given::default(); *count])),
            _ => (false, Said::Changed),
        };
        Reply { replayed, said }
    }

    fn outcome(&self, told: &Told) -> Outcome {
        let effect = |effect: &domain::activity::GrantEffect| Effect {
            grant: self.ids.grant_of(effect.grant_id),
            contribution: effect.contribution,
            bonus: effect.bonus,
            released: effect.released,
            status: effect.status,
        };
        let effects = told.grants.iter().map(effect).collect();
        Outcome {
            effects,
            real: told.real_amount,
            forfeited: told.forfeited_amount,
            overdrawn: told.overdrawn,
            lp: told.lp,
            overspent: told.lp_overspent,
            remark: told.remark,
        }
    }

    /// Compares all stored wallets, and what became of each bonus over its chain of corrections.
    async fn check(&mut self) -> Result<(), String> {
        for player in 0..PLAYERS {
            let (expected, stored) = (
                self.expected_wallet(player),
                self.stored_wallet(&self.world.wallet(player).await),
            );
            if expected != stored {
                return Err(format!(
                    "player {player} should have\n  {expected:?}\nand has\n  {stored:?}"
                ));
            }
        }
        for stored in self.world.grants().await.iter().filter(|grant| grant.is_last) {
            // Points and tickets are grants too.
            if let Some(expected) = self.model.grants.get(self.ids.grants.place_of(stored.root_id)) {
                check_bonus(expected, stored)?;
            }
        }
        Ok(())
    }

    fn expected_wallet(&self, player: usize) -> Wallet {
        let lots = [Asset::Lp, Asset::Rp]
            .into_iter()
            .flat_map(|asset| self.model.open_lots(player, asset));
        let lot = |index: usize| {
            let lot = &self.model.players[player].lots[index];
            (lot.asset, lot.remaining, lot.earned_at, lot.expires_at)
        };
        let grant = |index: usize| {
            let grant = &self.model.grants[index];
            let times = [Some(grant.issued_at), grant.activated_at, grant.expires_at];
            (
                index,
                grant.status,
                [grant.amount, grant.balance, grant.required, grant.wagered],
                times,
            )
        };
        Wallet {
            balances: Asset::ALL.map(|asset| self.model.balance(player, asset)),
            debt: self.model.players[player].debt,
            lots: lots.map(lot).collect(),
            grants: self.model.open_grants(player).into_iter().map(grant).collect(),
        }
    }

    fn stored_wallet(&self, view: &WalletView) -> Wallet {
        let grant = |grant: &app::wallet::Grant| {
            let times = [Some(grant.issued_at), grant.activated_at, grant.expires_at];
            let amounts = [
                grant.amount,
                grant.balance,
                grant.wagering_required,
                grant.wagering_completed,
            ];
            (self.ids.grant_of(grant.grant_id), grant.status, amounts, times)
        };
        let mut lots: Vec<_> = view
            .lots
            .iter()
            .map(|lot| (lot.asset, lot.remaining, lot.earned_at, lot.expires_at))
            .collect();
        lots.sort_by_key(|(asset, ..)| *asset);
        Wallet {
            balances: [view.bonus, view.lp, view.rp, view.tickets],
            debt: view.lp_debt,
            lots,
            grants: view.grants.iter().map(grant).collect(),
        }
    }
}

fn check_bonus(expected: &Grant, stored: &Stored) -> Result<(), String> {
    let of_model = (
        expected.status,
        expected.reason,
        [
            expected.balance,
            expected.wagered,
            expected.converted,
            expected.released,
        ],
    );
    let of_program = (
        stored.status,
        stored.reason.as_deref(),
        [stored.balance, stored.wagered, stored.converted, stored.released],
    );
    if of_model == of_program {
        Ok(())
    } else {
        Err(format!(
            "a bonus should be\n  {of_model:?}\nand is\n  {of_program:?}\n{stored:?}"
        ))
    }
}

/// Whether the effect of `one` at an instant depends on whether `other` came before it: play and deductions, on what
/// people do and rules give. These do not run concurrently.
fn depend(one: &Operation, other: &Operation) -> bool {
    let is_play = matches!(
        one,
        Operation::Stake { .. } | Operation::Payout { .. } | Operation::Withdraw { .. } | Operation::Deduct { .. }
    );
    let is_act = matches!(
        other,
        Operation::AddBonus { .. }
            | Operation::Deduct { .. }
            | Operation::Reverse { .. }
            | Operation::Change { .. }
            | Operation::Reward { .. }
            | Operation::Redeem { .. }
            | Operation::AccountChange { .. }
    );
    let is_any = |operation: &Operation| {
        matches!(
            operation,
            Operation::Repeat { .. } | Operation::Altered { .. } | Operation::ReverseOther { .. }
        )
    };
    is_any(one) || (is_play && is_act)
}

/// Its place; amount, balance, required, wagered; issued, activated, expires.
type HeldGrant = (usize, GrantStatus, [Decimal; 4], [Option<Timestamp>; 3]);

/// What a player owns.
#[derive(Debug, PartialEq)]
struct Wallet {
    /// In the order of `Asset::ALL`.
    balances: [Decimal; 4],
    debt: Decimal,
    lots: Vec<(Asset, Decimal, Timestamp, Option<Timestamp>)>,
    grants: Vec<HeldGrant>,
}

fn unwrap<T>(answer: &First<T>, said: impl FnOnce(&T) -> Said) -> (bool, Said) {
    match answer {
        First::First(value) => (false, said(value)),
        First::Replayed(value) => (true, said(value)),
    }
}

fn refusal(error: &Error) -> Result<Refusal, String> {
    Ok(match error {
        Error::NotFound { .. } => Refusal::NotFound,
        Error::Validation(errors) => Refusal::Invalid(errors[0].pointer.clone()),
        Error::Account(AccountError::Ledger(error))
        | Error::Event(EventError::Account(AccountError::Ledger(error))) => match error {
            LedgerError::InsufficientBalance {
                available, requested, ..
            } => Refusal::Insufficient {
                available: *available,
                requested: *requested,
            },
            LedgerError::OutOfRange { .. } | LedgerError::NotPositive { .. } => Refusal::Overflow,
        },
        Error::Event(EventError::OutOfRange { .. }) => Refusal::Overflow,
        Error::Event(EventError::InFuture { .. } | EventError::TooOld { .. }) => {
            Refusal::Invalid("/occurred_at".into())
        }
        Error::Idempotency(IdempotencyError::Reused) => Refusal::KeyReused,
        Error::Stored { .. } | Error::Store(_) => return Err(format!("it failed: {error:?}")),
        refused => Refusal::Conflict(refused.code()),
    })
}

/// The operation and its outcome, as a label to count.
fn label(command: &Command, answer: &Answer) -> String {
    let request = match &command.request {
        Request::AddLp { .. } => "add_lp",
        Request::AddBonus(_) => "add_bonus",
        Request::Deduct { .. } => "deduct",
        Request::Reverse(_) => "reverse",
        Request::Change { to, .. } => match to {
            Change::Activate => "activate",
            Change::Forfeit => "forfeit",
            Change::Cancel => "cancel",
        },
        Request::Redeem { .. } => "redeem",
        Request::Reward { .. } => "reward",
        Request::Event { action, .. } => action.event_type().as_str(),
        Request::Expire { .. } => "expire",
        Request::AccountChange { .. } => "standing",
    };
    match answer {
        Ok(Reply { replayed: true, .. }) => format!("{request} replayed"),
        Ok(Reply {
            said: Said::Outcome(Outcome {
                remark: Some(remark), ..
            }),
            ..
        }) => format!("{request} {remark:?}"),
        Ok(Reply {
            said: Said::Outcome(outcome),
            ..
        }) if outcome.effects.iter().any(|effect| effect.released > Decimal::ZERO) => {
            format!("{request} released")
        }
        Ok(Reply {
            said: Said::Outcome(outcome),
            ..
        }) if outcome.overdrawn > Decimal::ZERO => format!("{request} overdrawn"),
        Ok(Reply {
            said: Said::Outcome(outcome),
            ..
        }) if outcome.forfeited > Decimal::ZERO => format!("{request} forfeited"),
        Ok(Reply {
            said: Said::Outcome(outcome),
            ..
        }) if outcome.effects.len() > 1 => format!("{request} on several"),
        Ok(_) => format!("{request} ok"),
        Err(Refusal::Conflict(code)) => format!("{request} {code}"),
        Err(Refusal::Insufficient { .. }) => format!("{request} insufficient"),
        Err(Refusal::Invalid(_)) => format!("{request} invalid"),
        Err(refusal) => format!("{request} {refusal:?}"),
    }
}
