//! The encoding of what a node remembers.
//!
//! It starts with a version. Every version continues with a head: the epoch that ended this node or 0 (8 bytes), and
//! the newest version of the rules that it has signed or 0 (4 bytes). Records follow until the end. Integers are big
//! endian.
//!
//! - **Version 1**: every record is a position: id, term and log index (8 each).
//! - **Version 2**: each record begins with a byte for its kind (`Record`). Positions come first, and the records of one
//!   kind are in the order of their node ids. Records in another order count as damage. So do an unknown kind, a record
//!   that comes twice, and bytes that are left over.
//!
//! The lowest version that can hold what is remembered is written. So an earlier build can be started again, unless
//! it would lose something that is on disk.

use assent_registry::UnknownVersionError;
use bytes::Bytes;

use super::state::{State, UnreadableError};
use crate::raft::types::NodeId;

/// The newest version. To add one: `docs/formats.md`.
const VERSION: u8 = 2;

/// The kinds of records in version 2.
const POSITION: u8 = 1;
const SAYS_REMOVED: u8 = 2;

/// Only in version 1: a record with this bit in its id, which no node's id has, is not a position.
///
/// Some builds that were in no release wrote into version 1 that a member had said that this node was removed. They
/// wrote a record with that member's id and this bit, and 0 for term and log index. Earlier builds read it as a
/// position of an unknown node. This build reads it as what it means. Every other record with this bit counts as
/// damage: the node does not start, and nothing else is read as a position.
///
/// Nothing is allowed because of such a record. It is shown to people, and is forgotten as soon as a quorum talks to
/// this node. Version 2 never has it.
const SAID_IN_VERSION_1: u64 = 1 << 63;

/// One record of version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    /// The member `node` has acknowledged the log up to this term and log index. After the kind: id, term, index (8
    /// bytes each).
    Position { node: NodeId, term: u64, index: u64 },
    /// The member `node` has said that this node was removed, and has not taken it back. After the kind: the id (8
    /// bytes).
    SaysRemoved { node: NodeId },
}

impl Record {
    fn put(self, bytes: &mut Vec<u8>) {
        match self {
            Record::Position { node, term, index } => {
                bytes.push(POSITION);
                put(bytes, [node, term, index]);
            }
            Record::SaysRemoved { node } => {
                bytes.push(SAYS_REMOVED);
                put(bytes, [node]);
            }
        }
    }

    /// The record at the start of `bytes`, and what follows it; none if there is no record.
    fn take(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            POSITION => {
                let ([node, term, index], rest) = take::<3>(rest)?;
                Some((Record::Position { node, term, index }, rest))
            }
            SAYS_REMOVED => {
                let ([node], rest) = take::<1>(rest)?;
                Some((Record::SaysRemoved { node }, rest))
            }
            _ => None,
        }
    }
}

/// The bytes of what is remembered, in the lowest version that can hold it.
pub(super) fn encode(state: &State) -> Bytes {
    let bytes = if state.removed_by.is_empty() { encode_version_1(state) } else { encode_version_2(state) };
    bytes.into()
}

fn encode_version_1(state: &State) -> Vec<u8> {
    let mut bytes = begin(1, state);
    for (node, (term, index)) in &state.known {
        put(&mut bytes, [*node, *term, *index]);
    }
    bytes
}

fn encode_version_2(state: &State) -> Vec<u8> {
    let mut bytes = begin(2, state);
    for (node, (term, index)) in &state.known {
        Record::Position { node: *node, term: *term, index: *index }.put(&mut bytes);
    }
    for node in &state.removed_by {
        Record::SaysRemoved { node: *node }.put(&mut bytes);
    }
    bytes
}

/// The version, and the head of every version.
fn begin(version: u8, state: &State) -> Vec<u8> {
    let mut bytes = vec![version];
    bytes.extend_from_slice(&state.ended.to_be_bytes());
    bytes.extend_from_slice(&state.signed.to_be_bytes());
    bytes
}

/// Reads the bytes of any version up to [`VERSION`].
pub(super) fn decode(bytes: &[u8]) -> Result<State, UnreadableError> {
    let (version, rest) = bytes.split_first().ok_or(UnreadableError::Damaged)?;
    match *version {
        1 => read_version_1(rest).ok_or(UnreadableError::Damaged),
        // Each value has exactly one encoding.
        2 => read_version_2(rest).filter(|state| encode(state) == *bytes).ok_or(UnreadableError::Damaged),
        found => Err(UnreadableError::Version(UnknownVersionError { found, known: VERSION })),
    }
}

/// What follows version 2.
fn read_version_2(bytes: &[u8]) -> Option<State> {
    let (mut state, mut rest) = read_head(bytes)?;
    while !rest.is_empty() {
        let (record, after) = Record::take(rest)?;
        match record {
            Record::Position { node, term, index } => {
                state.known.insert(node, (term, index));
            }
            Record::SaysRemoved { node } => {
                state.removed_by.insert(node);
            }
        }
        rest = after;
    }
    Some(state)
}

/// What follows version 1.
fn read_version_1(bytes: &[u8]) -> Option<State> {
    let (mut state, mut rest) = read_head(bytes)?;
    while !rest.is_empty() {
        let ([node, term, index], after) = take::<3>(rest)?;
        if node & SAID_IN_VERSION_1 == 0 {
            state.known.insert(node, (term, index));
        } else if (term, index) == (0, 0) {
            state.removed_by.insert(node & !SAID_IN_VERSION_1);
        } else {
            return None;
        }
        rest = after;
    }
    Some(state)
}

/// The head, which every version has between the version and the records, and the records' bytes.
fn read_head(bytes: &[u8]) -> Option<(State, &[u8])> {
    let (ended, rest) = bytes.split_first_chunk::<8>()?;
    let (signed, records) = rest.split_first_chunk::<4>()?;
    let (ended, signed) = (u64::from_be_bytes(*ended), u32::from_be_bytes(*signed));
    Some((State { ended, signed, ..State::default() }, records))
}

fn put<const N: usize>(bytes: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
}

/// This many integers, and what follows them; none if there are fewer.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u64; N], &[u8])> {
    let (mut numbers, mut rest) = ([0; N], bytes);
    for number in &mut numbers {
        let (word, after) = rest.split_first_chunk::<8>()?;
        *number = u64::from_be_bytes(*word);
        rest = after;
    }
    Some((numbers, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// The epoch 7, and the rules 8.
    const HEAD: &str = "000000000000000700000008";

    fn bytes(parts: &[&str]) -> Vec<u8> {
        hex::decode(parts.concat()).unwrap()
    }

    fn positions() -> State {
        State { known: BTreeMap::from([(1, (2, 3)), (4, (5, 6))]), ended: 7, signed: 8, ..State::default() }
    }

    #[test]
    fn the_memory_has_these_bytes() {
        let expected = [
            "01",
            HEAD,
            "000000000000000100000000000000020000000000000003",
            "000000000000000400000000000000050000000000000006",
        ]
        .concat();
        assert_eq!(hex::encode(encode(&positions())), expected);
        assert_eq!(decode(&encode(&positions())), Ok(positions()));
        assert_eq!(hex::encode(encode(&State::default())), "01000000000000000000000000");
        assert_eq!(decode(&encode(&State::default())), Ok(State::default()));
        let removed = State { removed_by: BTreeSet::from([2, 1 << 32]), ..positions() };
        let expected = [
            "02",
            HEAD,
            "01000000000000000100000000000000020000000000000003",
            "01000000000000000400000000000000050000000000000006",
            "020000000000000002",
            "020000000100000000",
        ]
        .concat();
        assert_eq!(hex::encode(encode(&removed)), expected);
        assert_eq!(decode(&encode(&removed)), Ok(removed));
    }

    #[test]
    fn a_memory_of_version_1_that_is_cut_is_damaged() {
        let whole = encode(&positions());
        for length in (0..whole.len()).filter(|length| ![13, 37].contains(length)) {
            assert_eq!(decode(&whole[..length]), Err(UnreadableError::Damaged), "{length}");
        }
    }

    #[test]
    fn a_version_1_record_without_a_position_names_a_member_that_said_removed_or_is_damage() {
        let said = |rest: &str| {
            let position = "000000000000000100000000000000020000000000000003";
            decode(&bytes(&["01", HEAD, position, "8000000000000002", rest]))
        };
        let (known, removed_by) = (BTreeMap::from([(1, (2, 3))]), BTreeSet::from([2]));
        let expected = State { known, removed_by, ..positions() };
        assert_eq!(said("00000000000000000000000000000000"), Ok(expected.clone()));
        assert_eq!(hex::encode(&encode(&expected)[38..]), "020000000000000002");
        for position in ["00000000000000010000000000000000", "00000000000000000000000000000001"] {
            assert_eq!(said(position), Err(UnreadableError::Damaged), "{position}");
        }
    }

    #[test]
    fn a_memory_of_version_2_that_is_cut_extended_or_in_another_order_is_damaged() {
        let (one, four) = (
            "01000000000000000100000000000000020000000000000003",
            "01000000000000000400000000000000050000000000000006",
        );
        let (says_2, says_3) = ("020000000000000002", "020000000000000003");
        let whole = bytes(&["02", HEAD, one, four, says_2, says_3]);
        assert!(decode(&whole).is_ok());
        let ends = [72];
        for length in (0..whole.len()).filter(|length| !ends.contains(length)) {
            assert_eq!(decode(&whole[..length]), Err(UnreadableError::Damaged), "{length}");
        }
        for records in [
            [four, one].concat(),
            [one, one].concat(),
            [says_3, says_2].concat(),
            [says_2, says_2].concat(),
            [says_2, one].concat(),
            // Nothing for which version 1 would not have done.
            [one, four].concat(),
            // Kinds that version 2 does not have.
            "00".to_owned(),
            "000000000000000002".to_owned(),
            "030000000000000002".to_owned(),
        ] {
            let bytes = bytes(&["02", HEAD, records.as_str()]);
            assert_eq!(decode(&bytes), Err(UnreadableError::Damaged), "{records}");
        }
    }

    #[test]
    fn a_memory_of_an_unknown_version_is_not_damaged_whatever_follows() {
        for found in [0, 3, u8::MAX] {
            let unknown = Err(UnreadableError::Version(UnknownVersionError { found, known: 2 }));
            assert_eq!(decode(&[found]), unknown);
            assert_eq!(decode(&[&[found][..], &encode(&positions())[1..]].concat()), unknown);
        }
    }
}
