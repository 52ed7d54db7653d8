//! Domains: the keys that govern one, its isolations, and its policy.

use assent_proof::{DomainName, EvidenceId, PolicyBody, PublicKey};

use crate::authorize::JudgedBy;
use crate::codec;
use crate::record::DomainRow;
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// A domain and its governance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEntry {
    /// Its name.
    pub domain: DomainName,
    /// Its governance keys; in `_root` the root keys.
    pub governance: Vec<PublicKey>,
    /// How many of them must sign together.
    pub threshold: u32,
    /// The statement that set both.
    pub admitted_by: EvidenceId,
    /// The isolations that hold, by id; at most [`crate::limit::CONTAINMENTS_NAMED`].
    pub isolated_by: Vec<EvidenceId>,
    /// The policy that judges in it; without one, nothing is allowed.
    pub policy: Option<JudgedBy>,
}

/// At most `limit` domains after `after`, by name; and whether there are more.
pub fn domains(
    rows: &dyn Rows,
    after: Option<&DomainName>,
    limit: usize,
) -> Result<(Vec<DomainEntry>, bool), RowError> {
    let view = View::new(rows);
    let from = after.map_or_else(Vec::new, row_key::in_domain);
    let found = rows.scan(Table::Domains, &from, None, limit.saturating_add(1))?;
    let more = found.len() > limit;
    let page: Result<Vec<DomainEntry>, RowError> = found
        .into_iter()
        .take(limit)
        .map(|(key, value)| {
            let mutated = || RowError::Mutated { table: Table::Domains, key: key.clone() };
            let domain = std::str::from_utf8(&key).ok().and_then(|name| name.parse().ok());
            let row: DomainRow =
                codec::decode(&value).map_err(|error| RowError::undecoded(Table::Domains, &key, error))?;
            let domain = domain.ok_or_else(mutated)?;
            view.begin();
            Ok(DomainEntry {
                isolated_by: view.isolations(&domain, &row)?.into_iter().collect(),
                policy: view.policy(&domain)?.map(|policy| JudgedBy::new(policy.evidence_id, &policy.body)),
                domain,
                governance: row.governance,
                threshold: row.threshold,
                admitted_by: row.admitted_by,
            })
        })
        .collect();
    Ok((page?, more))
}

/// A domain's policy and the statement that set it.
pub fn policy(rows: &dyn Rows, domain: &DomainName) -> Result<Option<(EvidenceId, PolicyBody)>, RowError> {
    Ok(View::new(rows).policy(domain)?.map(|row| (row.evidence_id, row.body.clone())))
}
