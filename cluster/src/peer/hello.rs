//! The hello: how a node says which node it is. This module owns its bytes, which stay readable across protocol
//! versions. `handshake` decides which nodes may talk.

use crate::raft::types::NodeId;

use super::frame::FRAME_HEAD;

/// The newest version of the messages that this build speaks. Both sides speak the highest version that both know.
///
/// Since version 6 the outcomes of a submission name their history, without which no node may pass a receipt on. Each
/// pong tells whether its sender trusts its own clock. Without that, a node could trust clocks that leapt together.
/// The version also adds changes of a member's addresses.
///
/// Since version 7 a node that forwards something says for which caller ([`BEHALF_SINCE`]).
pub const PROTOCOL_VERSION: u16 = 7;
/// The version since which a node that forwards something says for which caller.
pub const BEHALF_SINCE: u16 = 7;
/// The oldest version of the messages that this build still speaks.
pub const PROTOCOL_VERSION_MIN: u16 = 6;
const MAGIC: [u8; 8] = *b"assentp\n";
const HELLO_BYTES: usize = 8 + 2 + 2 + 4 + 32 + 8 + 16 + 8 + 1 + 8 + 8;

/// The identity of a node, for as long as its disk lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The digest of the genesis file.
    pub cluster_id: [u8; 32],
    /// This node.
    pub node_id: NodeId,
    /// The random id of its store. A wiped disk has another one.
    pub store_id: [u8; 16],
    /// The newest rules that this node knows.
    pub rules_version: u32,
}

/// How far a node's store has come. It shows whether a disk was put back to an older copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreProgress {
    /// Whether it has ever started: a vote or a log entry is present.
    pub started: bool,
    /// The newest term that it has voted in or followed.
    pub term: u64,
    /// One more than the last log index that it has, in its log or applied; 0 for none.
    pub log_end: u64,
}

/// The first frame that each side sends on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and the newest version of the messages that it speaks.
    pub versions: (u16, u16),
    /// The newest rules that it knows; announced so that a `rules` statement can be held back until every voter
    /// knows them.
    pub rules_version: u32,
    /// The cluster that it belongs to.
    pub cluster_id: [u8; 32],
    /// The node that it claims to be.
    pub node_id: NodeId,
    /// Its store's random id.
    pub store_id: [u8; 16],
    /// The node that it wants to talk to. It distinguishes a wrong address in a configuration from a wrong node.
    pub target: NodeId,
    /// How far its store has come.
    pub store_progress: StoreProgress,
}

/// The bytes are not a hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a hello of an assent node")]
pub(super) struct NotHelloError;

impl Hello {
    /// The hello of a node with that identity to `target`.
    pub(super) fn new(identity: &Identity, target: NodeId, store_progress: StoreProgress) -> Self {
        Self {
            versions: (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION),
            rules_version: identity.rules_version,
            cluster_id: identity.cluster_id,
            node_id: identity.node_id,
            store_id: identity.store_id,
            target,
            store_progress,
        }
    }

    /// The hello's bytes: fixed places, integers big-endian. Later versions may only append.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HELLO_BYTES + FRAME_HEAD);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.versions.0.to_be_bytes());
        bytes.extend_from_slice(&self.versions.1.to_be_bytes());
        bytes.extend_from_slice(&self.rules_version.to_be_bytes());
        bytes.extend_from_slice(&self.cluster_id);
        bytes.extend_from_slice(&self.node_id.to_be_bytes());
        bytes.extend_from_slice(&self.store_id);
        bytes.extend_from_slice(&self.target.to_be_bytes());
        bytes.push(u8::from(self.store_progress.started));
        bytes.extend_from_slice(&self.store_progress.term.to_be_bytes());
        bytes.extend_from_slice(&self.store_progress.log_end.to_be_bytes());
        bytes
    }

    /// Reads a hello, and skips what a later version has appended.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, NotHelloError> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != MAGIC {
            return Err(NotHelloError);
        }
        let versions = (u16::from_be_bytes(take(&mut rest)?), u16::from_be_bytes(take(&mut rest)?));
        let hello = Self {
            versions,
            rules_version: u32::from_be_bytes(take(&mut rest)?),
            cluster_id: take(&mut rest)?,
            node_id: u64::from_be_bytes(take(&mut rest)?),
            store_id: take(&mut rest)?,
            target: u64::from_be_bytes(take(&mut rest)?),
            store_progress: StoreProgress {
                started: match take::<1>(&mut rest)? {
                    [0] => false,
                    [1] => true,
                    _ => return Err(NotHelloError),
                },
                term: u64::from_be_bytes(take(&mut rest)?),
                log_end: u64::from_be_bytes(take(&mut rest)?),
            },
        };
        Ok(hello)
    }
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NotHelloError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(NotHelloError)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Hello {
        let identity =
            Identity { cluster_id: [0xaa; 32], node_id: 1, store_id: [0xbb; 16], rules_version: 1 };
        Hello::new(&identity, 2, StoreProgress { started: true, term: 3, log_end: 4 })
    }

    #[test]
    fn the_hello_is_pinned_byte_by_byte() {
        let expected = format!(
            "{}{}{}{}{}{}{}{}{}{}",
            "617373656e74700a",
            "00060007",
            "00000001",
            "aa".repeat(32),
            "0000000000000001",
            "bb".repeat(16),
            "0000000000000002",
            "01",
            "0000000000000003",
            "0000000000000004"
        );
        assert_eq!(hex::encode(sample().to_bytes()), expected);
        assert_eq!(Hello::parse(&sample().to_bytes()), Ok(sample()));
    }

    #[test]
    fn a_later_version_may_append() {
        let mut bytes = sample().to_bytes();
        bytes.extend_from_slice(b"more");
        assert_eq!(Hello::parse(&bytes), Ok(sample()));
    }

    #[test]
    fn anything_shorter_or_otherwise_is_no_hello() {
        let bytes = sample().to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Hello::parse(&bytes[..length]), Err(NotHelloError), "{length}");
        }
        let mut other = bytes.clone();
        other[0] ^= 1;
        assert_eq!(Hello::parse(&other), Err(NotHelloError));
        let mut flag = bytes;
        let at = flag.len() - 17;
        flag[at] = 2;
        assert_eq!(Hello::parse(&flag), Err(NotHelloError));
    }
}
