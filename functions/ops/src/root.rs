//! `GET /`: what this is and where to continue.

use axum::Json;
use serde::Serialize;

#[derive(Serialize)]
pub struct Root {
    name: &'static str,
    version: &'static str,
    /// Paths in the repository.
    documents: Documents,
    links: Links,
}

#[derive(Serialize)]
struct Documents {
    start: &'static str,
    architecture: &'static str,
}

#[derive(Serialize)]
struct Links {
    health: &'static str,
    rules: &'static str,
    /// All facts that rules can read.
    facts: &'static str,
    settings: &'static str,
}

pub async fn get() -> Json<Root> {
    Json(Root {
        name: "Casino loyalty platform",
        version: env!("CARGO_PKG_VERSION"),
        documents: Documents {
            start: "README.md",
            architecture: "ARCHITECTURE.md",
        },
        links: Links {
            health: "/health",
            rules: "/api/rules",
            facts: "/api/rules/facts",
            settings: "/api/settings",
        },
    })
}
