//! Claims as types: one variant for each kind of statement. The order of fields and the names of variants are
//! stored.

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

/// What a containment restricts (RFC-EG-033 §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Containment {
    /// Quarantine: nothing in this lineage is allowed until the containment is released. The lineage still
    /// takes evidence.
    Quarantine(LineageName),
    /// Isolate: until the containment is released, nothing in this domain is allowed, and the domain takes no
    /// execution evidence.
    Isolate(DomainName),
    /// Invalidate: this piece of execution evidence is void for good.
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

    /// The claim `target`. The statement's subject is the SHA-256 of this text.
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
        /// The audiences that it is for; if absent, any audience.
        audience: Option<Vec<String>>,
        /// The environment that it is for; if absent, any environment.
        environment: Option<String>,
        /// The time from which it is valid.
        not_before: Seconds,
        /// The time at which it ends, exclusive; later than `not_before`.
        not_after: Seconds,
        /// The number of permits that it is good for, at least 1; if absent, its uses are not counted.
        uses: Option<u32>,
        /// The lineages of the runtimes that it is for: the request must name one of them. If absent, the
        /// request may name any runtime or none.
        runtimes: Option<Vec<LineageName>>,
    },
    /// A verifier attests a runtime.
    RuntimeAttestation {
        /// The verifier's name, for people.
        verifier: String,
        /// The conclusion.
        status: AttestationStatus,
        /// The measurement.
        measurement: String,
    },
    /// The result of a policy check that was made outside the registry.
    PolicyValidation {
        /// The digest of the policy that was checked.
        policy_digest: String,
        /// The verdict.
        verdict: PolicyVerdict,
    },
    /// A runtime measured itself while running.
    RuntimeIntegrity {
        /// The measurement.
        measured: String,
    },
    /// An event in the execution.
    AuditLineage {
        /// The event's name; `completed` and `failed` close the lineage.
        event: String,
        /// More about the event, for people.
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
        /// The time from which it is valid.
        not_before: Seconds,
        /// The time at which it ends, exclusive; later than `not_before`.
        not_after: Seconds,
    },
    /// What the domain requires before an execution.
    Policy(PolicyBody),
    /// The end of an authority.
    Revocation {
        /// The key.
        authority: PublicKey,
        /// The reason.
        reason: RevocationReason,
        /// Everything that the registry accepted from that key at or after this time is void; if absent,
        /// nothing is.
        invalid_since: Option<Seconds>,
    },
    /// A containment of a lineage, a domain or a piece of evidence.
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
        /// The time at which the trust ends, exclusive.
        not_after: Seconds,
    },
    /// A checkpoint of a trusted registry. It extends the checkpoint before it.
    SynchronizationContinuity {
        /// The signed and cosigned note, at most 8 KiB.
        checkpoint: String,
        /// The consistency proof from the peer's last checkpoint, at most 63 hashes; empty for its first.
        consistency: Vec<TreeHash>,
    },
    /// The request that was permitted. It names its lineage and a nonce.
    Permit(Box<AuthorizeRequest>),
    /// Chooses one half of an equivocation. The other half is void.
    Reconciliation {
        /// Both halves, distinct.
        conflict: [EvidenceId; 2],
        /// The half that is chosen, one of `conflict`.
        canonical: EvidenceId,
    },
    /// The registry follows the next version of its rules from now on.
    Rules {
        /// The version, at least 1.
        version: u32,
    },
    /// The registry goes on after the loss of a quorum.
    Recovery {
        /// The epoch that begins, at least 2, because a cluster is founded in epoch 1.
        epoch: u64,
        /// The keys of the nodes that vote from now on, 1 to 5, distinct.
        voters: Vec<PublicKey>,
    },
}
