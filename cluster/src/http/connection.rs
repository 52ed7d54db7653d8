//! One client connection, from its first byte until its last answer is written and read.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use assent_api::Problem;
use assent_proof::Code;

use super::caller::Visitor;
use super::front::{BeyondLimit, Front};
use super::head::{HEAD_BYTES, head_too_large};
use super::reply;
use super::socket::{ClientTimeouts, Socket, WatchResult};
use crate::env::BoxStream;
use crate::metrics::{Metrics, RefusedRequest};
use crate::tasks::Tasks;

/// The largest number of bytes that are read and discarded after an early answer: the largest body, and some more.
pub(super) const LINGER_BYTES: usize = 2 << 20;

/// How long a caller with a brief connection may take to send its request's head. It is short, because there are few places
/// for such connections.
const BRIEF_HEAD_WITHIN: Duration = Duration::from_secs(2);
/// How long such a caller may take to leave after its answer.
const BRIEF_LINGER: Duration = Duration::from_millis(250);

/// The conditions under which a connection is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) timeouts: ClientTimeouts,
    /// How long a client may take to read the last answer and to leave. If the node closed a stream with unread
    /// bytes, it would reset the stream, and an answer that the client has not read yet would be lost.
    pub(super) linger: Duration,
    /// Whether the connection is for one request.
    pub(super) one_request: bool,
    /// For a connection beyond a limit: the limit.
    pub(super) beyond: Option<BeyondLimit>,
}

impl Terms {
    /// The terms of a connection for one request, which must come soon: that of a probe, or of a caller that is refused.
    pub(super) fn brief(timeouts: ClientTimeouts, beyond: Option<BeyondLimit>) -> Terms {
        Terms {
            timeouts: ClientTimeouts { head: timeouts.head.min(BRIEF_HEAD_WITHIN), ..timeouts },
            linger: BRIEF_LINGER,
            one_request: true,
            beyond,
        }
    }
}

type Http = http1::Connection<TokioIo<Socket>, Front>;

/// Why hyper's work on a connection ended.
enum Ended {
    Http(hyper::Result<()>),
    /// The client has broken it.
    Broken,
    /// The client kept the node waiting for too long.
    Late,
}

/// Serves one connection until it is over. Its first head must have come by `head_until`. Once `stop` is cancelled, the
/// request that is being handled is the last one.
pub(super) async fn serve(
    (stream, head_until): (BoxStream, Instant),
    terms: Terms,
    visitor: Visitor,
    router: Router,
    metrics: Arc<Metrics>,
    tasks: Tasks,
    stop: CancellationToken,
) {
    let mut socket = Socket::new(stream, terms.timeouts, head_until);
    let front = Front {
        router,
        visitor,
        socket: socket.clone(),
        metrics: metrics.clone(),
        tasks,
        beyond: terms.beyond,
    };
    let ended = exchange(&socket, front, terms.one_request, &stop).await;
    socket.over();
    let refusal = match ended {
        Ended::Http(Ok(())) => None,
        Ended::Http(Err(error)) => {
            let status = socket.refused().or(error.is_parse_version_h2().then_some(400));
            let Some(status) = status else { return };
            Some(unreadable(status))
        }
        Ended::Broken => return,
        Ended::Late if socket.has_begun() => {
            let within = terms.timeouts.head.as_millis();
            let detail = format!("the request's head did not arrive within {within} ms");
            Some((RefusedRequest::HeadTime, Problem::new(Code::DeadlineExceeded, 408, detail)))
        }
        // The connection was idle.
        Ended::Late => return,
    };
    if let Some((why, problem)) = refusal {
        metrics.request_refused(why);
        if socket.write_all(&reply::bytes(&problem)).await.is_err() {
            return;
        }
    }
    if !socket.has_ended() && socket.shutdown().await.is_ok() {
        linger(&mut socket, terms.linger, &stop).await;
    }
}

async fn exchange(socket: &Socket, front: Front, one_request: bool, stop: &CancellationToken) -> Ended {
    let mut builder = http1::Builder::new();
    builder
        // A client may end its side after its request. `socket.rs` explains what hyper then does not notice.
        .half_close(true)
        .keep_alive(!one_request)
        .max_buf_size(HEAD_BYTES)
        // The socket has the deadlines. hyper would count idle time as part of a head's time.
        .header_read_timeout(None::<Duration>);
    let http = builder.serve_connection(TokioIo::new(socket.clone()), front);
    tokio::pin!(http);
    tokio::select! {
        ended = drive(http.as_mut(), socket) => return ended,
        () = stop.cancelled() => http.as_mut().graceful_shutdown(),
    }
    drive(http, socket).await
}

/// Lets hyper work until it is done, the client breaks the connection, or a deadline for the client passes.
async fn drive(mut http: Pin<&mut Http>, socket: &Socket) -> Ended {
    let late = sleep_until(socket.deadline().unwrap_or_else(Instant::now));
    tokio::pin!(late);
    poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = http.as_mut().poll(context) {
                return Poll::Ready(Ended::Http(ended));
            }
            match socket.watch(context) {
                WatchResult::More => {}
                WatchResult::Quiet => break,
                WatchResult::Broken => return Poll::Ready(Ended::Broken),
            }
        }
        let Some(until) = socket.deadline() else { return Poll::Pending };
        if late.deadline() != until {
            late.as_mut().reset(until);
        }
        late.as_mut().poll(context).map(|()| Ended::Late)
    })
    .await
}

/// The answer to a head that hyper cannot read, and why it cannot.
fn unreadable(status: u16) -> (RefusedRequest, Problem) {
    match status {
        // hyper answers 414 for a target that alone would make the head too large, if it arrives in one piece.
        414 | 431 => (RefusedRequest::HeadSize, Problem::new(Code::TooLarge, 431, head_too_large())),
        _ => {
            let detail = "the request's head is not that of an HTTP/1.1 request";
            (RefusedRequest::HeadForm, Problem::new(Code::Malformed, status, detail))
        }
    }
}

/// Reads and discards what the client still sends, until it leaves.
async fn linger(socket: &mut Socket, within: Duration, stop: &CancellationToken) {
    let taking = async {
        let mut bytes = vec![0_u8; 8 * 1024];
        let mut taken = 0_usize;
        while taken < LINGER_BYTES {
            match socket.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(length) => taken = taken.saturating_add(length),
            }
        }
    };
    tokio::select! {
        _ = timeout(within, taking) => {}
        () = stop.cancelled() => {}
    }
}
