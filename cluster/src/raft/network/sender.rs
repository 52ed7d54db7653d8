//! Sends one snapshot: the beginning, the chunks one by one, and the end. Each step is acknowledged before the next.
//!
//! One chunk is read while the previous one is being sent, so memory holds two. A chunk is small enough that a
//! heartbeat behind it on the same connection is not late. A broken connection does not end a transfer: the transfer
//! continues after the last chunk that the receiver wrote, with the very same snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError};
use openraft::network::RPCTypes;
use openraft::raft::SnapshotResponse;
use openraft::{ErrorSubject, ErrorVerb, StorageError};
use tokio::time::{Instant, sleep};

use assent_store::{SnapshotChunks, SnapshotSummary, StoreError};

use crate::env::{Blocking, blocking};
use crate::peer::{Message, PeerError, SnapshotBegin, SnapshotChunk, SnapshotEnd, SnapshotReply};
use crate::raft::machine::SnapshotData;
use crate::raft::types::TypeConfig;

use super::target::Target;
use super::transfers::{Direction, Transfer};

type Sent<T> = Result<T, StreamingError<TypeConfig>>;

/// How long a live receiver may take to write one chunk.
const STEP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a live receiver may take to check and install the whole snapshot.
const INSTALL_DEADLINE: Duration = Duration::from_secs(120);
/// How long a receiver may be unreachable before its transfer is given up. During the transfer, this node's disk
/// cannot reuse the pages of the snapshot.
const RESUME_WITHIN: Duration = Duration::from_secs(60);
/// The pause before the connection is tried again.
const RESUME_PAUSE: Duration = Duration::from_millis(50);

/// Distinguishes the transfers of this process.
static NEXT_TRANSFER: AtomicU64 = AtomicU64::new(1);

/// What follows the chunks that were sent so far.
#[derive(Clone)]
enum Next {
    /// A chunk, its index, and the number of rows of the snapshot up to its end.
    Chunk(SnapshotChunk, u64, u64),
    Summary(SnapshotSummary),
}

/// The result of a step.
enum Step {
    /// The receiver wants this chunk next.
    Continue(u64),
    /// The transfer is over.
    Done(SnapshotResponse<TypeConfig>),
}

/// Sends `snapshot`. After each `patience` without an answer, the connection must prove that it is alive.
pub(super) async fn send(
    target: &Target,
    vote: VoteOf<TypeConfig>,
    snapshot: SnapshotOf<TypeConfig, SnapshotData>,
    patience: Duration,
) -> Sent<SnapshotResponse<TypeConfig>> {
    let SnapshotData::Source(source) = snapshot.snapshot else {
        return Err(StreamingError::Closed(ReplicationClosed::new("a received snapshot is not sent on")));
    };
    let transfer = NEXT_TRANSFER.fetch_add(1, Ordering::Relaxed);
    let header = source.header();
    let sending = Sending {
        target,
        patience,
        shown: target.transfers.begin(Direction::Sending, target.id, header.rows),
        begin: SnapshotBegin { transfer, vote, meta: snapshot.meta, header: header.encode().into() },
    };
    sending.run(source.chunks()).await
}

/// One transfer.
struct Sending<'a> {
    target: &'a Target,
    patience: Duration,
    shown: Transfer,
    begin: SnapshotBegin,
}

impl Sending<'_> {
    async fn run(&self, chunks: SnapshotChunks) -> Sent<SnapshotResponse<TypeConfig>> {
        let transfer = self.begin.transfer;
        let (mut chunks, mut next) = read_next(&self.target.blocking, transfer, chunks).await?;
        if let Step::Done(done) = self.step(&self.begin, 0, STEP_DEADLINE).await? {
            return Ok(done);
        }
        let mut rows_before = 0;
        loop {
            match next {
                Next::Chunk(chunk, index, rows) => {
                    let sending = self.step(&chunk, index, STEP_DEADLINE);
                    let reading = read_next(&self.target.blocking, transfer, chunks);
                    let (sent, read) = futures_util::join!(sending, reading);
                    if let Step::Done(done) = sent? {
                        return Ok(done);
                    }
                    self.shown.chunk(chunk.chunk.len(), rows.saturating_sub(rows_before));
                    rows_before = rows;
                    (chunks, next) = read?;
                }
                Next::Summary(summary) => {
                    let end = SnapshotEnd { transfer, summary: summary.encode().into() };
                    return match self.step(&end, summary.chunks, INSTALL_DEADLINE).await? {
                        Step::Done(done) => Ok(done),
                        Step::Continue(_) => {
                            Err(failed("the peer did not say whether it installed the snapshot"))
                        }
                    };
                }
            }
        }
    }

    /// Sends one step, after which the receiver has everything before chunk `at`. If the connection breaks, the
    /// transfer resumes at the receiver's position, because the step may have reached it or not.
    async fn step<M: Message<Reply = SnapshotReply>>(
        &self,
        message: &M,
        at: u64,
        deadline: Duration,
    ) -> Sent<Step> {
        let broken = match self.once(message, deadline).await? {
            Ok(step) => return Ok(step),
            Err(error) => error,
        };
        tracing::info!(to = self.target.id, at, error = %broken, "a snapshot's connection broke");
        let until = Instant::now() + RESUME_WITHIN;
        let mut last = broken;
        while Instant::now() < until {
            sleep(RESUME_PAUSE).await;
            match self.once(&self.begin, STEP_DEADLINE).await? {
                Ok(Step::Done(done)) => return Ok(Step::Done(done)),
                // The step that was interrupted was carried out.
                Ok(Step::Continue(next)) if next == at.saturating_add(1) => {
                    self.shown.resumed();
                    return Ok(Step::Continue(next));
                }
                Ok(Step::Continue(next)) if next == at => match self.once(message, deadline).await? {
                    Ok(step) => {
                        self.shown.resumed();
                        return Ok(step);
                    }
                    Err(error) => last = error,
                },
                Ok(Step::Continue(_)) => return Err(failed("the receiver has forgotten the transfer")),
                Err(error) => last = error,
            }
        }
        let rpc: RPCError<TypeConfig> = self.target.rpc_error(RPCTypes::InstallSnapshot, deadline, last);
        Err(rpc.into())
    }

    /// Sends one message. The inner error is the connection's, and the outer error ends the transfer.
    async fn once<M: Message<Reply = SnapshotReply>>(
        &self,
        message: &M,
        deadline: Duration,
    ) -> Sent<Result<Step, PeerError>> {
        match self.target.hub.call_patient(self.target.id, message, self.patience, deadline).await {
            Ok(SnapshotReply::Continue { next }) => Ok(Ok(Step::Continue(next))),
            Ok(SnapshotReply::Done(vote)) => Ok(Ok(Step::Done(SnapshotResponse::new(vote)))),
            Ok(SnapshotReply::Aborted(reason)) => {
                Err(failed(&format!("the peer gave up on the snapshot: {reason}")))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// Reads the next chunk off the async threads.
async fn read_next(
    runner: &Arc<dyn Blocking>,
    transfer: u64,
    mut chunks: SnapshotChunks,
) -> Sent<(SnapshotChunks, Next)> {
    let read = blocking(&**runner, move || {
        let next = match chunks.next_chunk()? {
            Some(chunk) => {
                let message = SnapshotChunk { transfer, chunk: chunk.encode().into() };
                Next::Chunk(message, chunk.index, chunks.rows())
            }
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

/// This node cannot read its own registry, so openraft stops it.
fn unreadable(error: std::io::Error) -> StreamingError<TypeConfig> {
    StorageError::from_io_error(ErrorSubject::Snapshot(None), ErrorVerb::Read, error).into()
}

/// The transfer failed. openraft starts another one, after a pause if it fails repeatedly.
fn failed(problem: &str) -> StreamingError<TypeConfig> {
    StreamingError::Network(NetworkError::from_string(problem))
}
