//! The reserve on the disk: the space that is kept for restrictions and governance statements.
//!
//! A node whose disk is full can write no log entry, so it can take no revocation either. So it refuses everything else
//! while some space is left. This module owns when the reserve is reached and when no longer. It does not look at the
//! disk itself.

use std::sync::Mutex;

use crate::locked::lock;

/// The node takes everything again once this fraction (one part in so many) of the reserve is free beyond it, so that
/// it does not change its mind with each statement.
const MARGIN_SHARE: u64 = 8;

/// The reserve, and the space that was free at the last look.
pub(in crate::usecase) struct DiskReserve {
    /// In bytes; 0 is no reserve.
    reserve: u64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct State {
    /// The free space, in bytes, once it is known.
    free: Option<u64>,
    /// Whether the reserve is reached.
    reached: bool,
}

/// What the reserve is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::usecase) struct DiskSpace {
    /// The free space, in bytes.
    pub(in crate::usecase) free: u64,
    /// The reserve, in bytes.
    pub(in crate::usecase) reserve: u64,
    /// Whether the reserve is reached.
    pub(in crate::usecase) reached: bool,
}

impl DiskReserve {
    /// A reserve of so many bytes. Nothing is known of the disk yet.
    pub(super) fn new(reserve: u64) -> Self {
        Self { reserve, state: Mutex::default() }
    }

    /// Whether there is a reserve to keep.
    pub(in crate::usecase) fn is_kept(&self) -> bool {
        self.reserve > 0
    }

    /// Takes in how much is free now; `None` if the disk does not tell, and then what was known stays. Returns whether
    /// the reserve is reached, if that has changed.
    pub(in crate::usecase) fn found(&self, free: Option<u64>) -> Option<bool> {
        let free = free.filter(|_| self.is_kept())?;
        let mut state = lock(&self.state);
        let margin = self.reserve.checked_div(MARGIN_SHARE).unwrap_or(0);
        let enough = if state.reached { self.reserve.saturating_add(margin) } else { self.reserve };
        let reached = free < enough;
        let changed = (reached != state.reached).then_some(reached);
        *state = State { free: Some(free), reached };
        changed
    }

    /// The space, if it is known and there is a reserve.
    pub(in crate::usecase) fn space(&self) -> Option<DiskSpace> {
        let State { free, reached } = *lock(&self.state);
        free.map(|free| DiskSpace { free, reserve: self.reserve, reached })
    }

    /// Why nothing is taken except restrictions and governance statements, if that is so.
    pub(super) fn refuses(&self) -> Option<String> {
        let DiskSpace { free, reserve, .. } = self.space().filter(|space| space.reached)?;
        Some(format!(
            "this node's disk has {free} bytes free, and below {reserve} (`limits.disk_reserve_mib`) it takes only revocations, \
             containments and governance statements: have its operator free space or move `data_dir` to a larger disk, or submit \
             to another node"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_reached_below_it_and_left_only_once_an_eighth_more_is_free() {
        let disk = DiskReserve::new(800);
        assert_eq!((disk.refuses(), disk.space()), (None, None), "nothing is known yet");
        assert_eq!(disk.found(Some(800)), None);
        assert_eq!(disk.refuses(), None);
        assert_eq!(disk.found(Some(799)), Some(true));
        let why = disk.refuses().unwrap();
        for said in ["799 bytes free", "below 800", "`limits.disk_reserve_mib`", "free space"] {
            assert!(why.contains(said), "`{said}` is not in `{why}`");
        }
        assert_eq!(disk.found(Some(899)), None);
        assert!(disk.refuses().is_some());
        assert_eq!(disk.found(Some(900)), Some(false));
        assert_eq!(disk.refuses(), None);
        assert_eq!(disk.found(Some(800)), None, "it has the whole margin again");
    }

    #[test]
    fn a_disk_that_does_not_tell_changes_nothing() {
        let disk = DiskReserve::new(800);
        assert_eq!(disk.found(None), None);
        assert_eq!(disk.refuses(), None);
        disk.found(Some(1));
        assert_eq!(disk.found(None), None);
        assert!(disk.refuses().is_some(), "what was known stays");
    }

    #[test]
    fn without_a_reserve_even_a_full_disk_refuses_nothing() {
        let disk = DiskReserve::new(0);
        assert_eq!(disk.found(Some(0)), None);
        assert_eq!((disk.refuses(), disk.space()), (None, None));
    }
}
