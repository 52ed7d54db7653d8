//! The readers of this folder that have no other public way in, for programs that feed them arbitrary bytes. Each function
//! reads bytes as a connection does, and writes anew what it has read, so that the caller can compare the two.
//!
//! No node uses this module. It reads nothing in another way than the connections do, and it keeps nothing.

use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bounds::Bounded;
use super::codec::{decode, encode};
use super::frame::{FRAME_HEAD, FRAME_PREFIX, cut, small_frame};
use super::hello::Hello;
use super::message::{Failure, Message, Ping, Pong};

/// A body that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    /// The body of the same message, as this build writes it. It is empty if the message cannot be written, which no
    /// message's reader accepts.
    pub written: Vec<u8>,
    /// Whether the message keeps to the bounds of what a peer may claim; the error tells what does not hold.
    pub within: Result<(), String>,
}

/// Reads frames of at most `max` bytes until one is not all there, and writes them anew.
///
/// # Errors
/// The length that a frame announces is out of bounds.
pub fn reread_frames(bytes: &[u8], max: usize) -> Result<Vec<u8>, String> {
    let mut left = BytesMut::from(bytes);
    let mut written = Vec::new();
    while let Some(frame) = cut(&mut left, max).map_err(|error| error.to_string())? {
        written.extend_from_slice(&small_frame(frame.kind, frame.id, &frame.body));
    }
    Ok(written)
}

/// Reads a hello, and writes it anew without what a later version may have appended.
///
/// # Errors
/// The bytes are not a hello.
pub fn reread_hello(bytes: &[u8]) -> Result<Vec<u8>, String> {
    Hello::parse(bytes).map(|hello| hello.to_bytes()).map_err(|error| error.to_string())
}

/// Reads the body of a request, and compares it with `most`, the largest term and log index.
///
/// # Errors
/// The body is not such a request.
pub fn reread_request<M: Message>(body: &[u8], most: u64) -> Result<Reread, String> {
    claimed::<M>(body, most)
}

/// The same for the body of an answer to such a request.
///
/// # Errors
/// The body is not such an answer.
pub fn reread_answer<M: Message>(body: &[u8], most: u64) -> Result<Reread, String> {
    claimed::<M::Reply>(body, most)
}

/// Reads the body of a failure.
///
/// # Errors
/// The body is not one.
pub fn reread_failure(body: &[u8]) -> Result<Reread, String> {
    let failure: Failure = decode(body)?;
    Ok(Reread { written: written(&failure), within: Ok(()) })
}

/// Reads the body of a ping.
///
/// # Errors
/// The body is not one.
pub fn reread_ping(body: &[u8]) -> Result<Reread, String> {
    let ping: Ping = decode(body)?;
    Ok(Reread { written: written(&ping), within: Ok(()) })
}

/// Reads the body of a pong.
///
/// # Errors
/// The body is not one.
pub fn reread_pong(body: &[u8]) -> Result<Reread, String> {
    let pong: Pong = decode(body)?;
    Ok(Reread { written: written(&pong), within: Ok(()) })
}

fn claimed<T: Serialize + DeserializeOwned + Bounded>(body: &[u8], most: u64) -> Result<Reread, String> {
    let value: T = decode(body)?;
    Ok(Reread { written: written(&value), within: value.within(most) })
}

/// A body as it is written.
fn written<T: Serialize>(value: &T) -> Vec<u8> {
    let frame = encode(0, 0, value, usize::MAX).unwrap_or_default();
    frame.get(FRAME_PREFIX + FRAME_HEAD..).unwrap_or_default().to_vec()
}
