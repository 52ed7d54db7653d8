//! The log's one row beside its entries.
//!
//! All small values are in it, so that a commit writes one row, and so that none of them can be lost alone:
//! if a vote were lost, the node could vote twice.

use bytes::Bytes;

use crate::StoreError;
use crate::bytes_codec::{CodecProblem, Reader, put_bytes};
use crate::database::LOG_FILE;

/// The newest version of the row, and the one that is written. To add one: `docs/formats.md`.
pub const VERSION: u8 = 1;

/// The state of the log, apart from the entries themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogState {
    /// Counts commits; the mark repeats it.
    pub(crate) commit: u64,
    /// The registry's generation.
    pub(crate) generation: u64,
    /// First and last index, if there are entries.
    pub(crate) range: Option<(u64, u64)>,
    /// The last index that was purged, and the caller's name for it.
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    /// The value that is remembered beside the log, in the caller's encoding.
    pub(crate) remembered: Option<Bytes>,
}

impl LogState {
    /// The row's value: version, commit and generation; then range, purged, vote, committed and remembered,
    /// each behind a byte that says whether it is there.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.commit.to_be_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.push(u8::from(self.range.is_some()));
        if let Some((first, last)) = self.range {
            bytes.extend_from_slice(&first.to_be_bytes());
            bytes.extend_from_slice(&last.to_be_bytes());
        }
        bytes.push(u8::from(self.purged.is_some()));
        if let Some((index, position)) = &self.purged {
            bytes.extend_from_slice(&index.to_be_bytes());
            put_bytes(&mut bytes, position);
        }
        for value in [&self.vote, &self.committed, &self.remembered] {
            bytes.push(u8::from(value.is_some()));
            if let Some(value) = value {
                put_bytes(&mut bytes, value);
            }
        }
        bytes
    }

    /// Reads the row. An unknown version is an error of its own, different from damage.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |problem: CodecProblem| StoreError::damaged(LOG_FILE, problem);
        let mut reader = Reader::new(bytes);
        let version = reader.u8().map_err(damaged)?;
        match version {
            1 => Self::read(reader).map_err(damaged),
            found => Err(StoreError::unknown_version(&format!("the state in `{LOG_FILE}`"), found, VERSION)),
        }
    }

    /// Reads the rest of a row of version 1.
    fn read(mut reader: Reader<'_>) -> Result<Self, CodecProblem> {
        let (commit, generation) = (reader.u64()?, reader.u64()?);
        let range = if flag(&mut reader)? { Some((reader.u64()?, reader.u64()?)) } else { None };
        let purged = if flag(&mut reader)? { Some((reader.u64()?, value(&mut reader)?)) } else { None };
        let vote = if flag(&mut reader)? { Some(value(&mut reader)?) } else { None };
        let committed = if flag(&mut reader)? { Some(value(&mut reader)?) } else { None };
        let remembered = if flag(&mut reader)? { Some(value(&mut reader)?) } else { None };
        reader.finish()?;
        Ok(Self { commit, generation, range, purged, vote, committed, remembered })
    }

    /// Entries `first..=last` were added at the end.
    pub(super) fn appended(&mut self, first: u64, last: u64) {
        self.range = Some((self.range.map_or(first, |(first, _)| first), last));
    }

    /// The entries from `from` on were removed.
    pub(super) fn truncated(&mut self, from: u64) {
        self.range = match self.range {
            Some((first, last)) if from > first => Some((first, last.min(from - 1))),
            _ => None,
        };
    }

    /// The entries up to `upto` were removed.
    pub(super) fn purged(&mut self, upto: u64, position: &Bytes) {
        self.range = match self.range {
            Some((first, last)) if last > upto => Some((first.max(upto + 1), last)),
            _ => None,
        };
        self.purged = Some((upto, position.clone()));
    }
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, CodecProblem> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err("a presence byte is neither 0 nor 1"),
    }
}

fn value(reader: &mut Reader<'_>) -> Result<Bytes, CodecProblem> {
    reader.bytes().map(Bytes::copy_from_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_these_bytes() {
        let full = LogState {
            commit: 7,
            generation: 2,
            range: Some((5, 9)),
            purged: Some((4, Bytes::from_static(b"pos"))),
            vote: Some(Bytes::from_static(b"vote")),
            committed: Some(Bytes::from_static(b"comm")),
            remembered: Some(Bytes::from_static(b"rem")),
        };
        let empty = LogState { generation: 1, ..LogState::default() };
        assert_eq!(
            hex::encode(full.encode()),
            "0100000000000000070000000000000002010000000000000005000000000000000901000000000000000400000003706f730100000004766f74650100000004636f6d6d010000000372656d"
        );
        assert_eq!(hex::encode(empty.encode()), "01000000000000000000000000000000010000000000");
        for state in [full, empty] {
            assert_eq!(LogState::decode(&state.encode()), Ok(state));
        }
    }

    #[test]
    fn a_state_that_is_cut_or_extended_is_refused() {
        let bytes = LogState { range: Some((1, 2)), ..LogState::default() }.encode();
        for length in 0..bytes.len() {
            assert!(LogState::decode(&bytes[..length]).is_err());
        }
        assert!(LogState::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_state_of_the_next_version_is_not_damaged_and_says_which_build_to_start() {
        let mut bytes = LogState::default().encode();
        bytes[0] = VERSION + 1;
        let error = LogState::decode(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the state in `log.redb` has version 2, and this build reads version 1: start this node with a newer build"
        );
        assert!(matches!(LogState::decode(&bytes[..0]), Err(StoreError::Damaged { .. })));
    }
}
