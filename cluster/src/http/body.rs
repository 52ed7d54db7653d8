//! Reads the bodies of requests, bounded in bytes and time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use assent_proof::Code;

use super::judged::Judged;
use super::reply::refused_by_http;
use crate::metrics::RefusedRequest;
use crate::shares::Share;
use crate::usecase::Service;

/// A body that was read, and the room that it holds until it is dropped.
pub(super) struct Read {
    pub(super) bytes: Bytes,
    _room: Option<Share>,
}

/// Bodies up to this size are bounded only by the number of connections. So slow senders of large batches take
/// nothing from single envelopes and requests.
const SMALL: usize = 65 * 1024;

/// The number of bytes that the client has announced, if it has.
pub(super) fn announced(body: &Body) -> Option<usize> {
    body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Reads the whole body, which has at most as many bytes as the row of the call says, or returns the answer that refuses it. It does not check
/// the content type, because the parser is strict. If the client announces a larger body, it is refused unread. If a
/// client waits for `100 Continue`, hyper asks it for the body only once the body is read here.
pub(super) async fn read(service: &Service, by: &Judged, body: Body) -> Result<Read, Response> {
    read_or(service, by, body, |_| ()).await
}

/// Like [`read`]. If there is no room for the body, `no_room` is called with the number of bytes that it may have.
pub(super) async fn read_or(
    service: &Service,
    by: &Judged,
    body: Body,
    no_room: impl FnOnce(usize),
) -> Result<Read, Response> {
    let (announced, most) = (announced(&body), by.body_max);
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(too_large(service, most));
    }
    let mut room = None;
    if most > SMALL {
        // The announced number of bytes, or else the largest that is allowed.
        let bytes = announced.unwrap_or(most);
        room = match service.body_room(&by.caller, bytes) {
            Ok(room) => Some(room),
            Err(why) => {
                no_room(bytes);
                let most = service.config().limits.body_kib;
                let detail = why.told(|| {
                    format!("there is room for batches of {most} KiB (`limits.body_kib`), and no more fit")
                });
                return Err(refused_by_http(Code::Overloaded, 503, &detail));
            }
        };
    }
    let within = Duration::from_millis(service.config().deadlines.http_body_ms);
    match timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(Read { bytes: collected.to_bytes(), _room: room }),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(too_large(service, most)),
        Ok(Err(error)) => {
            service.metrics().request_refused(RefusedRequest::BodyForm);
            Err(refused_by_http(Code::Malformed, 400, &format!("the body cannot be read: {error}")))
        }
        Err(_) => {
            service.metrics().request_refused(RefusedRequest::BodyTime);
            let detail = format!("the body did not arrive within {} ms", within.as_millis());
            Err(refused_by_http(Code::DeadlineExceeded, 408, &detail))
        }
    }
}

fn too_large(service: &Service, most: usize) -> Response {
    service.metrics().request_refused(RefusedRequest::BodySize);
    refused_by_http(Code::TooLarge, 413, &format!("the body has more than {most} bytes"))
}
