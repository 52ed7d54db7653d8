//! Deliberate defects, by which the checks are checked: a check that never fails shows nothing.
//!
//! Each [`Mutant`] is one branch in the node, at the place where somebody could have made that mistake. They are compiled in
//! with the feature `mutants` only, which no shipped build has: without it [`is_active`] is a constant `false`, every
//! branch folds away, and there is no way to activate one. At most one is active in a process.
//!
//! Which one is active is the one thing in this crate that is no argument of its functions. It lives here, below everything
//! that has a place for a defect, and it exists under the feature alone.

/// Declares the enum together with each one's name and the checks that must catch it.
macro_rules! mutants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, caught by [$($check:literal),+];)+) => {
        /// A deliberate defect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mutant {
            $($(#[$doc])* $variant,)+
        }

        impl Mutant {
            /// Every mutant.
            pub const ALL: &'static [Mutant] = &[$(Mutant::$variant),+];

            /// Its name on a command line.
            pub const fn name(self) -> &'static str {
                match self { $(Mutant::$variant => $name,)+ }
            }

            /// The invariants of which at least one must catch it. The first is the one that it is made for.
            pub const fn caught_by(self) -> &'static [&'static str] {
                match self { $(Mutant::$variant => &[$($check),+],)+ }
            }
        }
    };
}

mutants! {
    /// A node answers without asking a quorum or its leader.
    SkipReadBarrier = "skip-read-barrier", caught by ["S1", "S9", "S2"];
    /// A node that believes that somebody leads, itself or another, answers on that belief.
    GateOnCurrentLeader = "gate-on-current-leader", caught by ["S9", "S1", "S2"];
    /// A leader answers as long as its lease runs, without asking anybody.
    LeaseRead = "lease-read", caught by ["S9", "S1"];
    /// A new leader reads at what it knows to be committed, before the first entry of its term is.
    ReadBeforeFirstCommit = "read-before-first-commit", caught by ["S2", "S1"];
    /// A node has its read index confirmed, and decides before it has applied that far.
    DontWaitForApply = "dont-wait-for-apply", caught by ["S2", "S1"];
    /// The log says that entries are durable before their fsync. Peers that remember what a node acknowledged keep it out once
    /// it has lost it.
    AckBeforeFsync = "ack-before-fsync", caught by ["S3", "S7", "L3"];
    /// The log asks for no fsync at all, neither for its commits nor for its mark. (Were the mark synced, it would tell at the
    /// next start, and the node would not come back.)
    NoneDurabilityLog = "none-durability-log", caught by ["S3", "S7", "L3"];
    /// A vote is said to be durable and never written. Peers that remember its term refuse the node once it restarts.
    SaveVoteNothing = "save-vote-nothing", caught by ["S7", "L3"];
    /// The time at which a replica accepts depends on how many entries it happens to apply together.
    NodeLocalApply = "node-local-apply", caught by ["S5", "S10"];
    /// After a failed fsync a node tries once more and goes on, whatever that said.
    RetryFailedFsync = "retry-failed-fsync", caught by ["S11", "S3"];
    /// A log with a damaged entry is cut there, and a log that lost an acknowledged commit is opened all the same.
    TruncateAtBadChecksum = "truncate-at-bad-checksum", caught by ["S12", "S3"];
    /// An arriving snapshot's file counts as complete from its beginning, and is switched to before its rows are durable.
    SwapSnapshotNonatomically = "swap-snapshot-nonatomically", caught by ["S10", "S5"];
    /// Expiry goes by one clock alone: the node's, or in `apply` the leader's. Registry time is not looked at.
    ExpireByLeadersClock = "expire-by-leaders-clock", caught by ["S8", "S2"];
    /// What could not be known is allowed: no quorum, no time, no readable row, no policy.
    AllowOnError = "allow-on-error", caught by ["S9", "S2"];
    /// An allow is repeated for a second to whoever asks the same.
    CacheAllow = "cache-allow-1s", caught by ["S1", "S9"];
    /// A snapshot leaves out the table by which the same bytes are recognised.
    ForgetDedupeInSnapshot = "forget-dedupe-in-snapshot", caught by ["S4", "S5", "S10"];
    /// A barrier is waited for until it is passed, however long that takes.
    WaitForApplyUnbounded = "wait-for-apply-unbounded", caught by ["L1"];
    /// Every authorize is denied for want of a quorum.
    AlwaysDeny = "always-deny", caught by ["M3"];
    /// A connection to a peer that broke is never dialed again.
    NeverRetryLeader = "never-retry-leader", caught by ["L2", "L3"];
    /// Election timeouts come from the operating system's randomness although a seed was given.
    UnseededRng = "unseeded-rng", caught by ["M1"];
    /// Anything that an issuer ever said counts, where its newest statement alone should.
    AnyMatchingEvidence = "any-matching-evidence", caught by ["S2"];
    /// A negative that says what another one of its issuer says counts as released with that one.
    ReleaseTwinNegatives = "release-twin-negatives", caught by ["S2"];
    /// The runtimes that an authorization is bound to are not looked at.
    IgnoreBoundRuntime = "ignore-bound-runtime", caught by ["S2"];
    /// The second statement for a slot is not looked at once its issuer has filled the next slot.
    ForgetLateHalf = "forget-late-half", caught by ["S2"];
    /// A governance key undoes alone what it signed together with others, by revoking itself since before.
    UndoThresholdAlone = "undo-threshold-alone", caught by ["S2"];
    /// All restrictions of a kind by the same issuers take the same place: the second is answered with the first one's receipt.
    RestrictionNeedsSlot = "restriction-needs-slot", caught by ["S1", "S2"];
    /// The age of evidence runs from its own `issuedAt`, even where it was accepted before that.
    AgeFromIssuedAt = "age-from-issued-at", caught by ["S2"];
    /// A member with another store than the one that its id is bound to is let in, and goes on itself.
    WipedVoterRejoins = "wiped-voter-rejoins", caught by ["S16", "S7"];
    /// A permit is answered from a read: nothing goes through the log, and no use is ever consumed.
    PermitOutsideLog = "permit-outside-log", caught by ["S15"];
    /// A member that returns with less than it acknowledged is let in.
    RolledBackDiskRejoins = "rolled-back-disk-rejoins", caught by ["S16", "S7"];
    /// What an append says that members have acknowledged is remembered before Raft has looked at the append, whatever it names.
    /// Members that never had so much are kept out at their next connection.
    RememberBeforeAccepted = "remember-before-accepted", caught by ["L3", "L2"];
    /// A learner, or a node that was removed, answers like a voter.
    LearnerAnswers = "learner-answers", caught by ["S13"];
    /// A leader answers a submission with what applying it would give, while it is on its way to the others.
    AckBeforeQuorum = "ack-before-quorum", caught by ["S3"];
    /// A decision names the revision after the one that it was made at.
    StaleRevisionInAnswer = "stale-revision-in-answer", caught by ["S2"];
    /// A leader raises the rules as soon as its own build knows the next version.
    RaiseBeforeAllKnow = "raise-before-all-know", caught by ["S18"];
    /// A leader writes commands in the newest version that its own build knows, whatever rules are in force.
    WriteNewestVersion = "write-newest-version", caught by ["S18"];
    /// A node trusts its clock as soon as a quorum agrees with it, though all of them have leapt against boot time.
    TrustLeaptClock = "trust-leapt-clock", caught by ["S19"];
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no mutant of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no mutant `{0}`")]
pub struct UnknownMutantError(String);

impl std::str::FromStr for Mutant {
    type Err = UnknownMutantError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Mutant::ALL.iter().copied().find(|mutant| mutant.name() == name);
        found.ok_or_else(|| UnknownMutantError(name.to_owned()))
    }
}

/// Another mutant is active in this process.
#[cfg(feature = "mutants")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mutant `{0}` is active, and a process has one at most")]
pub struct MutantActiveError(Mutant);

#[cfg(feature = "mutants")]
static ACTIVE: std::sync::OnceLock<Mutant> = std::sync::OnceLock::new();

/// Breaks every node in this process, until it ends.
///
/// # Errors
/// If another one is active already.
#[cfg(feature = "mutants")]
pub fn activate(mutant: Mutant) -> Result<(), MutantActiveError> {
    match *ACTIVE.get_or_init(|| mutant) {
        active if active == mutant => Ok(()),
        other => Err(MutantActiveError(other)),
    }
}

/// Whether this defect is to be had.
#[cfg(feature = "mutants")]
pub fn is_active(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(&mutant)
}

/// Whether this defect is to be had: not in this build.
#[cfg(not(feature = "mutants"))]
pub const fn is_active(_mutant: Mutant) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// No mutant can be active in a build without the feature, and the compiler says so.
    #[cfg(not(feature = "mutants"))]
    const _: () = {
        let mut rest = Mutant::ALL;
        while let [mutant, more @ ..] = rest {
            assert!(!is_active(*mutant));
            rest = more;
        }
    };

    #[test]
    fn a_mutant_is_found_by_its_name_and_by_no_other() {
        for mutant in Mutant::ALL {
            assert_eq!(mutant.name().parse(), Ok(*mutant));
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(mutant.name().bytes().all(plain), "{mutant}");
        }
        let names: BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        assert_eq!("no-such".parse::<Mutant>(), Err(UnknownMutantError("no-such".to_owned())));
    }

    #[test]
    fn every_mutant_names_a_check_that_must_catch_it() {
        for mutant in Mutant::ALL {
            assert!(!mutant.caught_by().is_empty(), "{mutant}");
            for check in mutant.caught_by() {
                let (kind, number) = check.split_at(1);
                assert!(matches!(kind, "S" | "L" | "M"), "{mutant}: {check}");
                assert!(number.parse::<u8>().is_ok(), "{mutant}: {check}");
            }
        }
    }
}
