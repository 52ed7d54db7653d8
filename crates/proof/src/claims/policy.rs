//! A domain's policy: which evidence an execution needs and which values are approved.

use super::limits::{MAX_LIST, MAX_MEASUREMENT_BYTES};
use super::unchecked::Unchecked;
use super::words::{AttestationStatus, Of};
use crate::json::{FieldError, Fields, Json};
use crate::kind::EvidenceKind;
use crate::text::check_printable_ascii;
use serde::{Deserialize, Serialize};

/// Longest time for which a caller may rely on a decision, in seconds.
pub const DECISION_TTL_SECONDS_MAX: u32 = 60;

/// Most issuers that a requirement can ask for. A lineage has no more.
pub const MIN_ISSUERS_MAX: u32 = 32;

/// Most requirements of one policy. Every decision looks for each of them.
pub const MAX_REQUIREMENTS: usize = 16;

/// A list in a policy that decides which statements count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    AttestationStatus,
    Measurements,
    PolicyDigests,
}

impl List {
    const ALL: [List; 3] = [List::AttestationStatus, List::Measurements, List::PolicyDigests];

    fn name(self) -> &'static str {
        match self {
            List::AttestationStatus => "attestationStatus",
            List::Measurements => "measurements",
            List::PolicyDigests => "policyDigests",
        }
    }

    /// What `null` in place of this list approves, in words.
    fn without(self) -> &'static str {
        match self {
            List::AttestationStatus => "any status",
            List::Measurements => "any measurement",
            List::PolicyDigests => "any digest",
        }
    }
}

/// The lists that decide whether a statement of this kind counts. A policy that requires the kind must state
/// each of them.
fn judged_by(kind: EvidenceKind) -> &'static [List] {
    match kind {
        EvidenceKind::RuntimeAttestation => &[List::AttestationStatus, List::Measurements],
        EvidenceKind::RuntimeIntegrity => &[List::Measurements],
        EvidenceKind::PolicyValidation => &[List::PolicyDigests],
        EvidenceKind::ExecutionAuthorization
        | EvidenceKind::AuditLineage
        | EvidenceKind::SovereignTrust
        | EvidenceKind::SynchronizationContinuity
        | EvidenceKind::Root
        | EvidenceKind::Domain
        | EvidenceKind::AuthorityGrant
        | EvidenceKind::Policy
        | EvidenceKind::Revocation
        | EvidenceKind::Containment
        | EvidenceKind::Release
        | EvidenceKind::Permit
        | EvidenceKind::Reconciliation
        | EvidenceKind::Rules
        | EvidenceKind::Recovery => &[],
    }
}

/// What a domain requires. A list that is `None` is not checked; an empty list approves nothing. If the
/// policy requires a kind that a list judges, the JSON must state that list, as `null` if it is not to be
/// checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyBody {
    /// The evidence that an execution needs besides the execution-authorization, which is always required; at
    /// most 16.
    pub require: Vec<Requirement>,
    /// The attestation statuses that are accepted; `None`: any.
    pub attestation_status: Option<Vec<AttestationStatus>>,
    /// The measurements that are approved; `None`: any.
    pub measurements: Option<Vec<String>>,
    /// The digests of policies whose validation counts; `None`: any.
    pub policy_digests: Option<Vec<String>>,
    /// How long a caller may rely on a decision, in seconds, from 1 to 60.
    pub decision_ttl_seconds: u32,
    /// Whether every execution needs a permit, even if its authorization does not count its uses.
    pub permit_always: bool,
}

/// One kind of evidence that a policy requires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The kind, which is one of execution evidence.
    pub kind: EvidenceKind,
    /// Whether it must lie in the execution's lineage or in its runtime's.
    pub of: Of,
    /// How many different issuers must provide it, from 1 to 32.
    pub min_issuers: u32,
    /// How old it may be, in seconds, at least 1; `None`: any age. The JSON must state it, as `null` for any
    /// age.
    pub max_age_seconds: Option<u32>,
}

impl PolicyBody {
    /// Reads a policy from the fields of its claims.
    ///
    /// Rule R97 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A policy states for each kind that it
    /// requires how old it may be, and has each list that judges the kind, with `null` where nothing is
    /// checked (`claims_invalid`).
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let path = fields.path_of("require");
        let items = fields.array("require")?;
        if items.len() > MAX_REQUIREMENTS {
            return Err(FieldError::new(
                path,
                format!("has `{}` entries, more than {MAX_REQUIREMENTS}", items.len()),
            ));
        }
        let requirement = |(i, item)| Requirement::read(item, format!("{path}[{i}]"));
        let require: Vec<Requirement> =
            items.iter().enumerate().map(requirement).collect::<Result<_, _>>()?;
        for list in List::ALL {
            let judged = require.iter().map(|required| required.kind).find(|kind| is_judged(*kind, list));
            if let Some(kind) = judged
                && !fields.has(list.name())
            {
                let problem =
                    format!("is missing: it judges `{kind}`, and `null` approves {}", list.without());
                return Err(FieldError::new(fields.path_of(list.name()), problem));
            }
        }
        Ok(PolicyBody {
            require,
            attestation_status: fields.opt_list("attestationStatus", MAX_LIST)?,
            measurements: measurement_list(fields, "measurements")?,
            policy_digests: measurement_list(fields, "policyDigests")?,
            decision_ttl_seconds: fields.int_within("decisionTtlSeconds", 1, DECISION_TTL_SECONDS_MAX)?,
            permit_always: fields.opt_bool("permitAlways")?.unwrap_or(false),
        })
    }

    /// The policy as JSON. An absent value is written as `null` where the JSON must state it, and omitted
    /// elsewhere.
    pub fn to_json(&self) -> Json {
        let list = |list: List, items: Option<Json>| {
            let items = items.or_else(|| self.requires_judged_by(list).then_some(Json::Null));
            items.map(|items| (list.name(), items))
        };
        let fields = [
            Some(("require", Json::Array(self.require.iter().map(Requirement::to_json).collect()))),
            list(List::AttestationStatus, self.attestation_status.as_ref().map(Json::texts)),
            list(List::Measurements, self.measurements.as_ref().map(Json::texts)),
            list(List::PolicyDigests, self.policy_digests.as_ref().map(Json::texts)),
            Some(("decisionTtlSeconds", Json::Int(self.decision_ttl_seconds.into()))),
            self.permit_always.then_some(("permitAlways", Json::Bool(true))),
        ];
        Json::object(fields.into_iter().flatten())
    }

    /// What the policy could check and does not, in the order of [`Unchecked`] and without repetitions. Ages
    /// come in the order of the requirements.
    ///
    /// Rule R19 (RFC-EG-033 §5, execution gateways): Every decision under a policy says in words what that
    /// policy does not check.
    pub fn unchecked(&self) -> Vec<Unchecked> {
        let mut unchecked = Vec::new();
        if self.require.is_empty() {
            unchecked.push(Unchecked::Requirements);
        }
        if !self.require.iter().any(|required| required.of == Of::Runtime) {
            unchecked.push(Unchecked::Runtime);
        }
        for list in List::ALL {
            let required = self.requires_judged_by(list);
            // The first two lists also judge negative statements of kinds that are not required. The third
            // judges only what is required.
            let what = match list {
                List::AttestationStatus if self.attestation_status.is_none() => {
                    Some(Unchecked::AttestationStatus)
                }
                List::AttestationStatus => (!required).then_some(Unchecked::AttestationsNotRequired),
                List::Measurements if self.measurements.is_none() => Some(Unchecked::Measurements),
                List::Measurements => (!required).then_some(Unchecked::MeasurementsNotRequired),
                List::PolicyDigests if self.policy_digests.is_none() => {
                    required.then_some(Unchecked::PolicyDigests)
                }
                List::PolicyDigests => (!required).then_some(Unchecked::ValidationsNotRequired),
            };
            unchecked.extend(what);
        }
        for Requirement { kind, of, max_age_seconds, .. } in &self.require {
            let age = Unchecked::Age { kind: *kind, of: *of };
            if max_age_seconds.is_none() && !unchecked.contains(&age) {
                unchecked.push(age);
            }
        }
        unchecked
    }

    /// Whether the policy requires a kind that this list judges.
    fn requires_judged_by(&self, list: List) -> bool {
        self.require.iter().any(|required| is_judged(required.kind, list))
    }
}

fn is_judged(kind: EvidenceKind, list: List) -> bool {
    judged_by(kind).contains(&list)
}

impl Requirement {
    fn read(item: &Json, path: String) -> Result<Self, FieldError> {
        let mut fields = Fields::of(item, path)?;
        let kind: EvidenceKind = fields.parsed("kind")?;
        if !kind.is_execution() {
            return Err(FieldError::new(
                fields.path_of("kind"),
                format!("`{kind}` is not execution evidence"),
            ));
        }
        if !fields.has("maxAgeSeconds") {
            let problem = "is missing: it is a number of seconds, or `null` for any age";
            return Err(FieldError::new(fields.path_of("maxAgeSeconds"), problem));
        }
        let requirement = Requirement {
            kind,
            of: fields.opt_parsed("of")?.unwrap_or(Of::Execution),
            min_issuers: fields.opt_int_within("minIssuers", 1, MIN_ISSUERS_MAX)?.unwrap_or(1),
            max_age_seconds: fields.opt_int_within("maxAgeSeconds", 1, u32::MAX)?,
        };
        fields.finish()?;
        Ok(requirement)
    }

    /// The requirement as JSON, with its defaults written out.
    pub fn to_json(&self) -> Json {
        Json::object([
            ("kind", Json::text(self.kind.as_str())),
            ("of", Json::text(self.of.as_str())),
            ("minIssuers", Json::Int(self.min_issuers.into())),
            ("maxAgeSeconds", self.max_age_seconds.map_or(Json::Null, |age| Json::Int(age.into()))),
        ])
    }
}

/// A list of measurements or digests, or none.
fn measurement_list(fields: &mut Fields<'_>, field: &str) -> Result<Option<Vec<String>>, FieldError> {
    let items: Option<Vec<String>> = fields.opt_list(field, MAX_LIST)?;
    for (i, item) in items.iter().flatten().enumerate() {
        check_printable_ascii(&format!("{}[{i}]", fields.path_of(field)), item, MAX_MEASUREMENT_BYTES)?;
    }
    Ok(items)
}
