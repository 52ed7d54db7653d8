//! The parsers of what peers send: frames, the hello, and the body of every message.

use assent_cluster::peer::outside::{
    Reread, reread_answer, reread_failure, reread_frames, reread_hello, reread_ping, reread_pong,
    reread_request,
};
use assent_cluster::peer::{
    Append, CosignRules, Introduce, Manage, ManageFor, Message, Moved, PreVote, Probe, ReadIndex,
    SnapshotBegin, SnapshotChunk, SnapshotEnd, Submit, SubmitFor, TransferLeader, Vote,
};

use super::judge::{Growth, check_text, holds, refused, reread};
use super::parser::{Parser, Reading};
use super::samples;

/// MessagePack by position is as long as what it was read from, except for a variant that came as its number and is
/// written as its name, and an empty list that is written as empty bytes.
const BODY: Growth = Growth { times: 24, more: 64 };
/// The largest frame, before the handshake is complete.
const FRAME_MAX: usize = 16 * 1024;
/// The largest term and log index, as far as the messages' own checks are concerned.
const MOST: u64 = 1 << 40;

/// Both parsers of a message: of the request and of its answer.
macro_rules! parsers {
    ($($message:ident, $request:literal, $answer:literal;)*) => {
        /// The parsers.
        pub(super) const PARSERS: &[Parser] = &[
            Parser { name: "frames", check: frames, samples: frame_streams },
            Parser { name: "hello", check: hello, samples: hellos },
            Parser { name: "failure", check: |bytes| body(bytes, reread_failure), samples: samples::bodies },
            Parser { name: "ping", check: |bytes| body(bytes, reread_ping), samples: samples::bodies },
            Parser { name: "pong", check: |bytes| body(bytes, reread_pong), samples: samples::bodies },
            $(
                Parser { name: $request, check: request::<$message>, samples: samples::bodies },
                Parser { name: $answer, check: answer::<$message>, samples: samples::bodies },
            )*
        ];
    };
}

parsers! {
    Append, "append_request", "append_answer";
    Vote, "vote_request", "vote_answer";
    PreVote, "pre_vote_request", "pre_vote_answer";
    TransferLeader, "transfer_leader_request", "transfer_leader_answer";
    SnapshotBegin, "snapshot_begin_request", "snapshot_begin_answer";
    SnapshotChunk, "snapshot_chunk_request", "snapshot_chunk_answer";
    SnapshotEnd, "snapshot_end_request", "snapshot_end_answer";
    ReadIndex, "read_index_request", "read_index_answer";
    Submit, "submit_request", "submit_answer";
    Probe, "probe_request", "probe_answer";
    Manage, "manage_request", "manage_answer";
    Introduce, "introduce_request", "introduce_answer";
    CosignRules, "cosign_rules_request", "cosign_rules_answer";
    Moved, "moved_request", "moved_answer";
    SubmitFor, "submit_for_request", "submit_for_answer";
    ManageFor, "manage_for_request", "manage_for_answer";
}

fn request<M: Message>(bytes: &[u8]) -> Result<Reading, String> {
    body(bytes, |bytes| reread_request::<M>(bytes, MOST))
}

fn answer<M: Message>(bytes: &[u8]) -> Result<Reading, String> {
    body(bytes, |bytes| reread_answer::<M>(bytes, MOST))
}

/// A body. Written anew, it must be read so that the same bytes are written.
fn body(bytes: &[u8], read: impl Fn(&[u8]) -> Result<Reread, String>) -> Result<Reading, String> {
    if let Ok(Reread { within: Err(problem), .. }) = read(bytes) {
        check_text(&problem, false)?;
    }
    reread(bytes, BODY, read, |reread| reread.written.clone())
}

fn frames(bytes: &[u8]) -> Result<Reading, String> {
    match reread_frames(bytes, FRAME_MAX) {
        Ok(written) => {
            holds(bytes.starts_with(&written), "frames are written as they are read")?;
            Ok(if written.is_empty() { Reading::Refused } else { Reading::Accepted })
        }
        Err(error) => refused(&error),
    }
}

fn hello(bytes: &[u8]) -> Result<Reading, String> {
    match reread_hello(bytes) {
        Ok(written) => {
            holds(
                bytes.starts_with(&written),
                "a hello is written as it is read, except for what is appended",
            )?;
            Ok(Reading::Accepted)
        }
        Err(error) => refused(&error),
    }
}

/// Frames as they follow one another: the pinned bodies under all kinds.
fn frame_streams() -> Vec<Vec<u8>> {
    let mut stream = Vec::new();
    for (kind, body) in (1u8..).zip(samples::bodies()) {
        stream.extend_from_slice(&frame(kind, &body));
    }
    let mut several: Vec<Vec<u8>> = hellos().iter().map(|hello| frame(1, hello)).collect();
    several.push(stream);
    several.push(frame(4, &[]));
    several
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len().saturating_add(9)).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&7u64.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The hello whose bytes `cluster/src/peer/hello.rs` pins, and one with something appended.
fn hellos() -> Vec<Vec<u8>> {
    let mut hello = b"assentp\n\x00\x06\x00\x07\x00\x00\x00\x01".to_vec();
    hello.extend_from_slice(&[0xaa; 32]);
    hello.extend_from_slice(&1u64.to_be_bytes());
    hello.extend_from_slice(&[0xbb; 16]);
    hello.extend_from_slice(&2u64.to_be_bytes());
    hello.push(1);
    hello.extend_from_slice(&3u64.to_be_bytes());
    hello.extend_from_slice(&4u64.to_be_bytes());
    let longer = [hello.as_slice(), b"more"].concat();
    vec![hello, longer]
}
