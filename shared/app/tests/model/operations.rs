//! The operations of a random sequence and their generators. Picks are small numbers, so that they shrink;
//! `commands.rs` resolves them into requests.

use domain::ledger::Kind;
use domain::money::Asset;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// One step of a sequence. Amounts are in cents, tickets in pieces. Player numbers beyond the last do not exist.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    Wait {
        minutes: u16,
    },
    AddLp {
        player: u8,
        amount: Amount,
        keyed: bool,
    },
    AddBonus {
        player: u8,
        bonus: Bonus,
        keyed: bool,
    },
    /// Uses another asset if the player has none of this one.
    Deduct {
        player: u8,
        asset: Asset,
        amount: Amount,
        keyed: bool,
    },
    /// A manual or rule transaction; the pick counts back from the last.
    Reverse {
        back: u8,
        keyed: bool,
    },
    /// The first transaction of a kind that cannot be reversed.
    ReverseOther {
        player: u8,
        kind: Kind,
    },
    /// One of the grants that allow the change, or with 4 of all grants; the pick counts back from the last.
    Change {
        grant: u8,
        to: Change,
        keyed: bool,
    },
    /// Evaluates with a new rule, or without: then older rules grant to players they have not granted yet.
    Reward {
        rule: Option<Rule>,
        who: Who,
    },
    /// A catalogue entry, or the next affordable one. Numbers beyond the last do not exist.
    Redeem {
        player: u8,
        entry: u8,
        keyed: bool,
    },
    /// The bonus part is at most the bonus balance and the stake, except to overdraw it (`All` with `more`).
    Stake {
        player: u8,
        amount: Amount,
        bonus: Amount,
        game: Option<&'static str>,
        round: Option<u8>,
        late_minutes: u16,
        named: Named,
    },
    Payout {
        player: u8,
        amount: Amount,
        round: Option<u8>,
        named: Named,
    },
    /// A stake or payout, or with 4 any event; the pick counts back from the last.
    Void {
        player: u8,
        event: u8,
        named: Named,
    },
    Withdraw {
        player: u8,
        amount: Amount,
    },
    Expire {
        players_max: u16,
    },
    AccountChange {
        player: u8,
        to: AccountChange,
    },
    /// Repeats an earlier request.
    Repeat {
        back: u8,
    },
    /// Repeats an earlier request under the same key with other content.
    Altered {
        back: u8,
    },
    /// Two concurrent operations.
    Together(Box<Operation>, Box<Operation>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    Cents(u32),
    /// The whole balance (10 if it is empty) plus `more` cents.
    All {
        more: u8,
    },
    /// This percentage of the balance, at least a cent.
    Part(u8),
    /// Almost the limit of a wallet.
    Huge,
    Negative,
    /// More decimal places than the asset allows.
    Fine,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Bonus {
    pub amount: Amount,
    pub wagering: u32,
    pub hours: Option<u32>,
    pub max_bet: Option<u32>,
    pub games: Option<Vec<&'static str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Activate,
    Forfeit,
    Cancel,
}

/// What a rule grants.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub asset: Asset,
    pub amount: u32,
    pub expiry: Option<u8>,
    pub terms: RuleTerms,
}

/// The terms of a rule that grants bonus money.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTerms {
    /// Tenths.
    pub multiplier: u8,
    pub games: Option<Vec<&'static str>>,
    /// Game and per cent.
    pub weights: Vec<(&'static str, u8)>,
    pub max_bet: Option<u32>,
    pub max_bet_forfeits: bool,
    /// Tenths.
    pub max_conversion: Option<u8>,
    pub kept_on_withdrawal: bool,
    pub opt_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    One(u8),
    All,
}

/// The id of an event, or the id that a void names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// For an event: a new id. For a void: the id of a recorded event.
    Anew,
    /// For a void: the id of a later event. For an event: an id that was already voided.
    Ahead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChange {
    Blocked(bool),
    Active(bool),
    Excluded { hours: u8 },
    Included,
}

pub const GAMES: [&str; 5] = ["slots", "roulette", "blackjack", "live", "bingo"];
const OTHER_KINDS: [Kind; 10] = [
    Kind::Stake,
    Kind::Payout,
    Kind::Void,
    Kind::BonusActivation,
    Kind::BonusConversion,
    Kind::BonusExpiry,
    Kind::BonusForfeiture,
    Kind::BonusCancellation,
    Kind::PointsExpiry,
    Kind::Reversal,
];

pub fn sequence() -> impl Strategy<Value = Vec<Operation>> {
    let then = vec(
        prop_oneof![7 => operation().prop_map(|one| vec![one]).boxed(), 1 => bonus_round().boxed()],
        1..=15,
    );
    (vec(given(), 0..=3), then).prop_map(|(first, then)| first.into_iter().chain(then.into_iter().flatten()).collect())
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => single().boxed(),
        1 => (single().boxed(), single().boxed()).prop_map(|(a, b)| Operation::Together(Box::new(a), Box::new(b))),
    ]
}

/// All bonus money in one round, another operation, and the round's payout, which random sequences rarely produce.
fn bonus_round() -> impl Strategy<Value = Vec<Operation>> {
    let game = prop_oneof![Just(Some("slots")), Just(Some("live")), Just(None)];
    (0..2_u8, 0..2_u8, game, operation(), amount()).prop_map(|(player, round, game, between, amount)| {
        let (all, round) = (Amount::All { more: 0 }, Some(round));
        let stake = Operation::Stake {
            player,
            amount: all,
            bonus: all,
            game,
            round,
            late_minutes: 0,
            named: Named::Anew,
        };
        vec![
            stake,
            between,
            Operation::Payout {
                player,
                amount,
                round,
                named: Named::Anew,
            },
        ]
    })
}

fn single() -> impl Strategy<Value = Operation> {
    prop_oneof![
        14 => given().boxed(),
        10 => taken().boxed(),
        24 => played().boxed(),
        11 => swept().boxed(),
        4 => (0..6_u8).prop_map(|back| Operation::Repeat { back }),
        1 => (0..6_u8).prop_map(|back| Operation::Altered { back }),
    ]
}

fn given() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => (player(), amount(), any::<bool>())
            .prop_map(|(player, amount, keyed)| Operation::AddLp { player, amount, keyed }),
        7 => (player(), bonus(), any::<bool>())
            .prop_map(|(player, bonus, keyed)| Operation::AddBonus { player, bonus, keyed }),
        6 => (option::weighted(0.8, rule()), who()).prop_map(|(rule, who)| Operation::Reward { rule, who }),
        3 => (0..5_u8, any::<bool>())
            .prop_map(|(grant, keyed)| Operation::Change { grant, to: Change::Activate, keyed }),
    ]
}

fn taken() -> impl Strategy<Value = Operation> {
    let asset = select(Asset::ALL.to_vec());
    let entry = prop_oneof![8 => 0..5_u8, 1 => 5..8_u8];
    let change = prop_oneof![Just(Change::Forfeit), Just(Change::Cancel)];
    let part = prop_oneof![10 => (1..100_u8).prop_map(Amount::Part), 6 => Just(Amount::All { more: 0 }), 5 => amount()];
    prop_oneof![
        5 => (player(), asset, part, any::<bool>())
            .prop_map(|(player, asset, amount, keyed)| Operation::Deduct { player, asset, amount, keyed }),
        6 => (0..5_u8, any::<bool>()).prop_map(|(back, keyed)| Operation::Reverse { back, keyed }),
        5 => (player(), entry, any::<bool>())
            .prop_map(|(player, entry, keyed)| Operation::Redeem { player, entry, keyed }),
        1 => (player(), select(OTHER_KINDS.to_vec()))
            .prop_map(|(player, kind)| Operation::ReverseOther { player, kind }),
        1 => (0..5_u8, change, any::<bool>()).prop_map(|(grant, to, keyed)| Operation::Change { grant, to, keyed }),
    ]
}

fn played() -> impl Strategy<Value = Operation> {
    let some = prop_oneof![
        10 => (1..=6_000_u32).prop_map(Amount::Cents),
        10 => (1..100_u8).prop_map(Amount::Part),
        1 => Just(Amount::All { more: 1 }),
        1 => Just(Amount::Negative),
    ];
    let part = prop_oneof![4 => Just(Amount::Cents(0)), 8 => some, 8 => Just(Amount::All { more: 0 })];
    let late = prop_oneof![6 => Just(0_u16), 1 => 0..3_000_u16];
    let game = prop_oneof![5 => Just(Some("slots")), 4 => option::of(select(GAMES.to_vec()))];
    prop_oneof![
        10 => (player(), amount(), part, game, round(), late, named()).prop_map(
            |(player, amount, bonus, game, round, late_minutes, named)| {
                Operation::Stake { player, amount, bonus, game, round, late_minutes, named }
            }
        ),
        7 => (player(), amount(), round(), named())
            .prop_map(|(player, amount, round, named)| Operation::Payout { player, amount, round, named }),
        5 => (player(), 0..5_u8, named()).prop_map(|(player, event, named)| Operation::Void { player, event, named }),
        1 => (player(), amount()).prop_map(|(player, amount)| Operation::Withdraw { player, amount }),
    ]
}

fn swept() -> impl Strategy<Value = Operation> {
    let standing = prop_oneof![
        any::<bool>().prop_map(AccountChange::Blocked),
        any::<bool>().prop_map(AccountChange::Active),
        (1..48_u8).prop_map(|hours| AccountChange::Excluded { hours }),
        Just(AccountChange::Included),
    ];
    let minutes = prop_oneof![2 => 1..120_u16, 5 => 120..1_600_u16, 1 => 1_600..6_000_u16];
    prop_oneof![
        5 => minutes.prop_map(|minutes| Operation::Wait { minutes }),
        2 => prop_oneof![Just(1_u16), Just(10_u16)].prop_map(|players_max| Operation::Expire { players_max }),
        1 => (player(), standing).prop_map(|(player, to)| Operation::AccountChange { player, to }),
    ]
}

fn player() -> impl Strategy<Value = u8> {
    prop_oneof![24 => Just(0_u8), 8 => Just(1_u8), 1 => Just(2_u8)]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![3 => (0..2_u8).prop_map(Who::One), 1 => Just(Who::All)]
}

fn round() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![5 => Just(Some(0_u8)), 2 => Just(Some(1_u8)), 1 => Just(None)]
}

fn named() -> impl Strategy<Value = Named> {
    prop_oneof![7 => Just(Named::Anew), 1 => Just(Named::Ahead)]
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        14 => (1..=12_000_u32).prop_map(Amount::Cents),
        14 => (1..=120_u32).prop_map(|whole| Amount::Cents(whole * 100)),
        10 => (1..100_u8).prop_map(Amount::Part),
        8 => Just(Amount::All { more: 0 }),
        1 => Just(Amount::All { more: 1 }),
        1 => Just(Amount::Cents(0)),
        1 => prop_oneof![Just(Amount::Huge), Just(Amount::Negative), Just(Amount::Fine)],
    ]
}

fn games() -> impl Strategy<Value = Option<Vec<&'static str>>> {
    let one_or_two = prop_oneof![8 => subsequence(GAMES[..4].to_vec(), 1..=2), 1 => Just(vec!["bingo"])];
    option::weighted(0.2, one_or_two)
}

fn bonus() -> impl Strategy<Value = Bonus> {
    let wagering = prop_oneof![1 => Just(0_u32), 4 => 1..=8_000_u32, 4 => (1..=80_u32).prop_map(|whole| whole * 100)];
    let hours = option::weighted(0.7, prop_oneof![30 => 1..=40_u32, 1 => Just(0_u32)]);
    let max_bet = option::weighted(0.15, 0..=5_000_u32);
    (amount(), wagering, hours, max_bet, games()).prop_map(|(amount, wagering, hours, max_bet, games)| Bonus {
        amount,
        wagering,
        hours,
        max_bet,
        games,
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let asset =
        prop_oneof![4 => Just(Asset::Bonus), 3 => Just(Asset::Rp), 2 => Just(Asset::Lp), 1 => Just(Asset::Tickets)];
    let amount = prop_oneof![1..=10_000_u32, (1..=100_u32).prop_map(|whole| whole * 100)];
    (asset, amount, option::weighted(0.7, 1..=3_u8), terms()).prop_map(|(asset, amount, expiry, terms)| Rule {
        asset,
        amount,
        expiry,
        terms,
    })
}

fn terms() -> impl Strategy<Value = RuleTerms> {
    let games = option::weighted(0.15, subsequence(GAMES[..3].to_vec(), 1..=2));
    let weights = vec((select(GAMES[..4].to_vec()), 0..=100_u8), 0..=2);
    let multiplier = prop_oneof![1 => Just(0_u8), 6 => 1..=20_u8];
    let max_bet = option::weighted(0.25, 1..=5_000_u32);
    let max_conversion = option::weighted(0.6, 1..=30_u8);
    (
        multiplier,
        games,
        weights,
        max_bet,
        any::<bool>(),
        max_conversion,
        any::<bool>(),
        proptest::bool::weighted(0.3),
    )
        .prop_map(
            |(multiplier, games, weights, max_bet, max_bet_forfeits, max_conversion, kept_on_withdrawal, opt_in)| {
                RuleTerms {
                    multiplier,
                    games,
                    weights,
                    max_bet,
                    max_bet_forfeits,
                    max_conversion,
                    kept_on_withdrawal,
                    opt_in,
                }
            },
        )
}
