//! Imports: see the library.

use app::Db;
use imports::{Imports, Patience};
use lambda::config::Env;
use lambda::s3::Bucket;

#[tokio::main]
async fn main() -> Result<(), lambda::Error> {
    lambda::init();
    let env = Env::process();
    let database = env.database()?;
    let imports = Imports {
        db: Db::new(&database.url, database.ca_pem.as_deref())?,
        bucket: Bucket::new(env.required("IMPORT_BUCKET")?).await,
        patience: Patience::default(),
    };
    lambda::serve(imports::api(&imports).into_router(imports, lambda::clock::now)).await
}
