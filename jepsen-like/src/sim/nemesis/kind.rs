//! The kinds of faults.

use std::fmt;
use std::str::FromStr;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A minority, with the leader or without it, hears nobody of the others.
    Partition,
    /// One node hears nobody.
    Isolate,
    /// One node is heard by nobody but hears all, or the other way round.
    OneWay,
    /// Two groups hear only one node in common.
    Bridge,
    /// Each node hears only its two neighbours.
    Ring,
    /// The leader hears one follower only.
    LeaderWithOne,
    /// A way is cut and mended again and again.
    Flap,
    /// Messages take long.
    Delay,
    /// A process ends at once; what it wrote is kept.
    Kill,
    /// The power of a machine goes.
    PowerCut,
    /// The power goes inside a write.
    PowerCutInWrite,
    /// All machines lose power at once.
    PowerCutAll,
    /// A process ends soon after it started.
    CrashLoop,
    /// A process is asked to stop.
    Stop,
    /// An fsync fails.
    FsyncFails,
    /// Writing fails.
    WriteFails,
    /// The disk is full.
    DiskFull,
    /// Every sync takes long.
    SlowDisk,
    /// A clock jumps a little.
    ClockStep,
    /// A clock jumps up to an hour.
    ClockJump,
    /// A clock gains or loses.
    ClockDrift,
    /// Leadership is handed over.
    Transfer,
    /// A node joins, and one leaves.
    Churn,
    /// A disk is put back as it was earlier.
    Rollback,
    /// A disk is emptied.
    Wipe,
}

/// What part of the world a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Realm {
    Network,
    Process,
    Disk,
    Clock,
    Members,
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
        Kind::Kill,
        Kind::PowerCut,
        Kind::PowerCutInWrite,
        Kind::PowerCutAll,
        Kind::CrashLoop,
        Kind::Stop,
        Kind::FsyncFails,
        Kind::WriteFails,
        Kind::DiskFull,
        Kind::SlowDisk,
        Kind::ClockStep,
        Kind::ClockJump,
        Kind::ClockDrift,
        Kind::Transfer,
        Kind::Churn,
        Kind::Rollback,
        Kind::Wipe,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Partition => "partition",
            Kind::Isolate => "isolate",
            Kind::OneWay => "one-way",
            Kind::Bridge => "bridge",
            Kind::Ring => "ring",
            Kind::LeaderWithOne => "leader-with-one",
            Kind::Flap => "flap",
            Kind::Delay => "delay",
            Kind::Kill => "kill",
            Kind::PowerCut => "power-cut",
            Kind::PowerCutInWrite => "power-cut-in-write",
            Kind::PowerCutAll => "power-cut-all",
            Kind::CrashLoop => "crash-loop",
            Kind::Stop => "stop",
            Kind::FsyncFails => "fsync-fails",
            Kind::WriteFails => "write-fails",
            Kind::DiskFull => "disk-full",
            Kind::SlowDisk => "slow-disk",
            Kind::ClockStep => "clock-step",
            Kind::ClockJump => "clock-jump",
            Kind::ClockDrift => "clock-drift",
            Kind::Transfer => "transfer",
            Kind::Churn => "churn",
            Kind::Rollback => "rollback",
            Kind::Wipe => "wipe",
        }
    }

    /// How often it is made, relative to others.
    pub(super) fn weight(self) -> u64 {
        match self {
            Kind::Partition | Kind::Isolate | Kind::Kill | Kind::PowerCut | Kind::PowerCutInWrite => 4,
            Kind::Flap | Kind::PowerCutAll | Kind::Churn | Kind::Rollback | Kind::Wipe => 1,
            _ => 2,
        }
    }

    /// How long it lasts, from and to, in milliseconds.
    pub(super) fn lasts_ms(self) -> (u64, u64) {
        match self {
            Kind::Flap => (5, 60),
            Kind::CrashLoop => (5, 120),
            Kind::Kill | Kind::PowerCut | Kind::PowerCutAll => (20, 3_000),
            Kind::Rollback | Kind::Wipe => (100, 1_000),
            Kind::Transfer | Kind::Stop | Kind::Churn => (1, 1),
            Kind::FsyncFails | Kind::WriteFails | Kind::DiskFull | Kind::PowerCutInWrite => (500, 3_000),
            _ => (300, 5_000),
        }
    }

    pub(super) fn realm(self) -> Realm {
        match self {
            Kind::Partition
            | Kind::Isolate
            | Kind::OneWay
            | Kind::Bridge
            | Kind::Ring
            | Kind::LeaderWithOne
            | Kind::Flap
            | Kind::Delay => Realm::Network,
            Kind::Kill | Kind::PowerCut | Kind::PowerCutAll | Kind::CrashLoop | Kind::Stop => Realm::Process,
            Kind::PowerCutInWrite | Kind::FsyncFails | Kind::WriteFails | Kind::DiskFull | Kind::SlowDisk => {
                Realm::Disk
            }
            Kind::ClockStep | Kind::ClockJump | Kind::ClockDrift => Realm::Clock,
            Kind::Transfer | Kind::Churn | Kind::Rollback | Kind::Wipe => Realm::Members,
        }
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
