//! How much memory answers may take, from before they are made until they are written.
//!
//! A short request can have a decision with many reasons, so the size of requests does not bound that of answers. The
//! node reserves room for the largest possible answer before it decides a request. It gives back at once what the
//! answer does not need. It gives back the rest when the answer's bytes are dropped: when they are written, or when
//! the caller is gone.

use bytes::Bytes;

use crate::access::Account;
use crate::shares::{NoShare, Pool, Share};

/// The most memory that one decision takes while it is made, in KiB: 32 reasons and what the policy does not check,
/// in the body, in the signed leaf, and once more between the two.
pub(crate) const DECISION_KIB: usize = 128;

/// The largest number of requests that are decided and signed together.
pub(crate) const SLICE: usize = 64;

/// The room for all answers under way.
pub(super) struct AnswerBudget {
    /// One place for each KiB.
    room: Pool,
}

/// Room that was reserved.
pub(super) struct ReservedMemory(Share);

/// Bytes that occupy room.
struct Held {
    bytes: Vec<u8>,
    _room: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AnswerBudget {
    /// A budget with one place for each KiB.
    pub(super) fn new(room: Pool) -> Self {
        Self { room }
    }

    /// Reserves room for this many decisions at their largest size.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn take(&self, account: &Account, decisions: usize) -> Result<ReservedMemory, NoShare> {
        self.room.take(account, decisions.saturating_mul(DECISION_KIB)).map(ReservedMemory)
    }
}

impl ReservedMemory {
    /// The bytes of one answer, which hold as much of the room as they need.
    pub(super) fn hold(&mut self, bytes: Vec<u8>) -> Bytes {
        let room = self.0.split(bytes.len().div_ceil(1024));
        Bytes::from_owner(Held { bytes, _room: room })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_its_memory_until_its_last_copy_is_dropped_and_frees_the_rest_at_once() {
        let room = AnswerBudget::new(Pool::new(2 * DECISION_KIB));
        let mut taken = room.take(&Account::Common, 2).unwrap();
        assert!(room.take(&Account::Common, 1).is_err());
        let first = taken.hold(vec![7; 1025]);
        drop(taken);
        assert_eq!(room.room.free(), 2 * DECISION_KIB - 2);
        let copy = first.clone();
        drop(first);
        assert!(room.take(&Account::Common, 2).is_err());
        assert_eq!(copy.len(), 1025);
        drop(copy);
        assert!(room.take(&Account::Common, 2).is_ok());
    }

    #[test]
    fn an_answer_that_is_larger_than_expected_takes_what_is_left_of_its_room() {
        let room = AnswerBudget::new(Pool::new(DECISION_KIB));
        let mut taken = room.take(&Account::Common, 1).unwrap();
        let large = taken.hold(vec![0; (DECISION_KIB + 1) * 1024]);
        drop(taken);
        assert!(room.take(&Account::Common, 1).is_err());
        drop(large);
        assert!(room.take(&Account::Common, 1).is_ok());
    }
}
