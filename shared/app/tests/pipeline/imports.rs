use crate::program::{TestProgram, chunk, context};
use app::imports::{self, Applied, Ending, RunStatus};
use testing::Csv;

const HEADER: &str = "player_id,total_deposited,total_wagered,total_won,sessions\n";

fn counts(import: &imports::Import) -> [i64; 5] {
    [
        import.total_rows,
        import.created_rows,
        import.updated_rows,
        import.unchanged_rows,
        import.rejected_rows,
    ]
}

#[tokio::test]
async fn every_row_is_counted_once() {
    let program = TestProgram::new(&[]).await;
    program
        .import("1.csv", &format!("{HEADER}A,10,20,30,1\nB,10,20,30,1\nC,10,20,30,1\n"))
        .await;
    let second = format!("{HEADER}A,10,20,30,1\nB,11,20,30,1\nD,1,1,1,1\nE,-1,1,1,1\nD,2,2,2,2\n");
    let (import, _) = program.import("2.csv", &second).await;
    // total, created D, updated B, unchanged A, rejected E and the second D
    assert_eq!(counts(&import), [5, 1, 1, 1, 2]);
    assert_eq!(import.status, RunStatus::CompletedWithErrors);
    let errors = imports::errors(&program.db, import.import_id, (0, 0), 10)
        .await
        .unwrap();
    let shown: Vec<_> = errors
        .iter()
        .map(|e| {
            (
                e.line,
                e.column.as_deref().unwrap(),
                e.value.as_deref().unwrap(),
                e.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (5, "total_deposited", "-1", "must not be negative"),
            (
                6,
                "player_id",
                "D",
                "the player is already on line 4 of this file; the first row counts"
            ),
        ]
    );
    assert_eq!(
        program
            .text("SELECT total_deposited FROM player_totals WHERE player_id = 'D'")
            .await,
        "1.0000"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_duplicate_in_a_later_chunk_names_the_line_of_the_first() {
    let program = TestProgram::new(&[]).await;
    let import = program.open("f.csv").await;
    assert_eq!(
        program
            .apply(&import, &chunk(&format!("{HEADER}A,1,1,1,1\n"), 0, 3))
            .await,
        Applied::Advanced
    );
    let mut later = chunk(&format!("{HEADER}\nB,2,2,2,2\nA,9,9,9,9\n"), 3, 5);
    later.next_byte = 99;
    assert_eq!(program.apply(&import, &later).await, Applied::Advanced);
    let errors = imports::errors(&program.db, import.import_id, (0, 0), 10)
        .await
        .unwrap();
    assert_eq!(
        errors[0].reason,
        "the player is already on line 2 of this file; the first row counts"
    );
    assert_eq!(
        program
            .text("SELECT total_wagered FROM player_totals WHERE player_id = 'A'")
            .await,
        "1.0000"
    );
}

#[tokio::test]
async fn a_chunk_delivered_twice_counts_once() {
    let program = TestProgram::new(&[]).await;
    let import = program.open("f.csv").await;
    let first = chunk(&Csv::players().numbered("P", 50).to_string(), 0, 52);
    assert_eq!(program.apply(&import, &first).await, Applied::Advanced);
    assert_eq!(program.apply(&import, &first).await, Applied::Overtaken);
    assert_eq!(
        counts(&imports::get(&program.db, import.import_id).await.unwrap()),
        [50, 50, 0, 0, 0]
    );
    assert_eq!(
        program.text("SELECT sum(deposited) FROM player_daily").await,
        "50000.0000"
    );
}

#[tokio::test]
async fn the_same_chunk_in_two_workers_at_once_counts_once() {
    let program = TestProgram::new(&[]).await;
    let import = program.open("f.csv").await;
    let first = chunk(&Csv::players().numbered("P", 500).to_string(), 0, 502);
    let (a, b) = tokio::join!(program.apply(&import, &first), program.apply(&import, &first));
    assert_eq!(
        [a, b].iter().filter(|applied| **applied == Applied::Advanced).count(),
        1
    );
    assert_eq!(
        counts(&imports::get(&program.db, import.import_id).await.unwrap()),
        [500, 500, 0, 0, 0]
    );
}

#[tokio::test]
async fn an_object_is_imported_once_however_often_its_event_comes() {
    let program = TestProgram::new(&[]).await;
    let first = program.open("f.csv").await;
    assert_eq!(program.open("f.csv").await.import_id, first.import_id);
    let ended = imports::end(
        &program.db,
        first.import_id,
        &Ending::Failed { reason: "no".into() },
        context(),
    )
    .await
    .unwrap();
    let again = imports::end(&program.db, first.import_id, &Ending::Read, context())
        .await
        .unwrap();
    assert_eq!((ended.status, again.status), (RunStatus::Failed, RunStatus::Failed));
    assert_eq!(program.text("SELECT count(*) FROM runs").await, "0");
}

#[tokio::test]
async fn two_files_with_the_same_new_players_at_once_create_each_player_once() {
    let program = TestProgram::new(&[]).await;
    let csv = Csv::players().numbered("P", 800).to_string();
    let (a, b) = tokio::join!(program.import("a.csv", &csv), program.import("b.csv", &csv));
    let (a, b) = (counts(&a.0), counts(&b.0));
    assert_eq!(a[1] + b[1], 800, "created");
    assert_eq!(a[3] + b[3], 800, "unchanged");
    assert_eq!(
        program.text("SELECT sum(wagered) FROM player_daily").await,
        program.text("SELECT sum(total_wagered) FROM player_totals").await
    );
    program.audit().await;
}

#[tokio::test]
async fn the_difference_to_the_totals_before_lands_on_the_import_day() {
    let program = TestProgram::new(&[]).await;
    program.import("1.csv", &format!("{HEADER}A,100,2000,1500,4\n")).await;
    let (down, _) = program.import("2.csv", &format!("{HEADER}A,150,1900,1500,5\n")).await;
    assert_eq!(
        program
            .text("SELECT deposited || ' ' || wagered || ' ' || won || ' ' || day FROM player_daily")
            .await,
        "150.0000 1900.0000 1500.0000 2026-11-23"
    );
    let warning = down.warnings[0].as_str().unwrap();
    assert_eq!(
        warning,
        "line 2: total_wagered of player A went down from 2000.0000 to 1900; taken as a correction"
    );
}

#[tokio::test]
async fn an_old_account_brings_thirty_days_of_its_total() {
    let program = TestProgram::new(&[]).await;
    // Registered 300 days before 2026-11-23, so a tenth of the total counts in the windows.
    let csv = "player_id,total_deposited,total_wagered,total_won,registered_at\nA,1000,30000,10000,2026-01-27\n";
    program.import("1.csv", csv).await;
    assert_eq!(program.text("SELECT wagered FROM player_daily").await, "3000.0000");
    assert_eq!(
        program.text("SELECT total_wagered FROM player_totals").await,
        "30000.0000"
    );
}
