//! Starts the use cases of a node: their queues, their places, and the tasks that take from the queues.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::answer_budget::AnswerBudget;
use super::digest::DIGESTS_AT_ONCE;
use super::events::Feeds;
use super::growth::Growth;
use super::key_ends::Walks;
use super::lane::Lane;
use super::propose::propose_batches;
use super::round::run_rounds;
use super::service::Inner;
use super::turns::Turns;
use super::urgency::{PerUrgency, Places, Urgency};
use super::{Parts, Service};
use crate::metrics::Limited;
use crate::quotas::Quotas;
use crate::shares::{Count, Pool};

impl Service {
    /// Starts the tasks of the queues.
    pub(crate) fn start(parts: Parts) -> Self {
        let limits = parts.config.limits.clone();
        // Room for every authorize request that may be under way, and for one read of each connection.
        let (rounds, joined) = mpsc::channel(limits.authorize_queue.saturating_add(limits.connections));
        let mut submitted = Vec::new();
        let submissions = PerUrgency::new(|urgency| {
            let (submissions, received) = mpsc::channel(limits.submit_queue);
            submitted.push((urgency, received));
            submissions
        });
        let metrics = parts.metrics.clone();
        let count: Count = Arc::new(move || metrics.limited(&Limited::CallerShare));
        let pool = |places: usize| Pool::new(places).counted(&count);
        let inner = Inner {
            parts,
            started: Instant::now(),
            rounds,
            quotas: Arc::new(Quotas::new(&limits)),
            authorize_room: pool(limits.short_queue()),
            lane: Lane::new(&limits, pool(limits.long_queue())),
            answer_budget: AnswerBudget::new(pool(limits.answer_kib)),
            batch_room: pool(limits.answer_kib),
            submissions,
            places: Places::for_clients(&limits).counted(&count),
            peers_places: Places::for_peers(&limits),
            growth: Growth::new(&limits),
            turns: Turns::new(limits.verifications, limits.submit_queue),
            body_room: pool(limits.body_kib),
            feeds: Feeds::new(pool(limits.event_streams)),
            digests: Arc::new(Semaphore::new(DIGESTS_AT_ONCE)),
            key_ends: Walks::default(),
        };
        let service = Self { inner: Arc::new(inner) };
        let rounds = run_rounds(Arc::downgrade(&service.inner), joined, limits.clone());
        let tasks = &service.inner.parts.tasks;
        tasks.lasting("rounds", rounds);
        for (urgency, received) in submitted {
            let name = match urgency {
                Urgency::Restriction => "proposals of restrictions",
                Urgency::Governance => "proposals of governance statements",
                Urgency::Single => "proposals",
                Urgency::Batch => "proposals of batches",
            };
            let inner = Arc::downgrade(&service.inner);
            tasks.lasting(name, propose_batches(inner, urgency, received, limits.clone()));
        }
        service
    }
}
