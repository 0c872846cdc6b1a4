//! Who may do what: API keys and their roles.

use crate::text_enum;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

text_enum! {
    pub enum Role as "role" {
        /// Reads.
        Viewer = "viewer",
        /// Activity and imports, and nothing else.
        Ingest = "ingest",
        /// Viewer and ingest; wallet, redemption, players, signals, runs.
        Operator = "operator",
        /// All: rules, tiers, settings, keys.
        Admin = "admin",
    }
}

impl Role {
    /// Whether a caller of this role may do what `required` may do. Viewer and ingest do not include each other.
    pub const fn includes(self, required: Role) -> bool {
        match self {
            Role::Admin => true,
            Role::Operator => !matches!(required, Role::Admin),
            Role::Ingest => matches!(required, Role::Ingest),
            Role::Viewer => matches!(required, Role::Viewer),
        }
    }
}

/// What is known of an API key. Its text is known to its holder only; we keep a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    pub key_id: Uuid,
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
    /// Not valid from this instant on.
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
