//! Frames: `u32` length of the rest, `u8` kind, `u64` request id, body; integers big-endian.
//!
//! Owns the layout, the kinds' numbers and reading within bounds. Never looks into a body.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of kind and request id.
pub(super) const FRAME_HEAD: usize = 1 + 8;
/// Bytes of the length prefix.
pub(super) const FRAME_PREFIX: usize = 4;
/// The largest frame that is accepted before the handshake is complete. An unknown peer gets no more memory than
/// this.
pub(super) const HANDSHAKE_FRAME_MAX: usize = 16 * 1024;

/// How many bytes are requested from the stream at once. Memory grows with what has arrived, never with what was
/// announced.
const READ_STEP: usize = 64 * 1024;

/// The numbers of the frame kinds on the wire. A number never gets another meaning.
pub(super) mod kind {
    /// The hello: which node calls, and which node it wants.
    pub(crate) const HELLO: u8 = 0x01;
    /// The refusal of the other side. The body is the reason.
    pub(crate) const REFUSAL: u8 = 0x02;
    /// The dialer accepts the other's hello: the connection is open.
    pub(crate) const READY: u8 = 0x03;
    /// Asks whether the other side is there and what time its clock shows, and reports how many of its bytes have
    /// arrived.
    pub(crate) const PING: u8 = 0x04;
    /// The answer to a ping.
    pub(crate) const PONG: u8 = 0x05;
    /// The refusal of a node that root has recovered the cluster without. The body is root's statement.
    pub(crate) const RECOVERED: u8 = 0x06;
    /// Raft AppendEntries.
    pub(crate) const APPEND: u8 = 0x10;
    /// Raft RequestVote.
    pub(crate) const VOTE: u8 = 0x11;
    /// Asks whether the peer would vote for the sender.
    pub(crate) const PRE_VOTE: u8 = 0x12;
    /// Asks the peer to take leadership.
    pub(crate) const TRANSFER_LEADER: u8 = 0x13;
    /// The start of a snapshot.
    pub(crate) const SNAPSHOT_BEGIN: u8 = 0x14;
    /// One piece of a snapshot.
    pub(crate) const SNAPSHOT_CHUNK: u8 = 0x15;
    /// The end of a snapshot: the receiver should install it.
    pub(crate) const SNAPSHOT_END: u8 = 0x16;
    /// Asks how far a reader must have applied.
    pub(crate) const READ_INDEX: u8 = 0x20;
    /// Asks the leader to propose envelopes.
    pub(crate) const SUBMIT: u8 = 0x21;
    /// Asks whether the peer's store has ever started.
    pub(crate) const PROBE: u8 = 0x22;
    pub(crate) const MANAGE: u8 = 0x23;
    pub(crate) const INTRODUCE: u8 = 0x24;
    pub(crate) const COSIGN_RULES: u8 = 0x25;
    /// A member's announcement of its addresses.
    pub(crate) const MOVED: u8 = 0x26;
    /// Like `SUBMIT`, with the callers for whom the sender acts.
    pub(crate) const SUBMIT_FOR: u8 = 0x27;
    /// Like `MANAGE`, with the caller for whom the sender acts.
    pub(crate) const MANAGE_FOR: u8 = 0x28;
    /// Set in the kind of an answer, beside the request's own kind.
    pub(crate) const ANSWER: u8 = 0x80;
    /// The answer to a request that failed, with the cause.
    pub(crate) const FAILURE: u8 = 0xff;
}

/// One frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) id: u64,
    pub(super) body: Bytes,
}

/// Why no frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The other side closed the stream.
    #[error("the peer closed the connection")]
    Closed,
    /// The stream broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The announced length is out of bounds.
    #[error("a frame of `{length}` bytes is outside `{min}` to `{max}`")]
    Length { length: usize, min: usize, max: usize },
}

/// Cuts a stream into frames.
pub(super) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    received: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new(), received: 0 }
    }

    /// The next frame, at most `max` bytes long. Cancel safe: what has arrived stays buffered.
    pub(super) async fn next(&mut self, max: usize) -> Result<Frame, FrameError> {
        self.next_watched(max, |_| ()).await
    }

    /// Like [`next`](Self::next); whenever bytes arrive, `arrived` is told how many there were since the beginning.
    pub(super) async fn next_watched(
        &mut self,
        max: usize,
        mut arrived: impl FnMut(u64),
    ) -> Result<Frame, FrameError> {
        loop {
            if let Some(frame) = cut(&mut self.buffer, max)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_STEP);
            match self.stream.read_buf(&mut self.buffer).await? {
                0 => return Err(FrameError::Closed),
                more => self.received = self.received.saturating_add(more as u64),
            }
            arrived(self.received);
        }
    }
}

/// Takes one frame off the front of `buffer`, if it is all there.
pub(super) fn cut(buffer: &mut BytesMut, max: usize) -> Result<Option<Frame>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<FRAME_PREFIX>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if length < FRAME_HEAD || length > max {
        return Err(FrameError::Length { length, min: FRAME_HEAD, max });
    }
    if buffer.len() < FRAME_PREFIX + length {
        return Ok(None);
    }
    buffer.advance(FRAME_PREFIX);
    let mut frame = buffer.split_to(length).freeze();
    let kind = frame.get_u8();
    let id = frame.get_u64();
    Ok(Some(Frame { kind, id, body: frame }))
}

/// Starts a frame: everything except the body and the final length.
pub(super) fn open_frame(kind: u8, id: u64, body_bytes: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_PREFIX + FRAME_HEAD + body_bytes);
    frame.extend_from_slice(&[0; FRAME_PREFIX]);
    frame.push(kind);
    frame.extend_from_slice(&id.to_be_bytes());
    frame
}

/// Completes a frame once its body is in. The error is the frame's length, if it is over `max`.
pub(super) fn close_frame(mut frame: Vec<u8>, max: usize) -> Result<Bytes, usize> {
    let length = frame.len().saturating_sub(FRAME_PREFIX);
    let prefix = u32::try_from(length).map_err(|_| length)?;
    if length > max {
        return Err(length);
    }
    if let Some(front) = frame.first_chunk_mut::<FRAME_PREFIX>() {
        *front = prefix.to_be_bytes();
    }
    Ok(Bytes::from(frame))
}

/// A frame with a small body that is complete already.
pub(super) fn small_frame(kind: u8, id: u64, body: &[u8]) -> Bytes {
    let mut frame = open_frame(kind, id, body.len());
    frame.extend_from_slice(body);
    close_frame(frame, usize::MAX).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_pinned() {
        let frame = small_frame(kind::PING, 0x0102_0304_0506_0708, b"xy");
        assert_eq!(&frame[..], &[0, 0, 0, 11, 0x04, 1, 2, 3, 4, 5, 6, 7, 8, b'x', b'y']);
    }

    #[test]
    fn an_announced_length_out_of_bounds_is_an_error_before_anything_is_allocated() {
        for length in [0u32, 8, 1025, u32::MAX] {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            let capacity = buffer.capacity();
            assert!(matches!(cut(&mut buffer, 1024), Err(FrameError::Length { .. })), "{length}");
            assert_eq!(buffer.capacity(), capacity);
        }
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test is no node")]
    async fn a_large_announcement_costs_only_what_arrives() {
        let (near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far);
        let announce = tokio::spawn(async move {
            let mut near = near;
            tokio::io::AsyncWriteExt::write_all(&mut near, &(4u32 << 20).to_be_bytes()).await.unwrap();
        });
        assert!(matches!(reader.next(4 << 20).await, Err(FrameError::Closed)));
        announce.await.unwrap();
        assert!(reader.buffer.capacity() <= 2 * READ_STEP, "{}", reader.buffer.capacity());
    }

    proptest! {
        #[test]
        fn frames_survive_being_cut_anywhere(
            frames in prop::collection::vec((any::<u8>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)), 1..8),
            step in 1usize..40,
        ) {
            let mut wire = Vec::new();
            for (kind, id, body) in &frames {
                wire.extend_from_slice(&small_frame(*kind, *id, body));
            }
            let mut buffer = BytesMut::new();
            let mut got = Vec::new();
            for piece in wire.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = cut(&mut buffer, 1024).unwrap() {
                    got.push((frame.kind, frame.id, frame.body.to_vec()));
                }
            }
            prop_assert_eq!(got, frames);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = cut(&mut buffer, 256) {}
        }
    }
}
