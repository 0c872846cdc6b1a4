//! Operations: see the library.

use app::Db;
use lambda::config::Env;
use lambda::sqs::Queue;
use ops::Ops;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let ops = Ops {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        segmentation: Queue::new(env.required("SEGMENTATION_QUEUE_URL")?).await,
        targets: lambda::webhook::targets(&env),
    };
    lambda::serve(ops::api(&ops).into_router(ops, lambda::clock::now)).await
}
