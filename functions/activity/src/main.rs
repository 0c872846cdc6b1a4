//! Activity: see the library.

use activity::Activity;
use app::Db;
use lambda::config::Env;
use lambda::sqs::Queue;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let activity = Activity {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        rewards: Queue::new(env.required("REWARD_QUEUE_URL")?).await,
    };
    lambda::serve(activity::router(activity, lambda::clock::now)).await
}
