//! Segmentation worker: see the library.

use app::Db;
use lambda::config::Env;
use lambda::sqs::Queue;
use segmentation_worker::Worker;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let worker = Worker {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        rewards: Queue::new(env.required("REWARD_QUEUE_URL")?).await,
    };
    lambda::serve_messages(1, |delivery| worker.handle(delivery)).await
}
