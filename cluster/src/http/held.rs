//! A body that holds a guard until it is dropped: room for its bytes, the turn that it ends, or a flag that shows
//! that it was read.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::HttpBody;
use hyper::body::{Frame, SizeHint};

use crate::shares::Share;

/// What a body holds. It is dropped with the body: once all of the body was taken, or once its receiver is gone.
pub(super) trait Guard {
    /// Called when all of the body was taken. It is not called for a body that is dropped before.
    fn ended(&mut self) {}
}

/// Room for the memory of the body.
impl Guard for Share {}

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
