//! The TLS handshake of a connection, before anything else of it.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::addresses::Counted;
use super::audited::handshake_refused;
use super::begun::begun;
use super::connection::LINGER_BYTES;
use crate::client_tls::{Accepted, ClientTls, Demand, NotAccepted};
use crate::env::BoxStream;
use crate::locked::lock;
use crate::log_throttle::LogThrottle;
use crate::metrics::Limited;
use crate::usecase::Service;

/// Makes the handshake, if the port has TLS. `None` if the connection is over: one side refused the other, the handshake
/// was not done by `until`, or the node stops.
pub(super) async fn handshake(
    stream: BoxStream,
    tls: Option<(&ClientTls, Demand)>,
    (until, linger): (Instant, Duration),
    (service, remote, counted): (&Service, &str, &Counted),
    trouble: &Mutex<LogThrottle>,
    stop: &CancellationToken,
) -> Option<Accepted> {
    let Some((tls, demand)) = tls else { return Some(Accepted { stream, caller: None }) };
    let accepting = async {
        // Whoever sends nothing has its place, and keeps nobody from a turn.
        let stream = match begun(stream).await {
            Ok(stream) => stream,
            Err(error) => {
                let why = format!("the caller has sent nothing: {error}");
                return Err(NotAccepted { why, shown: None, stream: None });
            }
        };
        // One address, however many connections it has, holds few of the turns that all addresses share.
        let _turn = match counted.handshake_now() {
            Some(turn) => Some(turn),
            None => {
                service.metrics().limited(&Limited::HandshakesPerAddress);
                counted.handshake().await
            }
        };
        tls.accept(stream, demand).await
    };
    let done = tokio::select! {
        done = timeout_at(until, accepting) => done,
        () = stop.cancelled() => return None,
    };
    let NotAccepted { why, shown, stream } = match done {
        Ok(Ok(accepted)) => return Some(accepted),
        Ok(Err(refused)) => refused,
        Err(_) => {
            let why = "the handshake was not done within `deadlines.http_head_ms`".to_owned();
            NotAccepted { why, shown: None, stream: None }
        }
    };
    handshake_refused(service, remote, shown);
    if let Some(more) = lock(trouble).tell() {
        tracing::warn!(%remote, %why, more, "no TLS connection with a caller");
    }
    if let Some(stream) = stream {
        tokio::select! {
            _ = timeout(linger, take_rest(stream)) => {}
            () = stop.cancelled() => {}
        }
    }
    None
}

/// Takes what a caller that was refused still sends. If the node closed the connection with unread bytes, it would reset
/// it, and the caller might lose the alert that says why.
async fn take_rest(mut stream: BoxStream) {
    let mut bytes = vec![0_u8; 8 * 1024];
    let mut taken = 0_usize;
    while taken < LINGER_BYTES {
        match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(length) => taken = taken.saturating_add(length),
        }
    }
}
