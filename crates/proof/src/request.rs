//! The request to authorize: may this execute, now?

use crate::code::Code;
use crate::history::{Cursor, History};
use crate::id::{EvidenceId, Sha256};
use crate::json::{self, FieldError, Fields, Json};
use crate::name::{DomainName, LineageName, Token};
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// A request to authorize one action on one subject. Its JSON is [`AuthorizeRequest::to_json`] and omits what
/// is absent; serde stores it positionally.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AuthorizeRequest {
    /// The domain that is asked; never the system's.
    pub domain: DomainName,
    /// The execution's lineage; if absent, the one open lineage of the subject.
    pub lineage: Option<LineageName>,
    /// The lineage of the host or enclave that is to run it; never the execution's own.
    pub runtime: Option<LineageName>,
    /// The action.
    pub action: String,
    /// The digest of what is to run.
    pub subject: Sha256,
    /// The audience, if the caller names one.
    pub audience: Option<String>,
    /// The environment, if the caller names one.
    pub environment: Option<String>,
    /// The caller's own value, 1 to 128 printable ASCII characters, that ties the decision to this question.
    pub nonce: Option<String>,
    /// The lineage's head that the caller expects; any other head denies. It needs `history`.
    pub expected_head: Option<EvidenceId>,
    /// The least revision of the state that may answer. It needs `history`.
    pub min_revision: Option<u64>,
    /// The only history that may answer: the one in which `expected_head` and `min_revision` were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

impl AuthorizeRequest {
    /// Reads a request. The caller bounds the length.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::from_json(&json::parse(bytes)?, "")
    }

    /// Reads a request that stands at `path` of a larger input. Unknown fields are refused, because the
    /// caller may have meant an ignored field as a restriction.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn from_json(value: &Json, path: &str) -> Result<Self, Refusal> {
        let mut fields = Fields::of(value, path)?;
        let request = AuthorizeRequest {
            domain: read_domain(&mut fields)?,
            lineage: read_lineage(&mut fields, "lineage")?,
            runtime: read_lineage(&mut fields, "runtime")?,
            action: fields.parsed::<Token>("action")?.into(),
            subject: read_subject(&mut fields)?,
            audience: fields.opt_parsed::<Token>("audience")?.map(String::from),
            environment: fields.opt_parsed::<Token>("environment")?.map(String::from),
            nonce: fields.opt_parsed::<Token>("nonce")?.map(String::from),
            expected_head: fields.opt_parsed("expectedHead")?,
            min_revision: read_revision(&mut fields)?,
            history: fields.opt_parsed("history")?,
        };
        let (at_runtime, at_history) = (fields.path_of("runtime"), fields.path_of("history"));
        fields.finish()?;
        if request.runtime.is_some() && request.runtime == request.lineage {
            let problem = "must not be the execution's own lineage";
            return Err(Refusal::at(Code::Malformed, at_runtime, problem));
        }
        if request.history.is_none()
            && let Some(given) = request.rests_on_a_history()
        {
            let problem =
                format!("is missing: `{given}` means something only in the history that it was read in");
            return Err(Refusal::at(Code::Malformed, at_history, problem));
        }
        Ok(request)
    }

    /// The given field that means something in one history only, if there is one.
    fn rests_on_a_history(&self) -> Option<&'static str> {
        let head = self.expected_head.map(|_| "expectedHead");
        self.min_revision.map(|_| "minRevision").or(head)
    }

    /// The same request, to be answered only in the history of `cursor` and from no state before it. With the
    /// cursor of its own write, a caller reads what it has written.
    #[must_use]
    pub fn not_before(self, cursor: Cursor) -> Self {
        let Cursor { history, revision } = cursor;
        AuthorizeRequest { history: Some(history), min_revision: Some(revision), ..self }
    }

    /// The request as JSON; what is absent is omitted.
    pub fn to_json(&self) -> Json {
        let digest = Json::object([("sha256", Json::text(self.subject.to_string()))]);
        let text = |name: &'static str, value: Option<String>| value.map(|value| (name, Json::Text(value)));
        let revision = self.min_revision.map(|n| Json::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        let fields = [
            text("domain", Some(self.domain.to_string())),
            text("lineage", self.lineage.as_ref().map(|name| name.to_string())),
            text("runtime", self.runtime.as_ref().map(|name| name.to_string())),
            text("action", Some(self.action.clone())),
            Some(("subject", Json::object([("digest", digest)]))),
            text("audience", self.audience.clone()),
            text("environment", self.environment.clone()),
            text("nonce", self.nonce.clone()),
            text("expectedHead", self.expected_head.map(|id| id.to_string())),
            revision.map(|n| ("minRevision", n)),
            text("history", self.history.map(|history| history.to_string())),
        ];
        Json::object(fields.into_iter().flatten())
    }
}

fn read_domain(fields: &mut Fields<'_>) -> Result<DomainName, Refusal> {
    let domain: DomainName = fields.parsed("domain")?;
    if domain.is_system() {
        return Err(Refusal::at(
            Code::Malformed,
            fields.path_of("domain"),
            "must not be the system's own domain",
        ));
    }
    Ok(domain)
}

fn read_lineage(fields: &mut Fields<'_>, name: &str) -> Result<Option<LineageName>, Refusal> {
    let lineage: Option<LineageName> = fields.opt_parsed(name)?;
    if lineage.as_ref().is_some_and(LineageName::is_system) {
        return Err(Refusal::at(
            Code::Malformed,
            fields.path_of(name),
            "must not be the system's own lineage",
        ));
    }
    Ok(lineage)
}

fn read_subject(fields: &mut Fields<'_>) -> Result<Sha256, FieldError> {
    let mut subject = fields.object("subject")?;
    let mut digest = subject.object("digest")?;
    let sha256 = digest.parsed("sha256")?;
    digest.finish()?;
    subject.finish()?;
    Ok(sha256)
}

fn read_revision(fields: &mut Fields<'_>) -> Result<Option<u64>, FieldError> {
    let Some(revision) = fields.opt_int("minRevision")? else { return Ok(None) };
    let negative = |_| FieldError::new(fields.path_of("minRevision"), "must not be negative");
    u64::try_from(revision).map(Some).map_err(negative)
}
