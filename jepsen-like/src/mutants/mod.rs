//! The nodes' deliberate defects, called mutants, and the checks that must catch them. A check that never fails shows
//! nothing.
//!
//! The product has none of them. Each mutant is a patch in `jepsen-like/mutants`. The head of the patch states the
//! mistake and which checks must catch it. [`scratch`] applies all patches to a copy of the work tree, and [`build`]
//! builds that copy. A command that needs a mutant continues in that build. At most one mutant is active in a process.

mod builder;
pub mod scratch;
mod switch;

use std::path::PathBuf;
use std::str::FromStr;

pub use builder::BuildError;

/// Declares the list. Each name is that of a file in `jepsen-like/mutants`, without `.patch`.
macro_rules! mutants {
    ($($name:literal),+ $(,)?) => {
        const ALL: &[Mutant] = &[$(
            Mutant { name: $name, patch: include_str!(concat!("../../mutants/", $name, ".patch")) }
        ),+];
    };
}

mutants![
    "ack-before-fsync",
    "ack-before-quorum",
    "age-from-issued-at",
    "allow-on-error",
    "always-deny",
    "any-matching-evidence",
    "cache-allow-1s",
    "dont-wait-for-apply",
    "expire-by-leaders-clock",
    "forget-dedupe-in-snapshot",
    "forget-late-half",
    "gate-on-current-leader",
    "ignore-bound-runtime",
    "learner-answers",
    "lease-read",
    "never-retry-leader",
    "node-local-apply",
    "none-durability-log",
    "permit-outside-log",
    "raise-before-all-know",
    "read-before-first-commit",
    "release-twin-negatives",
    "remember-before-accepted",
    "restriction-needs-slot",
    "retry-failed-fsync",
    "rolled-back-disk-rejoins",
    "save-vote-nothing",
    "skip-read-barrier",
    "stale-revision-in-answer",
    "swap-snapshot-nonatomically",
    "truncate-at-bad-checksum",
    "trust-leapt-clock",
    "undo-threshold-alone",
    "unseeded-rng",
    "wait-for-apply-unbounded",
    "wiped-voter-rejoins",
    "write-newest-version",
];

/// A deliberate defect: one patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mutant {
    name: &'static str,
    patch: &'static str,
}

impl Mutant {
    /// Every mutant, by name.
    pub const ALL: &'static [Mutant] = ALL;

    /// Its name on a command line, and its patch's file name without `.patch`.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The mistake that it makes.
    pub fn mistake(self) -> &'static str {
        self.head().split("\n\n").next().unwrap_or_default()
    }

    /// The invariants of which at least one must catch it. It is made for the first one.
    pub fn caught_by(self) -> Vec<&'static str> {
        self.said("Caught by:").map_or_else(Vec::new, |checks| checks.split_whitespace().collect())
    }

    /// The faults that lead to the place of the defect, as `sim --faults` takes them. `None` if the whole mix of
    /// faults leads there often enough.
    pub fn faults(self) -> Option<&'static str> {
        self.said("Faults:")
    }

    /// The patch up to its first change.
    fn head(self) -> &'static str {
        self.patch.split_once("\ndiff --git ").map_or(self.patch, |(head, _)| head)
    }

    fn said(self, key: &str) -> Option<&'static str> {
        self.head().lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
    }
}

/// No mutant has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no mutant `{0}`; the mutants are {names}", names = names())]
pub struct UnknownMutantError(String);

fn names() -> String {
    ALL.iter().map(|mutant| mutant.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Mutant {
    type Err = UnknownMutantError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = ALL.iter().copied().find(|mutant| mutant.name == name);
        found.ok_or_else(|| UnknownMutantError(name.to_owned()))
    }
}

/// Brings the build with the mutants up to date, and returns the path of its program. In that build itself this is the
/// running program.
///
/// # Errors
/// A patch does not apply any more, or the copy cannot be made or built.
pub fn build() -> Result<PathBuf, BuildError> {
    if switch::IN_THIS_BUILD { builder::this_program() } else { builder::bring_up_to_date() }
}

/// Continues in the build with the mutants. In that build this function returns. In any other build it brings that
/// build up to date and runs it in place of this process with the same arguments, so that it does not return.
///
/// # Errors
/// A patch does not apply any more, or the copy cannot be made, built or run.
pub fn go_on_with_mutants() -> Result<(), BuildError> {
    if switch::IN_THIS_BUILD { Ok(()) } else { Err(builder::replace_this_process()) }
}

/// Activates a mutant in every node of this process, until the process ends. If this build has no mutants, see
/// [`go_on_with_mutants`].
///
/// # Errors
/// The errors of [`go_on_with_mutants`], or another mutant is active.
pub fn activate(mutant: Mutant) -> Result<(), String> {
    go_on_with_mutants().map_err(|error| error.to_string())?;
    switch::activate(mutant.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_found_by_its_name_and_by_no_other() {
        for mutant in ALL {
            assert_eq!(mutant.name.parse(), Ok(*mutant));
        }
        let error = "no-such".parse::<Mutant>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no mutant `no-such`; the mutants are ack-before-fsync, "),
            "{error}"
        );
    }

    #[test]
    fn a_head_says_the_mistake_the_checks_and_the_faults() {
        let patch = "A vote is\nnot written.\n\nCaught by: S7 L3\nFaults: isolate,kill\n\ndiff --git a/x b/x\nCaught by: S1\n";
        let mutant = Mutant { name: "m", patch };
        assert_eq!(mutant.mistake(), "A vote is\nnot written.");
        assert_eq!(mutant.caught_by(), ["S7", "L3"]);
        assert_eq!(mutant.faults(), Some("isolate,kill"));
        let bare = Mutant { name: "m", patch: "A mistake.\n\ndiff --git a/x b/x\nFaults: none\n" };
        assert_eq!((bare.caught_by(), bare.faults()), (Vec::new(), None));
    }
}
