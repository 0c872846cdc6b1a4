//! The sample program: tiers, rules and ten players, loaded through the API as an operator would.

use std::{fs, io};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::tell::say;
use crate::{
    api::{Api, ApiError, field},
    layout::Layout,
};

#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("{path}: {problem}")]
    File { path: String, problem: io::Error },
    #[error("{path}: {problem}")]
    Json { path: String, problem: serde_json::Error },
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Loads tiers and rules. Existing ones stay as they are, because an operator may have changed them. The sample's
/// benefits for the built-in tiers are applied only when the program has no rules yet.
pub async fn load(layout: &Layout, api: &Api) -> Result<(), SampleError> {
    let known_rules = api.get("/api/rules?limit=1000").await?;
    let is_new = known_rules.as_array().is_none_or(Vec::is_empty);
    let known_tiers = api.get("/api/tiers").await?;
    let (mut tiers, mut rules) = (0, 0);
    for tier in read(layout, "tiers.json")? {
        let level = field(&tier, "tier_level");
        if !known_tiers
            .as_array()
            .into_iter()
            .flatten()
            .any(|known| known["tier_level"] == tier["tier_level"])
        {
            tiers += created(api, "/api/tiers", &tier).await?;
        } else if is_new {
            api.ask(Method::PUT, &format!("/api/tiers/{level}"), Some(&tier))
                .await?;
            tiers += 1;
        }
    }
    for rule in read(layout, "rules.json")? {
        rules += created(api, "/api/rules", &rule).await?;
    }
    say!("  {tiers} tiers and {rules} rules loaded");
    Ok(())
}

/// Returns 1 when it was created, 0 when it already existed.
async fn created(api: &Api, path: &str, body: &Value) -> Result<usize, ApiError> {
    let (status, answer) = api.call(Method::POST, path, Some(body)).await?;
    match status {
        StatusCode::CONFLICT => Ok(0),
        status if status.is_success() => Ok(1),
        status => Err(ApiError::Refused {
            method: Method::POST,
            path: path.to_owned(),
            status,
            body: answer.to_string(),
        }),
    }
}

fn read(layout: &Layout, file: &str) -> Result<Vec<Value>, SampleError> {
    let path = layout.sample(file);
    let name = path.display().to_string();
    let text = fs::read_to_string(&path).map_err(|problem| SampleError::File {
        path: name.clone(),
        problem,
    })?;
    serde_json::from_str(&text).map_err(|problem| SampleError::Json { path: name, problem })
}
