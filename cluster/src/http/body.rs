//! Request bodies, bounded in bytes and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use assent_proof::Code;

use super::reply::refused_by_http;
use crate::usecase::Service;

/// A body that was read, and the room that it takes until it is dropped.
pub(super) struct Read {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Bodies up to this size are bounded by the number of connections alone, so that slow senders of large
/// batches take nothing from single envelopes and requests.
const SMALL: usize = 65 * 1024;

/// How many bytes the client says that it sends, if it does.
pub(super) fn announced(body: &Body) -> Option<usize> {
    body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// The whole body, which has at most so many bytes, or the answer that refuses it. Its content type is not looked at: the parser is
/// strict. A body that is announced as larger is refused unread: hyper asks a client that waits for `100 Continue` for its body once the
/// body is read, and not before.
pub(super) async fn read(service: &Service, body: Body, most: usize) -> Result<Read, Response> {
    read_or(service, body, most, |_| ()).await
}

/// The same. If there is no room for the body, `no_room` is told how many bytes it may have.
pub(super) async fn read_or(
    service: &Service,
    body: Body,
    most: usize,
    no_room: impl FnOnce(usize),
) -> Result<Read, Response> {
    let announced = announced(&body);
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(too_large(most));
    }
    let mut room = None;
    if most > SMALL {
        // What the client says it sends, or the most that it may.
        let bytes = announced.unwrap_or(most);
        room = service.body_room(bytes);
        if room.is_none() {
            no_room(bytes);
            let held = service.config().limits.body_kib;
            let detail = format!("batches of {held} KiB are held already");
            return Err(refused_by_http(Code::Overloaded, 503, &detail));
        }
    }
    let within = Duration::from_millis(service.config().deadlines.http_body_ms);
    match timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(Read { bytes: collected.to_bytes(), _room: room }),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(most)),
        Ok(Err(error)) => {
            Err(refused_by_http(Code::Malformed, 400, &format!("the body cannot be read: {error}")))
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {} ms", within.as_millis());
            Err(refused_by_http(Code::DeadlineExceeded, 408, &detail))
        }
    }
}

fn too_large(most: usize) -> Response {
    refused_by_http(Code::TooLarge, 413, &format!("the body has more than {most} bytes"))
}
