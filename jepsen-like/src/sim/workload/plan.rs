//! The domains that a run begins with.

use assent_proof::{
    AttestationStatus, DomainName, EvidenceKind, Of, PolicyBody, Requirement, Role, SigningKey,
};

use super::super::dice::Dice;
use super::super::setup::{DomainPlan, SimSetupError, key};
use crate::ledgers::peer;

/// The measurement that policies approve.
pub(super) const GOOD: &str = "sha256:good";
/// The digest of the policy that validations name.
pub(super) const POLICY_DIGEST: &str = "sha256:policy";

/// The place of the domain whose policy may require statements about other registries.
const WITH_PEERS: usize = 2;

/// How much a policy requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Only an authorization.
    Lenient,
    /// An attestation as well.
    Attested,
    /// An attestation that is not old, and the runtime's own measurement.
    Measured,
    /// An authorization and a validation, and every execution takes a permit.
    Counted,
    /// An authorization, and a trust in another registry or a checkpoint of one.
    Connected,
}

impl Strictness {
    /// The ones that any domain may have.
    const ALL: [Strictness; 4] =
        [Strictness::Lenient, Strictness::Attested, Strictness::Measured, Strictness::Counted];

    /// One of them for the domain in this place; lenient ones come more often, so that something can be allowed.
    pub(super) fn draw(dice: &mut Dice, at: usize) -> Self {
        if at == WITH_PEERS && dice.chance(1, 6) {
            return Strictness::Connected;
        }
        if dice.chance(1, 3) {
            return Strictness::Lenient;
        }
        dice.pick(&Self::ALL).copied().unwrap_or(Strictness::Lenient)
    }

    pub(super) fn policy(self, dice: &mut Dice) -> PolicyBody {
        let require =
            |kind, max_age_seconds| Requirement { kind, of: Of::Execution, min_issuers: 1, max_age_seconds };
        let age = u32::try_from(dice.between(5, 40)).ok();
        let mut policy = PolicyBody {
            require: Vec::new(),
            attestation_status: None,
            measurements: None,
            policy_digests: None,
            decision_ttl_seconds: *dice.pick(&[1, 10, 60, 60]).unwrap_or(&10),
            permit_always: false,
        };
        match self {
            Strictness::Lenient => {}
            Strictness::Attested => {
                policy.require.push(require(EvidenceKind::RuntimeAttestation, None));
                policy.attestation_status = Some(vec![AttestationStatus::Affirming]);
            }
            Strictness::Measured => {
                policy.require.push(require(EvidenceKind::RuntimeAttestation, age));
                policy.require.push(require(EvidenceKind::RuntimeIntegrity, None));
                policy.attestation_status =
                    Some(vec![AttestationStatus::Affirming, AttestationStatus::Warning]);
                policy.measurements = Some(vec![GOOD.to_owned()]);
            }
            Strictness::Counted => {
                policy.require.push(require(EvidenceKind::PolicyValidation, None));
                policy.policy_digests = Some(vec![POLICY_DIGEST.to_owned()]);
                policy.permit_always = true;
            }
            Strictness::Connected => policy.require.push(require(peer::kind(dice), None)),
        }
        policy
    }
}

/// Three domains: one lenient and governed by one key, the others as the seed decides.
pub fn domains(dice: &mut Dice) -> Result<Vec<DomainPlan>, SimSetupError> {
    let mut plans = Vec::new();
    for (at, name) in ["prod.a", "prod.b", "prod.c"].into_iter().enumerate() {
        let domain: DomainName = name.parse().map_err(|_| SimSetupError::Name(name.to_owned()))?;
        let strictness = if at == 0 { Strictness::Lenient } else { Strictness::draw(dice, at) };
        let keys = if at == 0 { 1 } else { dice.between(1, 3) };
        let part = |part: &str, at: u64| -> SigningKey { key(&format!("{name} {part}"), at) };
        let roles = [
            ("attestation", Role::Attestation, 2),
            ("orchestration", Role::Orchestration, 1),
            ("runtime", Role::Runtime, 1),
            ("audit", Role::Audit, 1),
            ("zone", Role::Zone, 2),
            ("registry", Role::Registry, 1),
        ];
        let authorities = roles
            .iter()
            .flat_map(|(label, role, count)| (1..=*count).map(move |at| (part(label, at), *role)))
            .collect();
        plans.push(DomainPlan {
            name: domain,
            governance: (1..=keys).map(|at| part("governance", at)).collect(),
            threshold: u32::try_from(keys.div_ceil(2)).unwrap_or(1),
            authorities,
            policy: strictness.policy(dice),
        });
    }
    Ok(plans)
}
