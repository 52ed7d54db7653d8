//! The wire types of the HTTP API: what a node answers and what a client sends, with units and codes.
//!
//! This crate owns the shape of every JSON body, the problem document, and what a code means to a caller: its HTTP
//! status ([`status_of`]), and whether the same call can be made again ([`retry_of`]). The node, the client and the
//! command line use it. It never uses a network, never reads a clock and never decides anything.
//!
//! **Answers** derive serde's traits for both directions. A reader ignores fields that it does not know, so a newer
//! node may add fields. **Requests from outside** are never read by a derive, because a derive would accept an array
//! for an object, or the last of two equal keys. [`parse_authorize_batch`], [`parse_batch`] and `assent_proof`'s own
//! readers are strict.
//!
//! Names are camelCase. Times are integer milliseconds since 1970-01-01T00:00:00Z unless a field says otherwise.
#![forbid(unsafe_code)]

mod address;
mod clock;
mod cluster;
mod decision;
mod domain;
mod events;
mod limits;
mod lineage;
mod members;
mod node_id;
mod problem;
mod receipt;
mod retry;
mod status;
mod submission;

pub use assent_proof::{AuthorityStatus, LineageStatus};

pub use address::{AddressError, MemberAddress, address_key, is_address, same_address};
pub use clock::{ClockConfirmed, ClockStanding, ConfirmClock, MAX_CLOCK_BYTES};
pub use cluster::{
    AppliedBody, ClockBody, ClockReading, DigestBody, DiskBody, LogBody, NodeRole, PeerBody, ProcessBody,
    RemovedBody, SelfBody, SilencedBody, SnapshotBody, SnapshotDirection, StatusBody,
};
pub use decision::{
    DecisionBody, JudgedByBody, ReasonBody, Verdict, authorize_batch_body, parse_authorize_batch,
};
pub use domain::{AuthoritiesBody, AuthorityBody, DomainBody, DomainsBody, PolicyBodyView};
pub use events::{
    EndBody, EndReason, EventBody, EventLine, HeartbeatBody, MAX_EVENTS_FILTER, MAX_EVENTS_WAIT_MS,
    NDJSON_CONTENT_TYPE, RestrictsBody, SSE_CONTENT_TYPE,
};
pub use limits::{
    DEFAULT_PAGE, JSON_CONTENT_TYPE, MAX_AUTHORIZE_BYTES, MAX_BATCH, MAX_BATCH_BYTES, MAX_PAGE,
};
pub use lineage::{ConflictBody, IssuerBody, LineageBody, LineageEntryBody};
pub use members::{
    MAX_MEMBER_BYTES, MemberAddresses, MemberBody, MemberRole, MembersBody, NewMember, parse_transfer,
    transfer_body,
};
pub use node_id::{
    FOUNDER_ID_MAX, NODE_ID_MAX, NODE_ID_STEP_MAX, NodeIdError, NodeIdTextError, check_founder_id,
    check_new_id, check_node_id, parse_node_id,
};
pub use problem::{OUTCOME_UNKNOWN, PROBLEM_CONTENT_TYPE, Problem};
pub use receipt::ReceiptBody;
pub use retry::{Retry, retry_of};
pub use status::{Call, status_of};
pub use submission::{BatchMode, BatchResponse, BatchResult, MAX_RESULT_BYTES, batch_body, parse_batch};
