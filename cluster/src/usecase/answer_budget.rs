//! How much memory answers may take, from before they are made until they are written.
//!
//! A decision of a few words can be answered with many reasons, so requests are no measure of it. Room for the largest answer
//! that there can be is taken before a request is decided; what the answer does not need is given back at once, and the
//! rest when its bytes are dropped, which is when they are written or when the caller is gone.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most that one decision takes while it is made, in KiB: 32 reasons and what the policy does not check, in the body, in the
/// signed leaf, and once more in between.
pub(crate) const DECISION_KIB: usize = 128;

/// Most requests decided and signed together.
pub(crate) const SLICE: usize = 64;

/// The room of all answers under way.
pub(super) struct AnswerBudget {
    /// One permit a KiB.
    room: Arc<Semaphore>,
}

/// Room that was taken.
pub(super) struct ReservedMemory(OwnedSemaphorePermit);

/// Bytes that take room.
struct Held {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AnswerBudget {
    /// So many KiB.
    pub(super) fn new(kib: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(kib)) }
    }

    /// Room for so many decisions as large as they can get, if there is any.
    pub(super) fn take(&self, decisions: usize) -> Option<ReservedMemory> {
        let kib = u32::try_from(decisions.saturating_mul(DECISION_KIB)).ok()?;
        self.room.clone().try_acquire_many_owned(kib).ok().map(ReservedMemory)
    }
}

impl ReservedMemory {
    /// The bytes of one answer, which hold as much of the room as they need.
    pub(super) fn hold(&mut self, bytes: Vec<u8>) -> Bytes {
        let kib = bytes.len().div_ceil(1024).min(self.0.num_permits());
        let room = self.0.split(kib);
        Bytes::from_owner(Held { bytes, _room: room })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_its_memory_until_its_last_copy_is_dropped_and_frees_the_rest_at_once() {
        let room = AnswerBudget::new(2 * DECISION_KIB);
        let mut taken = room.take(2).unwrap();
        assert!(room.take(1).is_none());
        let first = taken.hold(vec![7; 1025]);
        drop(taken);
        assert_eq!(room.room.available_permits(), 2 * DECISION_KIB - 2);
        let copy = first.clone();
        drop(first);
        assert!(room.take(2).is_none());
        assert_eq!(copy.len(), 1025);
        drop(copy);
        assert!(room.take(2).is_some());
    }

    #[test]
    fn an_answer_that_is_larger_than_expected_takes_what_is_left_of_its_room() {
        let room = AnswerBudget::new(DECISION_KIB);
        let mut taken = room.take(1).unwrap();
        let large = taken.hold(vec![0; (DECISION_KIB + 1) * 1024]);
        drop(taken);
        assert!(room.take(1).is_none());
        drop(large);
        assert!(room.take(1).is_some());
    }
}
