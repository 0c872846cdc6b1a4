//! Reward worker: see the library.

use app::Db;
use lambda::config::Env;
use reward_worker::Worker;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let database = Env::process().database()?;
    let worker = Worker {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
    };
    lambda::serve_messages(1, |delivery| worker.handle(delivery)).await
}
