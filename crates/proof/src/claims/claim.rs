//! Claims as types: one variant for each kind of statement. The order of fields and the names of variants are stored.

use super::policy::PolicyBody;
use super::tree_hash::TreeHash;
use super::words::{AttestationStatus, PolicyVerdict, RevocationReason};
use crate::id::EvidenceId;
use crate::key::PublicKey;
use crate::kind::Role;
use crate::name::{DomainName, LineageName};
use crate::request::AuthorizeRequest;
use crate::time::Seconds;
use serde::{Deserialize, Serialize};

/// What a containment holds back (RFC-EG-033 §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Containment {
    /// Quarantine: nothing is allowed in this lineage until it is released. It still takes evidence.
    Quarantine(LineageName),
    /// Isolate: nothing is allowed in this domain, and no execution evidence is taken, until it is released.
    Isolate(DomainName),
    /// Invalidate: this piece of execution evidence is void, for good.
    Invalidate(EvidenceId),
}

impl Containment {
    /// The claim `action`.
    pub fn action(&self) -> &'static str {
        match self {
            Containment::Quarantine(_) => "quarantine",
            Containment::Isolate(_) => "isolate",
            Containment::Invalidate(_) => "invalidate",
        }
    }

    /// The claim `target`, whose SHA-256 the statement's subject is.
    pub fn target(&self) -> String {
        match self {
            Containment::Quarantine(lineage) => lineage.to_string(),
            Containment::Isolate(domain) => domain.to_string(),
            Containment::Invalidate(id) => id.to_string(),
        }
    }
}

/// The claims of one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Claims {
    /// Governance permits actions on the subject.
    ExecutionAuthorization {
        /// The permitted actions, compared byte by byte; at most 64, no wildcards.
        actions: Vec<String>,
        /// For whom; absent: for anyone.
        audience: Option<Vec<String>>,
        /// Where; absent: anywhere.
        environment: Option<String>,
        /// From when on.
        not_before: Seconds,
        /// Until when, exclusive; later than `not_before`.
        not_after: Seconds,
        /// How many permits it is good for, at least 1; absent: not counted.
        uses: Option<u32>,
        /// The lineages of the runtimes that it is for, of which the request must name one; absent: any runtime or none.
        runtimes: Option<Vec<LineageName>>,
    },
    /// A verifier attests a runtime.
    RuntimeAttestation {
        /// Who or what verified, for people.
        verifier: String,
        /// The conclusion.
        status: AttestationStatus,
        /// What was measured.
        measurement: String,
    },
    /// A policy check outside was made.
    PolicyValidation {
        /// Which policy was checked.
        policy_digest: String,
        /// The verdict.
        verdict: PolicyVerdict,
    },
    /// The runtime measured itself while running.
    RuntimeIntegrity {
        /// What was measured.
        measured: String,
    },
    /// Something happened in the execution.
    AuditLineage {
        /// What; `completed` and `failed` close the lineage.
        event: String,
        /// More about it, for people.
        detail: Option<String>,
    },
    /// The root keys.
    Root {
        /// The keys, 1 to 32, distinct.
        keys: Vec<PublicKey>,
        /// How many of them must sign, from 1 to their number.
        threshold: u32,
        /// The key that signs the registry's checkpoints.
        registry_key: PublicKey,
    },
    /// A domain and its governance keys.
    Domain {
        /// The domain; never the system's.
        domain: DomainName,
        /// The governance keys, 1 to 32, distinct.
        governance: Vec<PublicKey>,
        /// How many of them must sign, from 1 to their number.
        threshold: u32,
    },
    /// A key's role in a domain.
    AuthorityGrant {
        /// The key.
        authority: PublicKey,
        /// Its name, for people.
        name: String,
        /// Its role.
        role: Role,
        /// From when on.
        not_before: Seconds,
        /// Until when, exclusive; later than `not_before`.
        not_after: Seconds,
    },
    /// What the domain requires before an execution.
    Policy(PolicyBody),
    /// The end of an authority.
    Revocation {
        /// The key.
        authority: PublicKey,
        /// Why.
        reason: RevocationReason,
        /// What the registry accepted of that key at or after this time is void; absent: nothing is.
        invalid_since: Option<Seconds>,
    },
    /// A lineage, a domain or a piece of evidence is held back.
    Containment(Containment),
    /// One quarantine or isolation, or one negative statement of a revoked key, is lifted.
    Release {
        /// The statement that is lifted.
        containment: EvidenceId,
    },
    /// A zone trusts another registry.
    SovereignTrust {
        /// The other registry's origin.
        peer: String,
        /// The key that signs its checkpoints.
        registry_key: PublicKey,
        /// The keys of its nodes, 1 to 32, distinct: more than half of them must cosign.
        node_keys: Vec<PublicKey>,
        /// Until when, exclusive.
        not_after: Seconds,
    },
    /// A checkpoint of a trusted registry, which extends the one before it.
    SynchronizationContinuity {
        /// The signed and cosigned note, at most 8 KiB.
        checkpoint: String,
        /// The consistency proof from the peer's last checkpoint, at most 63 hashes; empty for its first.
        consistency: Vec<TreeHash>,
    },
    /// The request that was permitted; it names its lineage and a nonce.
    Permit(Box<AuthorizeRequest>),
    /// One half of an equivocation is canonical; the other one is void.
    Reconciliation {
        /// Both halves, distinct.
        conflict: [EvidenceId; 2],
        /// The half that stands, one of `conflict`.
        canonical: EvidenceId,
    },
    /// The registry follows another version of its rules from now on.
    Rules {
        /// The version, at least 1.
        version: u32,
    },
    /// The registry goes on after the loss of a quorum.
    Recovery {
        /// Which life of the cluster begins, at least 2: it was founded in the first.
        epoch: u64,
        /// The nodes' keys that vote from now on, 1 to 5, distinct.
        voters: Vec<PublicKey>,
    },
}
