//! Migration: see the library.

use app::Db;
use lambda::config::Env;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let database = Env::process().database()?;
    let db = &Db::new(&database.url, database.ca_pem.as_deref())?;
    lambda::serve_events(|request| migrate::handle(db, request, lambda::context())).await
}
