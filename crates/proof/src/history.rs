//! Histories and cursors. A history is one cluster in one epoch; a cursor is a place in the ledger of a
//! history.
//!
//! A revision, a ledger index or a head means something only in the history that it was read in. A recovery
//! begins a new history: it takes over the ledger of one remaining node and continues with the same numbers.
//! A cluster that is founded anew at the same addresses begins a new history too. Therefore every number that
//! points into a ledger travels with the name of its history.

use crate::json::FieldError;
use crate::lower_hex::from_lower_hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{Debug, Display, Formatter};
use std::str::FromStr;

/// The largest epoch: up to here every JSON reader represents integers exactly.
pub const EPOCH_MAX: u64 = (1 << 53) - 1;

/// A cluster in one of its epochs: `blake3:<64 lower-case hex digits of the genesis file's digest>/e<epoch>`.
///
/// A cluster is founded in epoch 1, and each recovery adds 1. Serde uses the text in all formats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct History {
    cluster: [u8; 32],
    epoch: u64,
}

impl History {
    /// The history of this cluster in this epoch; `None` if the epoch is not from 1 to [`EPOCH_MAX`].
    pub fn new(cluster: [u8; 32], epoch: u64) -> Option<Self> {
        (1..=EPOCH_MAX).contains(&epoch).then_some(History { cluster, epoch })
    }

    /// The first history of this cluster, in which it is founded.
    pub fn founded(cluster: [u8; 32]) -> Self {
        History { cluster, epoch: 1 }
    }

    /// The digest of the genesis file: BLAKE3-256.
    pub fn cluster(&self) -> &[u8; 32] {
        &self.cluster
    }

    /// The epoch, from 1.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Display for History {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "blake3:{}/e{}", hex::encode(self.cluster), self.epoch)
    }
}

impl Debug for History {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for History {
    type Err = FieldError;

    /// Reads a history in its only spelling.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let read = || {
            let (cluster, epoch) = text.strip_prefix("blake3:")?.split_once("/e")?;
            History::new(from_lower_hex(cluster)?, decimal(epoch)?)
        };
        read().ok_or_else(|| {
            let what =
                "must be a history, `blake3:`, 64 lower-case hex digits, `/e` and the epoch, from 1 on";
            FieldError::new("", what)
        })
    }
}

/// A place in a ledger: everything up to this revision of this history. Written `<history>:<revision>`; serde
/// uses that text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// The history that the revision was read in.
    pub history: History,
    /// The ledger's size at this place; 0 is its beginning.
    pub revision: u64,
}

impl Display for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.history, self.revision)
    }
}

impl Debug for Cursor {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Cursor {
    type Err = FieldError;

    /// Reads a cursor in its only spelling.
    fn from_str(text: &str) -> Result<Self, FieldError> {
        let read = || {
            let (history, revision) = text.rsplit_once(':')?;
            Some(Cursor { history: history.parse().ok()?, revision: decimal(revision)? })
        };
        read().ok_or_else(|| {
            FieldError::new("", "must be a cursor, `<history>:<revision>`, such as `blake3:…/e1:17`")
        })
    }
}

/// Reads a number in its only spelling: digits alone, without leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let one_spelling = text.len() == 1 || !text.starts_with('0');
    if digits && one_spelling { text.parse().ok() } else { None }
}

/// Serde as text, read back through `FromStr`.
macro_rules! serde_text {
    ($name:ident, $what:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::string_enum::from_text(deserializer, $what)
            }
        }
    };
}

serde_text!(History, "a history");
serde_text!(Cursor, "a cursor");
