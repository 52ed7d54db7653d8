//! What the rules ask of each kind of statement, and what a statement does: the one description that the
//! rules follow (RFC-EG-033 §2, the kinds; §8, the roles).
//!
//! [`profile`] describes a kind, and [`effects`] describes the claims of one statement. Both list every
//! variant, so a new kind does not compile until it has an answer to each question here.

use assent_proof::{
    AttestationStatus, Claims, Containment, DomainName, EvidenceKind, PolicyVerdict, PublicKey, Role,
    Seconds, TreeHash,
};

/// What the rules ask of every statement of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Where it lies.
    pub(crate) home_lineage: HomeLineage,
    /// The roles whose authorities may issue it.
    pub(crate) roles: &'static [Role],
    /// Whether nodes issue it. Their keys stand in `_root`, wherever the statement lies.
    pub(crate) by_nodes: bool,
    /// Whether exactly one key issues it.
    pub(crate) one_issuer: bool,
    /// How many of its issuers must count.
    pub(crate) threshold: Threshold,
    /// Whether it admits keys. Such a key signs and does not count, so its signers can be judged only if its
    /// claims can be read.
    pub(crate) admits_keys: bool,
    /// Whether it can become void.
    pub(crate) can_be_void: bool,
    /// Whether its content can deny.
    pub(crate) can_be_negative: bool,
    /// Whether a genesis file can hold it.
    pub(crate) in_genesis: bool,
}

/// Where a statement lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HomeLineage {
    /// In the lineage of an execution or a runtime.
    WithExecution,
    /// In the lineage of the execution that it permits.
    WithPermitted,
    /// In `_governance`.
    InGovernance(GovernanceOf),
}

/// The domain in whose `_governance` a statement lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GovernanceOf {
    /// `_root`.
    Root,
    /// A domain that is not the system's.
    Domain,
    /// Any domain, `_root` included.
    Any,
}

/// How many issuers of a statement must count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threshold {
    /// One, whatever the domain's threshold is.
    One,
    /// The threshold of its own domain. A revocation can need fewer signers, depending on its claims.
    OfDomain,
    /// The threshold of `_root`.
    OfRoot,
}

/// What all execution evidence has in common.
const EXECUTION: Profile = Profile {
    home_lineage: HomeLineage::WithExecution,
    roles: &[],
    by_nodes: false,
    one_issuer: true,
    threshold: Threshold::One,
    admits_keys: false,
    can_be_void: true,
    can_be_negative: false,
    in_genesis: true,
};

/// What most statements of governance have in common.
const GOVERNANCE: Profile = Profile {
    home_lineage: HomeLineage::InGovernance(GovernanceOf::Any),
    roles: &[Role::Governance],
    by_nodes: false,
    one_issuer: false,
    threshold: Threshold::OfDomain,
    admits_keys: false,
    can_be_void: true,
    can_be_negative: false,
    in_genesis: true,
};

/// What the rules ask of a statement of this kind.
///
/// Rule R58 (RFC-EG-033 §7, revoke): `root`, `domain` and restrictions are never void, except by doubt (R62).
///
/// Rule R87 (RFC-EG-033 §3, Authority Proof Verification): Every issuer that counts is an authority of the
/// statement's domain, and of `_root` for `permit` and `rules`, which nodes sign (`authority_unknown`), in a
/// role that may sign the kind (`role_not_permitted`).
///
/// Rule R89 (RFC-EG-033 §3, Authority Proof Verification): As many distinct issuers count as the kind needs
/// (`threshold_not_met`): one for execution evidence, containments, permits and `rules`, root's threshold for
/// a `domain`, and the threshold of its own domain for every other statement, except as R90 and R91 say of
/// revocations.
pub(crate) fn profile(kind: EvidenceKind) -> Profile {
    let of_root = HomeLineage::InGovernance(GovernanceOf::Root);
    match kind {
        EvidenceKind::ExecutionAuthorization => Profile { roles: &[Role::Governance], ..EXECUTION },
        EvidenceKind::RuntimeAttestation => {
            Profile { roles: &[Role::Attestation], can_be_negative: true, ..EXECUTION }
        }
        EvidenceKind::PolicyValidation => {
            Profile { roles: &[Role::Orchestration, Role::Governance], can_be_negative: true, ..EXECUTION }
        }
        EvidenceKind::RuntimeIntegrity => {
            Profile { roles: &[Role::Runtime, Role::Attestation], can_be_negative: true, ..EXECUTION }
        }
        EvidenceKind::AuditLineage => {
            Profile { roles: &[Role::Audit, Role::Gateway, Role::Orchestration], ..EXECUTION }
        }
        EvidenceKind::SynchronizationContinuity => {
            Profile { roles: &[Role::Registry, Role::Zone], ..EXECUTION }
        }
        EvidenceKind::SovereignTrust => Profile { roles: &[Role::Zone], ..EXECUTION },
        EvidenceKind::Permit => Profile {
            home_lineage: HomeLineage::WithPermitted,
            roles: &[Role::Registry],
            by_nodes: true,
            one_issuer: true,
            threshold: Threshold::One,
            ..GOVERNANCE
        },
        // Every voter has to sign it. The voters are in the log and not in the rows, so what applies the log
        // checks that.
        EvidenceKind::Rules => Profile {
            home_lineage: of_root,
            roles: &[Role::Registry],
            by_nodes: true,
            threshold: Threshold::One,
            in_genesis: false,
            ..GOVERNANCE
        },
        // They are accepted at their threshold and never become void: the keys that govern by them must not
        // lose that.
        EvidenceKind::Root => {
            Profile { home_lineage: of_root, admits_keys: true, can_be_void: false, ..GOVERNANCE }
        }
        EvidenceKind::Domain => Profile {
            home_lineage: of_root,
            threshold: Threshold::OfRoot,
            admits_keys: true,
            can_be_void: false,
            ..GOVERNANCE
        },
        EvidenceKind::Recovery => Profile { home_lineage: of_root, in_genesis: false, ..GOVERNANCE },
        EvidenceKind::AuthorityGrant => Profile { admits_keys: true, ..GOVERNANCE },
        EvidenceKind::Policy => {
            Profile { home_lineage: HomeLineage::InGovernance(GovernanceOf::Domain), ..GOVERNANCE }
        }
        EvidenceKind::Reconciliation | EvidenceKind::Release => GOVERNANCE,
        EvidenceKind::Revocation => Profile { can_be_void: false, ..GOVERNANCE },
        EvidenceKind::Containment => Profile {
            roles: &[Role::Governance, Role::Audit],
            one_issuer: true,
            threshold: Threshold::One,
            can_be_void: false,
            ..GOVERNANCE
        },
    }
}

/// What the claims of one statement do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effects<'a> {
    /// What they restrict, if they do.
    pub(crate) restricts: Option<Restriction<'a>>,
    /// Which keys they admit.
    pub(crate) admits: Admits<'a>,
    /// What they change of the registry as a whole.
    pub(crate) registry: RegistryChange,
    /// What a policy judges of them.
    pub(crate) says: Says<'a>,
    /// What they state about another registry.
    pub(crate) peer: OfPeer<'a>,
    /// Whether they close their lineage.
    pub(crate) closes: bool,
    /// How many permits they are good for, if they count their uses.
    pub(crate) uses: Option<u32>,
}

/// What a restriction restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restriction<'a> {
    /// An authority ends.
    Revokes {
        /// Its key.
        authority: &'a PublicKey,
        /// What was accepted of it at or after this time is void.
        invalid_since: Option<Seconds>,
    },
    /// A lineage or a domain is held back, or a piece of evidence is void.
    Contains(&'a Containment),
}

impl Restriction<'_> {
    /// What is restricted, as the key of the restriction's row says it.
    pub(crate) fn target(&self) -> Vec<u8> {
        match self {
            Restriction::Revokes { authority, .. } => authority.as_bytes().to_vec(),
            Restriction::Contains(containment) => {
                format!("{} {}", containment.action(), containment.target()).into_bytes()
            }
        }
    }

    /// Since when what a key signed is void.
    pub(crate) fn invalid_since(&self) -> Option<Seconds> {
        match self {
            Restriction::Revokes { invalid_since, .. } => *invalid_since,
            Restriction::Contains(_) => None,
        }
    }
}

/// The keys that a statement admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admits<'a> {
    /// None.
    Nothing,
    /// The root keys, and the key that signs the registry's checkpoints.
    Root {
        /// The root keys.
        keys: &'a [PublicKey],
        /// The registry's key.
        registry_key: &'a PublicKey,
    },
    /// The governance keys of a domain.
    Governance {
        /// The domain.
        domain: &'a DomainName,
        /// Its governance keys.
        keys: &'a [PublicKey],
    },
    /// The key of one authority.
    Authority(&'a PublicKey),
}

/// What a statement changes of the registry as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistryChange {
    /// Nothing.
    Nothing,
    /// The key that signs its checkpoints.
    Key(PublicKey),
    /// The version of its rules.
    Rules(u32),
    /// Its epoch.
    Epoch(u64),
}

/// What a policy judges of a statement. Each of these but the first can deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says<'a> {
    /// Nothing that could deny.
    Nothing,
    /// What a verifier concluded, and what it measured.
    Attested {
        /// The conclusion.
        status: AttestationStatus,
        /// The measurement.
        measurement: &'a str,
    },
    /// What a runtime measured of itself.
    Measured(&'a str),
    /// What a check of a policy outside found.
    Validated {
        /// The verdict.
        verdict: PolicyVerdict,
        /// The digest of the policy that was checked.
        policy_digest: &'a str,
    },
}

/// What a statement says of another registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OfPeer<'a> {
    /// Nothing.
    Nothing,
    /// It is trusted.
    Trust {
        /// Until when, exclusive.
        not_after: Seconds,
    },
    /// It has a checkpoint, which counts under the trust that the statement references.
    Checkpoint {
        /// The signed and cosigned note.
        note: &'a str,
        /// The consistency proof from the checkpoint before.
        consistency: &'a [TreeHash],
    },
}

/// Claims that do none of this. What they do is to be said, or their kind alone tells it.
const NOTHING: Effects<'static> = Effects {
    restricts: None,
    admits: Admits::Nothing,
    registry: RegistryChange::Nothing,
    says: Says::Nothing,
    peer: OfPeer::Nothing,
    closes: false,
    uses: None,
};

/// What these claims do.
///
/// Rule R127 (RFC-EG-033 §2, audit lineage evidence): An audit event `completed` or `failed` closes its
/// lineage for good, even if it is one half of an equivocation or becomes void.
pub(crate) fn effects(claims: &Claims) -> Effects<'_> {
    match claims {
        Claims::ExecutionAuthorization { uses, .. } => Effects { uses: *uses, ..NOTHING },
        Claims::RuntimeAttestation { status, measurement, .. } => {
            Effects { says: Says::Attested { status: *status, measurement }, ..NOTHING }
        }
        Claims::PolicyValidation { policy_digest, verdict } => {
            Effects { says: Says::Validated { verdict: *verdict, policy_digest }, ..NOTHING }
        }
        Claims::RuntimeIntegrity { measured } => Effects { says: Says::Measured(measured), ..NOTHING },
        Claims::AuditLineage { event, .. } => {
            Effects { closes: event == "completed" || event == "failed", ..NOTHING }
        }
        Claims::Root { keys, registry_key, .. } => Effects {
            admits: Admits::Root { keys, registry_key },
            registry: RegistryChange::Key(*registry_key),
            ..NOTHING
        },
        Claims::Domain { domain, governance, .. } => {
            Effects { admits: Admits::Governance { domain, keys: governance }, ..NOTHING }
        }
        Claims::AuthorityGrant { authority, .. } => {
            Effects { admits: Admits::Authority(authority), ..NOTHING }
        }
        Claims::Revocation { authority, invalid_since, .. } => Effects {
            restricts: Some(Restriction::Revokes { authority, invalid_since: *invalid_since }),
            ..NOTHING
        },
        Claims::Containment(containment) => {
            Effects { restricts: Some(Restriction::Contains(containment)), ..NOTHING }
        }
        Claims::SovereignTrust { not_after, .. } => {
            Effects { peer: OfPeer::Trust { not_after: *not_after }, ..NOTHING }
        }
        Claims::SynchronizationContinuity { checkpoint, consistency } => {
            Effects { peer: OfPeer::Checkpoint { note: checkpoint, consistency }, ..NOTHING }
        }
        Claims::Rules { version } => Effects { registry: RegistryChange::Rules(*version), ..NOTHING },
        Claims::Recovery { epoch, .. } => Effects { registry: RegistryChange::Epoch(*epoch), ..NOTHING },
        Claims::Policy(_) | Claims::Release { .. } | Claims::Permit(_) | Claims::Reconciliation { .. } => {
            NOTHING
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use assent_proof::{
        AuthorizeRequest, EvidenceId, LineageName, PolicyBody, RevocationReason, Sha256, SigningKey,
    };

    use super::*;

    fn key() -> PublicKey {
        SigningKey::from_seed([1; 32]).public()
    }

    #[test]
    fn the_protocols_page_says_what_each_role_signs() {
        let page = include_str!("../../../docs/protocol.md");
        for role in Role::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{role}` | of "))).unwrap();
            for kind in EvidenceKind::ALL {
                let profile = profile(*kind);
                // The row of governance names these together, and says which of them admit its keys.
                let in_governance = match profile.home_lineage {
                    HomeLineage::InGovernance(_) => true,
                    HomeLineage::WithExecution | HomeLineage::WithPermitted => false,
                };
                if *role != Role::Governance || !in_governance {
                    let signs = profile.roles.contains(role);
                    assert_eq!(row.contains(&format!("`{kind}`")), signs, "{role} and {kind}");
                }
            }
        }
    }

    fn domain() -> DomainName {
        "prod.eu".parse().unwrap()
    }

    fn lineage() -> LineageName {
        "exec-1".parse().unwrap()
    }

    fn request() -> AuthorizeRequest {
        AuthorizeRequest {
            domain: domain(),
            lineage: Some(lineage()),
            runtime: None,
            action: "run".to_owned(),
            subject: Sha256::of(b"trainer"),
            audience: None,
            environment: None,
            nonce: Some("one".to_owned()),
            expected_head: None,
            min_revision: None,
            history: None,
        }
    }

    fn policy() -> PolicyBody {
        PolicyBody {
            require: Vec::new(),
            attestation_status: None,
            measurements: None,
            policy_digests: None,
            decision_ttl_seconds: 10,
            permit_always: false,
        }
    }

    /// Claims of a kind.
    fn example(kind: EvidenceKind) -> Claims {
        let (not_before, not_after) = (Seconds(1), Seconds(2));
        match kind {
            EvidenceKind::ExecutionAuthorization => Claims::ExecutionAuthorization {
                actions: vec!["run".to_owned()],
                audience: None,
                environment: None,
                not_before,
                not_after,
                uses: Some(1),
                runtimes: Some(vec!["host-1".parse().unwrap()]),
            },
            EvidenceKind::RuntimeAttestation => Claims::RuntimeAttestation {
                verifier: "v".to_owned(),
                status: AttestationStatus::Affirming,
                measurement: "m".to_owned(),
            },
            EvidenceKind::PolicyValidation => {
                Claims::PolicyValidation { policy_digest: "d".to_owned(), verdict: PolicyVerdict::Pass }
            }
            EvidenceKind::RuntimeIntegrity => Claims::RuntimeIntegrity { measured: "m".to_owned() },
            EvidenceKind::AuditLineage => {
                Claims::AuditLineage { event: "completed".to_owned(), detail: None }
            }
            EvidenceKind::SynchronizationContinuity => {
                Claims::SynchronizationContinuity { checkpoint: "c".to_owned(), consistency: Vec::new() }
            }
            EvidenceKind::SovereignTrust => Claims::SovereignTrust {
                peer: "p".to_owned(),
                registry_key: key(),
                node_keys: vec![key()],
                not_after,
            },
            EvidenceKind::Permit => Claims::Permit(Box::new(request())),
            EvidenceKind::Rules => Claims::Rules { version: 2 },
            EvidenceKind::Root => Claims::Root { keys: vec![key()], threshold: 1, registry_key: key() },
            EvidenceKind::Recovery => Claims::Recovery { epoch: 2, voters: vec![key()] },
            EvidenceKind::Domain => {
                Claims::Domain { domain: domain(), governance: vec![key()], threshold: 1 }
            }
            EvidenceKind::AuthorityGrant => Claims::AuthorityGrant {
                authority: key(),
                name: "n".to_owned(),
                role: Role::Audit,
                not_before,
                not_after,
            },
            EvidenceKind::Policy => Claims::Policy(policy()),
            EvidenceKind::Reconciliation => Claims::Reconciliation {
                conflict: [EvidenceId([1; 32]), EvidenceId([2; 32])],
                canonical: EvidenceId([1; 32]),
            },
            EvidenceKind::Release => Claims::Release { containment: EvidenceId([1; 32]) },
            EvidenceKind::Revocation => Claims::Revocation {
                authority: key(),
                reason: RevocationReason::Unspecified,
                invalid_since: None,
            },
            EvidenceKind::Containment => Claims::Containment(Containment::Quarantine(lineage())),
        }
    }

    #[test]
    fn what_claims_do_is_what_their_kind_can_do() {
        for kind in EvidenceKind::ALL.iter().copied() {
            let claims = example(kind);
            assert_eq!(claims.kind(), kind);
            let (effects, profile) = (effects(&claims), profile(kind));
            assert_eq!(effects.restricts.is_some(), kind.is_restriction(), "{kind}");
            assert_eq!(effects.admits != Admits::Nothing, profile.admits_keys, "{kind}");
            assert_eq!(effects.says != Says::Nothing, profile.can_be_negative, "{kind}");
        }
    }

    #[test]
    fn what_a_kind_is_agrees_with_where_it_lies_and_who_signs_it() {
        for kind in EvidenceKind::ALL.iter().copied() {
            let profile = profile(kind);
            assert_eq!(profile.home_lineage == HomeLineage::WithExecution, kind.is_execution(), "{kind}");
            assert!(!profile.roles.is_empty(), "{kind}");
            assert_eq!(profile.by_nodes, profile.roles == [Role::Registry], "{kind}");
            if kind.is_execution() {
                assert!(profile.one_issuer && profile.threshold == Threshold::One, "{kind}");
                assert!(profile.can_be_void && !profile.admits_keys, "{kind}");
            }
            if kind.is_restriction() {
                assert!(!profile.can_be_void, "{kind}");
            }
            if profile.can_be_negative {
                assert!(kind.is_execution(), "{kind}");
            }
        }
    }
}
