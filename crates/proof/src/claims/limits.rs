//! The bounds of claims.

/// Longest list in a claim.
pub const MAX_LIST: usize = 64;

/// Longest measurement or digest string, in bytes.
pub const MAX_MEASUREMENT_BYTES: usize = 256;

/// Longest name in a claim (authority, verifier, event), in bytes. A name has no character that [is
/// obeyed](crate::text::is_obeyed).
pub const MAX_NAME_BYTES: usize = 128;

/// Longest detail of an audit event, in bytes. A detail has no character that [is
/// obeyed](crate::text::is_obeyed), newlines included.
pub const MAX_DETAIL_BYTES: usize = 1024;

/// Longest checkpoint in a claim, in bytes: room for more than 32 cosignatures.
pub const MAX_CHECKPOINT_BYTES: usize = 8 * 1024;

/// Longest consistency proof in a claim.
pub const MAX_CONSISTENCY: usize = crate::merkle::MAX_CONSISTENCY_HASHES;

/// Most voters that a recovery can name: a cluster has no more.
pub const MAX_RECOVERY_VOTERS: usize = 5;
