//! Rules: see the library.

use app::Db;
use lambda::config::Env;
use lambda::sqs::Queue;
use rules::Rules;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let rules = Rules {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        segmentation: Queue::new(env.required("SEGMENTATION_QUEUE_URL")?).await,
    };
    lambda::serve(rules::router(rules, lambda::clock::now)).await
}
