//! Whether this node may speak for the registry: its own key must be granted in `_root`.
//!
//! A node whose key is not granted, or no longer, votes and keeps the log, and signs nothing. Callers are told that
//! it cannot know, so that they ask another node. Operators are told why, and what to do about it.

use assent_api::SilencedBody;
use assent_proof::{Code, Millis};
use assent_registry::{RowError, Rows, query};

use super::Parts;

/// Why this node may not speak for the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silenced {
    pub(super) code: Code,
    pub(super) detail: String,
}

impl Silenced {
    /// What an operator must do. The code's own remedy is for the signer of a statement, and does not fit here.
    pub(super) fn remedy(&self) -> &'static str {
        match self.code {
            Code::AuthorityRevoked => {
                "replace this node by one with a key of its own (`assent member replace`): a revoked key never comes back"
            }
            _ => {
                "have root grant this node's key the role `registry` for the present time, or replace this node (`assent member replace`)"
            }
        }
    }

    fn body(self) -> SilencedBody {
        let remedy = self.remedy().to_owned();
        SilencedBody { code: self.code, detail: self.detail, remedy }
    }
}

impl Parts {
    /// Why this node may not speak for the registry, as `rows` and `now` have it: its key is not granted, or no longer.
    ///
    /// Rule R7 (RFC-EG-033 §8, synchronization registries): A node whose own key is not granted and valid in
    /// `_root` denies every question with 503 (`no_quorum`).
    pub(super) fn silenced(&self, rows: &dyn Rows, now: Millis) -> Result<Option<Silenced>, RowError> {
        let flaw = query::node_key_flaw(rows, &self.identity.key.public(), now)?;
        Ok(flaw.map(|(code, why)| {
            // What does not exist is not a target here, but the authority itself.
            let code = if code == Code::TargetUnknown { Code::AuthorityUnknown } else { code };
            let detail = format!("this node's own key is not granted, or no longer: {why}; it signs nothing");
            Silenced { code, detail }
        }))
    }

    /// The same by this node's present state and by its clock as it is, for operators. A node that is not a voter
    /// does not answer anyway, and its grant may be among the entries that it still lacks.
    pub(super) fn silenced_body(&self) -> Option<SilencedBody> {
        if !self.is_voter() {
            return None;
        }
        let view = self.storage.registry.view().ok()?;
        self.silenced(&view, self.env.clock.now()).ok()?.map(Silenced::body)
    }
}
