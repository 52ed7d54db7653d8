//! The rules' bounds. They are part of the rules: changing one changes what replicas accept.

/// How far an `issuedAt` may lie beyond registry time, in milliseconds.
pub const CLOCK_BOUND_MS: i64 = 500;

/// Most issuers that one lineage takes.
pub const ISSUERS_PER_LINEAGE: usize = 32;

/// Most statements that one statement rests on, directly and through others.
pub const TRANSITIVE_REFERENCES: usize = 64;

/// Most statements looked at to see whether one is void. It rests on at most [`TRANSITIVE_REFERENCES`], on the grants
/// of their signers, and on the governance before those.
pub const VOID_WALK_STEPS: usize = 10_000;

/// Most earlier words of one issuer and kind that are remembered in a lineage, should its newest statement prove void.
pub const EARLIER_WORDS: usize = 8;

/// Most quarantines or isolations that one target can have had, released ones included.
pub const CONTAINMENTS_PER_TARGET: u32 = 1024;

/// The newest version of the rules in this build; peers announce it to one another.
pub const RULES_VERSION: u32 = crate::RulesVersion::NEWEST.0;
