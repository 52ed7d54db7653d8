//! What a node does for its callers, one file a use case.
//!
//! Owns the queues (authorizes waiting for a read barrier, envelopes waiting to be verified and to be proposed) and the one
//! way from the registry's decisions to what goes over the wire. It never decides: `assent_registry` does.
//! HTTP and the peers call it; it knows neither.

mod anchor;
mod answer_room;
mod authorize;
mod barrier;
mod batch;
mod check;
mod clock;
mod cursor;
mod decide;
mod decision;
mod digest;
mod events;
mod form;
mod forwarded;
mod keep_log;
mod key_ends;
mod lane;
mod members;
mod membership;
mod metrics_page;
mod moved;
mod permit;
mod propose;
mod raise;
mod read;
mod relocate;
mod removed;
mod round;
mod shed;
mod silenced;
mod status;
mod stop;
mod submit;
mod supervise;
mod timed;
mod turns;
mod urgency;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use assent_proof::{Refusal, Rules, SigningKey};
use assent_registry::{ClusterId, RowError, query, rules_in_force};
use assent_store::{Health, LogStore, RegistryStore, StoreError};

use crate::config::Config;
use crate::env::Environment;
use crate::introductions::Introductions;
use crate::metrics::Metrics;
use crate::peer::PeerHub;
use crate::raft::log::LogRecord;
use crate::raft::machine::{AppliedAt, Machine};
use crate::raft::memory::Memory;
use crate::raft::network::Transfers;
use crate::raft::types::{NodeId, TypeConfig};
use crate::raft::verifier::Verifier;
use crate::tasks::Tasks;
use crate::whereabouts::Whereabouts;
use urgency::{PerUrgency, Places, Urgency};

pub(crate) use anchor::{AHEAD_MS_MAX as CLOCK_AHEAD_MS_MAX, Anchor};
pub(crate) use answer_room::DECISION_KIB;
pub use authorize::Answered;
pub(crate) use batch::{BatchResults, NoBatch};
pub(crate) use clock::NAMED_WITHIN_MS as CLOCK_NAMED_WITHIN_MS;
pub(crate) use decide::SLICE;
pub use events::{EventsAsk, PollAsk};
pub(crate) use form::form;
pub(crate) use keep_log::{DURABLE_WITHIN as KEEP_LOG_WAITS, keep_log};
pub(crate) use key_ends::KeyEnds;
pub(crate) use raise::{WAITS as RAISE_WAITS, raise_rules};
pub(crate) use shed::Shed;
pub use submit::Submitted;
pub(crate) use supervise::{flush_registry, supervise_clock};
pub(crate) use urgency::TakenPlaces;

/// This node's Raft core.
pub(crate) type Core = Raft<TypeConfig, Machine>;

/// Who calls. Every use case takes one, so that authentication has a place when it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on a network that is trusted.
    Anonymous,
}

/// Everything the use cases work with.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) env: Environment,
    pub(crate) raft: Core,
    pub(crate) hub: PeerHub,
    pub(crate) registry: RegistryStore,
    pub(crate) health: Health,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) key: SigningKey,
    pub(crate) cluster_id: ClusterId,
    pub(crate) origin: String,
    pub(crate) applied: watch::Receiver<AppliedAt>,
    pub(crate) metrics: Arc<Metrics>,
    /// Why this node ends, once it does: the membership binds another store to its id, the cluster was recovered without it, its
    /// log is not the leader's, or one of its tasks ended.
    pub(crate) ends: Arc<OnceLock<String>>,
    /// Its tasks.
    pub(crate) tasks: Tasks,
    /// This node's store.
    pub(crate) store_id: [u8; 16],
    /// The Raft log, for how large it is.
    pub(crate) log: LogStore<LogRecord>,
    /// The snapshots on their way.
    pub(crate) transfers: Transfers,
    /// What is remembered of the members, and of this node's own end.
    pub(crate) memory: Arc<Memory>,
    /// Members that others have named.
    pub(crate) introductions: Introductions,
    /// Where members say that they are.
    pub(crate) whereabouts: Whereabouts,
    /// Why the founders do not found the cluster, as long as this node finds something wrong with them.
    pub(crate) not_founded: Mutex<Option<Refusal>>,
    /// Root's newest recovery statement, if there ever was one.
    pub(crate) recovery: watch::Receiver<Option<Bytes>>,
    /// Whether this node is on its way out.
    pub(crate) stopping: AtomicBool,
    /// What this node trusts of its clock.
    pub(crate) anchor: Mutex<Anchor>,
    /// Held while the membership is being changed.
    pub(crate) managing: tokio::sync::Mutex<()>,
}

/// What is between arrival and answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Authorize requests that came alone.
    pub(crate) single: usize,
    /// Authorize requests of long calls.
    pub(crate) long: usize,
    /// Envelopes, by how urgent they are and whether clients or peers sent them.
    pub(crate) submit: Vec<TakenPlaces>,
}

/// The use cases of one node. Clones share it.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

/// A service that does not keep the node alive. The peers' handler holds one, since the service holds the hub
/// that holds the handler.
#[derive(Clone)]
pub(crate) struct WeakService {
    inner: Weak<Inner>,
}

impl WeakService {
    /// The service, while the node runs.
    pub(crate) fn upgrade(&self) -> Option<Service> {
        self.inner.upgrade().map(|inner| Service { inner })
    }
}

pub(crate) struct Inner {
    parts: Parts,
    started: Instant,
    rounds: mpsc::Sender<round::Joined>,
    /// One permit an authorize request of a call that is not long, from its arrival to its answer.
    authorize_room: Arc<Semaphore>,
    /// What long calls may take.
    lane: lane::Lane,
    /// What the answers under way may take.
    answer_room: answer_room::AnswerRoom,
    /// One permit a KiB of answers to batches that are being written.
    batch_room: Arc<Semaphore>,
    /// What was looked at and waits to be proposed.
    submissions: PerUrgency<mpsc::Sender<propose::Pending>>,
    /// Places for what clients submit.
    places: Places,
    /// Places for what peers forward.
    peers_places: Places,
    /// One a piece of verification that is being worked on.
    turns: turns::Turns,
    /// One permit a KiB of request bodies held.
    body_room: Arc<Semaphore>,
    feeds: events::Feeds,
    /// One permit a digest of the registry being made.
    digests: Arc<Semaphore>,
    /// When keys end.
    key_ends: key_ends::Walks,
}

impl Service {
    /// Starts the queues' tasks.
    pub(crate) fn start(parts: Parts) -> Self {
        let limits = parts.config.limits.clone();
        // Every authorize that has room, and a read of every connection.
        let (rounds, joined) = mpsc::channel(limits.authorize_queue.saturating_add(limits.connections));
        let mut submitted = Vec::new();
        let submissions = PerUrgency::new(|urgency| {
            let (submissions, received) = mpsc::channel(limits.submit_queue);
            submitted.push((urgency, received));
            submissions
        });
        let inner = Inner {
            parts,
            started: Instant::now(),
            rounds,
            authorize_room: Arc::new(Semaphore::new(limits.short_queue())),
            lane: lane::Lane::new(&limits),
            answer_room: answer_room::AnswerRoom::new(limits.answer_kib),
            batch_room: Arc::new(Semaphore::new(limits.answer_kib)),
            submissions,
            places: Places::for_clients(&limits),
            peers_places: Places::for_peers(&limits),
            turns: turns::Turns::new(limits.verifications, limits.submit_queue),
            body_room: Arc::new(Semaphore::new(limits.body_kib)),
            feeds: events::Feeds::new(&limits),
            digests: Arc::new(Semaphore::new(digest::DIGESTS_AT_ONCE)),
            key_ends: key_ends::Walks::default(),
        };
        let service = Self { inner: Arc::new(inner) };
        let rounds = round::run_rounds(Arc::downgrade(&service.inner), joined, limits.clone());
        let tasks = &service.inner.parts.tasks;
        tasks.lasting("rounds", rounds);
        for (urgency, received) in submitted {
            let name = match urgency {
                Urgency::Restriction => "proposals of restrictions",
                Urgency::Single => "proposals",
                Urgency::Batch => "proposals of batches",
            };
            let inner = Arc::downgrade(&service.inner);
            tasks.lasting(name, propose::propose_batches(inner, urgency, received, limits.clone()));
        }
        service
    }

    pub(crate) fn downgrade(&self) -> WeakService {
        WeakService { inner: Arc::downgrade(&self.inner) }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// The node's metrics, for the page.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.inner.parts.metrics
    }

    /// Room for a request body of so many bytes, if there is any.
    pub(crate) fn body_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        self.inner.body_room.clone().try_acquire_many_owned(kib).ok()
    }

    /// How much waits.
    pub(crate) fn waiting(&self) -> Waiting {
        let limits = &self.config().limits;
        Waiting {
            single: limits.short_queue().saturating_sub(self.inner.authorize_room.available_permits()),
            long: self.inner.lane.waiting(),
            submit: [(&self.inner.places, "clients"), (&self.inner.peers_places, "peers")]
                .into_iter()
                .flat_map(|(places, of)| Urgency::ALL.map(|urgency| places.shown(urgency, of)))
                .collect(),
        }
    }

    /// The node's configuration.
    pub fn config(&self) -> &Config {
        &self.inner.parts.config
    }
}

impl Parts {
    /// The voters that this node knows of; the genesis voters before there is a membership.
    pub(crate) fn voters(&self) -> Vec<NodeId> {
        let voters: Vec<NodeId> =
            self.raft.metrics().borrow_watched().membership_config.voter_ids().collect();
        if voters.is_empty() { self.config.voters.iter().map(|voter| voter.id).collect() } else { voters }
    }

    /// The newest rules that this build knows.
    pub(crate) fn rules_known(&self) -> u32 {
        self.config.rules_known
    }

    /// The rules that the registry follows here.
    pub(crate) fn rules_in_force(&self) -> Result<Rules, RowError> {
        rules_in_force(&self.registry.view()?)
    }

    /// The version of the rules that the registry follows here.
    pub(crate) fn rules(&self) -> Result<u32, RowError> {
        Ok(query::summary(&self.registry.view()?)?.map_or(0, |summary| summary.rules_version))
    }

    /// Whether this node is a member, as far as it knows.
    pub(crate) fn is_member(&self) -> bool {
        let me = self.config.node_id;
        self.raft.metrics().borrow_watched().membership_config.get_node(&me).is_some()
    }

    /// Who leads, as this node believes. Good for routing and for nothing else: a node that was cut off
    /// believes in itself for a while.
    pub(crate) fn believed_leader(&self) -> Option<NodeId> {
        self.raft.metrics().borrow_watched().current_leader
    }

    /// An error of reading rows, as text. If only another build can go on, this node ends with it as the reason.
    pub(crate) fn unread(&self, error: &RowError) -> String {
        self.stop_if_unknown(error);
        error.to_string()
    }

    /// Ends this node if only another build can go on.
    pub(crate) fn stop_if_unknown(&self, error: &RowError) {
        self.registry.stop_at_unknown_version(&StoreError::Row(error.clone()));
    }

    /// Why this node cannot go on, if it cannot.
    ///
    /// Rule R223 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A node signs no allow once it has a reason
    /// to stop: that its store, Raft, its history or a lasting task of its own has ended
    /// (`evidence_mutated`).
    pub(crate) fn fatal(&self) -> Option<String> {
        if let Some(cause) = self.health.poisoned() {
            return Some(format!("the store has stopped: {cause}"));
        }
        if let Some(cause) = self.ends.get() {
            return Some(cause.clone());
        }
        let metrics = self.raft.metrics();
        let running = metrics.borrow_watched().running_state.clone();
        let raft = running.err().map(|fatal| format!("raft stopped: {fatal}"));
        raft.or_else(|| self.tasks.returned().map(str::to_owned))
    }

    /// Waits until Raft has said why it ends. Whoever notices by other ways that it does waits here first.
    pub(crate) async fn raft_ended(&self) {
        let mut metrics = self.raft.metrics();
        while metrics.borrow_watched().running_state.is_ok() && metrics.changed().await.is_ok() {}
    }
}

/// A deadline so many milliseconds from now.
pub(crate) fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}
