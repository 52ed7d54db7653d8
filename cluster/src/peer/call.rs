//! One call: a request that was queued on a connection, and its answer.
//!
//! This module owns how long a caller waits, and how an answer is read. A call ends with its connection, and is never
//! sent again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::bounds::{Bounded, claim_max};
use super::codec;
use super::connection::Connection;
use super::error::PeerError;
use super::frame::{Frame, kind};
use super::message::{Failure, Message};
use super::refusals::PeerBound;

/// A request that was queued and that waits for its answer. If it is dropped, the call is forgotten.
pub(super) struct Call {
    connection: Arc<Connection>,
    id: u64,
    kind: u8,
    sent: Instant,
    answer: oneshot::Receiver<Result<Frame, PeerError>>,
}

impl Call {
    /// Queues a request now, in the order of the calls to this function.
    pub(super) fn queue<M: Message>(connection: &Arc<Connection>, message: &M) -> Result<Self, PeerError> {
        let id = connection.next_id();
        // Encoding may take long and needs no lock. Requests of two callers may change places here, but one caller's
        // own requests keep their order.
        let frame = codec::encode(M::KIND, id, message, connection.limits().frame_bytes_max)?;
        let (give, take) = oneshot::channel();
        connection.request(id, frame, give)?;
        Ok(Self { connection: connection.clone(), id, kind: M::KIND, sent: Instant::now(), answer: take })
    }

    /// The answer. After each `patience` without it, the connection must prove that it is alive. After `deadline` the
    /// call gives up. Both count from the sending.
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
                    patient_until = looked + patience.max(self.connection.limits().ping_interval);
                }
            }
        };
        let frame = answer.map_err(|_| PeerError::Lost("the connection is gone".to_owned()))??;
        self.read::<M>(&frame)
    }

    /// Reads the answer's body. If the body is malformed, or claims a term or a log index above the bound, the
    /// connection ends.
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
                let within = Bounded::within(&reply, claim_max(self.connection.clock().now()));
                within.inspect_err(|_| self.connection.count_refusal(PeerBound::Claims))?;
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

impl Drop for Call {
    fn drop(&mut self) {
        self.connection.forget(self.id);
    }
}
