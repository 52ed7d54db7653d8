//! The versions of the rules (docs/protocol.md, "Rules and recovery"): which one is in force, and how they differ.

use super::{Model, Statement};

/// The version at which every registry is founded.
const FIRST: u64 = 1;
/// How long a `rules` statement may be used after its `issuedAt`.
const USABLE_MS: i64 = 60_000;
/// From this version on an audit event must carry `detail`. The version is in no release; tests raise to it.
const WITH_DETAIL: u64 = 2;

impl Model {
    /// The version that is in force after all accepted statements.
    pub fn rules(&self) -> u64 {
        self.leaves().filter(|leaf| leaf.statement.kind == "rules").fold(FIRST, |at, _| at.saturating_add(1))
    }

    /// The model with the leaf of a `rules` statement, if such a statement may raise the rules now. If the model
    /// already has the leaf, it is unchanged. Nodes made `envelope`. A ledger does not show that all voters have
    /// signed it.
    ///
    /// # Errors
    /// The code with which the rules refuse it.
    pub fn record_rules(&self, envelope: &str, accepted_at_ms: i64) -> Result<Model, &'static str> {
        let statement = Statement::read(envelope).filter(|it| it.kind == "rules").ok_or("malformed")?;
        if self.find(&statement.id).is_some() {
            return Ok(self.clone());
        }
        let now = accepted_at_ms.max(self.time_ms());
        if statement.domain != "_root" || statement.lineage != "_governance" || statement.sequence.is_some() {
            return Err("malformed");
        }
        for node in &statement.issuers {
            self.ledger_state().authority(node, "_root").ok_or("authority_unknown")?;
            if let Some(code) = self.ledger_state().silenced(node, "_root", now).first() {
                return Err(code);
            }
        }
        let is_node = |key: &String| {
            self.ledger_state().authority(key, "_root").is_some_and(|authority| authority.role == "registry")
        };
        if !statement.issuers.iter().all(is_node) {
            return Err("role_not_permitted");
        }
        if statement.claims.get("version").and_then(serde_json::Value::as_u64) != self.rules().checked_add(1)
        {
            return Err("claims_invalid");
        }
        self.check_times(&statement, now)?;
        if now > statement.issued_ms.saturating_add(USABLE_MS) {
            return Err("times_invalid");
        }
        Ok(self.with(statement, now, false, Vec::new()))
    }

    /// Checks that an audit event carries what the rules require.
    pub(super) fn check_event(&self, statement: &Statement) -> Result<(), &'static str> {
        let bare = statement.claims.get("detail").is_none_or(serde_json::Value::is_null);
        if bare && self.rules() >= WITH_DETAIL { Err("claims_invalid") } else { Ok(()) }
    }
}
