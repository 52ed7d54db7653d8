//! One live connection: the frames that are queued on it, and the calls that wait for their answers.
//!
//! It owns the outgoing queue, the table of waiting calls and the end of the connection: by an error on the stream,
//! or once `liveness` finds that the other side is gone. When it ends, every waiting call fails at once. Nothing is
//! sent again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::env::Clock;
use crate::locked::lock;
use crate::raft::types::NodeId;

use super::codec;
use super::error::PeerError;
use super::frame::{Frame, kind};
use super::hello::Hello;
use super::limits::PeerLimits;
use super::liveness::Liveness;
use super::message::{Failure, Ping};
use super::outbound::Outbound;
use super::refusals::{PeerBound, Refusals};
use super::tls::Proven;

/// Bytes handed to the stream in one write, where frames are smaller than that.
const WRITE_BYTES: usize = 64 * 1024;

/// How long a connection that was replaced may go on, for the calls that were under way.
const RETIRE_WITHIN: Duration = Duration::from_secs(2);
/// How often it is checked whether they are.
const RETIRE_LOOK: Duration = Duration::from_millis(10);

/// A connection to one peer, after the handshake.
pub(super) struct Connection {
    peer: NodeId,
    hello: Hello,
    /// The address at which this node dialed the peer; none if the peer dialed this node.
    dialed_to: Option<String>,
    /// What the peer's certificate proves; none without TLS.
    proven: Option<Proven>,
    limits: PeerLimits,
    refusals: Arc<Refusals>,
    clock: Arc<dyn Clock>,
    outbound: Outbound,
    calls: Mutex<Calls>,
    liveness: Mutex<Liveness>,
    suspected: Notify,
    closing: CancellationToken,
}

/// Why a connection ends when its reader, writer, lane or keeper has ended, unless one of them has given a reason.
pub(super) const TASK_ENDED: &str = "a task of the connection ended";

/// Held by a task that a connection needs. When the task ends or panics, this is dropped and ends the connection. A
/// connection with only some of its tasks would look alive and answer nothing.
pub(super) struct EndsWith(pub(super) Arc<Connection>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.close(TASK_ENDED);
    }
}

/// The receiver of a call's answer.
type Waiter = oneshot::Sender<Result<Frame, PeerError>>;

/// The calls that wait, by request id.
struct Calls {
    next_id: u64,
    waiting: BTreeMap<u64, Waiter>,
    /// Why the connection ended, once it has.
    ended: Option<String>,
}

impl Connection {
    pub(super) fn new(
        peer: NodeId,
        hello: Hello,
        dialed_to: Option<String>,
        proven: Option<Proven>,
        (limits, refusals): (PeerLimits, Arc<Refusals>),
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            peer,
            hello,
            dialed_to,
            proven,
            clock,
            outbound: Outbound::new(limits.queue_bytes_max, limits.queue_frames_max),
            calls: Mutex::new(Calls { next_id: 1, waiting: BTreeMap::new(), ended: None }),
            liveness: Mutex::new(Liveness::new(Instant::now())),
            suspected: Notify::new(),
            closing: CancellationToken::new(),
            limits,
            refusals,
        }
    }

    pub(super) fn peer(&self) -> NodeId {
        self.peer
    }

    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The address at which this node dialed the peer; none if the peer dialed this node.
    pub(super) fn dialed_to(&self) -> Option<&str> {
        self.dialed_to.as_deref()
    }

    /// What the peer's certificate proves; none without TLS.
    pub(super) fn proven(&self) -> Option<&Proven> {
        self.proven.as_ref()
    }

    pub(super) fn limits(&self) -> &PeerLimits {
        &self.limits
    }

    /// Counts something of the peer's that a bound has refused.
    pub(super) fn count_refusal(&self, bound: PeerBound) {
        self.refusals.count(bound);
    }

    /// This node's clock.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Completes when the connection ends.
    pub(super) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Ends the connection and fails every waiting call. Only the first reason counts.
    pub(super) fn close(&self, reason: &str) {
        let waiting = {
            let mut calls = lock(&self.calls);
            if calls.ended.is_none() {
                tracing::info!(peer = self.peer, reason, "peer connection ends");
                calls.ended = Some(reason.to_owned());
            }
            std::mem::take(&mut calls.waiting)
        };
        self.closing.cancel();
        for (_, waiter) in waiting {
            // The caller is gone already.
            let _ = waiter.send(Err(PeerError::Lost(reason.to_owned())));
        }
    }

    /// Ends the connection once another one has taken its place: as soon as no call waits for an answer on it, or, if
    /// the peer dialed it, once the peer has ended it. It waits at most [`RETIRE_WITHIN`].
    pub(super) async fn retire(&self) {
        let until = Instant::now() + RETIRE_WITHIN;
        let is_done = || self.dialed_to.is_some() && lock(&self.calls).waiting.is_empty();
        while !is_done() && !self.closing.is_cancelled() && Instant::now() < until {
            sleep(RETIRE_LOOK).await;
        }
        self.close("another connection has taken its place");
    }

    /// Why it ended, once it has.
    pub(super) fn ended(&self) -> Option<String> {
        lock(&self.calls).ended.clone()
    }

    /// The id of the next call.
    pub(super) fn next_id(&self) -> u64 {
        let mut calls = lock(&self.calls);
        let id = calls.next_id;
        calls.next_id = id.wrapping_add(1);
        id
    }

    /// Queues a request now, in the order of the calls to this method. Its answer goes to `waiter`.
    pub(super) fn request(&self, id: u64, frame: Bytes, waiter: Waiter) -> Result<(), PeerError> {
        let mut calls = lock(&self.calls);
        if calls.ended.is_some() {
            return Err(PeerError::Unreachable(self.peer));
        }
        if calls.waiting.len() >= self.limits.calls_max {
            return Err(PeerError::Full);
        }
        self.outbound.push_request(frame).map_err(|_| PeerError::Full)?;
        calls.waiting.insert(id, waiter);
        Ok(())
    }

    /// Forgets a call whose caller is gone. An answer to it is dropped.
    pub(super) fn forget(&self, id: u64) {
        lock(&self.calls).waiting.remove(&id);
    }

    /// Queues an answer. If the peer does not read its answers, the connection ends.
    pub(super) fn answer<T: Serialize>(&self, request_kind: u8, id: u64, reply: &T) {
        match codec::encode(request_kind | kind::ANSWER, id, reply, self.limits.frame_bytes_max) {
            Ok(frame) => self.push_answer(frame),
            Err(error) => self.fail(id, Failure::FAILED, &error.to_string()),
        }
    }

    /// Queues a failure as the answer.
    pub(super) fn fail(&self, id: u64, cause: u8, detail: &str) {
        let failure = Failure { cause, detail: detail.chars().take(512).collect() };
        match codec::encode(kind::FAILURE, id, &failure, self.limits.frame_bytes_max) {
            Ok(frame) => self.push_answer(frame),
            Err(error) => self.close(&error.to_string()),
        }
    }

    /// Queues a pong at once: a ping is answered however busy the node is.
    pub(super) fn pong(&self, id: u64, body: &impl Serialize) {
        match codec::encode(kind::PONG, id, body, self.limits.frame_bytes_max) {
            Ok(frame) => self.push_answer(frame),
            Err(error) => self.close(&error.to_string()),
        }
    }

    fn push_answer(&self, frame: Bytes) {
        if self.outbound.push_answer(frame).is_err() {
            self.count_refusal(PeerBound::Answers);
            self.close("the peer does not read its answers");
        }
    }

    /// Notes that bytes arrived, `bytes` in all so far.
    pub(super) fn heard(&self, bytes: u64) {
        lock(&self.liveness).heard(Instant::now(), bytes);
    }

    /// Notes a ping: this many of this side's bytes have reached the other side.
    pub(super) fn pinged(&self, reached: u64) {
        lock(&self.liveness).reached(Instant::now(), reached);
    }

    /// Passes an answer to its waiting call. If the call gave up, the answer is dropped.
    pub(super) fn answered(&self, frame: Frame) {
        lock(&self.liveness).answered(Instant::now());
        let waiter = lock(&self.calls).waiting.remove(&frame.id);
        if let Some(waiter) = waiter {
            // The caller is gone already.
            let _ = waiter.send(Ok(frame));
        }
    }

    /// Notes a pong. Returns when its ping was sent, if that is still known.
    pub(super) fn ponged(&self, id: u64) -> Option<Instant> {
        lock(&self.liveness).ponged(Instant::now(), id)
    }

    /// Notes that a call that was sent at `sent` has waited too long. Unless an answer to any call has arrived since,
    /// the other side must prove that it is there.
    pub(super) fn suspect(&self, sent: Instant) {
        if lock(&self.liveness).suspect(Instant::now(), sent) {
            self.suspected.notify_one();
        }
    }

    /// Sends pings, and ends the connection when the other side is gone. Runs as long as the connection.
    pub(super) async fn keep_alive(&self) {
        let mut next_ping = Instant::now();
        loop {
            let now = Instant::now();
            let judged = lock(&self.liveness).judge(now, &self.limits);
            let (wake, suspected) = match judged {
                Ok(judged) => judged,
                Err(reason) => return self.close(&reason),
            };
            if now >= next_ping || suspected {
                self.ping(now);
                next_ping = now + self.limits.ping_interval;
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return,
                () = self.suspected.notified() => next_ping = Instant::now(),
                () = sleep_until(wake.min(next_ping)) => {}
            }
        }
    }

    fn ping(&self, now: Instant) {
        let (id, received) = lock(&self.liveness).ping(now);
        let ping = codec::encode(kind::PING, id, &Ping { received }, self.limits.frame_bytes_max);
        // A full queue does not matter here: if the peer takes nothing, one of the other conditions ends the
        // connection.
        let _ = ping.map(|frame| self.outbound.push_request(frame));
    }

    /// Writes what is queued until the connection ends.
    pub(super) async fn write(&self, mut stream: impl AsyncWrite + Unpin) {
        let mut gathered = Vec::with_capacity(WRITE_BYTES);
        let reason = loop {
            let frames = tokio::select! {
                biased;
                () = self.closing.cancelled() => break None,
                frames = self.outbound.take(WRITE_BYTES) => frames,
            };
            let written = tokio::select! {
                biased;
                () = self.closing.cancelled() => break None,
                written = write_frames(&mut stream, &frames, &mut gathered) => written,
            };
            if let Err(error) = written {
                break Some(error);
            }
        };
        if let Some(error) = reason {
            self.close(&error.to_string());
        }
        // The stream is dropped right after this. An orderly shutdown makes no difference.
        let _ = timeout_at(Instant::now() + Duration::from_millis(50), stream.shutdown()).await;
    }
}

/// Writes the frames, and combines small ones.
async fn write_frames(
    stream: &mut (impl AsyncWrite + Unpin),
    frames: &[Bytes],
    gathered: &mut Vec<u8>,
) -> std::io::Result<()> {
    gathered.clear();
    for frame in frames {
        if gathered.len().saturating_add(frame.len()) > WRITE_BYTES && !gathered.is_empty() {
            stream.write_all(gathered).await?;
            gathered.clear();
        }
        if frame.len() > WRITE_BYTES {
            stream.write_all(frame).await?;
        } else {
            gathered.extend_from_slice(frame);
        }
    }
    if !gathered.is_empty() {
        stream.write_all(gathered).await?;
    }
    stream.flush().await
}
