//! Test players and player files.

use store::Db;

/// A player with lifetime totals. Amounts are text, as in a file.
///
/// ```no_run
/// # async fn example(db: &store::Db) {
/// let player = testing::Player::new("P002").deposited("1000").wagered("5000").won("200").sessions(10);
/// player.segment("LOSING").insert(db).await;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Player {
    id: String,
    tier: String,
    segment: Option<String>,
    deposited: String,
    wagered: String,
    won: String,
    withdrawn: String,
    sessions: i32,
}

impl Player {
    pub fn new(player_id: &str) -> Self {
        Self {
            id: player_id.to_owned(),
            tier: "BRONZE".to_owned(),
            segment: None,
            deposited: "0".to_owned(),
            wagered: "0".to_owned(),
            won: "0".to_owned(),
            withdrawn: "0".to_owned(),
            sessions: 0,
        }
    }

    pub fn deposited(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.deposited);
        self
    }

    pub fn wagered(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.wagered);
        self
    }

    pub fn won(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.won);
        self
    }

    pub fn withdrawn(mut self, amount: &str) -> Self {
        amount.clone_into(&mut self.withdrawn);
        self
    }

    pub fn sessions(mut self, count: i32) -> Self {
        self.sessions = count;
        self
    }

    pub fn tier(mut self, tier: &str) -> Self {
        tier.clone_into(&mut self.tier);
        self
    }

    /// Sets the segment. Without it, the player is not classified yet.
    pub fn segment(mut self, segment: &str) -> Self {
        self.segment = Some(segment.to_owned());
        self
    }

    /// Writes everything that an import and a segmentation would have written, so that the audit passes. The stakes
    /// count for today.
    pub async fn insert(&self, db: &Db) {
        let client = db.client().await.expect("connect");
        client
            .execute(
                "WITH player AS (
                   INSERT INTO players (player_id, tier, created_at) VALUES ($1, $2, now())
                 ), totals AS (
                   INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won,
                     total_withdrawn, session_count, playtime_hours, updated_at)
                   VALUES ($1, $3::text::numeric, $4::text::numeric, $5::text::numeric, $6::text::numeric, $7, 0, now())
                 ), today AS (
                   INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn)
                   VALUES ($1, (now() AT TIME ZONE 'UTC')::date, $3::text::numeric, $4::text::numeric,
                     $5::text::numeric, $6::text::numeric)
                 ), current_segment AS (
                   INSERT INTO player_segments (player_id, segment, since)
                     SELECT $1, $8::text, now() WHERE $8::text IS NOT NULL
                 ), history AS (
                   INSERT INTO segment_history (player_id, at, to_segment)
                     SELECT $1, now(), $8::text WHERE $8::text IS NOT NULL
                 )
                 INSERT INTO stats (counter, slot, value)
                 SELECT counter, 0, 1
                   FROM unnest(ARRAY[
                     'players_total', 'players_active', 'tier:' || $2::text, 'segment:' || $8::text]) AS counter
                  WHERE counter IS NOT NULL
                 ON CONFLICT (counter, slot) DO UPDATE SET value = stats.value + 1",
                &[
                    &self.id,
                    &self.tier,
                    &self.deposited,
                    &self.wagered,
                    &self.won,
                    &self.withdrawn,
                    &self.sessions,
                    &self.segment,
                ],
            )
            .await
            .expect("insert the player");
    }
}

/// The text of a player file.
///
/// ```
/// let file = testing::Csv::new(&["player_id", "deposit"]).row(&["P001", "5000"]).to_string();
/// assert_eq!(file, "player_id,deposit\nP001,5000\n");
/// ```
#[derive(Clone, Debug)]
pub struct Csv(String);

impl Csv {
    pub fn new(columns: &[&str]) -> Self {
        Self(String::new()).row(columns)
    }

    /// The columns that a file must have: `player_id, total_deposited, total_wagered, total_won`, and `sessions`.
    pub fn players() -> Self {
        Self::new(&["player_id", "total_deposited", "total_wagered", "total_won", "sessions"])
    }

    /// The ten players of `events/sample/players.csv`.
    pub fn sample() -> Self {
        Self(include_str!("../../../events/sample/players.csv").to_owned())
    }

    /// Adds a row; quotes values where needed.
    pub fn row(mut self, values: &[&str]) -> Self {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            if value.contains([',', '"', '\n', '\r']) {
                self.0.push('"');
                self.0.push_str(&value.replace('"', "\"\""));
                self.0.push('"');
            } else {
                self.0.push_str(value);
            }
        }
        self.0.push('\n');
        self
    }

    /// `count` different valid players with ids from `{prefix}000001` on. Segments vary with the number.
    pub fn numbered(mut self, prefix: &str, count: usize) -> Self {
        for number in 1..=count {
            let wagered = 500 + (number * 7919) % 60_000;
            let won = wagered * (80 + number % 40) / 100;
            let id = format!("{prefix}{number:06}");
            self = self.row(&[
                &id,
                "1000",
                &wagered.to_string(),
                &won.to_string(),
                &(number % 120).to_string(),
            ]);
        }
        self
    }

    /// Adds a line verbatim, without its end: for malformed files.
    pub fn raw(mut self, line: &str) -> Self {
        self.0.push_str(line);
        self.0.push('\n');
        self
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

impl std::fmt::Display for Csv {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}
