//! Changes the messages that a node sends to its peers: they are held back, sent twice, sent again much later,
//! followed by a lie, or cut off by a power cut between two of them.
//!
//! TCP and TLS allow only the first of these within one connection. Raft must tolerate all of them: a message on one
//! connection may arrive after a message on the next one, and callers repeat their requests. A message that is sent
//! again carries a request id for which no call waits, like a repetition by a caller that has gone. A lie carries such
//! an id too.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use assent_cluster::env::BoxStream;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::sleep;

use super::dice::Dice;
use super::disk::{SimDisk, Unsynced};
use super::lies::Liar;

/// Bytes of a frame before its kind: the length of the rest.
const PREFIX: usize = 4;
/// Where the kind and the request id are.
const KIND_AT: usize = PREFIX;
const ID_AT: usize = PREFIX + 1;
const BODY_AT: usize = ID_AT + 8;
/// The bit in the request id of a message that is sent again, and of a lie.
const SAID_AGAIN: u8 = 0x80;
/// The requests that may be sent more than once: appends, votes, pre-votes, snapshots, reads and submissions. A change
/// of members is an operator's request, and means something new the second time.
const MAY_REPEAT: &[u8] = &[0x10, 0x11, 0x12, 0x14, 0x15, 0x16, 0x20, 0x21, 0x27];
/// How many messages are remembered in order to be sent again.
const REMEMBERED_MAX: usize = 64;
/// How many bytes a connection takes before its writer must wait.
const BUFFERED_MAX: usize = 256 * 1024;
/// How soon a connection notices that it is no longer held.
const FREE_WITHIN: Duration = Duration::from_millis(1);

/// The wires of one machine. Clones are the same wires.
#[derive(Clone, Default)]
pub struct Wires {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How many connections were made.
    connections: u64,
    /// Up to which connection they are held.
    held: Option<u64>,
    repeats: Option<Repeats>,
    liar: Option<Liar>,
    cut: Option<Cut>,
    counts: Counts,
}

/// The repetition of messages.
struct Repeats {
    dice: Dice,
    said: VecDeque<Bytes>,
}

/// A power cut at a message.
struct Cut {
    after: u64,
    disk: SimDisk,
    unsynced: Unsynced,
    dice: Dice,
}

/// How often each change was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that waited.
    pub held: u64,
    /// Messages that were sent twice in a row.
    pub twice: u64,
    /// Messages that were sent again later.
    pub again: u64,
    /// Lies that Raft has to refuse.
    pub refused_lies: u64,
    /// Lies that name an impossible term or log index.
    pub impossible_lies: u64,
    /// Power cuts at a message.
    pub cuts: u64,
}

impl Wires {
    /// Holds back what is sent on the present connections until the wires are [freed](Self::free); then it arrives all
    /// at once. Later connections are not held.
    pub fn hold(&self) {
        let mut state = self.state();
        state.held = Some(state.connections);
    }

    /// Sends messages twice, or again later, until the wires are [freed](Self::free).
    pub fn repeat(&self, dice: Dice) {
        self.state().repeats = Some(Repeats { dice, said: VecDeque::new() });
    }

    /// Lets lies about these nodes follow messages, until the wires are [freed](Self::free).
    pub fn lie(&self, dice: Dice, nodes: Vec<u64>) {
        self.state().liar = Some(Liar::new(dice, nodes));
    }

    /// Cuts the power of the disk after this many more messages.
    pub fn cut_power(&self, after: u64, disk: SimDisk, unsynced: Unsynced, dice: Dice) {
        self.state().cut = Some(Cut { after, disk, unsynced, dice });
    }

    /// The machine has power again.
    pub fn power_on(&self) {
        let mut state = self.state();
        if state.cut.as_ref().is_some_and(|cut| cut.after == 0) {
            state.cut = None;
        }
    }

    /// Whether messages are sent unchanged.
    pub fn are_free(&self) -> bool {
        let state = self.state();
        state.held.is_none() && state.repeats.is_none() && state.liar.is_none() && state.cut.is_none()
    }

    /// Undoes everything.
    pub fn free(&self) {
        let mut state = self.state();
        (state.held, state.repeats, state.liar, state.cut) = (None, None, None, None);
    }

    /// How often each change was made.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// A connection to a peer whose outgoing messages pass through these wires.
    pub(super) fn connection(&self, inner: BoxStream) -> Wire {
        let mut state = self.state();
        state.connections += 1;
        let number = state.connections;
        drop(state);
        Wire {
            wires: self.clone(),
            number,
            inner: Some(inner),
            partial: BytesMut::new(),
            out: VecDeque::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this connection is held.
    fn holds(&self, connection: u64) -> bool {
        self.held.is_some_and(|upto| connection <= upto)
    }

    /// The frames that are sent in place of this message; none once the power is off.
    fn pass(&mut self, frame: Bytes, held: bool) -> Vec<Bytes> {
        if let Some(cut) = &mut self.cut {
            if cut.after == 0 {
                if !cut.disk.is_dead() {
                    cut.disk.power_cut(cut.unsynced, &mut cut.dice);
                    self.counts.cuts += 1;
                }
                return Vec::new();
            }
            cut.after -= 1;
        }
        self.counts.held += u64::from(held);
        let kind = frame.get(KIND_AT).copied();
        let lie = self.liar.as_mut().zip(kind).and_then(|(liar, kind)| liar.lie_after(kind, &frame));
        if let Some(lie) = lie {
            self.counts.refused_lies += u64::from(!lie.is_impossible);
            self.counts.impossible_lies += u64::from(lie.is_impossible);
            return vec![frame, again(&lie.frame)];
        }
        let may_repeat = kind.is_some_and(|kind| MAY_REPEAT.contains(&kind));
        let Some(repeats) = self.repeats.as_mut().filter(|_| may_repeat) else { return vec![frame] };
        let mut out = Vec::new();
        if repeats.dice.chance(1, 8)
            && let Some(old) = repeats.dice.pick(repeats.said.make_contiguous()).cloned()
        {
            out.push(again(&old));
            self.counts.again += 1;
        }
        if repeats.said.len() >= REMEMBERED_MAX {
            repeats.said.pop_front();
        }
        repeats.said.push_back(frame.clone());
        if repeats.dice.chance(1, 8) {
            out.push(frame.clone());
            self.counts.twice += 1;
        }
        out.push(frame);
        out
    }
}

/// The same message under a request id for which no call waits.
fn again(frame: &Bytes) -> Bytes {
    let mut copy = BytesMut::from(&frame[..]);
    if let Some(first) = copy.get_mut(ID_AT) {
        *first |= SAID_AGAIN;
    }
    copy.freeze()
}

/// Takes one whole frame off the front.
fn take_frame(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = usize::try_from(u32::from_be_bytes(*buffer.first_chunk()?)).ok()?;
    let whole = PREFIX.checked_add(length)?;
    (buffer.len() >= whole && whole >= BODY_AT).then(|| buffer.split_to(whole).freeze())
}

/// A stream to a peer. What was written to it is sent even if the stream is dropped first.
pub(super) struct Wire {
    wires: Wires,
    number: u64,
    /// `None` only while the stream is being dropped.
    inner: Option<BoxStream>,
    partial: BytesMut,
    out: VecDeque<Bytes>,
}

impl Wire {
    fn inner(&mut self) -> io::Result<&mut BoxStream> {
        self.inner.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn buffered(&self) -> usize {
        self.out.iter().map(Bytes::len).sum()
    }

    /// Writes what may be sent now.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.wires.state().holds(self.number) {
            return Poll::Ready(Ok(()));
        }
        while let Some(mut next) = self.out.pop_front() {
            let written = match Pin::new(self.inner()?).poll_write(cx, &next) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.out.push_front(next);
                    return Poll::Pending;
                }
            };
            if written < next.len() {
                self.out.push_front(next.split_off(written));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.buffered() > BUFFERED_MAX {
            std::task::ready!(self.poll_out(cx))?;
        }
        self.partial.extend_from_slice(data);
        while let Some(frame) = take_frame(&mut self.partial) {
            let frames = {
                let mut state = self.wires.state();
                let held = state.holds(self.number);
                state.pass(frame, held)
            };
            self.out.extend(frames);
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_out(cx))?;
        Pin::new(self.inner()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_out(cx))?;
        if !self.out.is_empty() {
            // Held: the rest is sent, and the stream closed, when this is dropped.
            return Poll::Ready(Ok(()));
        }
        Pin::new(self.inner()?).poll_shutdown(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.inner()?).poll_read(cx, buffer)
    }
}

/// Held bytes are sent once the wires are free, as an operating system sends the bytes that it was given.
impl Drop for Wire {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take().filter(|_| self.wires.state().holds(self.number)) else {
            return;
        };
        let (wires, number, out) = (self.wires.clone(), self.number, std::mem::take(&mut self.out));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                while wires.state().holds(number) {
                    sleep(FREE_WITHIN).await;
                }
                for frame in out {
                    if inner.write_all(&frame).await.is_err() {
                        return;
                    }
                }
                // The other side may have gone.
                let _ = inner.shutdown().await;
            });
        }
    }
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wires").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
mod tests {
    use assent_cluster::peer::{Vote, request_frame};
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    /// Two bytes of body, under a kind and a request id.
    fn frame(kind: u8, id: u8) -> Vec<u8> {
        vec![0, 0, 0, 11, kind, 0, 0, 0, 0, 0, 0, 0, id, 7, 7]
    }

    async fn sent(wires: &Wires, frames: &[Vec<u8>]) -> Vec<u8> {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut wire = wires.connection(Box::new(near));
        // In pieces that do not follow the frames.
        for piece in frames.concat().chunks(5) {
            wire.write_all(piece).await.unwrap();
        }
        wire.flush().await.unwrap();
        wire.shutdown().await.unwrap();
        drop(wire);
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.unwrap();
        all
    }

    #[tokio::test]
    async fn by_itself_a_wire_changes_nothing() {
        let frames: Vec<_> = (0..20).map(|id| frame(0x10, id)).collect();
        assert_eq!(sent(&Wires::default(), &frames).await, frames.concat());
    }

    #[tokio::test]
    async fn repeated_are_requests_only_and_what_is_said_again_waits_for_no_answer() {
        let wires = Wires::default();
        wires.repeat(Dice::new(1));
        let frames: Vec<_> = (0..100).map(|id| frame(if id % 2 == 0 { 0x10 } else { 0x90 }, id)).collect();
        let all = sent(&wires, &frames).await;
        let counts = wires.counts();
        assert!(counts.twice > 0 && counts.again > 0, "{counts:?}");
        assert_eq!(all.len() as u64, (100 + counts.twice + counts.again) * 15);
        let said_again = all.chunks(15).filter(|frame| frame[ID_AT] == SAID_AGAIN);
        assert_eq!(said_again.clone().count() as u64, counts.again);
        assert!(said_again.into_iter().all(|frame| frame[KIND_AT] == 0x10));
    }

    #[tokio::test]
    async fn a_lie_follows_what_it_was_made_of_and_waits_for_no_answer() {
        let vote = json!({"leader_id": {"term": 3, "voted_for": 1}, "committed": false});
        let request = serde_json::from_value(json!({"vote": vote, "last_log_id": null})).unwrap();
        let real = request_frame(1, &Vote(request)).unwrap().to_vec();
        let wires = Wires::default();
        wires.lie(Dice::new(1), vec![1, 2, 3]);
        assert!(!wires.are_free());
        let reals: Vec<_> = std::iter::repeat_n(real.clone(), 40).collect();
        let mut all = BytesMut::from(&sent(&wires, &reals).await[..]);
        let frames: Vec<Bytes> = std::iter::from_fn(|| take_frame(&mut all)).collect();
        let lies = wires.counts().impossible_lies;
        assert!(lies > 0 && frames.len() as u64 == 40 + lies, "{lies}");
        assert_eq!(frames[0], real, "what is real comes first");
        assert_eq!(frames.iter().filter(|frame| **frame == real).count(), 40);
        assert_eq!(frames.iter().filter(|frame| frame[ID_AT] == SAID_AGAIN).count() as u64, lies);
        wires.free();
        assert!(wires.are_free());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_comes_late_and_whole_even_from_a_connection_that_was_dropped() {
        let wires = Wires::default();
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let mut wire = wires.connection(Box::new(near));
        wires.hold();
        wire.write_all(&frame(0x11, 1)).await.unwrap();
        wire.flush().await.unwrap();
        assert_eq!(sent(&wires, &[frame(0x11, 2)]).await, frame(0x11, 2), "a later connection is free");
        drop(wire);
        sleep(Duration::from_millis(500)).await;
        assert!(tokio::io::AsyncReadExt::read_u8(&mut far).now_or_never().is_none(), "nothing came yet");
        wires.free();
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.unwrap();
        assert_eq!(all, frame(0x11, 1));
        assert_eq!(wires.counts().held, 1);
    }

    #[tokio::test]
    async fn nothing_is_sent_from_where_the_power_goes() {
        let (wires, disk) = (Wires::default(), SimDisk::default());
        let _mounted = disk.mount();
        wires.cut_power(2, disk.clone(), Unsynced::Drop, Dice::new(1));
        let frames: Vec<_> = (0..5).map(|id| frame(0x10, id)).collect();
        assert_eq!(sent(&wires, &frames).await, frames[..2].concat());
        assert!(disk.is_dead());
        assert_eq!(wires.counts().cuts, 1);
    }
}
