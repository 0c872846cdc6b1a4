//! Outbox relay: see the library.

use app::Db;
use lambda::config::Env;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let db = &Db::new(&database.url, database.ca_pem.as_deref())?;
    let targets = lambda::webhook::targets(&env);
    lambda::serve_until(|_: serde_json::Value, deadline| outbox_relay::handle(db, targets, deadline)).await
}
