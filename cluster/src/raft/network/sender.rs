//! Sends one snapshot: begin, chunk by chunk, end; each step is acknowledged before the next.
//!
//! One chunk is read while the one before is on its way, so memory holds two. A chunk is small enough that a
//! heartbeat behind it on the same connection is not late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError};
use openraft::network::RPCTypes;
use openraft::raft::SnapshotResponse;
use openraft::{ErrorSubject, ErrorVerb, StorageError};

use assent_store::{SnapshotChunks, SnapshotSummary, StoreError};

use crate::env::{Blocking, blocking};
use crate::peer::{Message, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply};
use crate::raft::machine::SnapshotData;
use crate::raft::types::TypeConfig;

use super::PeerNetwork;

type Sent<T> = Result<T, StreamingError<TypeConfig>>;

/// How long a live receiver may take to write one chunk.
const STEP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a live receiver may take to check and install the whole.
const INSTALL_DEADLINE: Duration = Duration::from_secs(120);

/// Tells this process's transfers apart.
static NEXT_TRANSFER: AtomicU64 = AtomicU64::new(1);

/// What comes after the chunks sent so far.
enum Next {
    Chunk(Vec<u8>),
    Summary(SnapshotSummary),
}

/// Sends `snapshot`. After `patience` without an answer the connection has to prove that it is alive.
pub(super) async fn send(
    network: &PeerNetwork,
    vote: VoteOf<TypeConfig>,
    snapshot: SnapshotOf<TypeConfig, SnapshotData>,
    patience: Duration,
) -> Sent<SnapshotResponse<TypeConfig>> {
    let SnapshotData::Source(source) = snapshot.snapshot else {
        return Err(StreamingError::Closed(ReplicationClosed::new("a received snapshot is not sent on")));
    };
    let transfer = NEXT_TRANSFER.fetch_add(1, Ordering::Relaxed);
    let header = source.header().encode().into();
    let begin = SnapshotBegin { transfer, vote, meta: snapshot.meta, header };
    let (mut chunks, mut next) = read_next(&network.blocking, source.chunks()).await?;
    if let Some(done) = step(network, &begin, patience, STEP_DEADLINE).await? {
        return Ok(done);
    }
    loop {
        match next {
            Next::Chunk(bytes) => {
                let chunk = SnapshotChunk { transfer, chunk: bytes.into() };
                let sending = step(network, &chunk, patience, STEP_DEADLINE);
                let (sent, read) = futures_util::join!(sending, read_next(&network.blocking, chunks));
                if let Some(done) = sent? {
                    return Ok(done);
                }
                (chunks, next) = read?;
            }
            Next::Summary(summary) => {
                let end = SnapshotEnd { transfer, summary: summary.encode().into() };
                let done = step(network, &end, patience, INSTALL_DEADLINE).await?;
                return done.ok_or_else(|| failed("the peer did not say whether it installed the snapshot"));
            }
        }
    }
}

/// One step. An answer that ends the transfer, or none: go on.
async fn step<M: Message<Reply = SnapshotReply>>(
    network: &PeerNetwork,
    message: &M,
    patience: Duration,
    deadline: Duration,
) -> Sent<Option<SnapshotResponse<TypeConfig>>> {
    match network.hub.call_patient(network.target, message, patience, deadline).await {
        Ok(SnapshotReply::Continue) => Ok(None),
        Ok(SnapshotReply::Done(vote)) => Ok(Some(SnapshotResponse::new(vote))),
        Ok(SnapshotReply::Aborted(reason)) => {
            Err(failed(&format!("the peer gave up on the snapshot: {reason}")))
        }
        Err(error) => {
            let error: RPCError<TypeConfig> = network.rpc_error(RPCTypes::InstallSnapshot, deadline, error);
            Err(error.into())
        }
    }
}

/// Reads the next chunk off the async threads.
async fn read_next(runner: &Arc<dyn Blocking>, mut chunks: SnapshotChunks) -> Sent<(SnapshotChunks, Next)> {
    let read = blocking(&**runner, move || {
        let next = match chunks.next_chunk()? {
            Some(chunk) => Next::Chunk(chunk.encode()),
            None => Next::Summary(chunks.summary()),
        };
        Ok::<_, StoreError>((chunks, next))
    });
    match read.await {
        Ok(Ok(next)) => Ok(next),
        Ok(Err(error)) => Err(unreadable(std::io::Error::other(error))),
        Err(error) => Err(unreadable(std::io::Error::other(error))),
    }
}

/// This node cannot read its own registry: openraft stops it.
fn unreadable(error: std::io::Error) -> StreamingError<TypeConfig> {
    StorageError::from_io_error(ErrorSubject::Snapshot(None), ErrorVerb::Read, error).into()
}

/// The transfer failed; openraft starts another, after a pause if it fails again and again.
fn failed(problem: &str) -> StreamingError<TypeConfig> {
    StreamingError::Network(NetworkError::from_string(problem))
}
