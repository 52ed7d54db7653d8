//! A body that holds something until it is dropped: room for its bytes, the turn that it ends, or a flag that tells that it was read.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// What a body holds. It is dropped with the body: once all of it was taken, or once its taker is gone.
pub(super) trait Guard {
    /// All of the body was taken. A body that is dropped before has not ended.
    fn ended(&mut self) {}
}

/// Room for what the body takes in memory.
impl Guard for OwnedSemaphorePermit {}

/// A body with its guard.
pub(super) struct Held<B, G> {
    body: B,
    guard: G,
}

impl<B, G> Held<B, G> {
    pub(super) fn new(body: B, guard: G) -> Self {
        Self { body, guard }
    }
}

impl<B: HttpBody + Unpin, G: Guard + Unpin> HttpBody for Held<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(None) = frame {
            this.guard.ended();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
