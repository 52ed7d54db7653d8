//! The encoding of openraft's own values, on disk and between peers.
//!
//! Each value starts with a version byte of its own. Integers are big endian. Memberships are MessagePack by
//! position. Trailing bytes and unknown versions are errors, and an unknown version is distinguished from damage. The
//! encoding is written by hand wherever openraft's own encoding could change with its version, because the data on
//! disk outlives that version.

use bytes::Bytes;
use openraft::alias::{CommittedLeaderIdOf, EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::{EntryPayload, Membership};

use assent_registry::UnknownVersionError;

use super::types::{NodeId, PeerNode, Proposal, TypeConfig};

/// The newest version of every encoding here, and the one that is written. To add one: `docs/formats.md`.
const VERSION: u8 = 1;

const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RaftCodecError {
    /// There are too few bytes.
    #[error("it is cut short")]
    Short,
    /// There are too many bytes.
    #[error("bytes are left over")]
    Trailing,
    /// The version is not one that this build reads.
    #[error("it has {0}")]
    Version(UnknownVersionError),
    /// A byte that says what follows is unknown.
    #[error("kind {0} is unknown")]
    Kind(u8),
    /// The membership cannot be read.
    #[error("the membership cannot be read: {0}")]
    Membership(String),
}

/// An entry: version, kind, term, index, and then a command's bytes or a membership.
pub fn encode_entry(entry: &EntryOf<TypeConfig>) -> Vec<u8> {
    let (kind, payload) = match &entry.payload {
        EntryPayload::Blank => (BLANK, None),
        EntryPayload::Normal(Proposal(command)) => (NORMAL, Some(command.clone())),
        EntryPayload::Membership(membership) => (MEMBERSHIP, Some(Bytes::from(membership_bytes(membership)))),
    };
    let payload = payload.unwrap_or_default();
    let mut bytes = Vec::with_capacity(18 + payload.len());
    bytes.extend_from_slice(&[VERSION, kind]);
    put_log_id(&mut bytes, &entry.log_id());
    bytes.extend_from_slice(&payload);
    bytes
}

/// Reads an entry.
pub fn decode_entry(bytes: &[u8]) -> Result<EntryOf<TypeConfig>, RaftCodecError> {
    let mut reader = Reader::versioned(bytes)?;
    let kind = reader.u8()?;
    let log_id = reader.log_id()?;
    let payload = match kind {
        BLANK => {
            reader.finish()?;
            EntryPayload::Blank
        }
        NORMAL => EntryPayload::Normal(Proposal(Bytes::copy_from_slice(reader.rest))),
        MEMBERSHIP => EntryPayload::Membership(membership(reader.rest)?),
        other => return Err(RaftCodecError::Kind(other)),
    };
    Ok(EntryOf::<TypeConfig>::new(log_id, payload))
}

/// A vote: version, term, candidate, whether it is committed.
pub fn encode_vote(vote: &VoteOf<TypeConfig>) -> Vec<u8> {
    let leader = vote.leader_id();
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&leader.term.to_be_bytes());
    bytes.extend_from_slice(&leader.voted_for.to_be_bytes());
    bytes.push(u8::from(vote.is_committed()));
    bytes
}

/// Reads a vote.
pub fn decode_vote(bytes: &[u8]) -> Result<VoteOf<TypeConfig>, RaftCodecError> {
    let mut reader = Reader::versioned(bytes)?;
    let (term, node) = (reader.u64()?, reader.u64()?);
    let committed = reader.flag()?;
    reader.finish()?;
    Ok(match committed {
        true => VoteOf::<TypeConfig>::new_committed(term, node),
        false => VoteOf::<TypeConfig>::new(term, node),
    })
}

/// A log id: version, term, index.
pub fn encode_log_id(log_id: &LogIdOf<TypeConfig>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    put_log_id(&mut bytes, log_id);
    bytes
}

/// Reads a log id.
pub fn decode_log_id(bytes: &[u8]) -> Result<LogIdOf<TypeConfig>, RaftCodecError> {
    let mut reader = Reader::versioned(bytes)?;
    let log_id = reader.log_id()?;
    reader.finish()?;
    Ok(log_id)
}

/// A log id or none: version, whether there is one, and then it.
pub fn encode_log_id_option(log_id: Option<&LogIdOf<TypeConfig>>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    put_log_id_option(&mut bytes, log_id);
    bytes
}

/// Reads a log id or none.
pub fn decode_log_id_option(bytes: &[u8]) -> Result<Option<LogIdOf<TypeConfig>>, RaftCodecError> {
    let mut reader = Reader::versioned(bytes)?;
    let log_id = reader.log_id_option()?;
    reader.finish()?;
    Ok(log_id)
}

/// The registry's applied position: version, the largest node id that was ever a member, a snapshot's metadata.
pub fn encode_position(meta: &SnapshotMetaOf<TypeConfig>, highest_id: NodeId) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&highest_id.to_be_bytes());
    bytes.extend_from_slice(&encode_snapshot_meta(meta));
    bytes
}

/// Reads an applied position.
pub fn decode_position(bytes: &[u8]) -> Result<(SnapshotMetaOf<TypeConfig>, NodeId), RaftCodecError> {
    let mut reader = Reader::versioned(bytes)?;
    let highest_id = reader.u64()?;
    Ok((decode_snapshot_meta(reader.rest)?, highest_id))
}

/// A snapshot's metadata: version, the last log id or none, the
/// membership's log id or none, the membership.
pub fn encode_snapshot_meta(meta: &SnapshotMetaOf<TypeConfig>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    put_log_id_option(&mut bytes, meta.last_log_id.as_ref());
    put_log_id_option(&mut bytes, meta.last_membership.log_id().as_ref());
    bytes.extend_from_slice(&membership_bytes(meta.last_membership.membership()));
    bytes
}

/// Reads a snapshot's metadata.
pub fn decode_snapshot_meta(bytes: &[u8]) -> Result<SnapshotMetaOf<TypeConfig>, RaftCodecError> {
    let mut reader = Reader::versioned(bytes)?;
    let last_log_id = reader.log_id_option()?;
    let membership_log_id = reader.log_id_option()?;
    let last_membership = StoredMembershipOf::<TypeConfig>::new(membership_log_id, membership(reader.rest)?);
    Ok(SnapshotMetaOf::<TypeConfig> { last_log_id, last_membership })
}

fn put_log_id(bytes: &mut Vec<u8>, log_id: &LogIdOf<TypeConfig>) {
    bytes.extend_from_slice(&log_id.leader_id.term.to_be_bytes());
    bytes.extend_from_slice(&log_id.index.to_be_bytes());
}

fn put_log_id_option(bytes: &mut Vec<u8>, log_id: Option<&LogIdOf<TypeConfig>>) {
    bytes.push(u8::from(log_id.is_some()));
    if let Some(log_id) = log_id {
        put_log_id(bytes, log_id);
    }
}

/// Encoding sets and maps of integers and strings into memory cannot fail. If it did, the result would not decode,
/// and a store that cannot be read stops the node.
fn membership_bytes(membership: &Membership<NodeId, PeerNode>) -> Vec<u8> {
    rmp_serde::to_vec(membership).unwrap_or_default()
}

fn membership(bytes: &[u8]) -> Result<Membership<NodeId, PeerNode>, RaftCodecError> {
    let mut cursor = std::io::Cursor::new(bytes);
    let membership =
        rmp_serde::from_read(&mut cursor).map_err(|error| RaftCodecError::Membership(error.to_string()))?;
    if cursor.position() == bytes.len() as u64 { Ok(membership) } else { Err(RaftCodecError::Trailing) }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads what follows the byte of version 1.
    fn versioned(bytes: &'a [u8]) -> Result<Self, RaftCodecError> {
        let mut reader = Self { rest: bytes };
        match reader.u8()? {
            1 => Ok(reader),
            found => Err(RaftCodecError::Version(UnknownVersionError { found, known: VERSION })),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RaftCodecError> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(RaftCodecError::Short)?;
        self.rest = rest;
        Ok(*array)
    }

    fn u8(&mut self) -> Result<u8, RaftCodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Result<u64, RaftCodecError> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Result<bool, RaftCodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(RaftCodecError::Kind(other)),
        }
    }

    fn log_id(&mut self) -> Result<LogIdOf<TypeConfig>, RaftCodecError> {
        let term: CommittedLeaderIdOf<TypeConfig> = self.u64()?.into();
        Ok(LogIdOf::<TypeConfig>::new(term, self.u64()?))
    }

    fn log_id_option(&mut self) -> Result<Option<LogIdOf<TypeConfig>>, RaftCodecError> {
        if self.flag()? { self.log_id().map(Some) } else { Ok(None) }
    }

    fn finish(&self) -> Result<(), RaftCodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RaftCodecError::Trailing) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn log_id(term: u64, index: u64) -> LogIdOf<TypeConfig> {
        LogIdOf::<TypeConfig>::new(term.into(), index)
    }

    fn voters() -> Membership<NodeId, PeerNode> {
        let node = PeerNode {
            peer_addr: "p:1".into(),
            client_addr: "c:1".into(),
            store_id: *b"0123456789abcdef",
            key: None,
        };
        Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node)])).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        hex::encode(bytes)
    }

    #[test]
    fn entries_have_these_bytes() {
        let blank = EntryOf::<TypeConfig>::new(log_id(2, 3), EntryPayload::Blank);
        let normal = EntryOf::<TypeConfig>::new(
            log_id(2, 4),
            EntryPayload::Normal(Proposal(Bytes::from_static(b"cmd"))),
        );
        let membership = EntryOf::<TypeConfig>::new(log_id(2, 5), EntryPayload::Membership(voters()));
        assert_eq!(hex(&encode_entry(&blank)), "010000000000000000020000000000000003");
        assert_eq!(hex(&encode_entry(&normal)), "010100000000000000020000000000000004636d64");
        assert_eq!(
            hex(&encode_entry(&membership)),
            "01020000000000000002000000000000000592919101810194a3703a31a3633a31dc001030313233343536373839616263646566c0"
        );
        for entry in [blank, normal, membership] {
            assert_eq!(decode_entry(&encode_entry(&entry)), Ok(entry));
        }
    }

    #[test]
    fn votes_log_ids_and_snapshot_metadata_have_these_bytes() {
        let vote = VoteOf::<TypeConfig>::new_committed(7, 2);
        assert_eq!(hex(&encode_vote(&vote)), "010000000000000007000000000000000201");
        assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));
        let vote = VoteOf::<TypeConfig>::new(7, 2);
        assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));

        assert_eq!(hex(&encode_log_id(&log_id(2, 3))), "0100000000000000020000000000000003");
        assert_eq!(decode_log_id(&encode_log_id(&log_id(2, 3))), Ok(log_id(2, 3)));
        assert_eq!(hex(&encode_log_id_option(None)), "0100");
        assert_eq!(decode_log_id_option(&encode_log_id_option(None)), Ok(None));
        let some = encode_log_id_option(Some(&log_id(2, 3)));
        assert_eq!(decode_log_id_option(&some), Ok(Some(log_id(2, 3))));

        let meta = SnapshotMetaOf::<TypeConfig> {
            last_log_id: Some(log_id(2, 9)),
            last_membership: StoredMembershipOf::<TypeConfig>::new(Some(log_id(1, 1)), voters()),
        };
        assert_eq!(
            hex(&encode_snapshot_meta(&meta)),
            "010100000000000000020000000000000009010000000000000001000000000000000192919101810194a3703a31a3633a31dc001030313233343536373839616263646566c0"
        );
        let position = encode_position(&meta, 5);
        assert_eq!(hex(&position), format!("010000000000000005{}", hex(&encode_snapshot_meta(&meta))));
        assert_eq!(decode_position(&position), Ok((meta.clone(), 5)));
        assert_eq!(decode_snapshot_meta(&encode_snapshot_meta(&meta)), Ok(meta));
    }

    #[test]
    fn what_is_cut_extended_or_of_another_version_is_refused() {
        let vote = encode_vote(&VoteOf::<TypeConfig>::new(7, 2));
        for length in 0..vote.len() {
            assert!(decode_vote(&vote[..length]).is_err());
        }
        assert_eq!(decode_vote(&[vote.clone(), vec![0]].concat()), Err(RaftCodecError::Trailing));
        let entry = EntryOf::<TypeConfig>::new(log_id(2, 5), EntryPayload::Membership(voters()));
        let bytes = encode_entry(&entry);
        for length in 0..bytes.len() {
            assert!(decode_entry(&bytes[..length]).is_err());
        }
        assert!(decode_entry(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn what_is_of_the_next_version_is_not_damaged_and_says_which_build_to_start() {
        let next = |mut bytes: Vec<u8>| {
            bytes[0] = VERSION + 1;
            bytes
        };
        let unknown = RaftCodecError::Version(UnknownVersionError { found: 2, known: 1 });
        let entry = EntryOf::<TypeConfig>::new(log_id(2, 3), EntryPayload::Blank);
        assert_eq!(decode_entry(&next(encode_entry(&entry))), Err(unknown.clone()));
        let vote = VoteOf::<TypeConfig>::new(7, 2);
        assert_eq!(decode_vote(&next(encode_vote(&vote))), Err(unknown.clone()));
        assert_eq!(decode_log_id(&next(encode_log_id(&log_id(2, 3)))), Err(unknown.clone()));
        assert_eq!(decode_log_id_option(&next(encode_log_id_option(None))), Err(unknown.clone()));
        let meta = SnapshotMetaOf::<TypeConfig>::default();
        assert_eq!(decode_snapshot_meta(&next(encode_snapshot_meta(&meta))), Err(unknown.clone()));
        assert_eq!(decode_position(&next(encode_position(&meta, 5))), Err(unknown.clone()));
        assert_eq!(
            unknown.to_string(),
            "it has version 2, and this build reads version 1: start this node with a newer build"
        );
    }
}
