//! One live connection: the calls that wait for their answers, and whether the other side is still there.
//!
//! Owns the outgoing queue, the table of waiting calls and the three conditions that end a connection: an error on
//! the stream, silence, and no sign of being heard after a call waited too long. When it ends every waiting call fails
//! at once; nothing is sent again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::env::Clock;
use crate::locked::lock;
use crate::raft::types::NodeId;

use super::bounds::{Bounded, claim_max};
use super::codec;
use super::error::PeerError;
use super::frame::{Frame, kind};
use super::hello::Hello;
use super::limits::PeerLimits;
use super::message::{Failure, Message, Ping};
use super::outbound::Outbound;

/// Bytes handed to the stream in one write, where frames are smaller than that.
const WRITE_BYTES: usize = 64 * 1024;
/// Pings whose answers are awaited at once; older ones are forgotten.
const PINGS_MAX: usize = 16;

/// A connection to one peer, after the handshake.
pub(super) struct Connection {
    peer: NodeId,
    hello: Hello,
    /// Where this node dialed the peer; none if the peer dialed this node.
    dialed_to: Option<String>,
    limits: PeerLimits,
    clock: Arc<dyn Clock>,
    outbound: Outbound,
    calls: Mutex<Calls>,
    liveness: Mutex<Liveness>,
    suspected: Notify,
    closing: CancellationToken,
}

/// Why a connection ends whose reader, writer, lane or keeper is gone, unless one of them has said it.
pub(super) const TASK_ENDED: &str = "a task of the connection ended";

/// Held by a task that a connection cannot do without: dropped, by the task's end or by its panic, it ends the connection. A
/// connection of which only a part runs would look alive and answer nothing.
pub(super) struct EndsWith(pub(super) Arc<Connection>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.close(TASK_ENDED);
    }
}

/// The calls that wait, by request id.
struct Calls {
    next_id: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Frame, PeerError>>>,
    /// Why the connection ended, once it has.
    ended: Option<String>,
}

/// What was heard of the other side.
struct Liveness {
    /// When anything arrived, and how many bytes there were by then.
    received: Instant,
    received_bytes: u64,
    /// When there was proof that it also hears this side: an answer, or that more has reached it.
    answered: Instant,
    /// How many of this side's bytes have reached it, as it last said.
    reached_bytes: u64,
    /// Since when it is under suspicion.
    suspected: Option<Instant>,
    next_ping: u64,
    pings: BTreeMap<u64, Instant>,
}

impl Connection {
    pub(super) fn new(
        peer: NodeId,
        hello: Hello,
        dialed_to: Option<String>,
        limits: PeerLimits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let now = Instant::now();
        Self {
            peer,
            hello,
            dialed_to,
            clock,
            outbound: Outbound::new(limits.queue_bytes_max, limits.queue_frames_max),
            calls: Mutex::new(Calls { next_id: 1, waiting: BTreeMap::new(), ended: None }),
            liveness: Mutex::new(Liveness {
                received: now,
                received_bytes: 0,
                answered: now,
                reached_bytes: 0,
                suspected: None,
                next_ping: 1,
                pings: BTreeMap::new(),
            }),
            suspected: Notify::new(),
            closing: CancellationToken::new(),
            limits,
        }
    }

    pub(super) fn peer(&self) -> NodeId {
        self.peer
    }

    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Where this node dialed the peer; none if the peer dialed this node.
    pub(super) fn dialed_to(&self) -> Option<&str> {
        self.dialed_to.as_deref()
    }

    pub(super) fn limits(&self) -> &PeerLimits {
        &self.limits
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
            // The caller has gone already.
            let _ = waiter.send(Err(PeerError::Lost(reason.to_owned())));
        }
    }

    /// Why it ended, once it has.
    pub(super) fn ended(&self) -> Option<String> {
        lock(&self.calls).ended.clone()
    }

    /// Queues a request now, in the order of the calls to this method.
    pub(super) fn request<M: Message>(self: &Arc<Self>, message: &M) -> Result<Waiting, PeerError> {
        let id = {
            let mut calls = lock(&self.calls);
            let id = calls.next_id;
            calls.next_id = id.wrapping_add(1);
            id
        };
        // Encoding may be long work and needs no lock. Two callers may swap places here; one caller's own
        // requests keep their order.
        let frame = codec::encode(M::KIND, id, message, self.limits.frame_bytes_max)?;
        let (give, take) = oneshot::channel();
        {
            let mut calls = lock(&self.calls);
            if calls.ended.is_some() {
                return Err(PeerError::Unreachable(self.peer));
            }
            if calls.waiting.len() >= self.limits.calls_max {
                return Err(PeerError::Full);
            }
            self.outbound.push_request(frame).map_err(|_| PeerError::Full)?;
            calls.waiting.insert(id, give);
        }
        Ok(Waiting { connection: self.clone(), id, kind: M::KIND, sent: Instant::now(), answer: take })
    }

    /// Queues an answer. A peer that does not read its answers is dropped.
    pub(super) fn answer<T: Serialize>(&self, request_kind: u8, id: u64, reply: &T) {
        match codec::encode(request_kind | kind::ANSWER, id, reply, self.limits.frame_bytes_max) {
            Ok(frame) => self.push_answer(frame),
            Err(error) => self.fail(id, Failure::FAILED, &error.to_string()),
        }
    }

    /// Queues the answer that there is none.
    pub(super) fn fail(&self, id: u64, cause: u8, detail: &str) {
        let failure = Failure { cause, detail: detail.chars().take(512).collect() };
        match codec::encode(kind::FAILURE, id, &failure, self.limits.frame_bytes_max) {
            Ok(frame) => self.push_answer(frame),
            Err(error) => self.close(&error.to_string()),
        }
    }

    /// Queues a pong at once: a ping is answered however busy the node is otherwise.
    pub(super) fn pong(&self, id: u64, body: &impl Serialize) {
        match codec::encode(kind::PONG, id, body, self.limits.frame_bytes_max) {
            Ok(frame) => self.push_answer(frame),
            Err(error) => self.close(&error.to_string()),
        }
    }

    fn push_answer(&self, frame: Bytes) {
        if self.outbound.push_answer(frame).is_err() {
            self.close("the peer does not read its answers");
        }
    }

    /// Bytes arrived; there were `bytes` so far.
    pub(super) fn heard(&self, bytes: u64) {
        let mut liveness = lock(&self.liveness);
        liveness.received = Instant::now();
        liveness.received_bytes = bytes;
    }

    /// A ping arrived: so many of this side's bytes have reached the other.
    pub(super) fn pinged(&self, reached: u64) {
        let mut liveness = lock(&self.liveness);
        if reached > liveness.reached_bytes {
            liveness.reached_bytes = reached;
            liveness.answered = Instant::now();
        }
    }

    /// An answer arrived for a waiting call, or for one that gave up: then it is dropped.
    pub(super) fn answered(&self, frame: Frame) {
        lock(&self.liveness).answered = Instant::now();
        let waiter = lock(&self.calls).waiting.remove(&frame.id);
        if let Some(waiter) = waiter {
            // The caller has gone already.
            let _ = waiter.send(Ok(frame));
        }
    }

    /// A pong arrived. When its ping was sent, if that is still known.
    pub(super) fn ponged(&self, id: u64) -> Option<Instant> {
        let mut liveness = lock(&self.liveness);
        liveness.answered = Instant::now();
        liveness.pings.remove(&id)
    }

    /// A call sent at `sent` has waited too long. Unless an answer to anything arrived since, the other side
    /// has to prove itself.
    fn suspect(&self, sent: Instant) {
        let mut liveness = lock(&self.liveness);
        let answered = liveness.answered;
        if answered < sent && liveness.suspected.is_none_or(|since| answered >= since) {
            liveness.suspected = Some(Instant::now());
            self.suspected.notify_one();
        }
    }

    /// Pings, and ends the connection when the other side is gone. Runs as long as the connection.
    pub(super) async fn keep_alive(&self) {
        let mut next_ping = Instant::now();
        loop {
            let now = Instant::now();
            let (wake, suspected) = match self.judge(now) {
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

    /// When to look again, and whether the other side is under suspicion; or why it counts as gone.
    fn judge(&self, now: Instant) -> Result<(Instant, bool), String> {
        let mut liveness = lock(&self.liveness);
        let silent_until = liveness.received + self.limits.silence_max;
        if now >= silent_until {
            return Err(format!("nothing was received for {} ms", self.limits.silence_max.as_millis()));
        }
        let Some(since) = liveness.suspected else { return Ok((silent_until, false)) };
        if liveness.answered >= since {
            liveness.suspected = None;
            return Ok((silent_until, false));
        }
        let trusted_until = since + self.limits.suspicion_max;
        if now >= trusted_until {
            let waited = self.limits.suspicion_max.as_millis();
            return Err(format!("no sign within {waited} ms that the peer hears this node"));
        }
        Ok((silent_until.min(trusted_until), true))
    }

    fn ping(&self, now: Instant) {
        let (id, received) = {
            let mut liveness = lock(&self.liveness);
            let id = liveness.next_ping;
            liveness.next_ping = id.wrapping_add(1);
            if liveness.pings.len() >= PINGS_MAX {
                liveness.pings.pop_first();
            }
            liveness.pings.insert(id, now);
            (id, liveness.received_bytes)
        };
        let ping = codec::encode(kind::PING, id, &Ping { received }, self.limits.frame_bytes_max);
        // A full queue is no reason to hurry: if the peer takes nothing, one of the other conditions ends this.
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
        // The stream is dropped right after; whether it says goodbye makes no difference.
        let _ = timeout_at(Instant::now() + Duration::from_millis(50), stream.shutdown()).await;
    }
}

/// Writes the frames, small ones together.
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

/// A request that was queued and whose answer is awaited. Dropping it forgets the call.
pub(super) struct Waiting {
    connection: Arc<Connection>,
    id: u64,
    kind: u8,
    sent: Instant,
    answer: oneshot::Receiver<Result<Frame, PeerError>>,
}

impl Waiting {
    /// The answer. After `patience` without it, and again and again, the connection has to prove that it is alive;
    /// after `deadline` the call gives up. Both count from the sending.
    pub(super) async fn reply<M: Message>(
        mut self,
        patience: Duration,
        deadline: Duration,
    ) -> Result<M::Reply, PeerError> {
        let give_up = self.sent + deadline;
        let (mut looked, mut patient_until) = (self.sent, self.sent + patience);
        let answer = loop {
            match timeout_at(patient_until.min(give_up), &mut self.answer).await {
                Ok(answer) => break answer,
                Err(_) => {
                    self.connection.suspect(looked);
                    looked = Instant::now();
                    if looked >= give_up {
                        return Err(PeerError::Deadline);
                    }
                    patient_until = looked + patience.max(self.connection.limits.ping_interval);
                }
            }
        };
        let frame = answer.map_err(|_| PeerError::Lost("the connection is gone".to_owned()))??;
        self.read::<M>(&frame)
    }

    /// Reads the answer's body. One that makes no sense, or claims a term or a log index that there cannot be, ends the
    /// connection.
    fn read<M: Message>(&self, frame: &Frame) -> Result<M::Reply, PeerError> {
        let read = if frame.kind == kind::FAILURE {
            codec::decode::<Failure>(&frame.body).map(|failure| {
                Err(match failure.cause {
                    Failure::OVERLOADED => PeerError::Overloaded,
                    _ => PeerError::Refused(failure.detail),
                })
            })
        } else if frame.kind == self.kind | kind::ANSWER {
            codec::decode::<M::Reply>(&frame.body).and_then(|reply| {
                Bounded::within(&reply, claim_max(self.connection.clock.now()))?;
                Ok(Ok(reply))
            })
        } else {
            Err(format!("an answer of kind `{:#04x}` to a request of kind `{:#04x}`", frame.kind, self.kind))
        };
        read.unwrap_or_else(|problem| {
            let error = PeerError::Malformed(format!("{}: {problem}", M::NAME));
            self.connection.close(&error.to_string());
            Err(error)
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.connection.calls).waiting.remove(&self.id);
    }
}
