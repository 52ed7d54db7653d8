//! What a node does for its callers: one file for each use case.
//!
//! This folder owns the queues (authorize requests that wait for a read barrier, and envelopes that wait to be
//! verified and to be proposed), and the only way by which a decision of the registry becomes an answer. It never
//! makes a decision itself, which `assent_registry` does. HTTP and the peers call it, and it depends on neither.
//!
//! `Parts` (`parts.rs`) is what the use cases work with. [`Service`] (`service.rs`) is what callers hold: the parts,
//! and the queues and places that the use cases share. Each use case adds its methods to one of the two in its own
//! file. The elements of a queue are defined in a file that depends on no use case (`joined.rs`, `pending.rs`).
//! `start.rs` starts the tasks that take from the queues. `problem.rs` gives each failure its code and its status.

mod agreement;
mod anchor;
mod answer_budget;
mod answered;
mod authorize;
mod barrier;
mod batch;
mod caller;
mod change;
mod check;
mod clock;
mod cursor;
mod deadline;
mod deadline_rows;
mod decide;
mod decision;
mod digest;
mod events;
mod form;
mod forwarded;
mod growth;
mod joined;
mod keep_log;
mod key_ends;
mod lane;
mod members;
mod membership;
mod metrics_page;
mod moved;
mod on_behalf;
mod parts;
mod pending;
mod permit;
mod permitted;
mod problem;
mod propose;
mod raise;
mod read;
mod relocate;
mod removed;
mod round;
mod service;
mod shed;
mod silenced;
mod start;
mod status;
mod stop;
mod submit;
mod submitted;
mod supervise;
mod turns;
mod urgency;
mod watch_growth;

pub use agreement::{Agreement, agreement};
pub(crate) use anchor::{AHEAD_MS_MAX as CLOCK_AHEAD_MS_MAX, Anchor};
pub(crate) use answer_budget::{DECISION_KIB, SLICE};
pub use answered::Answered;
pub(crate) use batch::{BatchResults, NoBatch, SMALL_BODY};
pub use caller::Caller;
pub(crate) use clock::NAMED_WITHIN_MS as CLOCK_NAMED_WITHIN_MS;
pub(crate) use deadline::within;
pub use events::{EventsAsk, Follower, PollAsk};
pub(crate) use form::form;
pub(crate) use keep_log::{DURABLE_WITHIN as KEEP_LOG_WAITS, keep_log};
pub(crate) use parts::{Core, Lifecycle, MemberGossip, NodeIdentity, Parts, Storage};
pub(crate) use problem::{not_audited, not_permitted, of_refusal};
pub(crate) use raise::{WAITS as RAISE_WAITS, raise_rules};
pub use service::Service;
pub(crate) use service::WeakService;
pub(crate) use shed::Shed;
pub use submitted::Submitted;
pub(crate) use supervise::{flush_registry, supervise_clock};
pub(crate) use urgency::Weighed;
pub(crate) use watch_growth::{COUNT_WAITS, count_domains, watch_disk};
