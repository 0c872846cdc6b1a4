//! Scheduler: see the library.

use app::Db;
use lambda::Clock;
use lambda::config::Env;
use lambda::sqs::Queue;
use scheduler::Scheduler;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let scheduler = Scheduler {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        segmentation: Queue::new(env.required("SEGMENTATION_QUEUE_URL")?).await,
        rewards: Queue::new(env.required("REWARD_QUEUE_URL")?).await,
        imports: Queue::new(env.required("IMPORT_QUEUE_URL")?).await,
        clock: Clock::new(lambda::clock::now),
    };
    lambda::serve_events(|event| scheduler.handle(event)).await
}
