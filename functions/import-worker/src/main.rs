//! The Lambda function around [`import_worker::worker::Worker`].

use app::Db;
use import_worker::worker::Worker;
use lambda::config::Env;
use lambda::sqs::Queue;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let worker = Worker {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        segmentation: Queue::new(env.required("SEGMENTATION_QUEUE_URL")?).await,
        imports: Queue::new(env.required("IMPORT_QUEUE_URL")?).await,
    };
    lambda::serve_messages(1, |delivery| worker.handle(delivery)).await
}
