#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let database = lambda::config::Env::process().database()?;
    let db = app::Db::new(&database.url, database.ca_pem.as_deref())?;
    lambda::serve(players::router(db, lambda::clock::now)).await
}
