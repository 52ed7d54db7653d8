//! A client's byte stream as its connection sees it: what hyper reads and writes, and events that hyper would not
//! notice.
//!
//! A client may end its side of the connection after its request and still wait for the answer. So hyper does not
//! read from the stream while a request is being handled, and would not notice that a client has broken the
//! connection. [`Socket::watch`] reads on a little, and keeps these bytes for hyper. If the client ends its side,
//! [`Socket::half_closed`] is cancelled. If the stream breaks, the connection ends.
//!
//! The socket also knows which deadline applies to the client. It drops hyper's own answer to a head that hyper
//! cannot read, because that answer has no body, and the connection writes a better one. hyper never shuts the stream
//! down. The connection does so when it is over.
//!
//! The first bytes of a next head may come together with the previous request. hyper then has them, and does not
//! tell. A request without a body, and one with a chunked body, ends with an empty line: if hyper was given anything
//! after that, the next head has begun. A body of a given length may end with any bytes. So after such a body these
//! bytes are not noticed, and the client gets the time of an idle connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::head::{LengthLine, ends_with_a_bare_refusal};
use crate::env::BoxStream;
use crate::locked::lock;

/// The largest number of bytes that are read while hyper wants none. It is enough to notice, behind a short request
/// that was sent early, that the client has left.
const AHEAD: usize = 1024;

/// How long the node waits for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientTimeouts {
    /// The time for the head of a request. It counts from the start of the connection, TLS included, and later from the head's
    /// first byte, or from the end of the previous answer if that byte came earlier.
    pub(super) head: Duration,
    /// The time until the next request on a kept connection.
    pub(super) idle: Duration,
    /// The time within which the client must take some of what is written.
    pub(super) write: Duration,
}

/// The phase of a connection.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The client must send a head by then.
    Head { until: Instant },
    /// The request is being handled, and each part of that has a deadline of its own.
    Asked,
    /// hyper has all of the answer and is writing it.
    Answered,
    /// The client has its answer, and must send the next request by then.
    Idle { until: Instant },
    /// hyper has finished.
    Over,
}

/// The result of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchResult {
    /// Something arrived for which hyper waits.
    More,
    /// Nothing arrived, or nothing for hyper.
    Quiet,
    /// The connection is broken.
    Broken,
}

/// The stream of one connection. Clones share the stream. One task uses them, one after another.
#[derive(Clone)]
pub(super) struct Socket(Arc<Mutex<State>>);

struct State {
    stream: Pin<Box<TimeoutStream<BoxStream>>>,
    timeouts: ClientTimeouts,
    phase: Phase,
    /// Whether any byte of the awaited head has come.
    begun: bool,
    /// The last bytes that hyper was given.
    last: [u8; 3],
    /// Whether hyper was given a `Content-Length`.
    length: LengthLine,
    /// Whether the request that is being handled ends with an empty line.
    ends_empty: bool,
    /// The bytes that were read while hyper wanted none.
    ahead: BytesMut,
    /// Whether hyper waits for bytes.
    wanted: bool,
    /// Whether the client has ended its side.
    ended: bool,
    half_closed: CancellationToken,
    /// The status with which hyper refused a head.
    refused: Option<u16>,
}

/// A request that is being handled, until this is dropped.
pub(super) struct RequestGuard(Socket);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        if let Phase::Asked = state.phase {
            state.phase = Phase::Answered;
        }
    }
}

impl Socket {
    /// A connection whose first head must have come by `head_until`.
    pub(super) fn new(stream: BoxStream, timeouts: ClientTimeouts, head_until: Instant) -> Self {
        let mut stream = TimeoutStream::new(stream);
        // A client that sends a request and never reads would otherwise keep its connection, and a place, for ever.
        stream.set_write_timeout(Some(timeouts.write));
        Self(Arc::new(Mutex::new(State {
            stream: Box::pin(stream),
            timeouts,
            phase: Phase::Head { until: head_until },
            begun: false,
            last: [0; 3],
            length: LengthLine::default(),
            ends_empty: false,
            ahead: BytesMut::new(),
            wanted: false,
            ended: false,
            half_closed: CancellationToken::new(),
            refused: None,
        })))
    }

    /// Cancelled once the client has ended its side of the connection. It has left, or it waits for an answer: only
    /// writing to it shows which.
    pub(super) fn half_closed(&self) -> CancellationToken {
        lock(&self.0).half_closed.clone()
    }

    /// Notes that a request has come. `ends_empty` tells whether it ends with an empty line, which it does without a
    /// body or with a chunked one. The next deadline for the client starts once this is dropped and the answer is
    /// written.
    pub(super) fn asked(&self, ends_empty: bool) -> RequestGuard {
        let mut state = lock(&self.0);
        state.phase = Phase::Asked;
        state.ends_empty = ends_empty;
        drop(state);
        RequestGuard(self.clone())
    }

    /// When the node stops waiting for the client, if it waits for it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match lock(&self.0).phase {
            Phase::Head { until } | Phase::Idle { until } => Some(until),
            Phase::Asked | Phase::Answered | Phase::Over => None,
        }
    }

    /// Whether the client has begun a head and not completed it.
    pub(super) fn has_begun(&self) -> bool {
        lock(&self.0).begun
    }

    /// Whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.0).ended
    }

    /// Whether the client has sent a `Content-Length`, in this request or before it.
    pub(super) fn has_sent_a_length(&self) -> bool {
        lock(&self.0).length.seen()
    }

    /// The status with which hyper refused a head, if its answer was dropped.
    pub(super) fn refused(&self) -> Option<u16> {
        lock(&self.0).refused
    }

    /// Notes that hyper has finished. The connection itself writes everything that follows.
    pub(super) fn over(&self) {
        lock(&self.0).phase = Phase::Over;
    }

    /// Reads what has come while hyper wants nothing. The connection calls it whenever hyper has nothing to do.
    pub(super) fn watch(&self, context: &mut Context<'_>) -> WatchResult {
        lock(&self.0).watch(context)
    }
}

impl State {
    fn watch(&mut self, context: &mut Context<'_>) -> WatchResult {
        let mut bytes = [0_u8; AHEAD];
        while !self.ended && self.ahead.len() < AHEAD {
            let room = AHEAD.saturating_sub(self.ahead.len());
            let mut read = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
            match self.stream.as_mut().poll_read(context, &mut read) {
                Poll::Pending => break,
                Poll::Ready(Err(_)) => return WatchResult::Broken,
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.end(),
                Poll::Ready(Ok(())) => self.ahead.extend_from_slice(read.filled()),
            }
        }
        if self.wanted && (self.ended || !self.ahead.is_empty()) {
            // Only once: hyper may not want it any more.
            self.wanted = false;
            return WatchResult::More;
        }
        WatchResult::Quiet
    }

    fn read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.wanted = false;
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(into.remaining());
            let piece = self.ahead.split_to(length);
            into.put_slice(&piece);
            self.heard(&piece);
            return Poll::Ready(Ok(()));
        }
        if self.ended || into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        match self.stream.as_mut().poll_read(context, into) {
            Poll::Pending => {
                self.wanted = true;
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                match into.filled().get(before..).unwrap_or_default() {
                    [] => self.end(),
                    piece => self.heard(piece),
                }
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Notes bytes from the client that hyper is given.
    fn heard(&mut self, piece: &[u8]) {
        self.begun = true;
        self.length.heard(piece);
        for byte in piece.iter().skip(piece.len().saturating_sub(self.last.len())) {
            let [_, second, third] = self.last;
            self.last = [second, third, *byte];
        }
        if let Phase::Idle { .. } = self.phase {
            self.phase = Phase::Head { until: Instant::now() + self.timeouts.head };
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.half_closed.cancel();
    }

    /// Notes that hyper has written everything that it has.
    fn flushed(&mut self) {
        if let Phase::Answered = self.phase {
            // If there are bytes after the request's own end, hyper was given a part of the next head already, or all
            // of it.
            self.begun = self.ends_empty && !is_empty_line(self.last);
            let now = Instant::now();
            self.phase = if self.begun {
                Phase::Head { until: now + self.timeouts.head }
            } else {
                Phase::Idle { until: now + self.timeouts.idle }
            };
        }
    }

    /// Takes an answer that hyper writes by itself. Without a request, hyper writes nothing else. Returns whether it
    /// was one.
    ///
    /// If the answer before is not all written yet, hyper puts its own into the same bytes. It may stand between the
    /// head and the body of that answer then, so the connection breaks instead.
    fn takes(&mut self, words: &[u8]) -> io::Result<bool> {
        match self.phase {
            Phase::Head { .. } | Phase::Idle { .. } => {
                self.refused = self.refused.or_else(|| status_in(words));
                Ok(true)
            }
            Phase::Answered if ends_with_a_bare_refusal(words) => {
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Phase::Asked | Phase::Answered | Phase::Over => Ok(false),
        }
    }
}

/// Whether bytes with this end have an empty line at their end. Lines may end without a carriage return.
fn is_empty_line(last: [u8; 3]) -> bool {
    matches!(last, [b'\n', b'\r', b'\n'] | [_, b'\n', b'\n'])
}

/// The status of an answer that starts with these bytes: `HTTP/1.1 431 …`.
fn status_in(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        lock(&self.0).read(context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        if state.takes(bytes)? {
            return Poll::Ready(Ok(bytes.len()));
        }
        state.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        if state.takes(pieces.first().map_or(&b""[..], |piece| &**piece))? {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        state.stream.as_mut().poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.0).stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        ready!(state.stream.as_mut().poll_flush(context))?;
        state.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        match state.phase {
            Phase::Over => state.stream.as_mut().poll_shutdown(context),
            // hyper has shut its side down. The connection may have more to write.
            Phase::Head { .. } | Phase::Asked | Phase::Answered | Phase::Idle { .. } => Poll::Ready(Ok(())),
        }
    }
}
