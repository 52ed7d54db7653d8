//! A connection whose caller has sent something.
//!
//! The network cannot say that bytes have come without taking one. So the first byte is taken, and read again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::env::BoxStream;

/// A stream, and its first byte until that is read.
struct Begun {
    first: Option<u8>,
    stream: BoxStream,
}

/// Waits for the first byte. The stream that is returned begins with it.
///
/// # Errors
/// The stream broke or ended before.
pub(super) async fn begun(mut stream: BoxStream) -> io::Result<BoxStream> {
    let first = Some(stream.read_u8().await?);
    Ok(Box::new(Begun { first, stream }))
}

impl AsyncRead for Begun {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// It fails if the first byte is lost, or comes twice.
    #[tokio::test]
    async fn the_stream_begins_with_the_byte_that_was_waited_for() {
        let (mut caller, stream) = tokio::io::duplex(64);
        caller.write_all(b"hello").await.unwrap();
        let mut stream = begun(Box::new(stream)).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        caller.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        drop(caller);
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"hello");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_without_a_byte_has_not_begun() {
        let (caller, stream) = tokio::io::duplex(64);
        drop(caller);
        assert!(begun(Box::new(stream)).await.is_err());
    }
}
