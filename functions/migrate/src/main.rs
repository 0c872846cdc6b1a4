//! Migration: see the library.

use lambda::config::Env;
use store::Db;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let database = Env::process().migration_database()?;
    let db = &Db::new(&database.url, database.ca_pem.as_deref())?;
    lambda::serve_events(|_: serde_json::Value| migrate::handle(db)).await
}
