//! How nodes talk to one another: connections with frames, many calls at a time and pipelining. Between two nodes
//! there is at most one connection for each direction of dialing.
//!
//! This folder owns the handshake, the frames, the encoding of messages, deadlines, reconnecting and the exchange of
//! clock readings. It never decides what a message means: it passes requests to the node's [`Handler`], and answers
//! to their callers. It keeps nothing on disk, and no request survives the connection on which it was sent.
//!
//! Every node dials every other node whose address it knows. Both sides may send requests on either connection. A
//! node sends all of its requests on one of the two as long as that lives, so that they keep their order. Only for a
//! read index it must use a connection that it has dialed itself, because a peer that dials it could claim to be the
//! leader. From outside in:
//!
//! - [`PeerHub`]: all peers of this node; `call` sends one request and waits for its answer until a deadline.
//! - `connection`: one live connection, with the frames that are queued on it and the calls that wait for answers.
//!   `call`: one such call. `liveness`: whether the other side is still there.
//! - `serve`: the requests that arrive on a connection: appends in order, all others concurrently and bounded.
//! - [`PeerTls`]: TLS, which proves which node is at the other end. `handshake`, [`Hello`]: which nodes may talk to
//!   this one.
//! - `addresses`: the addresses of a peer, tried in turn. [`Moved`]: a member's announcement of its addresses.
//! - [`Bounded`]: the largest terms and log indices that a peer may claim.
//! - `outbound`, `frame`, `codec`: bounded queue, frames, bodies.
//! - `refusals`: how often each bound has refused something.
//! - [`ClockReadings`]: the readings of the peers' clocks.
//! - [`TrustedOffset`]: how far this node's wall clock is trusted to be ahead of boot time. Each pong reports it.

mod addresses;
mod bounds;
mod call;
mod clock;
mod codec;
mod connection;
mod error;
mod frame;
mod handler;
mod handshake;
mod hello;
mod hub;
mod limits;
mod liveness;
mod message;
mod moved;
mod outbound;
#[doc(hidden)]
pub mod outside;
mod refusals;
mod serve;
mod tls;
mod trusted;

pub use self::bounds::{Bounded, claim_max};
pub use self::clock::{ClockReadings, PeerClock, ReadingBook};
pub use self::codec::{read_request, request_frame};
pub use self::error::PeerError;
pub use self::handler::{Answer, Handler, SnapshotStep};
pub(crate) use self::handshake::REMOVED;
pub use self::hello::{BEHALF_SINCE, Hello, Identity, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, StoreProgress};
pub use self::hub::{PeerAddress, PeerHub, PeerStatus};
pub use self::limits::PeerLimits;
pub use self::message::{
    Acknowledged, Append, Behalf, CosignRules, CosignRulesReply, Introduce, Manage, ManageError, ManageFor,
    ManageReply, Message, PreVote, Probe, ProbeReply, ReadIndex, ReadIndexError, ReadIndexReply,
    SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply, Submit, SubmitError, SubmitFor, SubmitReply,
    TransferLeader, Vote,
};
pub(crate) use self::moved::MOVED_USABLE_MS;
pub use self::moved::{Moved, MovedReply};
pub use self::tls::{PeerTls, PeerTlsError};
pub use self::trusted::TrustedOffset;
