//! The requests that arrive on one connection.
//!
//! Appends go through one lane, in the order in which they arrived. All other requests run concurrently. Both are
//! bounded, and a request beyond the bound is refused at once. Reading never waits for work, so a ping is answered
//! however busy the node is. This distinguishes a slow peer from a dead stream.
//!
//! When the connection ends, so does the work on its requests, except on submissions. What was proposed may be
//! committed, whether the peer waits for it or not, and its issuers must pay for it. So a submission is carried out to
//! its end, which its deadline bounds, and counts against the peer until then.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use assent_registry::Group;

use crate::env::{Clock, Moment};
use crate::tasks::Tasks;

use super::bounds::{Bounded, claim_max};
use super::codec;
use super::connection::{Connection, EndsWith};
use super::frame::{Frame, FrameError, FrameReader, kind};
use super::handler::{Answer, Handler, SnapshotStep};
use super::handshake::RECOVERED_WITHOUT;
use super::limits::PeerLimits;
use super::message::{
    Append, Behalf, CosignRules, Failure, Introduce, Manage, ManageFor, Message, Ping, Pong, PreVote, Probe,
    ReadIndex, SnapshotBegin, SnapshotChunk, SnapshotEnd, Submit, SubmitFor, TransferLeader, Vote,
};
use super::moved::Moved;
use super::refusals::PeerBound;
use super::trusted::TrustedOffset;

/// What one peer may have under way here at once, over all of its connections, so that a peer that reconnects in a
/// loop gains nothing.
pub(super) struct Admission {
    control: Arc<Semaphore>,
    /// One permit for each unit of [`SUBMISSION_UNITS`].
    submissions: Arc<Semaphore>,
    submission_unit: usize,
}

/// Submissions are admitted by bytes, in units. Each takes enough units that their number is bounded too.
const SUBMISSION_UNITS: usize = 1 << 14;

impl Admission {
    pub(super) fn new(limits: &PeerLimits) -> Self {
        Self {
            control: Arc::new(Semaphore::new(limits.control_requests_max)),
            submissions: Arc::new(Semaphore::new(SUBMISSION_UNITS)),
            submission_unit: limits.submission_bytes_max.div_ceil(SUBMISSION_UNITS).max(1),
        }
    }

    /// The units that a submission of `bytes` takes.
    fn units(&self, bytes: usize, limits: &PeerLimits) -> u32 {
        let by_count = SUBMISSION_UNITS.div_ceil(limits.submissions_max.max(1));
        let by_bytes = bytes.div_ceil(self.submission_unit);
        u32::try_from(by_count.max(by_bytes).min(SUBMISSION_UNITS)).unwrap_or(u32::MAX)
    }
}

/// The receiving half of one connection.
pub(super) struct Server {
    pub(super) connection: Arc<Connection>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) clock: Arc<dyn Clock>,
    /// Each pong tells whether the clock is where it is trusted to be at its moment.
    pub(super) trusted: Arc<TrustedOffset>,
    pub(super) admission: Arc<Admission>,
    pub(super) tasks: Tasks,
    /// Cancelled when this node stops.
    pub(super) stopping: CancellationToken,
    /// Called for every pong: when its ping was sent, when it arrived, and what it tells of the peer's clock.
    pub(super) on_pong: Box<dyn Fn(Instant, Instant, Pong) + Send + Sync>,
}

impl Server {
    /// Reads until the connection ends.
    pub(super) async fn read(self, mut reader: FrameReader<impl AsyncRead + Unpin>) {
        let (lane, appends) = mpsc::channel(self.connection.limits().append_lane_max);
        self.tasks
            .passing("appends of a peer", run_lane(self.connection.clone(), self.handler.clone(), appends));
        let max = self.connection.limits().frame_bytes_max;
        let reason = loop {
            let frame = tokio::select! {
                biased;
                () = self.connection.closing().cancelled() => return,
                frame = reader.next_watched(max, |bytes| self.connection.heard(bytes)) => frame,
            };
            if let Err(FrameError::Length { .. }) = frame {
                self.connection.count_refusal(PeerBound::FrameSize);
            }
            let dispatched =
                frame.map_err(|error| error.to_string()).and_then(|frame| self.dispatch(frame, &lane));
            if let Err(reason) = dispatched {
                break reason;
            }
        };
        self.connection.close(&reason);
    }

    /// Handles one frame. An error ends the connection.
    fn dispatch(&self, frame: Frame, lane: &mpsc::Sender<(u64, Append)>) -> Result<(), String> {
        let peer = self.connection.peer();
        let handler = &self.handler;
        handler.is_bound(self.connection.hello())?;
        match frame.kind {
            kind::PING => {
                let Ping { received } = decode(&frame, "ping")?;
                self.connection.pinged(received);
                let moment = Moment::of(&*self.clock);
                let pong = Pong { now_ms: moment.wall.0, anchored: self.trusted.ahead_ms(moment) };
                self.connection.pong(frame.id, &pong);
            }
            kind::PONG => self.pong(&frame)?,
            kind::APPEND => self.enqueue_append(&frame, lane)?,
            kind::VOTE => self.control::<Vote, _>(&frame, |m| handler.vote(peer, m.0))?,
            kind::PRE_VOTE => self.control::<PreVote, _>(&frame, |m| handler.pre_vote(peer, m.0))?,
            kind::TRANSFER_LEADER => {
                self.control::<TransferLeader, _>(&frame, |m| handler.transfer_leader(peer, m.0))?;
            }
            kind::SNAPSHOT_BEGIN => {
                self.control::<SnapshotBegin, _>(&frame, |m| handler.snapshot(peer, SnapshotStep::Begin(m)))?;
            }
            kind::SNAPSHOT_CHUNK => {
                self.control::<SnapshotChunk, _>(&frame, |m| handler.snapshot(peer, SnapshotStep::Chunk(m)))?;
            }
            kind::SNAPSHOT_END => {
                self.control::<SnapshotEnd, _>(&frame, |m| handler.snapshot(peer, SnapshotStep::End(m)))?;
            }
            kind::READ_INDEX => {
                self.control::<ReadIndex, _>(&frame, |_| certain(handler.read_index(peer)))?
            }
            kind::PROBE => self.control::<Probe, _>(&frame, |_| certain(handler.probe(peer)))?,
            kind::MANAGE => self.control::<Manage, _>(&frame, |m| certain(handler.manage(peer, m, None)))?,
            kind::MANAGE_FOR => self.control::<ManageFor, _>(&frame, |m| {
                certain(handler.manage(peer, m.manage, Some(m.behalf)))
            })?,
            kind::INTRODUCE => self.control::<Introduce, _>(&frame, |m| {
                handler.introduce(peer, m);
                Box::pin(std::future::ready(Ok(())))
            })?,
            kind::COSIGN_RULES => {
                self.control::<CosignRules, _>(&frame, |m| certain(handler.cosign_rules(peer, m)))?;
            }
            kind::MOVED => self.control::<Moved, _>(&frame, |m| certain(handler.moved(peer, m)))?,
            kind::SUBMIT => self.submit::<Submit>(&frame, |m| (m.groups, Vec::new()))?,
            kind::SUBMIT_FOR => self.submit::<SubmitFor>(&frame, |m| (m.groups, m.behalf))?,
            kind::RECOVERED => {
                handler.recovered(self.connection.hello(), &frame.body);
                return Err(RECOVERED_WITHOUT.to_owned());
            }
            other if other & kind::ANSWER != 0 => self.connection.answered(frame),
            other => {
                self.connection.fail(frame.id, Failure::UNSUPPORTED, &format!("request kind `{other:#04x}`"));
            }
        }
        Ok(())
    }

    fn pong(&self, frame: &Frame) -> Result<(), String> {
        let received = Instant::now();
        let pong: Pong = decode(frame, "pong")?;
        if let Some(sent) = self.connection.ponged(frame.id) {
            (self.on_pong)(sent, received, pong);
        }
        Ok(())
    }

    /// The request in a frame. If it claims a term or a log index above the bound, the connection ends before
    /// anything has seen the request.
    fn message<M: Message>(&self, frame: &Frame) -> Result<M, String> {
        let message: M = decode(frame, M::NAME)?;
        let within = Bounded::within(&message, claim_max(self.clock.now()));
        within.map_err(|problem| {
            self.connection.count_refusal(PeerBound::Claims);
            format!("an impossible {}: {problem}", M::NAME)
        })?;
        Ok(message)
    }

    fn enqueue_append(&self, frame: &Frame, lane: &mpsc::Sender<(u64, Append)>) -> Result<(), String> {
        let append: Append = self.message(frame)?;
        if lane.try_send((frame.id, append)).is_err() {
            self.overloaded(frame.id, PeerBound::Appends, "too many appends are waiting");
        }
        Ok(())
    }

    fn control<M, F>(&self, frame: &Frame, start: F) -> Result<(), String>
    where
        M: Message,
        F: FnOnce(M) -> Answer<M::Reply>,
    {
        let message: M = self.message(frame)?;
        let ends = self.connection.closing();
        let bound = (&self.admission.control, 1, PeerBound::Requests);
        self.run(frame, bound, ends, || start(message));
        Ok(())
    }

    fn submit<M: Message>(
        &self,
        frame: &Frame,
        parts: impl FnOnce(M) -> (Vec<Group>, Vec<Behalf>),
    ) -> Result<(), String> {
        // Admitted by its size before it is decoded, so a request over the bound costs nothing more.
        let units = self.admission.units(frame.body.len(), self.connection.limits());
        let submissions = &self.admission.submissions;
        if submissions.available_permits() < units as usize {
            self.overloaded(frame.id, PeerBound::Submissions, "too many submissions are under way");
            return Ok(());
        }
        let (groups, behalf) = parts(self.message::<M>(frame)?);
        let peer = self.connection.peer();
        let work = || certain(self.handler.submit(peer, groups, behalf));
        self.run(frame, (submissions, units, PeerBound::Submissions), &self.stopping, work);
        Ok(())
    }

    /// Refuses a request that one of the peer's bounds does not admit.
    fn overloaded(&self, id: u64, bound: PeerBound, detail: &str) {
        self.connection.count_refusal(bound);
        self.connection.fail(id, Failure::OVERLOADED, detail);
    }

    /// Starts a request within its bound, and answers it when it is done. The work is dropped when `ends` is cancelled.
    fn run<R, F>(
        &self,
        frame: &Frame,
        (bound, units, refused_by): (&Arc<Semaphore>, u32, PeerBound),
        ends: &CancellationToken,
        start: F,
    ) where
        R: Serialize + Send + 'static,
        F: FnOnce() -> Answer<R>,
    {
        let (request_kind, id) = (frame.kind, frame.id);
        let Ok(permit) = bound.clone().try_acquire_many_owned(units) else {
            return self.overloaded(id, refused_by, "too many requests are under way");
        };
        let work = start();
        let (connection, ends) = (self.connection.clone(), ends.clone());
        self.tasks.passing("request of a peer", async move {
            let done = tokio::select! {
                biased;
                () = ends.cancelled() => None,
                done = work => Some(done),
            };
            drop(permit);
            if let Some(done) = done {
                answer(&connection, request_kind, id, done);
            }
        });
    }
}

/// The lane of appends. Each append is passed to the handler, and first polled, before the next.
async fn run_lane(
    connection: Arc<Connection>,
    handler: Arc<dyn Handler>,
    mut appends: mpsc::Receiver<(u64, Append)>,
) {
    let _lane = EndsWith(connection.clone());
    let max = connection.limits().append_lane_max;
    let mut in_work = FuturesUnordered::new();
    loop {
        // Biased: an append that was just passed on is polled before another one is taken, so the Raft core gets them
        // in order. Answers leave as soon as they are ready: that of a heartbeat does not wait for an earlier
        // append's fsync.
        tokio::select! {
            biased;
            () = connection.closing().cancelled() => return,
            Some((id, done)) = in_work.next() => answer(&connection, kind::APPEND, id, done),
            append = appends.recv(), if in_work.len() < max => {
                let Some((id, append)) = append else { return };
                let work = handler.append(connection.peer(), append);
                in_work.push(async move { (id, work.await) });
            }
        }
    }
}

fn answer<T: Serialize>(connection: &Connection, request_kind: u8, id: u64, done: Result<T, String>) {
    match done {
        Ok(reply) => connection.answer(request_kind, id, &reply),
        Err(problem) => connection.fail(id, Failure::FAILED, &problem),
    }
}

/// Wraps an answer that cannot fail.
fn certain<T: 'static>(work: BoxFuture<'static, T>) -> Answer<T> {
    Box::pin(async move { Ok(work.await) })
}

fn decode<T: DeserializeOwned>(frame: &Frame, name: &str) -> Result<T, String> {
    codec::decode(&frame.body).map_err(|problem| format!("a malformed {name}: {problem}"))
}
