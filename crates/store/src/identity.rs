//! The row that says which store a database belongs to.

use crate::StoreError;
use crate::bytes_codec::{CodecProblem, Reader};

/// The newest format of both databases. New databases get it. A build opens every format since
/// [`FORMAT_OLDEST`].
pub(crate) const FORMAT: u8 = 6;
/// The oldest format that is opened. Earlier formats are of builds before any release.
const FORMAT_OLDEST: u8 = 6;

/// Which of the two databases it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Role {
    /// The Raft log.
    Log = 1,
    /// The registry's rows.
    Registry = 2,
}

/// How far the creation of the database came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Nothing was ever acknowledged on it.
    Creating = 0,
    /// In use.
    Ready = 1,
}

/// The content of the row: format, role, stage, store id; 19 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) role: Role,
    pub(crate) stage: Stage,
    pub(crate) store_id: [u8; 16],
}

impl Identity {
    /// The row's value.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT, self.role as u8, self.stage as u8];
        bytes.extend_from_slice(&self.store_id);
        bytes
    }

    /// Reads the row of `file`, which must have this role.
    pub(crate) fn decode(file: &str, role: Role, bytes: &[u8]) -> Result<Self, StoreError> {
        let format = bytes.first().copied().unwrap_or(0);
        if !(FORMAT_OLDEST..=FORMAT).contains(&format) {
            return Err(StoreError::Format { file: file.to_owned(), found: format, known: FORMAT });
        }
        Self::read(role, bytes).map_err(|problem| StoreError::damaged(file, problem))
    }

    fn read(role: Role, bytes: &[u8]) -> Result<Self, CodecProblem> {
        let mut reader = Reader::new(bytes);
        reader.u8()?;
        if reader.u8()? != role as u8 {
            return Err("it is the store's other database");
        }
        let stage = match reader.u8()? {
            0 => Stage::Creating,
            1 => Stage::Ready,
            _ => return Err("its stage is unknown"),
        };
        let store_id = reader.array()?;
        reader.finish()?;
        Ok(Self { role, stage, store_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_these_bytes() {
        let identity = Identity { role: Role::Registry, stage: Stage::Ready, store_id: *b"0123456789abcdef" };
        let bytes = identity.encode();
        assert_eq!(bytes, b"\x06\x02\x010123456789abcdef");
        assert_eq!(Identity::decode("f", Role::Registry, &bytes), Ok(identity));
    }

    #[test]
    fn another_format_says_which_build_to_use() {
        let error = Identity::decode("log.redb", Role::Log, b"\x09rest").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`log.redb` has format 9, and this build reads format 6: start it with a newer build"
        );
        assert!(Identity::decode("f", Role::Log, b"\x06\x02\x010123456789abcdef").is_err());
        assert!(Identity::decode("f", Role::Registry, b"\x06\x02\x010123456789abcdefg").is_err());
    }
}
