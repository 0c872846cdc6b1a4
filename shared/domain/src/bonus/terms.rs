//! The terms of a bonus: what must be staked before its money becomes real.

use crate::money::{is_storable, round_requirement};
use crate::text_enum;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

text_enum! {
    /// The amount that the wagering requirement multiplies.
    #[derive(Default)]
    pub enum WageringBasis as "wagering basis" {
        #[default]
        Bonus = "BONUS",
        /// The deposit that caused the bonus, plus the bonus.
        DepositPlusBonus = "DEPOSIT_PLUS_BONUS",
    }
}

text_enum! {
    /// What a stake above `max_bet` does.
    #[derive(Default)]
    pub enum MaxBetAction as "action above the largest bet" {
        /// It does not contribute.
        #[default]
        Ignore = "IGNORE",
        /// It forfeits the bonus.
        Forfeit = "FORFEIT",
    }
}

text_enum! {
    /// What a withdrawal does to an open bonus.
    #[derive(Default)]
    pub enum OnWithdrawal as "action on a withdrawal" {
        #[default]
        Forfeit = "FORFEIT",
        Keep = "KEEP",
    }
}

/// Copied to a grant when it is created. Later edits of the rule do not change it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantTerms {
    /// Multiple of the basis to stake; 0 converts at once.
    pub wagering_requirement: Decimal,
    pub wagering_basis: WageringBasis,
    /// Hours from issue to expiry; none: never expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_hours: Option<u32>,
    /// Only stakes on these games contribute; none: all games, by weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eligible_games: Option<Vec<String>>,
    /// Share of a stake that contributes, 0 to 1, by game; overrides [`default_game_weight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub game_weights: Option<BTreeMap<String, Decimal>>,
    /// Largest stake that contributes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bet: Option<Decimal>,
    pub max_bet_action: MaxBetAction,
    /// The upper limit of the cash it converts to, as a multiple of the amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_conversion: Option<Decimal>,
    pub on_withdrawal: OnWithdrawal,
    pub requires_opt_in: bool,
}

impl GrantTerms {
    /// The amount that the requirement multiplies: the bonus, or deposit and bonus. `None` on overflow.
    pub fn basis(&self, amount: Decimal, deposit: Decimal) -> Option<Decimal> {
        match self.wagering_basis {
            WageringBasis::Bonus => Some(amount),
            WageringBasis::DepositPlusBonus => amount.checked_add(deposit),
        }
    }

    /// Money to stake before a bonus of `amount` converts, rounded up to cents. `None` above the range of amounts.
    ///
    /// `deposit` counts only for [`WageringBasis::DepositPlusBonus`].
    pub fn wagering_required(&self, amount: Decimal, deposit: Decimal) -> Option<Decimal> {
        self.basis(amount, deposit)?
            .checked_mul(self.wagering_requirement)
            .map(round_requirement)
            .filter(|required| is_storable(*required))
    }
}

impl GrantTerms {
    /// Share of a stake on `game` that contributes, 0 to 1.
    pub fn game_weight(&self, game: &str) -> Decimal {
        if !self.is_eligible(game) {
            return Decimal::ZERO;
        }
        let own = self
            .game_weights
            .as_ref()
            .and_then(|weights| weights.get(game).copied());
        own.unwrap_or_else(|| default_game_weight(game))
    }

    pub fn is_eligible(&self, game: &str) -> bool {
        self.eligible_games
            .as_ref()
            .is_none_or(|games| games.iter().any(|eligible| eligible == game))
    }

    /// Whether the game has a weight, in these terms or by default.
    pub fn knows(&self, game: &str) -> bool {
        self.game_weights
            .as_ref()
            .is_some_and(|weights| weights.contains_key(game))
            || weighted_games().any(|known| known == game)
    }
}

/// Default weights: the share of a stake that contributes to wagering.
const GAME_WEIGHTS: [(&str, i64); 8] = [
    ("slots", 100),
    ("video_poker", 50),
    ("roulette", 20),
    ("table", 10),
    ("blackjack", 10),
    ("baccarat", 10),
    ("poker", 10),
    ("live", 5),
];

/// The share of a stake on `game` that contributes unless the terms say otherwise: slots 1, video poker 0.5,
/// roulette 0.2, table games 0.1, live 0.05, anything else 0.
pub fn default_game_weight(game: &str) -> Decimal {
    let per_cent = GAME_WEIGHTS
        .iter()
        .find(|(name, _)| *name == game)
        .map_or(0, |(_, per_cent)| *per_cent);
    Decimal::new(per_cent, 2).normalize()
}

/// The games that have a default weight.
pub fn weighted_games<'a>() -> impl Iterator<Item = &'a str> {
    GAME_WEIGHTS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn the_requirement_is_a_multiple_of_its_basis_rounded_up() {
        let terms = GrantTerms {
            wagering_requirement: d("10"),
            ..GrantTerms::default()
        };
        assert_eq!(terms.wagering_required(d("480.00"), d("100")), Some(d("4800.00")));
        let both = GrantTerms {
            wagering_basis: WageringBasis::DepositPlusBonus,
            ..terms.clone()
        };
        assert_eq!(both.wagering_required(d("100"), d("100")), Some(d("2000")));
        let odd = GrantTerms {
            wagering_requirement: d("3.1"),
            ..terms
        };
        assert_eq!(odd.wagering_required(d("33.33"), Decimal::ZERO), Some(d("103.33"))); // 103.323
        assert_eq!(odd.wagering_required(Decimal::MAX, Decimal::ZERO), None);
        assert_eq!(odd.wagering_required(d("900000000000000"), Decimal::ZERO), None);
    }

    #[test]
    fn ten_staked_on_blackjack_contribute_one() {
        assert_eq!(d("10") * default_game_weight("blackjack"), d("1"));
        assert_eq!(default_game_weight("slots"), Decimal::ONE);
        assert_eq!(default_game_weight("bingo"), Decimal::ZERO);
    }

    #[test]
    fn terms_override_the_weights_and_name_the_eligible_games() {
        let terms = GrantTerms {
            eligible_games: Some(vec!["slots".into(), "roulette".into()]),
            game_weights: Some([("roulette".to_owned(), d("0.5"))].into()),
            ..GrantTerms::default()
        };
        assert_eq!(terms.game_weight("slots"), d("1"));
        assert_eq!(terms.game_weight("roulette"), d("0.5"));
        assert_eq!(terms.game_weight("blackjack"), d("0"));
        assert_eq!(GrantTerms::default().game_weight("roulette"), d("0.2"));
        assert!(terms.knows("blackjack") && !terms.knows("ludo"));
    }

    #[test]
    fn terms_are_read_as_they_were_written() {
        let terms = GrantTerms {
            wagering_requirement: d("10"),
            expiry_hours: Some(48),
            eligible_games: Some(vec!["slots".into()]),
            max_bet: Some(d("5.50")),
            ..GrantTerms::default()
        };
        let json = serde_json::to_string(&terms).unwrap();
        assert!(json.contains(r#""max_bet":5.50"#), "{json}");
        assert_eq!(serde_json::from_str::<GrantTerms>(&json).unwrap(), terms);
    }
}
