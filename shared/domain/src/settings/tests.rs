use super::*;

fn places(settings: &Settings) -> Vec<(String, &'static str)> {
    settings
        .validate()
        .into_iter()
        .map(|error| (error.pointer, error.code))
        .collect()
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(places(&Settings::default()), []);
}

#[test]
fn every_wrong_value_is_named_by_its_place() {
    let mut settings = Settings {
        currency: "usd".into(),
        time_zone: "Mars/Olympus".into(),
        ..Settings::default()
    };
    settings.unit_cost.redemption_rate = dec(101, 2);
    settings.segments.margin = dec(-1, 2);
    settings.caps.day = dec(-1, 0);
    settings.profit.game_edge.insert("a/b".into(), dec(2, 0));
    settings.profit.bet_sd = Decimal::ZERO;
    settings
        .profit
        .retention_multiplier
        .entry(Segment::Vip)
        .or_default()
        .insert("MONEY".into(), Decimal::ONE);
    settings.max_rewards_per_evaluation = 0;
    settings.tier_qualification_days = Some(0);
    settings.tier_grace_days = 3_651;
    settings.activity.lp_per_unit_staked = dec(-1, 1);
    settings.activity.lp_expiry_days = Some(0);
    settings.activity.event_age_days_max = 0;
    settings.risk.half_life_days = 0;
    settings.risk.bet_stakes_last = 9;
    settings.risk.low_risk_share_above = dec(101, 2);
    settings.risk.suspicious_win_ratio = dec(-1, 0);
    settings.schedules.expire_every_minutes = Some(0);
    settings.schedules.recover_every_minutes = Some(1_441);
    settings.retention.trigger_days = 0;
    let expected = [
        ("/currency", "format"),
        ("/time_zone", "unknown"),
        ("/max_rewards_per_evaluation", "range"),
        ("/tier_qualification_days", "range"),
        ("/tier_grace_days", "range"),
        ("/activity/lp_per_unit_staked", "range"),
        ("/activity/lp_expiry_days", "range"),
        ("/activity/event_age_days_max", "range"),
        ("/segments/margin", "range"),
        ("/profit/game_edge/a~1b", "range"),
        ("/profit/bet_sd", "range"),
        ("/profit/retention_multiplier/VIP/MONEY", "unknown"),
        ("/unit_cost/redemption_rate", "range"),
        ("/caps/day", "range"),
        ("/risk/half_life_days", "range"),
        ("/risk/bet_stakes_last", "range"),
        ("/risk/suspicious_win_ratio", "range"),
        ("/risk/low_risk_share_above", "range"),
        ("/schedules/expire_every_minutes", "range"),
        ("/schedules/recover_every_minutes", "range"),
        ("/retention/trigger_days", "range"),
    ];
    assert_eq!(
        places(&settings),
        expected.map(|(place, code)| (place.to_owned(), code))
    );
}

#[test]
fn vip_begins_above_new() {
    let mut settings = Settings::default();
    settings.segments.vip_wagered_above = dec(999, 0);
    assert_eq!(places(&settings), [("/segments/vip_wagered_above".to_owned(), "range")]);
}
