//! A program with the sample rules, and the workers' steps.

use app::imports::{self, Applied, Chunk, Ending, Import, Object};
use app::program::Program;
use app::runs::rewards;
use app::runs::segmentation::{self, Next};
use app::runs::{self, Run, ShardMessage};
use app::{Act, Context, Db};
use domain::id::RunId;
use domain::import::Format;
use domain::import::columns::Columns;
use domain::import::row::{Cell, PlayerRow};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};
use testing::TestDb;

pub struct TestProgram {
    pub database: TestDb,
    pub db: Db,
}

/// Noon UTC, one microsecond later at each call, with new ids.
pub fn context() -> Context {
    static CALLS: AtomicI64 = AtomicI64::new(0);
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let now = noon + SignedDuration::from_micros(CALLS.fetch_add(1, Ordering::Relaxed));
    Context {
        now,
        new_id: uuid::Uuid::now_v7,
    }
}

pub fn sample_rules() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../../events/sample/rules.json")).unwrap()
}

impl TestProgram {
    pub async fn new(rules: &[Value]) -> Self {
        let database = TestDb::new().await;
        database.subscribe().await;
        let db = database.db();
        for rule in rules {
            app::rules::create(&db, rule, &Act::of("test", context()))
                .await
                .unwrap();
        }
        Self { database, db }
    }

    pub async fn sample() -> Self {
        Self::new(&sample_rules()).await
    }

    pub async fn open(&self, name: &str) -> Import {
        let object = Object {
            bucket: "b".into(),
            key: name.into(),
            version: "1".into(),
            size_bytes: None,
        };
        imports::open(&self.db, &object, context()).await.unwrap()
    }

    pub async fn apply(&self, import: &Import, chunk: &Chunk) -> Applied {
        let program = Program::load(&self.db.client().await.unwrap(), context().now)
            .await
            .unwrap();
        imports::apply(&self.db, import, chunk, &program, context())
            .await
            .unwrap()
    }

    /// Imports a file of one chunk and processes its run.
    pub async fn import(&self, name: &str, csv: &str) -> (Import, Option<Run>) {
        let import = self.open(name).await;
        let lines = u64::try_from(csv.lines().count()).unwrap();
        assert_eq!(self.apply(&import, &chunk(csv, 0, lines + 1)).await, Applied::Advanced);
        let import = imports::end(&self.db, import.import_id, &Ending::Read, context())
            .await
            .unwrap();
        self.work_off(import.run_id).await;
        (import.clone(), runs::find(&self.db, import.run_id).await.unwrap())
    }

    /// Processes a run as the two workers do.
    pub async fn work_off(&self, run_id: RunId) {
        for message in runs::open_messages(&self.db, run_id).await.unwrap() {
            self.segment(message).await;
            rewards::run_shard(&self.db, message, context()).await.unwrap();
        }
    }

    pub async fn segment(&self, message: ShardMessage) -> Next {
        segmentation::run_shard(&self.db, message, context()).await.unwrap()
    }

    pub async fn text(&self, query: &str) -> String {
        self.database.text(query).await
    }

    pub async fn audit(&self) {
        testing::audit(&self.database.owner()).await;
    }
}

/// The rows of a CSV text without quotes, as a chunk that starts at the watermark `line`.
pub fn chunk(csv: &str, line: u64, next_line: u64) -> Chunk {
    let mut lines = csv.lines();
    let (columns, warnings) = Columns::from_header(&lines.next().unwrap().split(',').collect::<Vec<_>>()).unwrap();
    let mut chunk = Chunk {
        format: Format::Csv,
        rows: Vec::new(),
        errors: Vec::new(),
        warnings,
        line,
        next_byte: next_line * 10,
        next_line,
    };
    for (number, text) in (2..).zip(lines) {
        match PlayerRow::parse(&columns, number, text.split(',').map(Cell::from)) {
            Ok(row) => chunk.rows.extend(row),
            Err(errors) => chunk.errors.extend(errors),
        }
    }
    chunk
}
