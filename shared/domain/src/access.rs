//! Who may do what: API keys and their roles.

use crate::text_enum;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

text_enum! {
    pub enum Role as "role" {
        /// Reads.
        Viewer = "viewer",
        /// May only send activity and imports.
        Ingest = "ingest",
        /// Viewer and ingest, plus wallet, redemption, players, signals and runs.
        Operator = "operator",
        /// Everything: rules, tiers, settings, keys.
        Admin = "admin",
    }
}

impl Role {
    /// Whether this role covers everything that `required` may do. Viewer and ingest do not include each other.
    pub const fn includes(self, required: Role) -> bool {
        match self {
            Role::Admin => true,
            Role::Operator => !matches!(required, Role::Admin),
            Role::Ingest => matches!(required, Role::Ingest),
            Role::Viewer => matches!(required, Role::Viewer),
        }
    }
}

/// What is stored of an API key. Only its holder knows its text; the database keeps a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    pub key_id: Uuid,
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
    /// The key is invalid from this instant on.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::Role::{self, *};

    #[test]
    fn roles_include_what_the_api_says() {
        let included = |role: Role| {
            Role::ALL
                .into_iter()
                .filter(|required| role.includes(*required))
                .collect::<Vec<_>>()
        };
        assert_eq!(included(Viewer), [Viewer]);
        assert_eq!(included(Ingest), [Ingest]);
        assert_eq!(included(Operator), [Viewer, Ingest, Operator]);
        assert_eq!(included(Admin), [Viewer, Ingest, Operator, Admin]);
    }
}
