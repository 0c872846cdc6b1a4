//! One player with many concurrent writers.

use crate::program::{TestProgram, at, d, occurrence, stake};
use app::Act;
use app::activity;
use futures_util::future::join_all;

/// 10,000 stakes in 20 batches, each sent twice, by eight callers.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_stakes_on_one_player_count_once_each() {
    const BATCHES: usize = 20;
    const STAKES: usize = 500;
    let program = TestProgram::new(&["HOT".to_owned(), "A".to_owned(), "Z".to_owned()]).await;
    let caller = |caller: usize| {
        let db = app::Db::new(&program.database.url(), None).unwrap();
        async move {
            for batch in (0..BATCHES * 2).filter(|batch| batch % 8 == caller) {
                // Mixed with other players, in a different order in each batch.
                let event = |number: usize| {
                    let name = format!("s{}-{number}", batch / 2);
                    let player = match number {
                        0 => ["A", "Z"][batch % 2],
                        499 => ["Z", "A"][batch % 2],
                        _ => "HOT",
                    };
                    occurrence(player, &name, stake(d("11"), d("0"), "slots", None), at(0).now)
                };
                let recordings = activity::record(&db, (0..STAKES).map(event).collect(), &Act::of("test", at(1)))
                    .await
                    .unwrap()
                    .recordings;
                assert!(recordings.iter().all(Result::is_ok));
            }
        }
    };
    join_all((0..8).map(caller)).await;
    let totals =
        "SELECT concat_ws(' ', round(total_wagered, 2), total_bets) FROM player_totals WHERE player_id = 'HOT'";
    assert_eq!(
        program.text(totals).await,
        format!("{}.00 {}", BATCHES * 498 * 11, BATCHES * 498)
    );
    assert_eq!(
        program
            .text("SELECT count(*) FROM activity_events WHERE player_id = 'HOT'")
            .await,
        (BATCHES * 498).to_string()
    );
    let tier = "SELECT tier FROM players WHERE player_id = 'HOT'";
    assert_eq!(program.text(tier).await, "GOLD"); // 9,960 × 1.10 = 10,956 points
    assert_eq!(
        program
            .text("SELECT count(*) FROM point_lots WHERE player_id = 'HOT'")
            .await,
        "1"
    );
    program.audit().await;
}
