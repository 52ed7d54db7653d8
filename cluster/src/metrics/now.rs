//! The present values of a node that the page of metrics shows.

use std::collections::BTreeMap;

use assent_api::StatusBody;
use assent_proof::{Millis, Role, Seconds};

use crate::config::Config;
use crate::tls_files::TlsFile;

/// What the page shows of a node.
pub(crate) struct Now<'a> {
    /// How the node sees the cluster.
    pub(crate) status: &'a StatusBody,
    /// Its configuration, for the bounds.
    pub(crate) config: &'a Config,
    /// Whether the node can go on.
    pub(crate) healthy: bool,
    /// Whether the heartbeat of a ticking task is late.
    pub(crate) late: bool,
    /// The number of tasks and pieces of blocking work that panicked.
    pub(crate) panics: u64,
    /// The numbers of waiting calls.
    pub(crate) waiting: Waiting,
    /// When keys end.
    pub(crate) key_ends: &'a KeyEnds,
    /// How much of its year the largest domain has used, if that is bounded.
    pub(crate) domain_year: Option<DomainYear>,
    /// How often each bound of the peer transport has refused something, by a word for the bound.
    pub(crate) refused_peers: Vec<(&'static str, u64)>,
    /// The files of TLS that cannot be used as they are, by whom they are for: `peers` or `clients`.
    pub(crate) unusable_files: Vec<(&'static str, TlsFile)>,
}

/// How much of its year the largest domain has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DomainYear {
    /// What it has used, in bytes, as far as the node has counted.
    pub(crate) used: u64,
    /// What a domain may use, in bytes.
    pub(crate) most: u64,
    /// Whether the node has counted the whole year since it was started.
    pub(crate) counted: bool,
}

/// The calls between arrival and answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Authorize requests that came alone.
    pub(crate) single: usize,
    /// Authorize requests of long calls.
    pub(crate) long: usize,
    /// Envelopes, by how urgent they are and whether clients or peers sent them.
    pub(crate) submit: Vec<TakenPlaces>,
}

/// Places for envelopes, as the page of metrics shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenPlaces {
    /// The urgency of the envelopes.
    pub(crate) urgency: &'static str,
    /// The sender of the envelopes: `clients`, or `peers` that forward them.
    pub(crate) of: &'static str,
    /// The number of places that are taken.
    pub(crate) taken: usize,
    /// The number of places that there are.
    pub(crate) most: usize,
}

/// What is known of when keys end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyEnds {
    /// When the grant of this node's own key ends; 0 if it was not granted, or was revoked. None if that could not be
    /// read.
    pub(crate) own: Option<Seconds>,
    /// For each role, when the next key ends that is not revoked.
    pub(crate) soonest: BTreeMap<Role, Seconds>,
}

impl KeyEnds {
    /// The ends that are still to come at `now`. The node's own end is read for each page, and is shown even after it
    /// has passed.
    pub(crate) fn to_come(&self, now: Millis) -> Self {
        let to_come = self.soonest.iter().filter(|(_, end)| now < end.to_millis());
        Self { own: self.own, soonest: to_come.map(|(role, end)| (*role, *end)).collect() }
    }
}
