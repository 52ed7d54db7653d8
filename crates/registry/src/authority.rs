//! Authorities over time: whether a key may sign at a moment, whether its grant stands, and which keys are
//! the nodes' (RFC-EG-033 §3, authority proof verification).

use assent_proof::{AuthorityStatus, Code, DomainName, Millis, PublicKey, Role};

use crate::flaw::Flaw;
use crate::record::AuthorityRow;
use crate::rows::RowError;
use crate::view::View;

impl AuthorityRow {
    /// The authority's status at `now`. A revoked key is revoked, whatever its times say.
    ///
    /// Rule R57 (RFC-EG-033 §3, Authority Proof Verification): An authority may sign from its `notBefore` to
    /// its `notAfter`, exclusive (`authority_expired`), never again once it is revoked (`authority_revoked`),
    /// and not if its grant is void (`inheritance_unverifiable`).
    pub(crate) fn status(&self, now: Millis) -> AuthorityStatus {
        if self.revoked.is_some() {
            AuthorityStatus::Revoked
        } else if now < self.not_before.to_millis() {
            AuthorityStatus::Pending
        } else if self.not_after.is_some_and(|end| now >= end.to_millis()) {
            AuthorityStatus::Expired
        } else {
            AuthorityStatus::Active
        }
    }
}

/// Why the authority may not sign at `now`; `None` if it may.
pub(crate) fn authority_flaw(key: &PublicKey, row: &AuthorityRow, now: Millis) -> Option<Flaw> {
    match row.status(now) {
        AuthorityStatus::Active => None,
        AuthorityStatus::Revoked => {
            Some((Code::AuthorityRevoked, format!("authority `{}` ({key}) is revoked", row.name)))
        }
        AuthorityStatus::Pending => Some((
            Code::AuthorityExpired,
            format!("authority `{}` ({key}) is valid only from {}", row.name, row.not_before),
        )),
        AuthorityStatus::Expired => {
            Some((Code::AuthorityExpired, format!("authority `{}` ({key}) has expired", row.name)))
        }
    }
}

impl View<'_> {
    /// Whether the grant of an authority still stands.
    ///
    /// Rule R57 (RFC-EG-033 §3, Authority Proof Verification): An authority may sign from its `notBefore` to
    /// its `notAfter`, exclusive (`authority_expired`), never again once it is revoked (`authority_revoked`),
    /// and not if its grant is void (`inheritance_unverifiable`).
    pub(crate) fn is_admitted(&self, authority: &AuthorityRow) -> Result<bool, RowError> {
        Ok(!self.is_void(&authority.admitted_by)?)
    }

    /// Why this key is not a node's key at `now`; `None` if it stands granted in `_root`.
    ///
    /// Rule R151 (RFC-EG-033 §3, Authority Proof Verification): A `recovery` names one voter
    /// (`claims_invalid`), by the key of a node that is granted and valid in `_root` (`target_unknown`,
    /// `authority_revoked`, `authority_expired`, `inheritance_unverifiable`).
    pub(crate) fn node_key_flaw(&self, key: &PublicKey, now: Millis) -> Result<Option<Flaw>, RowError> {
        let of_node = |row: &AuthorityRow| row.domain == DomainName::root() && row.role == Role::Registry;
        let Some(row) = self.authority(key)?.filter(|row| of_node(row)) else {
            let detail = format!("{key} is no node's key: `_root` has not granted it the role `registry`");
            return Ok(Some((Code::TargetUnknown, detail)));
        };
        if let Some(flaw) = authority_flaw(key, &row, now) {
            return Ok(Some(flaw));
        }
        if !self.is_admitted(&row)? {
            let detail = format!("the grant of authority `{}` ({key}) is void", row.name);
            return Ok(Some((Code::InheritanceUnverifiable, detail)));
        }
        Ok(None)
    }
}
