//! A domain's policy: which evidence an execution needs and which values are approved.

use super::read::measurement_list;
use super::{AttestationStatus, MAX_LIST};
use crate::json::{FieldError, Fields, Json};
use crate::kind::EvidenceKind;
use crate::string_enum::string_enum;
use serde::{Deserialize, Serialize};

/// Longest time that a decision may be relied on, in seconds.
pub const DECISION_TTL_SECONDS_MAX: u32 = 60;

/// Most issuers that a requirement can ask for: a lineage has no more.
const MIN_ISSUERS_MAX: u32 = 32;

string_enum! {
    /// Whose evidence a requirement asks for.
    Of, "`execution` or `runtime`" {
        /// That in the execution's lineage.
        Execution = "execution",
        /// That in the lineage of the runtime that the request names.
        Runtime = "runtime",
    }
}

/// Most requirements of one policy: each is looked for in every decision.
pub const MAX_REQUIREMENTS: usize = 16;

/// What a domain requires. An absent list is not checked, an empty one approves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyBody {
    /// The evidence that must be there, besides the execution-authorization that always must; at most 64.
    pub require: Vec<Requirement>,
    /// The attestation statuses that are accepted.
    pub attestation_status: Option<Vec<AttestationStatus>>,
    /// The measurements that are approved.
    pub measurements: Option<Vec<String>>,
    /// The digests of policies whose validation counts.
    pub policy_digests: Option<Vec<String>>,
    /// How long a decision may be relied on, in seconds, 1 to 60.
    pub decision_ttl_seconds: u32,
    /// Whether every execution needs a permit, counted uses or not.
    pub permit_always: bool,
}

/// One kind of evidence that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The kind; of execution evidence only.
    pub kind: EvidenceKind,
    /// Of the execution or of its runtime.
    pub of: Of,
    /// How many different issuers must provide it, from 1 to 32.
    pub min_issuers: u32,
    /// How old it may be, in seconds, at least 1; absent: any age.
    pub max_age_seconds: Option<u32>,
}

impl PolicyBody {
    /// Reads a policy with its reader at the claims.
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
        Ok(PolicyBody {
            require: items.iter().enumerate().map(requirement).collect::<Result<_, _>>()?,
            attestation_status: fields.opt_list("attestationStatus", MAX_LIST)?,
            measurements: measurement_list(fields, "measurements")?,
            policy_digests: measurement_list(fields, "policyDigests")?,
            decision_ttl_seconds: fields.int_within("decisionTtlSeconds", 1, DECISION_TTL_SECONDS_MAX)?,
            permit_always: fields.opt_bool("permitAlways")?.unwrap_or(false),
        })
    }

    /// The policy as JSON; what is absent is omitted.
    pub fn to_json(&self) -> Json {
        let list = |name: &'static str, items: Option<Json>| items.map(|items| (name, items));
        let fields = [
            Some(("require", Json::Array(self.require.iter().map(Requirement::to_json).collect()))),
            list("attestationStatus", self.attestation_status.as_ref().map(Json::texts)),
            list("measurements", self.measurements.as_ref().map(Json::texts)),
            list("policyDigests", self.policy_digests.as_ref().map(Json::texts)),
            Some(("decisionTtlSeconds", Json::Int(self.decision_ttl_seconds.into()))),
            self.permit_always.then_some(("permitAlways", Json::Bool(true))),
        ];
        Json::object(fields.into_iter().flatten())
    }
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
        let fields = [
            Some(("kind", Json::text(self.kind.as_str()))),
            Some(("of", Json::text(self.of.as_str()))),
            Some(("minIssuers", Json::Int(self.min_issuers.into()))),
            self.max_age_seconds.map(|age| ("maxAgeSeconds", Json::Int(age.into()))),
        ];
        Json::object(fields.into_iter().flatten())
    }
}
