//! What an entry says.

use std::borrow::Cow;
use std::sync::Arc;

use assent_proof::{Code, DomainName, EvidenceId, LineageName};

use super::class::AuditClass;
use crate::access::{Caller, RefusedCaller, ShownIdentity, Who};

/// The most codes that one entry names. A batch may have more.
const CODES_MAX: usize = 16;

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Party {
    /// The name that the table of callers gives it. A caller without one is told by `by` alone.
    pub(super) name: Option<Arc<str>>,
    /// How it was identified: `certificate`, `token`, `jwt`, `local`, `node` or `unknown`. Another node may have said
    /// this of its caller.
    pub(super) by: Cow<'static, str>,
    /// Why it is unknown.
    pub(super) why: Option<&'static str>,
    /// The identity that an unknown caller has shown.
    pub(super) shown: Option<ShownIdentity>,
}

impl Party {
    /// This caller.
    pub(crate) fn of(caller: &Caller) -> Self {
        let (name, by, why) = match caller.who() {
            Who::Local => (None, "local", None),
            Who::Named { name, by } => (Some(name.clone()), by.as_str(), None),
            Who::Unknown(why) => (None, "unknown", Some(why.as_str())),
            Who::Node => (None, "node", None),
        };
        Self { name, by: Cow::Borrowed(by), why, shown: caller.shown().cloned() }
    }

    /// The caller of another node, by that node's word.
    pub(crate) fn said(name: &str, by: &str) -> Self {
        let name = Some(name).filter(|name| !name.is_empty()).map(Arc::from);
        Self { name, by: Cow::Owned(by.to_owned()), why: None, shown: None }
    }

    /// A caller that is unknown for this reason.
    pub(crate) fn unknown(why: &'static str) -> Self {
        Self { name: None, by: Cow::Borrowed("unknown"), why: Some(why), shown: None }
    }

    /// The same party, with the identity that it has shown, if it has shown one.
    pub(crate) fn showing(self, shown: Option<ShownIdentity>) -> Self {
        Self { shown, ..self }
    }

    /// The name, or nothing.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// How it was identified.
    pub(crate) fn by(&self) -> &str {
        &self.by
    }
}

/// A call, as it is known when it begins.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) class: AuditClass,
    /// The id of the request. What another node did for the same request has the same id.
    pub(crate) request: Arc<str>,
    pub(crate) who: Party,
    /// The remote address of the caller's connection.
    pub(crate) from: Option<Arc<str>>,
    pub(crate) method: &'static str,
    /// The template of the route. It has no text of the caller's.
    pub(crate) route: &'static str,
    /// The node that forwarded the call.
    pub(crate) forwarded_from: Option<u64>,
    /// The node to which the call was forwarded.
    pub(crate) forwarded_to: Option<u64>,
    pub(crate) facts: Facts,
}

/// What becomes known of a call while it is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Of a call without a route: what may be shown of its path.
    pub(crate) path: Option<String>,
    pub(crate) domain: Option<DomainName>,
    pub(crate) lineage: Option<LineageName>,
    pub(crate) evidence: Option<EvidenceId>,
    /// The member that a change is about.
    pub(crate) member: Option<u64>,
    /// Of a batch: how many requests or envelopes it has.
    pub(crate) count: Option<usize>,
    /// Of a batch: how many of them were allowed or accepted.
    pub(crate) granted: Option<usize>,
    /// One word for what became of it.
    pub(crate) decision: Option<&'static str>,
    /// Why its caller was refused.
    pub(crate) refused: Option<RefusedCaller>,
    /// The HTTP status.
    pub(crate) status: Option<u16>,
    pub(crate) codes: Vec<Code>,
    pub(crate) revision: Option<u64>,
}

impl Facts {
    /// Adds a code, if it is new and there is room.
    pub(crate) fn code(&mut self, code: Code) {
        if self.codes.len() < CODES_MAX && !self.codes.contains(&code) {
            self.codes.push(code);
        }
    }

    /// These facts, and those of `others` where these lack them.
    pub(crate) fn or(self, others: Facts) -> Facts {
        Facts {
            path: self.path.or(others.path),
            domain: self.domain.or(others.domain),
            lineage: self.lineage.or(others.lineage),
            evidence: self.evidence.or(others.evidence),
            member: self.member.or(others.member),
            count: self.count.or(others.count),
            granted: self.granted.or(others.granted),
            decision: self.decision.or(others.decision),
            refused: self.refused.or(others.refused),
            status: self.status.or(others.status),
            codes: if self.codes.is_empty() { others.codes } else { self.codes },
            revision: self.revision.or(others.revision),
        }
    }
}
