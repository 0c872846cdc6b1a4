//! Uploads: through this function, up to 5 MB, or directly to the bucket.

use crate::view::Detail;
use crate::{Imports, errors};
use app::imports::RunStatus;
use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use domain::problem::{Refusal, RefusalKind};
use jiff::SignedDuration;
use lambda::s3::S3Error;
use lambda::{Clock, JsonBody, Problem};
use serde::Deserialize;
use serde_json::json;
use std::time::{Duration, Instant};

const FILE_BYTES_MAX: usize = 5 * 1024 * 1024;
/// The limit of S3 for one PUT: 5 GiB.
const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
const UPLOAD_EXPIRES_IN: Duration = Duration::from_secs(15 * 60);
const FILE_NAME_BYTES_MAX: usize = 100;
/// Row errors in the response to an upload; `/errors` lists all of them.
const ERRORS_SHOWN_MAX: i64 = 100;

struct File {
    name: String,
    content_type: String,
    bytes: Vec<u8>,
}

pub async fn excel(State(imports): State<Imports>, request: Request) -> Result<Response, Problem> {
    let file = read_file(request).await?;
    let key = object_key(&file.name);
    imports
        .bucket
        .put(&key, &file.content_type, file.bytes)
        .await
        .map_err(bucket_problem)?;
    let found = wait(&imports, &key).await?;
    match found {
        Some(detail) if detail.import.status == RunStatus::Failed => Err(failed(&detail)),
        Some(detail) if detail.is_over() => finished(&imports, detail).await,
        Some(detail) => Ok(accepted(
            format!("/api/imports/{}", detail.import.import_id),
            json!(detail),
        )),
        None => Ok(accepted(by_object(&key), json!({ "object_key": key }))),
    }
}

/// Reads the form part `file`.
async fn read_file(request: Request) -> Result<File, Problem> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be multipart/form-data with a part named file",
        ));
    }
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    while let Some(field) = form.next_field().await.map_err(form_problem)? {
        if field.name() == Some("file") {
            let name = field.file_name().unwrap_or_default().to_owned();
            let content_type = field.content_type().unwrap_or("application/octet-stream").to_owned();
            return Ok(File {
                name,
                content_type,
                bytes: read_bytes(field).await?,
            });
        }
    }
    Err(Refusal::invalid_at("/file", "required", "the form has no part named file").into())
}

/// Stops reading at the limit.
async fn read_bytes(mut field: Field<'_>) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(form_problem)? {
        if bytes.len() + chunk.len() > FILE_BYTES_MAX {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large() -> Problem {
    let detail = format!("the file has more than {FILE_BYTES_MAX} bytes; use POST /api/imports for larger files");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn form_problem(error: MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::new(
        StatusCode::BAD_REQUEST,
        format!("the form cannot be read: {}", error.body_text()),
    )
}

/// A unique key per upload, so that uploading a file twice creates two objects.
fn object_key(file_name: &str) -> String {
    format!("uploads/{}/{}", lambda::id::uuid_v7(), sanitised(file_name))
}

/// The last part of a path, with other characters than letters, digits, `.`, `-` and `_` replaced. Truncation keeps the
/// end, which has the file extension.
fn sanitised(file_name: &str) -> String {
    let last = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let plain = plain[plain.len().saturating_sub(FILE_NAME_BYTES_MAX)..].trim_start_matches('.');
    if plain.is_empty() { "file".into() } else { plain.into() }
}

fn bucket_problem(error: S3Error) -> Problem {
    let cause = lambda::problem::causes(&error);
    tracing::error!(cause, "the bucket could not be used");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "uploads are temporarily unavailable; try again",
    )
}

/// Waits until the import and its run have ended or the time is up.
async fn wait(imports: &Imports, key: &str) -> Result<Option<Detail>, Problem> {
    let begin = Instant::now();
    loop {
        let found = match app::imports::find_by_object(&imports.db, imports.bucket.name(), key).await? {
            Some(import) => Some(crate::detail(&imports.db, import).await?),
            None => None,
        };
        let over = found.as_ref().is_some_and(Detail::is_over);
        if over || begin.elapsed() + imports.patience.between > imports.patience.at_most {
            return Ok(found);
        }
        tokio::time::sleep(imports.patience.between).await;
    }
}

fn failed(detail: &Detail) -> Problem {
    let reason = detail
        .import
        .failure
        .as_deref()
        .unwrap_or("the file cannot be imported");
    Refusal::new(RefusalKind::Unprocessable, "import_failed", reason)
        .with("import_id", json!(detail.import.import_id))
        .with("total_rows", detail.import.total_rows)
        .into()
}

async fn finished(imports: &Imports, detail: Detail) -> Result<Response, Problem> {
    let import = &detail.import;
    let errors = app::imports::errors(&imports.db, import.import_id, errors::FROM_THE_START, ERRORS_SHOWN_MAX).await?;
    let errors: Vec<_> = errors
        .iter()
        .map(|error| json!({"line": error.line, "column": error.column, "value": error.value, "reason": error.reason}))
        .collect();
    let body = json!({
        "success": true,
        "import_id": import.import_id,
        "run_id": import.run_id,
        "total_rows": import.total_rows,
        "players_created": import.players_created,
        "players_updated": import.players_updated,
        "players_unchanged": import.players_unchanged,
        "rows_rejected": import.rows_rejected,
        "rewards_issued": detail.run.as_ref().map_or(0, |run| run.rewards_issued),
        "errors": errors,
        "warnings": import.warnings,
    });
    Ok(Json(body).into_response())
}

/// 202 with the import's URL.
fn accepted(place: String, mut body: serde_json::Value) -> Response {
    body["import_url"] = json!(place);
    (StatusCode::ACCEPTED, [(LOCATION, place)], Json(body)).into_response()
}

fn by_object(key: &str) -> String {
    let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
    format!("/api/imports?object_key={key}")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announce {
    file_name: String,
    /// Size in bytes.
    #[serde(default)]
    size: Option<u64>,
}

/// Creates a URL to PUT one file at; the import starts once the file is uploaded.
pub async fn presign(
    State(imports): State<Imports>,
    clock: Clock,
    JsonBody(body): JsonBody<Announce>,
) -> Result<Response, Problem> {
    if body.size.is_some_and(|size| size == 0 || size > UPLOAD_BYTES_MAX) {
        return Err(Refusal::invalid_at("/size", "range", format!("must be 1 to {UPLOAD_BYTES_MAX} bytes")).into());
    }
    if body.file_name.trim().is_empty() {
        return Err(Refusal::invalid_at("/file_name", "format", "must not be empty").into());
    }
    let key = object_key(&body.file_name);
    let expires_at = clock.now() + SignedDuration::try_from(UPLOAD_EXPIRES_IN).unwrap_or_default();
    let upload_url = imports
        .bucket
        .presign_put(&key, UPLOAD_EXPIRES_IN)
        .await
        .map_err(bucket_problem)?;
    let import_url = by_object(&key);
    let body = json!({
        "upload_url": upload_url,
        "method": "PUT",
        "expires_at": expires_at,
        "object_key": key,
        "import_url": import_url,
    });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_lose_paths_and_odd_characters() {
        for (name, expected) in [
            ("players.csv", "players.csv"),
            ("../../etc/passwd", "passwd"),
            (r"C:\Users\me\Spieler Übersicht.xlsx", "Spieler__bersicht.xlsx"),
            ("..", "file"),
            ("", "file"),
            (".hidden.csv", "hidden.csv"),
            ("a\r\nb%2F.csv", "a__b_2F.csv"),
        ] {
            assert_eq!(sanitised(name), expected, "{name:?}");
        }
        let long = sanitised(&format!("{}.xlsx", "x".repeat(300)));
        assert!(long.len() == 100 && long.ends_with("x.xlsx"), "{long}");
    }
}
