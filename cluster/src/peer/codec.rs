//! The encoding of bodies: MessagePack by position, as the protocol version of the handshake defines it.
//!
//! Decoding is strict and bounded: nesting is limited, an announced length allocates nothing before its bytes are
//! there, and remaining bytes are an error. Golden bytes in `message` fix the encodings.

use assent_proof::text::{cut, one_line};
use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::error::PeerError;
use super::frame::{FRAME_PREFIX, close_frame, open_frame};
use super::message::Message;

/// The deepest nesting any message needs is a membership inside an entry inside an append, about ten.
const DEPTH_MAX: usize = 32;
/// The longest text that says why a body cannot be read, in characters before those that terminals obey are escaped.
const PROBLEM_CHARS_MAX: usize = 200;

/// A frame of `kind` around `value`, at most `max` bytes.
pub(super) fn encode<T: Serialize>(kind: u8, id: u64, value: &T, max: usize) -> Result<Bytes, PeerError> {
    let mut frame = open_frame(kind, id, 128);
    rmp_serde::encode::write(&mut frame, value).map_err(|error| PeerError::Encoding(error.to_string()))?;
    close_frame(frame, max).map_err(|bytes| PeerError::TooLarge { bytes, max })
}

/// The whole frame of a request, as it goes over the wire. For programs that talk to a node without being a node,
/// such as simulations.
pub fn request_frame<M: Message>(id: u64, request: &M) -> Result<Bytes, PeerError> {
    encode(M::KIND, id, request, usize::MAX)
}

/// The request id and the request of a whole frame. For programs that inspect what nodes send, such as simulations.
/// The error tells what is wrong, for people.
pub fn read_request<M: Message>(frame: &[u8]) -> Result<(u64, M), String> {
    let (_, rest) = frame.split_first_chunk::<FRAME_PREFIX>().ok_or("a frame without a length")?;
    let (kind, rest) = rest.split_first().ok_or("a frame without a kind")?;
    let (id, body) = rest.split_first_chunk::<8>().ok_or("a frame without a request id")?;
    if *kind != M::KIND {
        return Err(format!("a frame of kind `{kind:#04x}` and not of `{:#04x}`", M::KIND));
    }
    Ok((u64::from_be_bytes(*id), decode(body)?))
}

/// The value that all of `body` encodes. The error tells what is wrong, for people. It is one bounded line: serde quotes
/// names of variants and texts that it did not expect, and a peer chooses their length and their characters.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(body);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer)
        .map_err(|error| one_line(&cut(&error.to_string(), PROBLEM_CHARS_MAX)).into_owned())?;
    // The deserializer does not report how far it got. If it is at the end, it finds no marker. Anything else that it
    // finds is remaining bytes.
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err("bytes are left over after the message".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::*;
    use super::*;

    #[test]
    fn a_request_is_read_from_its_whole_frame_and_from_that_of_no_other_kind() {
        let frame = request_frame(7, &Probe {}).unwrap();
        assert_eq!(read_request::<Probe>(&frame), Ok((7, Probe {})));
        assert!(read_request::<ReadIndex>(&frame).is_err());
        for length in 0..frame.len() {
            assert!(read_request::<Probe>(&frame[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(decode::<u64>(&[7]), Ok(7));
        for extra in [0x00, 0xc0, 0xc1, 0xdf] {
            assert!(decode::<u64>(&[7, extra]).is_err(), "{extra:#x} was ignored");
        }
        assert!(decode::<u64>(&[]).is_err());
    }

    #[test]
    fn the_error_about_a_name_that_a_peer_made_up_is_one_bounded_line() {
        let name = "\u{1b}[2J".repeat(100_000);
        let body = rmp_serde::to_vec(&name).unwrap();
        let problem = decode::<Manage>(&body).unwrap_err();
        assert!(problem.chars().count() < 10 * PROBLEM_CHARS_MAX, "{}", problem.len());
        assert!(!problem.contains('\u{1b}'), "{problem}");
    }

    #[test]
    fn two_hundred_thousand_nested_arrays_are_refused() {
        let bomb = vec![0x91u8; 200_000];
        assert!(decode::<Submit>(&bomb).is_err());
        assert!(decode::<Append>(&bomb).is_err());
        assert!(decode::<IgnoredAny>(&bomb).is_err());
        assert!(decode::<serde_json::Value>(&bomb).is_err());
    }

    #[test]
    fn announced_lengths_of_four_gibibytes_allocate_nothing() {
        let array = [0x91, 0xdd, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Submit>(&array).is_err());
        let bytes = [0x91, 0x91, 0x92, 0xc2, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Submit>(&bytes).is_err());
        let text = [0xdb, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<String>(&text).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Append>(&bytes);
            let _ = decode::<Submit>(&bytes);
            let _ = decode::<SnapshotBegin>(&bytes);
            let _ = decode::<SubmitReply>(&bytes);
            let _ = decode::<TransferLeader>(&bytes);
        }
    }
}
