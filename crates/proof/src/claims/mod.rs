//! The claims of a statement as types: one variant for each kind that has rules.
//!
//! Reading is strict: an unknown field, a wrong type or a value outside its bounds is `claims_invalid` at
//! that field. This module never decides whether a claim is true, permitted or timely: the registry does.
//! Serde stores claims by position, so the order of fields and the names of variants are part of the format.

mod claim;
mod limits;
mod policy;
mod read;
mod tree_hash;
mod unchecked;
mod words;
mod write;

pub use claim::{Claims, Containment};
pub use limits::{
    MAX_CHECKPOINT_BYTES, MAX_CONSISTENCY, MAX_DETAIL_BYTES, MAX_LIST, MAX_MEASUREMENT_BYTES, MAX_NAME_BYTES,
    MAX_RECOVERY_VOTERS,
};
pub use policy::{DECISION_TTL_SECONDS_MAX, MAX_REQUIREMENTS, MIN_ISSUERS_MAX, PolicyBody, Requirement};
pub use tree_hash::TreeHash;
pub use unchecked::Unchecked;
pub use words::{AttestationStatus, Of, PolicyVerdict, RevocationReason};
