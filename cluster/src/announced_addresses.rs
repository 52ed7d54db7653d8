//! The addresses that members announce while the membership does not have them yet.
//!
//! By these addresses two members that both moved find each other, before there is a leader that could change the
//! membership. This module owns the newest announcement of each member, and the times at which this node repeats its
//! own. Callers check an announcement's signature before they pass it on to this module. The process forgets all
//! announcements when it ends. An announcement counts for nothing once the membership's entry for the member has
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_proof::Millis;
use tokio::time::Instant;

use crate::locked::lock;
use crate::peer::{MOVED_USABLE_MS, Moved};
use crate::raft::types::{NodeId, PeerNode};

/// After this many refusals in a row, a node repeats its announcement less often. A reason that passes by itself has
/// passed by then.
const REFUSALS_AT_ONCE: u32 = 5;
/// The pause after the next refusal; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The announcements that this node has received. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct AnnouncedAddresses {
    members: Arc<Mutex<BTreeMap<NodeId, Announcement>>>,
    /// The members whose announcements this node, as leader, is about to write into the membership.
    in_work: Arc<Mutex<BTreeSet<NodeId>>>,
    /// Whether the membership has had this node's own addresses since the node was started.
    settled: Arc<AtomicBool>,
    /// The last line about this node's own announcement in the process's log. It keeps the node from writing the same
    /// line every second.
    told: Arc<Mutex<Option<String>>>,
    /// When this node repeats its own announcement.
    pace: Arc<Mutex<AnnouncePace>>,
}

/// A member's newest announcement.
struct Announcement {
    moved: Moved,
    /// The membership's entry for the member when this announcement was received.
    instead_of: PeerNode,
    /// Why this node, as leader, did not write it into the membership.
    refused: Option<String>,
}

/// How often this node repeats its own announcement.
#[derive(Default)]
struct AnnouncePace {
    /// The number of refusals in a row.
    refusals: u32,
    /// The time before which the node does not announce again.
    next: Option<Instant>,
}

/// A member's announcement that is being carried out. Once this is dropped, the next announcement of that member may
/// be.
pub(crate) struct InWork {
    id: NodeId,
    all: Arc<Mutex<BTreeSet<NodeId>>>,
}

impl Drop for InWork {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.id);
    }
}

impl AnnouncedAddresses {
    /// Takes in an announcement whose signature was checked, of a member that the membership has as `known`. Returns
    /// whether it is newer than the announcement that was there. The same announcement again is not newer.
    ///
    /// # Errors
    /// If the member has announced something else at a later time of its own clock. An announcement that is dated
    /// more than a minute after `now` blocks no other one, because the clock of the member or of this node was wrong.
    pub(crate) fn accept(&self, moved: &Moved, known: &PeerNode, now: Millis) -> Result<bool, String> {
        let mut members = lock(&self.members);
        if let Some(heard) = members.get(&moved.node_id)
            && heard.instead_of == *known
            && heard.moved.at_ms >= moved.at_ms
            && !is_beyond(heard.moved.at_ms, now)
        {
            if heard.moved.says_the_same(moved) {
                return Ok(false);
            }
            return Err(format!(
                "node {} has announced `{}` at a later time of its own clock: it must announce again once that clock has \
                 passed that time",
                moved.node_id, heard.moved.peer_addr
            ));
        }
        let heard = Announcement { moved: moved.clone(), instead_of: known.clone(), refused: None };
        members.insert(moved.node_id, heard);
        Ok(true)
    }

    /// Notes why this node, as leader, did not write an announcement into the membership.
    pub(crate) fn refuse(&self, moved: &Moved, why: &str) {
        let mut members = lock(&self.members);
        if let Some(heard) = members.get_mut(&moved.node_id).filter(|heard| heard.moved == *moved) {
            heard.refused = Some(why.to_owned());
        }
    }

    /// What became of an announcement that was received before.
    pub(crate) fn outcome(&self, id: NodeId) -> Result<(), String> {
        let refused = lock(&self.members).get(&id).and_then(|heard| heard.refused.clone());
        refused.map_or(Ok(()), Err)
    }

    /// A member's announcement, as long as the membership's entry for the member is the one that the announcement was
    /// to replace.
    pub(crate) fn announcement(&self, id: NodeId, known: &PeerNode) -> Option<Moved> {
        let members = lock(&self.members);
        members.get(&id).filter(|heard| heard.instead_of == *known).map(|heard| heard.moved.clone())
    }

    /// The announced peer address of a member, as long as the membership's entry for the member is the one that the
    /// announcement was to replace.
    pub(crate) fn of(&self, id: NodeId, known: &PeerNode) -> Option<String> {
        self.announcement(id, known).map(|moved| moved.peer_addr)
    }

    /// Begins to carry out a member's announcement, unless another one of that member is being carried out.
    pub(crate) fn begin(&self, id: NodeId) -> Option<InWork> {
        let began = lock(&self.in_work).insert(id);
        began.then(|| InWork { id, all: Arc::clone(&self.in_work) })
    }

    /// Forgets the announcements of nodes that are not members.
    pub(crate) fn retain(&self, is_member: impl Fn(NodeId) -> bool) {
        lock(&self.members).retain(|id, _| is_member(*id));
    }

    /// Notes that the membership has this node's own addresses. From then on this node does not announce them any
    /// more. An operator may give it other addresses, which hold until it is started again.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Whether the membership has had this node's own addresses.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Whether it is time for this node to announce its own addresses.
    pub(crate) fn may_announce(&self, now: Instant) -> bool {
        lock(&self.pace).next.is_none_or(|next| now >= next)
    }

    /// Notes that this node has made its announcement, and whether it was refused. After several refusals in a row
    /// the node waits longer each time. Two members that want the same address would otherwise ask for it again and
    /// again without a pause.
    pub(crate) fn has_announced(&self, refused: bool, now: Instant) {
        let mut pace = lock(&self.pace);
        pace.refusals = if refused { pace.refusals.saturating_add(1) } else { 0 };
        pace.next = pause_after(pace.refusals).and_then(|pause| now.checked_add(pause));
    }

    /// Whether this text differs from the one that was last written to the process's log.
    pub(crate) fn is_news(&self, text: &str) -> bool {
        let mut told = lock(&self.told);
        let news = told.as_deref() != Some(text);
        *told = Some(text.to_owned());
        news
    }
}

/// How long a node waits after this many refusals before it announces again. None means that it announces at its next
/// turn.
fn pause_after(refusals: u32) -> Option<Duration> {
    let waits = refusals.checked_sub(REFUSALS_AT_ONCE)?;
    let factor = 1_u32.checked_shl(waits).unwrap_or(u32::MAX);
    Some(PAUSE_MIN.checked_mul(factor).unwrap_or(PAUSE_MAX).min(PAUSE_MAX))
}

/// Whether this time is so far in the future, by this node's clock, that no announcement can have it.
fn is_beyond(at_ms: i64, now: Millis) -> bool {
    at_ms > now.0 && at_ms.abs_diff(now.0) > MOVED_USABLE_MS
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn moved(at_ms: i64, peer_addr: &str) -> Moved {
        Moved {
            node_id: 2,
            store_id: [2; 16],
            peer_addr: peer_addr.to_owned(),
            client_addr: "c:1".to_owned(),
            at_ms,
            signature: Bytes::new(),
        }
    }

    #[test]
    fn only_a_members_newest_announcement_counts_until_the_membership_changes() {
        let heard = AnnouncedAddresses::default();
        let now = Millis(10);
        let known = PeerNode { peer_addr: "a:1".into(), ..PeerNode::default() };
        assert_eq!(heard.of(2, &known), None);
        assert_eq!(heard.accept(&moved(5, "b:1"), &known, now), Ok(true));
        assert_eq!(heard.accept(&moved(6, "b:2"), &known, now), Ok(true));
        // It hears that it is not heeded, unless it says the same.
        for old in [moved(5, "b:1"), moved(6, "b:3"), moved(0, "b:4")] {
            let refused = heard.accept(&old, &known, now).unwrap_err();
            assert!(refused.contains("at a later time"), "{refused}");
        }
        assert_eq!(heard.accept(&moved(4, "b:2"), &known, now), Ok(false));
        assert_eq!(heard.of(2, &known).as_deref(), Some("b:2"));
        let changed = PeerNode { peer_addr: "b:9".into(), ..known.clone() };
        assert_eq!(heard.of(2, &changed), None);
        // An announcement from before the membership changed blocks no later one.
        assert_eq!(heard.accept(&moved(1, "b:5"), &changed, now), Ok(true));
        assert_eq!(heard.of(2, &changed).as_deref(), Some("b:5"));
        heard.retain(|id| id != 2);
        assert_eq!(heard.of(2, &changed), None);
    }

    #[test]
    fn an_announcement_from_a_clock_far_ahead_does_not_block_later_ones() {
        let heard = AnnouncedAddresses::default();
        let known = PeerNode { peer_addr: "a:1".into(), ..PeerNode::default() };
        // This node's clock was wrong too, so it took it in.
        let wrong = Millis(1_000_000);
        assert_eq!(heard.accept(&moved(1_000_000, "b:1"), &known, wrong), Ok(true));
        assert!(heard.accept(&moved(950_000, "b:2"), &known, Millis(950_000)).is_err());
        assert_eq!(heard.accept(&moved(900_000, "b:2"), &known, Millis(900_000)), Ok(true));
        assert_eq!(heard.of(2, &known).as_deref(), Some("b:2"));
        assert_eq!(heard.accept(&moved(i64::MAX, "b:1"), &known, Millis(i64::MAX)), Ok(true));
        assert_eq!(heard.accept(&moved(i64::MIN, "b:3"), &known, Millis(i64::MIN)), Ok(true));
    }

    #[test]
    fn a_node_that_is_refused_repeatedly_announces_its_address_less_often() {
        let pauses: Vec<Option<u64>> =
            (0..13).map(|refusals| pause_after(refusals).map(|pause| pause.as_secs())).collect();
        let waits = [2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!(pauses, [[None; 5].as_slice(), waits.as_slice()].concat());
        assert_eq!(pause_after(u32::MAX), Some(PAUSE_MAX));
        let (heard, now) = (AnnouncedAddresses::default(), Instant::now());
        for _ in 0..5 {
            assert!(heard.may_announce(now));
            heard.has_announced(true, now);
        }
        assert!(!heard.may_announce(now) && heard.may_announce(now + PAUSE_MIN));
        heard.has_announced(false, now);
        assert!(heard.may_announce(now));
    }

    #[test]
    fn one_announcement_of_a_member_is_in_work_at_a_time_and_its_refusal_is_kept() {
        let heard = AnnouncedAddresses::default();
        let first = heard.begin(2).unwrap();
        assert!(heard.begin(2).is_none());
        assert!(heard.begin(3).is_some());
        drop(first);
        assert!(heard.begin(2).is_some());
        let known = PeerNode::default();
        heard.accept(&moved(1, "b:1"), &known, Millis(1)).unwrap();
        heard.refuse(&moved(0, "b:1"), "another word");
        assert_eq!(heard.outcome(2), Ok(()));
        heard.refuse(&moved(1, "b:1"), "why");
        assert_eq!(heard.outcome(2), Err("why".to_owned()));
        heard.accept(&moved(2, "b:1"), &known, Millis(2)).unwrap();
        assert_eq!(heard.outcome(2), Ok(()));
    }
}
