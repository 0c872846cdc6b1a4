//! Writes a day of play, or sends it.

use std::io::{BufWriter, Write, stdout};

use bench::Result;
use clap::Parser;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use testing::day::Day;

/// What one request to the activity stream holds at most.
const EVENTS_MAX: usize = 500;

/// A day of play of made-up players, in the order of time: the same arguments give the same events
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A day of UTC; yesterday when it is not given
    #[arg(long)]
    date: Option<jiff::civil::Date>,
    /// Their ids are P000001 and on
    #[arg(long, default_value_t = 100)]
    players: usize,
    #[arg(long, default_value = "P")]
    prefix: String,
    /// Of the number in an id
    #[arg(long, default_value_t = 6)]
    digits: usize,
    /// Stakes of each player
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Write one body of a request, not lines of JSON
    #[arg(long, conflicts_with = "post")]
    body: bool,
    /// Send the events to $API_URL, with the key in $API_KEY
    #[arg(long)]
    post: bool,
    /// Create the players before; those that exist are left alone
    #[arg(long, requires = "post")]
    create_players: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {
        seed,
        date,
        players,
        prefix,
        digits,
        rounds,
        body,
        post,
        create_players,
    } = Arguments::parse();
    let date = match date {
        Some(date) => date,
        None => lambda::context()
            .now
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date()
            .yesterday()?,
    };
    let players: Vec<String> = (1..=players)
        .map(|number| format!("{prefix}{number:0digits$}"))
        .collect();
    let day = Day::new(seed, date, players.clone(), rounds);
    if post {
        let api = Api::of_environment()?;
        if create_players {
            api.create(&players).await?;
        }
        return api.send(&day).await;
    }
    let mut out = BufWriter::new(stdout().lock());
    let mut separator = if body { "{\"events\": [\n" } else { "" };
    for event in day.events() {
        write!(out, "{separator}{event}")?;
        separator = if body { ",\n" } else { "\n" };
    }
    writeln!(out, "{}", if body { "\n]}" } else { "" })?;
    Ok(out.flush()?)
}

struct Api {
    client: Client,
    url: String,
    key: String,
}

impl Api {
    fn of_environment() -> Result<Self> {
        let variable = |name| std::env::var(name).map_err(|_| format!("{name} is not set"));
        Ok(Self {
            client: Client::new(),
            url: variable("API_URL")?,
            key: variable("API_KEY")?,
        })
    }

    async fn call(&self, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let response = self
            .client
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.key)
            .json(body)
            .send()
            .await?;
        let (status, text) = (response.status(), response.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    async fn create(&self, players: &[String]) -> Result<()> {
        for player in players {
            let (status, answer) = self.call("/api/players", &json!({ "player_id": player })).await?;
            if !status.is_success() && status != StatusCode::CONFLICT {
                return Err(format!("{player} could not be created: {status} {answer}").into());
            }
        }
        Ok(())
    }

    /// One request after the other, so that the events arrive in their order.
    async fn send(&self, day: &Day) -> Result<()> {
        let (mut accepted, mut duplicate, mut rejected) = (0_u64, 0_u64, 0_u64);
        let mut first_rejected = None;
        for body in day.bodies(EVENTS_MAX) {
            let (status, answer) = self.call("/api/activity", &body).await?;
            if !status.is_success() {
                return Err(format!("after {} events: {status} {answer}", accepted + duplicate + rejected).into());
            }
            for result in answer["results"].as_array().into_iter().flatten() {
                match result["status"].as_str() {
                    Some("accepted") => accepted += 1,
                    Some("duplicate") => duplicate += 1,
                    _ => {
                        rejected += 1;
                        first_rejected.get_or_insert_with(|| result.clone());
                    }
                }
            }
        }
        println!("{accepted} accepted, {duplicate} duplicate, {rejected} rejected");
        if let Some(result) = first_rejected {
            println!("the first rejected: {result}");
        }
        Ok(())
    }
}
