//! Uploads of player files and the state of their imports. The bucket notifies the import worker of every new object.

mod errors;
mod upload;
mod view;

use app::Db;
use app::imports::Import;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::access::Role::{Ingest, Viewer};
use domain::id::ImportId;
use lambda::s3::Bucket;
use lambda::{Api, Auth, Page, Params, PathParams, Problem};
use serde::Deserialize;
use std::time::Duration;
use view::{Detail, Summary};

#[derive(Clone)]
pub struct Imports {
    pub db: Db,
    pub bucket: Bucket,
    pub patience: Patience,
}

/// How long an upload waits for its import.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub at_most: Duration,
    pub between: Duration,
}

impl Default for Patience {
    /// Below the 30 s after which an HTTP API times out.
    fn default() -> Self {
        Self {
            at_most: Duration::from_secs(20),
            between: Duration::from_millis(250),
        }
    }
}

pub fn api(imports: &Imports) -> Api<Imports> {
    Api::new(Auth::new(app::platform::keys::lookup(imports.db.clone())))
        .post("/api/import/excel", Ingest, upload::excel)
        .post("/api/imports", Ingest, upload::presign)
        .get("/api/imports", [Viewer, Ingest], list)
        .get("/api/imports/{import_id}", [Viewer, Ingest], get)
        .get("/api/imports/{import_id}/errors", [Viewer, Ingest], errors::get)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Only the newest import of this object; the list is empty until it has started.
    object_key: Option<String>,
}

async fn list(State(imports): State<Imports>, page: Page, Params(filter): Params<Filter>) -> Result<Response, Problem> {
    let Imports { db, bucket, .. } = &imports;
    match filter.object_key {
        None => {
            let found = app::imports::list(db, page.skip, page.limit).await?;
            Ok(page.respond_skipping(found.into_iter().map(Summary::from).collect()))
        }
        Some(key) => {
            let found = app::imports::find_by_object(db, bucket.name(), &key).await?;
            Ok(Json(found.into_iter().map(Summary::from).collect::<Vec<_>>()).into_response())
        }
    }
}

async fn get(
    State(imports): State<Imports>,
    PathParams(import_id): PathParams<ImportId>,
) -> Result<Json<Detail>, Problem> {
    let import = app::imports::get(&imports.db, import_id).await?;
    Ok(Json(detail(&imports.db, import).await?))
}

/// Adds the run. It must be read after the import: if an import that has ended has a run, it is found.
async fn detail(db: &Db, import: Import) -> Result<Detail, app::Error> {
    let run = app::runs::find(db, import.run_id).await?;
    Ok(Detail {
        import: import.into(),
        run: run.map(Into::into),
    })
}
