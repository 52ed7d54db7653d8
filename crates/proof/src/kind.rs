//! The kinds of evidence and the roles that sign them (RFC-EG-033 §2 and §8).

use crate::string_enum::string_enum;

string_enum! {
    /// The kind of a piece of evidence, one for each predicate type. Stored and shown as its string.
    EvidenceKind, "a kind of evidence" {
        /// Governance permits actions on a subject (§2, execution authorization artifacts).
        ExecutionAuthorization = "execution-authorization",
        /// What a verifier measured on a runtime (§2, runtime attestation evidence).
        RuntimeAttestation = "runtime-attestation",
        /// The verdict of a policy check outside the registry (§2, policy validation proofs).
        PolicyValidation = "policy-validation",
        /// What a runtime measured while running (§2, runtime integrity verification).
        RuntimeIntegrity = "runtime-integrity",
        /// An audit event (§2, audit lineage evidence).
        AuditLineage = "audit-lineage",
        /// A registry's checkpoint and its consistency (§2, synchronization continuity proofs).
        SynchronizationContinuity = "synchronization-continuity",
        /// Trust in another registry (§2, sovereign execution trust evidence).
        SovereignTrust = "sovereign-trust",
        /// An allow that was recorded before it was answered.
        Permit = "permit",
        /// The version of the rules that the registry follows.
        Rules = "rules",
        /// The root keys and their threshold.
        Root = "root",
        /// The cluster goes on after the loss of a quorum, with a node that is left.
        Recovery = "recovery",
        /// A domain and its governance keys.
        Domain = "domain",
        /// A key's role in a domain.
        AuthorityGrant = "authority-grant",
        /// What a domain requires before an execution.
        Policy = "policy",
        /// Which half of an equivocation is chosen (§2, distributed governance reconciliation).
        Reconciliation = "reconciliation",
        /// Lifts one quarantine or isolation, or one negative statement of a revoked key.
        Release = "release",
        /// Ends an authority (§7, revoke).
        Revocation = "revocation",
        /// Quarantine, isolation or invalidation (§7).
        Containment = "containment",
    }
}

/// The prefix of the kind in a predicate type.
const PREDICATE_TYPE_PREFIX: &str = "urn:egpep:v1:";

impl EvidenceKind {
    /// The in-toto predicate type, such as `urn:egpep:v1:runtime-attestation`.
    pub fn predicate_type(self) -> String {
        format!("{PREDICATE_TYPE_PREFIX}{self}")
    }

    /// The kind with this in-toto predicate type.
    pub fn from_predicate_type(text: &str) -> Option<Self> {
        text.strip_prefix(PREDICATE_TYPE_PREFIX)?.parse().ok()
    }

    /// Which slot a statement of this kind takes. `is_execution`, `is_governance`, `is_restriction` and
    /// `takes_slot` follow from it.
    fn takes(self) -> Takes {
        use EvidenceKind::*;
        match self {
            ExecutionAuthorization
            | RuntimeAttestation
            | PolicyValidation
            | RuntimeIntegrity
            | AuditLineage
            | SynchronizationContinuity
            | SovereignTrust => Takes::IssuersSlot,
            Root | Recovery | Domain | AuthorityGrant | Policy | Reconciliation | Release => {
                Takes::SharedSlot
            }
            Revocation | Containment => Takes::NoSlotAndRestricts,
            Permit | Rules => Takes::NoSlot,
        }
    }

    /// Whether this is evidence about one execution or runtime: it has exactly one issuer, and a policy can
    /// require it.
    pub fn is_execution(self) -> bool {
        match self.takes() {
            Takes::IssuersSlot => true,
            Takes::SharedSlot | Takes::NoSlotAndRestricts | Takes::NoSlot => false,
        }
    }

    /// Whether a statement of this kind governs: it takes the next slot of the chain that all of
    /// `_governance` shares.
    pub fn is_governance(self) -> bool {
        match self.takes() {
            Takes::SharedSlot => true,
            Takes::IssuersSlot | Takes::NoSlotAndRestricts | Takes::NoSlot => false,
        }
    }

    /// Whether a statement of this kind only restricts: it takes no slot and is accepted in any state of the
    /// domain.
    pub fn is_restriction(self) -> bool {
        match self.takes() {
            Takes::NoSlotAndRestricts => true,
            Takes::IssuersSlot | Takes::SharedSlot | Takes::NoSlot => false,
        }
    }

    /// Whether a statement of this kind takes a slot of a chain. If not, its `sequence` and `parent` are
    /// null, and it moves no head.
    pub fn takes_slot(self) -> bool {
        match self.takes() {
            Takes::IssuersSlot | Takes::SharedSlot => true,
            Takes::NoSlotAndRestricts | Takes::NoSlot => false,
        }
    }
}

/// Which slot a statement takes.
enum Takes {
    /// The next slot of its issuer's own chain in a lineage: execution evidence.
    IssuersSlot,
    /// The next slot of the chain that all of `_governance` shares.
    SharedSlot,
    /// No slot, because it only restricts.
    NoSlotAndRestricts,
    /// No slot.
    NoSlot,
}

string_enum! {
    /// The role that an authority's key has in its domain (RFC-EG-033 §8).
    Role, "a role" {
        /// Governs the domain; comes only from a `domain` statement.
        Governance = "governance",
        /// Attests runtimes.
        Attestation = "attestation",
        /// Is a runtime.
        Runtime = "runtime",
        /// Orchestrates executions.
        Orchestration = "orchestration",
        /// Guards a gateway.
        Gateway = "gateway",
        /// Audits.
        Audit = "audit",
        /// Is a node of a registry.
        Registry = "registry",
        /// Speaks for a sovereign zone.
        Zone = "zone",
    }
}
