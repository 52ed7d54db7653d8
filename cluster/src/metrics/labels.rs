//! Counters with a label.
//!
//! If a counter appeared only once something had happened, it would have no rate before, and the first event would be
//! missed. So each value of a label is counted from the start, at 0. A counter with a label cannot be made here
//! without all values of the label.

use std::marker::PhantomData;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use assent_proof::Code;

use crate::access::RefusedCaller;

/// One label whose value is a word.
pub(super) type Worded = [(&'static str, &'static str); 1];

/// A label whose values are all known.
pub(super) trait Known: Sized {
    /// The label's name.
    const NAME: &'static str;

    /// Every value that there is.
    fn all() -> Vec<Self>;

    /// The value as it is written.
    fn word(&self) -> &'static str;
}

/// A counter for each value of a label.
#[derive(Debug)]
pub(super) struct Counted<L> {
    family: Family<Worded, Counter>,
    label: PhantomData<fn(L)>,
}

impl<L: Known> Counted<L> {
    /// Counters that are all 0.
    pub(super) fn new() -> Self {
        let counted = Self { family: Family::default(), label: PhantomData };
        for value in L::all() {
            counted.family.get_or_create(&counted.labelled(&value)).inc_by(0);
        }
        counted
    }

    /// Counts one.
    pub(super) fn inc(&self, value: &L) {
        self.inc_by(value, 1);
    }

    /// Counts this many.
    pub(super) fn inc_by(&self, value: &L, by: u64) {
        self.family.get_or_create(&self.labelled(value)).inc_by(by);
    }

    /// How often each value was counted, by its word.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        L::all()
            .into_iter()
            .map(move |value| (value.word(), self.family.get_or_create(&self.labelled(&value)).get()))
    }

    /// The family to register.
    pub(super) fn family(&self) -> Family<Worded, Counter> {
        self.family.clone()
    }

    fn labelled(&self, value: &L) -> Worded {
        [(L::NAME, value.word())]
    }
}

/// A decision by its first reason; none is an allow.
#[derive(Debug)]
pub(super) struct Decided(pub(super) Option<Code>);

impl Known for Decided {
    const NAME: &'static str = "code";

    fn all() -> Vec<Self> {
        // A permit's request is also denied for any reason that refuses its record, so any code may deny.
        std::iter::once(None).chain(Code::ALL.iter().copied().map(Some)).map(Self).collect()
    }

    fn word(&self) -> &'static str {
        self.0.map_or("allow", Code::as_str)
    }
}

/// What became of an envelope.
#[derive(Debug)]
pub(crate) enum EnvelopeOutcome {
    /// It entered the ledger.
    Accepted,
    /// It was in the ledger already.
    Again,
    /// It may have entered the ledger.
    Unknown,
    /// It was refused, or the node failed at it.
    Refused(Code),
}

impl Known for EnvelopeOutcome {
    const NAME: &'static str = "code";

    fn all() -> Vec<Self> {
        let others = [EnvelopeOutcome::Accepted, EnvelopeOutcome::Again, EnvelopeOutcome::Unknown];
        others.into_iter().chain(Code::ALL.iter().copied().map(EnvelopeOutcome::Refused)).collect()
    }

    fn word(&self) -> &'static str {
        match self {
            EnvelopeOutcome::Accepted => "accepted",
            EnvelopeOutcome::Again => "again",
            EnvelopeOutcome::Unknown => "unknown",
            EnvelopeOutcome::Refused(code) => code.as_str(),
        }
    }
}

impl Known for RefusedCaller {
    const NAME: &'static str = "reason";

    fn all() -> Vec<Self> {
        RefusedCaller::all().collect()
    }

    fn word(&self) -> &'static str {
        self.as_str()
    }
}

/// Which limit of a caller or an address kept something out.
#[derive(Debug)]
pub(crate) enum Limited {
    /// `limits.connections_per_address`.
    ConnectionsPerAddress,
    /// `limits.handshakes_per_address`: a handshake had to wait.
    HandshakesPerAddress,
    /// `limits.caller_requests`.
    CallerRequests,
    /// `limits.caller_rate` and `limits.caller_burst`, or those of the caller's own.
    CallerRate,
    /// `limits.caller_work`: a call had to wait.
    CallerWork,
    /// The caller's share of places or memory.
    CallerShare,
}

impl Known for Limited {
    const NAME: &'static str = "limit";

    fn all() -> Vec<Self> {
        vec![
            Limited::ConnectionsPerAddress,
            Limited::HandshakesPerAddress,
            Limited::CallerRequests,
            Limited::CallerRate,
            Limited::CallerWork,
            Limited::CallerShare,
        ]
    }

    fn word(&self) -> &'static str {
        match self {
            Limited::ConnectionsPerAddress => "connections_per_address",
            Limited::HandshakesPerAddress => "handshakes_per_address",
            Limited::CallerRequests => "caller_requests",
            Limited::CallerRate => "caller_rate",
            Limited::CallerWork => "caller_work",
            Limited::CallerShare => "caller_share",
        }
    }
}

/// Why HTTP refused a request before any use case saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedRequest {
    /// The head is not that of an HTTP/1.1 request, or names no host.
    HeadForm,
    /// The head is too large.
    HeadSize,
    /// The head did not arrive in time.
    HeadTime,
    /// The body cannot be read: its chunks are malformed, or it broke off.
    BodyForm,
    /// The body is too large.
    BodySize,
    /// The body did not arrive in time.
    BodyTime,
    /// The body has an encoding that the node does not decode.
    BodyEncoding,
}

impl Known for RefusedRequest {
    const NAME: &'static str = "reason";

    fn all() -> Vec<Self> {
        vec![
            Self::HeadForm,
            Self::HeadSize,
            Self::HeadTime,
            Self::BodyForm,
            Self::BodySize,
            Self::BodyTime,
            Self::BodyEncoding,
        ]
    }

    fn word(&self) -> &'static str {
        match self {
            RefusedRequest::HeadForm => "head_form",
            RefusedRequest::HeadSize => "head_size",
            RefusedRequest::HeadTime => "head_time",
            RefusedRequest::BodyForm => "body_form",
            RefusedRequest::BodySize => "body_size",
            RefusedRequest::BodyTime => "body_time",
            RefusedRequest::BodyEncoding => "body_encoding",
        }
    }
}

/// A bound on the growth of the registry, for which a statement was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrowthBound {
    /// The statements of an issuer in a time.
    IssuerRate,
    /// The execution evidence of a lineage.
    LineageStatements,
    /// The bytes of a domain in a year.
    DomainBytes,
    /// The reserve on the disk.
    DiskReserve,
}

impl Known for GrowthBound {
    const NAME: &'static str = "bound";

    fn all() -> Vec<Self> {
        vec![Self::IssuerRate, Self::LineageStatements, Self::DomainBytes, Self::DiskReserve]
    }

    fn word(&self) -> &'static str {
        match self {
            GrowthBound::IssuerRate => "issuer_rate",
            GrowthBound::LineageStatements => "lineage_statements",
            GrowthBound::DomainBytes => "domain_bytes",
            GrowthBound::DiskReserve => "disk_reserve",
        }
    }
}

/// How a read barrier ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A quorum confirmed.
    Passed,
    /// No quorum confirmed in time.
    Failed,
}

impl Known for Outcome {
    const NAME: &'static str = "outcome";

    fn all() -> Vec<Self> {
        vec![Outcome::Passed, Outcome::Failed]
    }

    fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
        }
    }
}
