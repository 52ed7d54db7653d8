//! A client's byte stream as its connection sees it: what hyper reads and writes, and what it would not notice by itself.
//!
//! A client may end its side of the connection once it has asked: it waits for the answer all the same. So hyper does not look at
//! the stream while a request is worked on, and would not see that a client has broken the connection either. [`Socket::watch`]
//! looks: it reads on, a little, and keeps that for hyper. An end is told as [`Socket::half_closed`], and a break ends the connection.
//!
//! It also knows what the client is waited for, and until when, and it takes hyper's own words about a head that cannot be read:
//! they have no body, and the connection has better ones. hyper never shuts the stream down; the connection does, when it is over.
//!
//! The first bytes of a next head may come together with the request before it. hyper has them then and does not tell. A request without
//! a body, and one with a chunked body, ends with an empty line: if hyper was given anything behind that, the next head has begun. A body
//! of a given length may end with anything, so behind it such bytes are not seen, and the client is given the time of an idle connection.

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

use crate::env::BoxStream;
use crate::locked::lock;

/// Most bytes that are read while hyper wants none: enough to see behind a short request, sent early, that its client has left.
const AHEAD: usize = 1024;

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientTimeouts {
    /// For a request's head: from the start of the connection, and later from the head's first byte, or from the end of the answer
    /// before it if that byte came earlier.
    pub(super) head: Duration,
    /// For the next request on a kept connection.
    pub(super) idle: Duration,
    /// For it to take any of what is written.
    pub(super) write: Duration,
}

/// What a connection is at.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The client is to send a head by then.
    Head { until: Instant },
    /// Its request is worked on, and each part of that has a deadline of its own.
    Asked,
    /// hyper has all of the answer and writes it.
    Answered,
    /// The client has its answer, and is to ask again by then.
    Idle { until: Instant },
    /// hyper is gone.
    Over,
}

/// What there was to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchResult {
    /// Something that hyper waits for.
    More,
    /// Nothing, or nothing for hyper.
    Quiet,
    /// The connection is broken.
    Broken,
}

/// The stream of one connection. Clones are the same stream; they are used by one task, one after the other.
#[derive(Clone)]
pub(super) struct Socket(Arc<Mutex<State>>);

struct State {
    stream: Pin<Box<TimeoutStream<BoxStream>>>,
    timeouts: ClientTimeouts,
    phase: Phase,
    /// Whether anything of the head has come that is waited for.
    begun: bool,
    /// The last bytes that hyper was given.
    last: [u8; 3],
    /// Whether the request that is worked on ends with an empty line.
    ends_empty: bool,
    /// What was read while hyper wanted nothing.
    ahead: BytesMut,
    /// Whether hyper waits for bytes.
    wanted: bool,
    /// Whether the client has ended its side.
    ended: bool,
    half_closed: CancellationToken,
    /// The status with which hyper refused a head.
    refused: Option<u16>,
}

/// A request that is worked on, until this is dropped.
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
    /// A connection that begins now.
    pub(super) fn new(stream: BoxStream, timeouts: ClientTimeouts) -> Self {
        let mut stream = TimeoutStream::new(stream);
        // A client that asks and never reads would otherwise keep its connection, and with it a place, for ever.
        stream.set_write_timeout(Some(timeouts.write));
        Self(Arc::new(Mutex::new(State {
            stream: Box::pin(stream),
            timeouts,
            phase: Phase::Head { until: Instant::now() + timeouts.head },
            begun: false,
            last: [0; 3],
            ends_empty: false,
            ahead: BytesMut::new(),
            wanted: false,
            ended: false,
            half_closed: CancellationToken::new(),
            refused: None,
        })))
    }

    /// Cancelled once the client has ended its side of the connection. It has left, or it waits for an answer: only writing to it
    /// tells which.
    pub(super) fn half_closed(&self) -> CancellationToken {
        lock(&self.0).half_closed.clone()
    }

    /// A request has come, of which it is told whether it ends with an empty line: without a body, or with a chunked one. The client is
    /// waited for again once this is dropped and the answer is written.
    pub(super) fn asked(&self, ends_empty: bool) -> RequestGuard {
        let mut state = lock(&self.0);
        state.phase = Phase::Asked;
        state.ends_empty = ends_empty;
        drop(state);
        RequestGuard(self.clone())
    }

    /// When the client has kept the node waiting for too long, if the node waits for it.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match lock(&self.0).phase {
            Phase::Head { until } | Phase::Idle { until } => Some(until),
            Phase::Asked | Phase::Answered | Phase::Over => None,
        }
    }

    /// Whether the client has begun a head that is not whole.
    pub(super) fn has_begun(&self) -> bool {
        lock(&self.0).begun
    }

    /// Whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.0).ended
    }

    /// The status with which hyper refused a head, if its words were taken.
    pub(super) fn refused(&self) -> Option<u16> {
        lock(&self.0).refused
    }

    /// hyper is done: what is written from now on is the connection's own.
    pub(super) fn over(&self) {
        lock(&self.0).phase = Phase::Over;
    }

    /// Looks at what has come while hyper wants nothing. To be called whenever hyper has nothing to do.
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
            // Once: hyper may not want it any more.
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

    /// The client has sent something, and hyper is given it.
    fn heard(&mut self, piece: &[u8]) {
        self.begun = true;
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

    /// hyper has written all that it has.
    fn flushed(&mut self) {
        if let Phase::Answered = self.phase {
            // Behind the request's own end there is more: hyper was given a part of the next head already, or all of it.
            self.begun = self.ends_empty && !is_empty_line(self.last);
            let now = Instant::now();
            self.phase = if self.begun {
                Phase::Head { until: now + self.timeouts.head }
            } else {
                Phase::Idle { until: now + self.timeouts.idle }
            };
        }
    }

    /// Takes what hyper says by itself: without a request there is nothing else that it can say. Answers whether it was that.
    fn takes(&mut self, words: &[u8]) -> bool {
        match self.phase {
            Phase::Head { .. } | Phase::Idle { .. } => {
                self.refused = self.refused.or_else(|| status_in(words));
                true
            }
            Phase::Asked | Phase::Answered | Phase::Over => false,
        }
    }
}

/// Whether what ends with these bytes ends with an empty line. Lines may end without a carriage return.
fn is_empty_line(last: [u8; 3]) -> bool {
    matches!(last, [b'\n', b'\r', b'\n'] | [_, b'\n', b'\n'])
}

/// The status of an answer that begins so: `HTTP/1.1 431 …`.
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
        if state.takes(bytes) {
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
        if state.takes(pieces.first().map_or(&b""[..], |piece| &**piece)) {
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
            // By hyper, which the connection may have something to add to.
            Phase::Head { .. } | Phase::Asked | Phase::Answered | Phase::Idle { .. } => Poll::Ready(Ok(())),
        }
    }
}
