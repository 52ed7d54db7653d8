//! How nodes talk to one another: framed, multiplexed, pipelined connections, at most one in each direction of dialing.
//!
//! Owns the handshake, the frames, the messages' encoding, deadlines, reconnecting and the exchange of clock
//! readings. It never decides what a message means: requests go to the node's [`Handler`], and answers come back
//! to whoever called. It keeps nothing on disk, and no request survives the connection that it was sent on.
//!
//! Every node dials every other one whose address it knows. Both sides may send requests on either connection, and a node sends
//! all of its requests on one of the two as long as that lives, so that they keep their order. Only a read index is asked for on no
//! other connection than the one that the node has dialed itself: a peer that dials it may say that it is the leader. From
//! outside in:
//!
//! - [`PeerHub`]: all peers of this node; `call` sends one request and waits for its answer until a deadline.
//! - `connection`: one live connection: what is queued on it, and the calls that wait for answers; `call`: one of them; `liveness`: whether
//!   the other side is still there.
//! - `serve`: the requests that come in on it: appends in order, everything else concurrently and bounded.
//! - `handshake`, [`Hello`]: who may talk at all.
//! - `addresses`: where a peer may be found, tried in turn; [`Moved`]: a member's own word on that.
//! - [`Bounded`]: how large the terms and log indices may be that a peer claims.
//! - `outbound`, `frame`, `codec`: bounded queue, frames, bodies.
//! - [`ClockReadings`]: what the peers' clocks said.
//! - [`TrustedOffset`]: how far the own wall clock is trusted to be ahead of boot time, which each pong tells of.

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
mod serve;
mod trusted;

pub use self::bounds::{Bounded, claim_max};
pub use self::clock::{ClockReadings, PeerClock, ReadingBook};
pub use self::codec::{read_request, request_frame};
pub use self::error::PeerError;
pub use self::handler::{Answer, Handler, SnapshotStep};
pub(crate) use self::handshake::REMOVED;
pub use self::hello::{Hello, Identity, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN, StoreProgress};
pub use self::hub::{PeerAddress, PeerHub, PeerStatus};
pub use self::limits::PeerLimits;
pub use self::message::{
    Acknowledged, Append, CosignRules, CosignRulesReply, Introduce, Manage, ManageError, ManageReply,
    Message, PreVote, Probe, ProbeReply, ReadIndex, ReadIndexError, ReadIndexReply, SnapshotBegin,
    SnapshotChunk, SnapshotEnd, SnapshotReply, Submit, SubmitError, SubmitReply, TransferLeader, Vote,
};
pub(crate) use self::moved::MOVED_USABLE_MS;
pub use self::moved::{Moved, MovedReply};
pub use self::trusted::TrustedOffset;
