//! A day of play, as the operator's systems send it.

use crate::{program, record};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use testing::day::{Day, Totals, numbered};
use testing::{Player, audit};

/// In the form of the query below. Points are a tenth of the stakes.
fn expected(totals: &Totals) -> String {
    let Totals {
        deposited,
        wagered,
        won,
        withdrawn,
        sessions,
        minutes,
        kyc_completed,
        profile_depth,
        ..
    } = totals;
    let hours = Decimal::from(*minutes) / Decimal::from(60);
    let points = wagered / Decimal::TEN;
    let profile_depth = profile_depth.unwrap_or_default();
    format!(
        "{deposited:.2} {wagered:.2} {won:.2} {withdrawn:.2} {sessions} {hours:.2} {kyc_completed} {profile_depth:.2} {points:.2} {deposited:.2} {wagered:.2}"
    )
}

#[tokio::test]
async fn a_day_of_play_is_counted_once_however_often_it_is_sent() {
    let program = program().await;
    let yesterday = lambda::context()
        .now
        .to_zoned(TimeZone::UTC)
        .date()
        .yesterday()
        .unwrap();
    // The twentieth player stakes ten times as much.
    let day = Day::new(3, yesterday, numbered("D", 20), 40);
    for player in numbered("D", 20) {
        Player::new(&player).insert(&program.db()).await;
    }
    for status in ["accepted", "duplicate"] {
        for body in day.bodies(500) {
            for result in record(&program, body["events"].clone()).await {
                assert_eq!(result["status"], status, "{result}");
            }
        }
        for (player, totals) in day.totals() {
            let query = format!(
                "SELECT concat_ws(' ', round(total_deposited, 2), round(total_wagered, 2), round(total_won, 2), round(total_withdrawn, 2),
                   session_count, round(playtime_hours, 2), kyc_completed::text, profile_depth,
                   (SELECT round(balance, 2) FROM wallets w WHERE w.player_id = p.player_id AND asset = 'LP'),
                   (SELECT round(deposited, 2) FROM player_daily d WHERE d.player_id = p.player_id AND day = '{yesterday}'),
                   (SELECT round(wagered, 2) FROM player_daily d WHERE d.player_id = p.player_id AND day = '{yesterday}'))
                 FROM players p JOIN player_totals USING (player_id) WHERE player_id = '{player}'"
            );
            assert_eq!(program.text(&query).await, expected(&totals), "{player}");
        }
    }
    audit(&program.owner()).await;
}
