//! The bounds of the rules (RFC-EG-033 §3, deterministic proof resolution). They are part of the rules: if
//! one changes, replicas accept or answer something else.

/// How far an `issuedAt` may lie beyond registry time, in milliseconds.
pub const CLOCK_BOUND_MS: i64 = 500;

/// Most issuers that one lineage takes.
pub const ISSUERS_PER_LINEAGE: usize = 32;

/// Most statements that one statement rests on, directly and through others.
pub const TRANSITIVE_REFERENCES: usize = 64;

/// How long a `recovery` can be used after its `issuedAt`, in milliseconds: seven days. An unused one is a
/// danger to every node that it does not name.
pub const RECOVERY_USABLE_MS: i64 = 7 * 24 * 3600 * 1000;

/// How long a `rules` statement can be used after its `issuedAt`, in milliseconds: a minute. Each voter's
/// signature says which rules its build knows now, and the node may get another build later.
pub const RULES_USABLE_MS: i64 = 60 * 1000;

/// Most statements whose voidness one evaluation, or the check of one envelope, judges: those that it looks
/// at, those that they rest on, the grants of their signers, and the reconciliations among them. Beyond that
/// the result is in doubt, and doubt counts as void.
pub const JUDGED_STATEMENTS: usize = 4096;

/// Most slots that one evaluation walks back over past void statements, counted over all issuers and both
/// lineages.
pub const WALKED_STATEMENTS: usize = 1024;

/// Most equivocations of one lineage that are ever reconciled. A further one stays as it is and quarantines
/// the lineage.
pub const RECONCILED_PER_LINEAGE: usize = 256;

/// Most different sets of signers by which the containments of one target are released.
pub const RELEASERS_PER_TARGET: usize = 1024;

/// Most trusts under which one issuer brings checkpoints of one peer.
pub const TRUSTS_PER_ISSUER: usize = 64;

/// Most containments of one target that are named. The others hold all the same.
pub const CONTAINMENTS_NAMED: usize = 33;

/// Most reasons that one decision names. It says how many more there are. No decision denies with that many
/// codes.
pub const REASONS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// A number below a million as the page has it: with a comma before its last three digits.
    fn written(number: usize) -> String {
        if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
    }

    #[test]
    fn the_protocols_page_has_each_bound_beyond_which_a_statement_is_too_large() {
        let page = include_str!("../../../docs/protocol.md");
        for row in [
            format!(
                "| all that a statement rests on, directly and through others | 0 | {TRANSITIVE_REFERENCES} |"
            ),
            format!("| issuers of one lineage |  | {ISSUERS_PER_LINEAGE} |"),
            format!(
                "| its issuer has brought checkpoints of this peer under {TRUSTS_PER_ISSUER} other trusts"
            ),
            format!("| {TRANSITIVE_REFERENCES} | statements that it rests on, directly and through others |"),
            format!("| {ISSUERS_PER_LINEAGE} | issuers of one lineage |"),
            format!("| {} | different sets of signers", written(RELEASERS_PER_TARGET)),
            format!("| {RECONCILED_PER_LINEAGE} | slots of one lineage that were reconciled"),
            format!("| {TRUSTS_PER_ISSUER} | trusts under which one issuer has brought checkpoints"),
        ] {
            assert!(page.contains(&row), "{row}");
        }
    }
}
