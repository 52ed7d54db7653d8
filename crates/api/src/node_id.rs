//! The range of a node's id. Every place that accepts an id checks it with this module.
//!
//! Each id is used once, and a new member's id is larger than all ids before it. A very large id would leave no ids
//! for later members, so that the cluster could never grow again. So every id is checked that comes from the
//! configuration, the founding, the API, the command line or a peer. As text, an id has one spelling: decimal digits
//! without a sign or leading zeros. TOML and JSON have numbers of their own. This module never decides which ids are
//! in use.

/// The largest node id.
pub const NODE_ID_MAX: u64 = 1 << 32;

/// The most ids that a new member's id may skip. A cluster can still grow after thousands of members that skip as many
/// ids as they may.
pub const NODE_ID_STEP_MAX: u64 = 1 << 20;

/// The largest id of a founder. A founder follows no other member, so its id is checked as if id 0 had been used
/// before.
pub const FOUNDER_ID_MAX: u64 = NODE_ID_STEP_MAX;

/// Why a number is not an acceptable node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// The number is outside the range of all node ids.
    #[error("node id {id} must be from 1 to {most}", most = NODE_ID_MAX)]
    OutOfRange {
        /// The number.
        id: u64,
    },
    /// The number is too large for a founder, whose id must leave room for later members.
    #[error(
        "node id {id} of a founder must be from 1 to {most}, so that later members, whose ids are larger, have room",
        most = FOUNDER_ID_MAX
    )]
    FarFounder {
        /// The number.
        id: u64,
    },
    /// The number or a larger one was used before.
    #[error("node id {id} was used before, and an id is used once: the next free one is {next}")]
    Used {
        /// The number.
        id: u64,
        /// The smallest free id.
        next: u64,
    },
    /// The number skips too many ids.
    #[error(
        "node id {id} skips more than {most} ids, which would never be used: the next free one is {next}",
        most = NODE_ID_STEP_MAX
    )]
    FarAhead {
        /// The number.
        id: u64,
        /// The smallest free id.
        next: u64,
    },
}

/// Returns the id if it is in the range of all node ids: 1 to [`NODE_ID_MAX`].
///
/// # Errors
/// [`NodeIdError::OutOfRange`].
pub fn check_node_id(id: u64) -> Result<u64, NodeIdError> {
    if (1..=NODE_ID_MAX).contains(&id) { Ok(id) } else { Err(NodeIdError::OutOfRange { id }) }
}

/// The longest part of a text that an error repeats, in characters.
const TOLD_CHARS: usize = 40;

/// A text that is not a node id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a node's number: write it in decimal digits, without a sign or leading zeros, from 1 to {most}",
    most = NODE_ID_MAX
)]
pub struct NodeIdTextError {
    /// The given text, with its control characters escaped, and cut after 40 characters.
    pub text: String,
}

/// Reads a node id from a path or a command line. An id has one spelling, so no two texts name the same node.
///
/// # Errors
/// [`NodeIdTextError`].
pub fn parse_node_id(text: &str) -> Result<u64, NodeIdTextError> {
    let number = text.parse::<u64>().ok().filter(|id| id.to_string() == text);
    let number = number.and_then(|id| check_node_id(id).ok());
    number.ok_or_else(|| {
        let told: String = text.chars().take(TOLD_CHARS).collect();
        NodeIdTextError { text: told.escape_debug().to_string() }
    })
}

/// Returns the id if a founder of a cluster may have it: 1 to [`FOUNDER_ID_MAX`].
///
/// # Errors
/// [`NodeIdError::FarFounder`].
pub fn check_founder_id(id: u64) -> Result<u64, NodeIdError> {
    if (1..=FOUNDER_ID_MAX).contains(&id) { Ok(id) } else { Err(NodeIdError::FarFounder { id }) }
}

/// Returns the id if the next new member may have it. `next` is one more than the largest id that was ever used.
///
/// # Errors
/// [`NodeIdError::OutOfRange`], [`NodeIdError::Used`], [`NodeIdError::FarAhead`].
pub fn check_new_id(id: u64, next: u64) -> Result<u64, NodeIdError> {
    if id < next {
        return Err(NodeIdError::Used { id, next });
    }
    check_node_id(id)?;
    match id.saturating_sub(next) > NODE_ID_STEP_MAX {
        true => Err(NodeIdError::FarAhead { id, next }),
        false => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that would leave none, or almost none, for later members.
    const FAR: [u64; 4] = [NODE_ID_MAX + 1, 1 << 62, (1 << 63) - 1, u64::MAX];

    #[test]
    fn an_id_has_one_spelling() {
        for id in [1, 10, 4_294_967_295, NODE_ID_MAX] {
            assert_eq!(parse_node_id(&id.to_string()), Ok(id));
        }
        for text in ["", "0", "01", "+1", "-1", " 1", "1.0", "1e0", "0x1", "1_0", "\u{661}", "4294967297"] {
            let said = parse_node_id(text).unwrap_err().to_string();
            assert!(said.contains("decimal digits") && said.contains(&NODE_ID_MAX.to_string()), "{said}");
        }
        let long = parse_node_id(&"9".repeat(1000)).unwrap_err();
        assert_eq!(long.text.len(), TOLD_CHARS);
        assert!(!parse_node_id("1\u{1b}").unwrap_err().to_string().contains('\u{1b}'));
    }

    #[test]
    fn no_entrance_takes_an_id_that_would_end_growth() {
        for id in FAR {
            assert_eq!(check_node_id(id), Err(NodeIdError::OutOfRange { id }));
            assert_eq!(check_founder_id(id), Err(NodeIdError::FarFounder { id }));
            assert_eq!(check_new_id(id, 4), Err(NodeIdError::OutOfRange { id }));
        }
        assert_eq!(check_node_id(0), Err(NodeIdError::OutOfRange { id: 0 }));
        assert_eq!(check_founder_id(NODE_ID_MAX), Err(NodeIdError::FarFounder { id: NODE_ID_MAX }));
        assert_eq!(check_node_id(NODE_ID_MAX), Ok(NODE_ID_MAX));
    }

    #[test]
    fn a_new_members_id_is_larger_than_all_before_it_and_leaves_ids_for_those_after_it() {
        assert_eq!(check_new_id(4, 4), Ok(4));
        assert_eq!(check_new_id(4 + NODE_ID_STEP_MAX, 4), Ok(4 + NODE_ID_STEP_MAX));
        assert_eq!(check_new_id(3, 4), Err(NodeIdError::Used { id: 3, next: 4 }));
        let far = 5 + NODE_ID_STEP_MAX;
        assert_eq!(check_new_id(far, 4), Err(NodeIdError::FarAhead { id: far, next: 4 }));
    }

    #[test]
    fn one_member_with_a_far_id_cannot_end_growth() {
        let mut next = 1;
        // Each takes the farthest that it may, a founder first.
        for _ in 0..4_000 {
            let id = next + NODE_ID_STEP_MAX;
            next = check_new_id(id, next).unwrap() + 1;
        }
    }
}
