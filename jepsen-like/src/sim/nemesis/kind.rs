//! The kinds of faults.

use std::fmt;
use std::str::FromStr;

use super::super::tuning::SETTLE_MS;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A minority, with the leader or without it, hears none of the other nodes.
    Partition,
    /// One node hears no other.
    Isolate,
    /// No other node hears one node, which hears all of them, or the other way round.
    OneWay,
    /// Two groups have only one node in common that they hear.
    Bridge,
    /// Each node hears only its two neighbours.
    Ring,
    /// The leader hears only one follower.
    LeaderWithOne,
    /// A link is cut for some milliseconds.
    Flap,
    /// Messages of one node are slow.
    Delay,
    /// Messages of a node on its present connections are held back, and arrive late and all at once; connections that
    /// it makes meanwhile are not affected.
    Hold,
    /// Messages of a node are sent twice, or again much later.
    Repeat,
    /// False requests are added to a node's connections, each of which its peers must refuse.
    Lie,
    /// Processes end at once; what they wrote is kept.
    Kill,
    /// A machine loses power.
    PowerCut,
    /// All machines lose power at once.
    PowerCutAll,
    /// A process ends and is started again at once, so that the next fault may find it recovering.
    CrashLoop,
    /// A process is asked to stop, and hands over.
    Stop,
    /// A machine loses power inside a write or a sync.
    PowerCutInWrite,
    /// A machine loses power between two messages of its node.
    PowerCutInSend,
    /// An fsync fails, and the next one claims success.
    FsyncFails,
    /// Writes fail.
    WriteFails,
    /// Reads fail.
    ReadFails,
    /// The disk is full.
    DiskFull,
    /// Every sync takes long, up to five seconds.
    SlowDisk,
    /// A clock jumps a little, around the clock bound.
    ClockStep,
    /// One clock jumps by minutes, by up to an hour, or by eleven years, forwards or backwards.
    ClockJump,
    /// A clock gains or loses up to a fifth.
    ClockDrift,
    /// Leadership is handed over.
    Transfer,
    /// A node joins, and one leaves.
    Churn,
    /// A disk is put back as it was earlier; the node is replaced.
    Rollback,
    /// A disk is emptied; the node is replaced.
    Wipe,
    /// Some bits of one file flip, while the node is down or just before it stops. The node is started again and then
    /// replaced.
    BitFlip,
    /// One node after another gets a build that knows newer rules.
    Upgrade,
    /// All clocks leap together, by an hour or by eleven years, and leap back.
    ClocksLeap,
    /// Time passes for all nodes at once, up to an hour, without being counted in boot time: all machines were off or
    /// paused.
    TimePasses,
    /// All clocks go back together, by up to ten minutes, and return.
    ClocksBack,
    /// Time passes for all nodes at once, again and again, each time for less than ten minutes. That is how far ahead
    /// of registry time the clock of a process may be that has just started and trusts it at once.
    ClocksRatchet,
    /// A minority of the voters ends at once, and each is started again at another address.
    Move,
}

/// The part of the system that a fault affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Realm {
    Network,
    Process,
    Disk,
    Clock,
    Members,
    Build,
}

/// A kind's name and properties.
struct Habits {
    name: &'static str,
    realm: Realm,
    /// How often it is made, relative to the other kinds.
    weight: u64,
    /// The shortest and the longest time that it lasts.
    lasts_ms: (u64, u64),
}

const fn habits(name: &'static str, realm: Realm, weight: u64, lasts_ms: (u64, u64)) -> Habits {
    Habits { name, realm, weight, lasts_ms }
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Kind] = &[
        Kind::Partition,
        Kind::Isolate,
        Kind::OneWay,
        Kind::Bridge,
        Kind::Ring,
        Kind::LeaderWithOne,
        Kind::Flap,
        Kind::Delay,
        Kind::Hold,
        Kind::Repeat,
        Kind::Lie,
        Kind::Kill,
        Kind::PowerCut,
        Kind::PowerCutAll,
        Kind::CrashLoop,
        Kind::Stop,
        Kind::PowerCutInWrite,
        Kind::PowerCutInSend,
        Kind::FsyncFails,
        Kind::WriteFails,
        Kind::ReadFails,
        Kind::DiskFull,
        Kind::SlowDisk,
        Kind::ClockStep,
        Kind::ClockJump,
        Kind::ClockDrift,
        Kind::Transfer,
        Kind::Churn,
        Kind::Rollback,
        Kind::Wipe,
        Kind::BitFlip,
        Kind::Upgrade,
        Kind::ClocksLeap,
        Kind::TimePasses,
        Kind::ClocksBack,
        Kind::ClocksRatchet,
        Kind::Move,
    ];

    const fn habits(self) -> Habits {
        use Realm::{Build, Clock, Disk, Members, Network, Process};
        match self {
            Kind::Partition => habits("partition", Network, 4, (300, 5_000)),
            Kind::Isolate => habits("isolate", Network, 4, (300, 5_000)),
            Kind::OneWay => habits("one-way", Network, 2, (300, 5_000)),
            Kind::Bridge => habits("bridge", Network, 2, (300, 5_000)),
            Kind::Ring => habits("ring", Network, 2, (300, 5_000)),
            Kind::LeaderWithOne => habits("leader-with-one", Network, 2, (300, 5_000)),
            Kind::Flap => habits("flap", Network, 1, (5, 60)),
            Kind::Delay => habits("delay", Network, 2, (300, 5_000)),
            Kind::Hold => habits("hold", Network, 2, (150, 900)),
            Kind::Repeat => habits("repeat", Network, 2, (300, 5_000)),
            Kind::Lie => habits("lie", Network, 2, (300, 5_000)),
            Kind::Kill => habits("kill", Process, 4, (20, 3_000)),
            Kind::PowerCut => habits("power-cut", Process, 4, (20, 3_000)),
            Kind::PowerCutAll => habits("power-cut-all", Process, 1, (20, 3_000)),
            Kind::CrashLoop => habits("crash-loop", Process, 2, (5, 120)),
            Kind::Stop => habits("stop", Process, 2, (1, 1)),
            Kind::PowerCutInWrite => habits("power-cut-in-write", Disk, 4, (500, 3_000)),
            Kind::PowerCutInSend => habits("power-cut-in-send", Disk, 3, (500, 3_000)),
            Kind::FsyncFails => habits("fsync-fails", Disk, 2, (500, 3_000)),
            Kind::WriteFails => habits("write-fails", Disk, 2, (500, 3_000)),
            Kind::ReadFails => habits("read-fails", Disk, 1, (500, 3_000)),
            Kind::DiskFull => habits("disk-full", Disk, 2, (500, 3_000)),
            Kind::SlowDisk => habits("slow-disk", Disk, 2, (300, 5_000)),
            Kind::ClockStep => habits("clock-step", Clock, 2, (300, 5_000)),
            Kind::ClockJump => habits("clock-jump", Clock, 2, (300, 5_000)),
            Kind::ClockDrift => habits("clock-drift", Clock, 2, (300, 5_000)),
            Kind::Transfer => habits("transfer", Members, 2, (1, 1)),
            Kind::Churn => habits("churn", Members, 2, (1, 1)),
            Kind::Rollback => habits("rollback", Members, 1, (1, 1)),
            Kind::Wipe => habits("wipe", Members, 1, (1, 1)),
            Kind::BitFlip => habits("bit-flip", Members, 1, (1, 1)),
            Kind::Upgrade => habits("upgrade", Build, 3, (1, 1)),
            // Shorter than clocks need to settle: nothing is allowed until it is over.
            Kind::ClocksLeap => habits("clocks-leap", Clock, 1, (300, SETTLE_MS - 500)),
            Kind::TimePasses => habits("time-passes", Clock, 1, (SETTLE_MS - 500, SETTLE_MS - 500)),
            Kind::ClocksBack => habits("clocks-back", Clock, 1, (300, SETTLE_MS - 500)),
            // Each of its leaps has a record of its own, for a time within which no clock can have settled.
            Kind::ClocksRatchet => habits("clocks-ratchet", Clock, 1, (1, 1)),
            Kind::Move => habits("move", Members, 2, (20, 3_000)),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.habits().name
    }

    /// How often it is made, relative to the other kinds.
    pub(super) fn weight(self) -> u64 {
        self.habits().weight
    }

    /// The shortest and the longest time that it lasts, in milliseconds.
    pub(super) fn lasts_ms(self) -> (u64, u64) {
        self.habits().lasts_ms
    }

    /// Whether this many nodes are enough for it: in a ring of three, all nodes are neighbours.
    pub fn is_possible(self, nodes: u64) -> bool {
        nodes > 3 || self != Kind::Ring
    }

    /// Whether a majority of nodes still hear one another.
    pub(super) fn leaves_a_majority(self) -> bool {
        matches!(self, Kind::Isolate | Kind::OneWay | Kind::Partition)
    }

    pub(super) fn realm(self) -> Realm {
        self.habits().realm
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("`{name}` is no kind of fault: {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse::<Kind>(), Ok(*kind));
        }
        assert!("rain".parse::<Kind>().unwrap_err().contains("partition"));
    }
}
