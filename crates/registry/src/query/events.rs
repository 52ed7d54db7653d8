//! The ledger read forwards: what was accepted after a revision, for callers that follow the ledger
//! (RFC-EG-033 §3, distributed synchronization).
//!
//! A page covers the leaves after a revision without a gap, whether or not the filter takes them. If a leaf
//! is missing although the ledger's size includes it, that is damage, never an end.
//!
//! An event is made from its leaf's rows. Only the event of a revocation needs the stored envelope: no row
//! says which key a revocation revokes. The row of the revoked key names a revocation, but keeps the first
//! one if the key is revoked again, and a stored row gets a new field only under new rules.

use std::collections::BTreeSet;

use assent_proof::{
    Claims, DomainName, Envelope, EvidenceId, EvidenceKind, History, LineageName, Millis, PublicKey, Rules,
    RulesVersion, Statement,
};

use super::ledger::envelope;
use crate::codec;
use crate::kinds::{Restriction, effects};
use crate::record::{EvidenceRow, LeafRow};
use crate::row_key;
use crate::rows::{RowError, Rows, Table};
use crate::view::View;

/// Which part of the ledger a caller wants to see. An empty set takes everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of these kinds.
    pub kinds: BTreeSet<EvidenceKind>,
    /// In these domains.
    pub domains: BTreeSet<DomainName>,
    /// In these lineages.
    pub lineages: BTreeSet<LineageName>,
    /// Equivocations too, whatever their lineage: evidence in another lineage that rests on one half becomes
    /// void with it.
    pub equivocations: bool,
}

impl EventFilter {
    fn takes(&self, row: &EvidenceRow) -> bool {
        let lineage = self.lineages.is_empty() || self.lineages.contains(&row.lineage);
        (self.domains.is_empty() || self.domains.contains(&row.domain))
            && (self.kinds.is_empty() || self.kinds.contains(&row.kind))
            && (lineage || (self.equivocations && row.equivocation))
    }
}

/// One accepted statement, as it entered the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the ledger, from 0.
    pub ledger_index: u64,
    /// The ledger's size with it: the revision from which on it holds.
    pub revision: u64,
    /// Its id.
    pub evidence_id: EvidenceId,
    /// Its kind.
    pub kind: EvidenceKind,
    /// Its domain.
    pub domain: DomainName,
    /// Its lineage.
    pub lineage: LineageName,
    /// Its issuers, as written.
    pub issuers: Vec<PublicKey>,
    /// Its slot; none for restrictions and permits.
    pub sequence: Option<u64>,
    /// When the registry accepted it.
    pub accepted_at: Millis,
    /// Whether it is the second statement for its slot.
    pub equivocation: bool,
    /// What a restriction restricts.
    pub restricts: Option<Restricts>,
}

/// What a revocation or containment does, and its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restricts {
    /// `revoke`, `quarantine`, `isolate` or `invalidate`.
    pub action: &'static str,
    /// The authority's key, the lineage, the domain or the evidence.
    pub target: String,
}

/// Events of one stretch of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The history in force here, to which the revisions belong.
    pub history: History,
    /// The events that the filter takes, by revision.
    pub events: Vec<Event>,
    /// Everything up to this revision was looked at, so the next page starts after it. It is never below the
    /// revision that was asked for.
    pub covered: u64,
    /// The ledger's size here. It is below `covered` if this state is behind what the caller knows.
    pub revision: u64,
}

/// The events after revision `after` of the history in force: at most `scan` leaves are looked at, and at
/// most `limit` events taken.
pub fn events(
    rows: &dyn Rows,
    filter: &EventFilter,
    after: u64,
    scan: usize,
    limit: usize,
) -> Result<EventPage, RowError> {
    let view = View::new(rows);
    let history = view.history_in_force()?;
    let revision = view.meta()?.map_or(0, |meta| meta.revision);
    let mut page = EventPage { history, events: Vec::new(), covered: after, revision };
    let there = usize::try_from(revision.saturating_sub(after)).unwrap_or(usize::MAX);
    let wanted = there.min(scan);
    if wanted == 0 || limit == 0 {
        return Ok(page);
    }
    let from = row_key::index(after);
    let leaves = rows.scan(Table::Leaves, &from, Some(&row_key::index(revision)), wanted)?;
    let mutated =
        |index: u64| RowError::Mutated { table: Table::Leaves, key: row_key::index(index).to_vec() };
    if leaves.len() != wanted {
        return Err(mutated(after));
    }
    for (key, value) in leaves {
        let index = page.covered;
        if key != row_key::index(index) {
            return Err(mutated(index));
        }
        let leaf: LeafRow =
            codec::decode(&value).map_err(|error| RowError::undecoded(Table::Leaves, &key, error))?;
        let row = view.evidence(&leaf.evidence_id)?.filter(|row| row.index == index);
        let row = row
            .ok_or_else(|| RowError::Mutated { table: Table::Evidence, key: leaf.evidence_id.0.to_vec() })?;
        page.covered = index.saturating_add(1);
        if filter.takes(&row) {
            page.events.push(event(rows, &row, leaf, page.covered)?);
            if page.events.len() >= limit {
                break;
            }
        }
    }
    Ok(page)
}

fn event(rows: &dyn Rows, row: &EvidenceRow, leaf: LeafRow, revision: u64) -> Result<Event, RowError> {
    Ok(Event {
        ledger_index: row.index,
        revision,
        evidence_id: leaf.evidence_id,
        kind: row.kind,
        domain: row.domain.clone(),
        lineage: row.lineage.clone(),
        issuers: row.issuers.clone(),
        sequence: row.sequence,
        accepted_at: leaf.accepted_at,
        equivocation: row.equivocation,
        restricts: restricts(rows, row, &leaf.evidence_id)?,
    })
}

/// What a restriction restricts. The target of a revocation comes from its envelope, because no row names it.
fn restricts(rows: &dyn Rows, row: &EvidenceRow, id: &EvidenceId) -> Result<Option<Restricts>, RowError> {
    if let Some(containment) = &row.containment {
        return Ok(Some(Restricts { action: containment.action(), target: containment.target() }));
    }
    if !row.kind.is_restriction() {
        return Ok(None);
    }
    let body = envelope(rows, id)?;
    let claims = body.and_then(|body| {
        let statement = Statement::parse_stored(&Envelope::parse(&body).ok()?.payload).ok()?;
        let rules = Rules::of(RulesVersion(row.rules))?.stored();
        Claims::parse(rules, statement.kind, &statement.claims).ok()
    });
    match claims.as_ref().and_then(|claims| effects(claims).restricts) {
        Some(Restriction::Revokes { authority, .. }) => {
            Ok(Some(Restricts { action: "revoke", target: authority.to_string() }))
        }
        Some(Restriction::Contains(_)) | None => {
            Err(RowError::Mutated { table: Table::Bodies, key: row_key::index(row.index).to_vec() })
        }
    }
}
