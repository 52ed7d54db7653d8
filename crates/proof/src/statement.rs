//! The in-toto Statement v1 that every envelope carries, with the predicate of this protocol.
//!
//! A [`Statement`] is well formed, and nothing more is known of it: [`verify`](crate::verify::verify) checks
//! its signatures, and the registry judges later whether its claims and times are acceptable.

use crate::code::Code;
use crate::dsse::{Envelope, STATEMENT_PAYLOAD_TYPE};
use crate::id::{EvidenceId, Sha256};
use crate::json::{self, FieldError, Fields, Json};
use crate::key::{PublicKey, SigningKey};
use crate::kind::EvidenceKind;
use crate::name::{DomainName, LineageName};
use crate::refusal::Refusal;
use crate::text::{Source, check_plain, check_printable_ascii, shown};
use crate::time::Seconds;

/// The `_type` of an in-toto Statement v1.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// Most issuers of one statement.
pub const MAX_ISSUERS: usize = 32;

/// Most references of one statement.
pub const MAX_REFERENCES: usize = 64;

/// Longest origin of a registry, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 256;

/// Longest name of a subject, in bytes.
pub const MAX_SUBJECT_NAME_BYTES: usize = 1024;

/// One signed claim about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The subject's name, for people; no decision depends on it. 1 to 1,024 bytes without a character that
    /// [is obeyed](crate::text::is_obeyed).
    pub subject_name: Option<String>,
    /// The subject's digest.
    pub subject: Sha256,
    /// What kind of evidence this is.
    pub kind: EvidenceKind,
    /// The origin of the registry that it is meant for: 1 to 256 printable ASCII characters.
    pub registry: String,
    /// The domain that it belongs to.
    pub domain: DomainName,
    /// The lineage within that domain.
    pub lineage: LineageName,
    /// The keys that must have signed: 1 to 32 distinct keys in the order written, exactly one for execution
    /// evidence.
    pub issuers: Vec<PublicKey>,
    /// Its slot in the issuer's chain, from 0; absent for restrictions.
    pub sequence: Option<u64>,
    /// The evidence before it in that chain.
    pub parent: Option<EvidenceId>,
    /// The evidence that it rests on: at most 64, distinct.
    pub references: Vec<EvidenceId>,
    /// The time at which its issuers say that they made it. It does not prove when it was signed.
    pub issued_at: Seconds,
    /// The time from which it no longer counts.
    pub expires_at: Option<Seconds>,
    /// The claims, always an object; their rules depend on the kind, see [`Claims`](crate::Claims).
    pub claims: Json,
}

impl Statement {
    /// Reads a statement from an envelope's payload. A whole number may have a fraction of zeros there: see
    /// [`parse_payload`](json::parse_payload).
    ///
    /// Two spellings of one number are two payloads: two statements with two evidence ids, and in one slot an
    /// equivocation.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        Self::read(&json::parse_payload(payload)?, Source::Outside)
    }

    /// Reads a statement that the registry accepted earlier, from the payload of the stored envelope. Until
    /// release 0.1.0, the subject's name could have characters that terminals obey; such a name is read as it
    /// is.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn parse_stored(payload: &[u8]) -> Result<Self, Refusal> {
        Self::read(&json::parse_payload(payload)?, Source::Stored)
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// `malformed` with the field at fault.
    pub fn from_json(value: &Json) -> Result<Self, Refusal> {
        Self::read(value, Source::Outside)
    }

    fn read(value: &Json, source: Source) -> Result<Self, Refusal> {
        let mut fields = Fields::of(value, "")?;
        if fields.text("_type")? != STATEMENT_TYPE {
            return Err(Refusal::at(Code::Malformed, "_type", format!("must be `{STATEMENT_TYPE}`")));
        }
        let (subject_name, subject) = read_subject(&mut fields, source)?;
        let kind = read_kind(&mut fields)?;
        let mut predicate = fields.object("predicate")?;
        // in-toto: consumers ignore fields of the statement that they don't know. Those of the predicate are
        // ours.
        fields.ignore_rest();
        let statement = Statement {
            subject_name,
            subject,
            kind,
            registry: read_origin(&mut predicate)?,
            domain: predicate.parsed("domain")?,
            lineage: predicate.parsed("lineage")?,
            issuers: read_issuers(&mut predicate, kind)?,
            sequence: read_sequence(&mut predicate)?,
            parent: predicate.opt_parsed("parent")?,
            references: read_references(&mut predicate)?,
            issued_at: predicate.parsed("issuedAt")?,
            expires_at: predicate.opt_parsed("expiresAt")?,
            claims: read_claims(&mut predicate)?,
        };
        predicate.finish()?;
        Ok(statement)
    }

    /// The statement as compact JSON, ready to be an envelope's payload.
    pub fn to_vec(&self) -> Vec<u8> {
        self.to_json().to_vec()
    }

    /// The statement as JSON; what is absent in the predicate is written as `null`.
    pub fn to_json(&self) -> Json {
        let optional = |text: Option<String>| text.map_or(Json::Null, Json::Text);
        let digest = Json::object([("sha256", Json::text(self.subject.to_string()))]);
        let name = self.subject_name.iter().map(|name| ("name", Json::text(name)));
        let sequence = self.sequence.map_or(Json::Null, |n| Json::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        let predicate = Json::object([
            ("registry", Json::text(&self.registry)),
            ("domain", Json::text(self.domain.as_str())),
            ("lineage", Json::text(self.lineage.as_str())),
            ("issuers", Json::texts(&self.issuers)),
            ("sequence", sequence),
            ("parent", optional(self.parent.map(|id| id.to_string()))),
            ("references", Json::texts(&self.references)),
            ("issuedAt", Json::text(self.issued_at.to_string())),
            ("expiresAt", optional(self.expires_at.map(|at| at.to_string()))),
            ("claims", self.claims.clone()),
        ]);
        Json::object([
            ("_type", Json::text(STATEMENT_TYPE)),
            ("subject", Json::Array(vec![Json::object(name.chain([("digest", digest)]))])),
            ("predicateType", Json::text(self.kind.predicate_type())),
            ("predicate", predicate),
        ])
    }
}

/// The statement in an envelope signed by each of `keys`, with securesystemslib's key ids, as compact JSON.
pub fn sign_statement(statement: &Statement, keys: &[&SigningKey]) -> Vec<u8> {
    let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement.to_vec());
    for key in keys {
        envelope.sign_with(key);
    }
    envelope.to_vec()
}

/// Exactly one subject; of in-toto's ResourceDescriptor only the name and the sha256 digest are looked at.
fn read_subject(fields: &mut Fields<'_>, source: Source) -> Result<(Option<String>, Sha256), FieldError> {
    let [subject] = fields.array("subject")? else {
        return Err(FieldError::new("subject", "must have exactly one entry"));
    };
    let mut subject = Fields::of(subject, "subject[0]")?;
    let name = subject.opt_text("name")?;
    if let Some(name) = name {
        check_plain(source, "subject[0].name", name, MAX_SUBJECT_NAME_BYTES)?;
    }
    let mut digest = subject.object("digest")?;
    let sha256 = digest.parsed("sha256")?;
    digest.ignore_rest();
    subject.ignore_rest();
    Ok((name.map(str::to_owned), sha256))
}

fn read_kind(fields: &mut Fields<'_>) -> Result<EvidenceKind, FieldError> {
    let text = fields.text("predicateType")?;
    EvidenceKind::from_predicate_type(text)
        .ok_or_else(|| FieldError::new("predicateType", format!("`{}` is not known", shown(text))))
}

fn read_origin(predicate: &mut Fields<'_>) -> Result<String, FieldError> {
    let origin = predicate.text("registry")?;
    check_printable_ascii(&predicate.path_of("registry"), origin, MAX_ORIGIN_BYTES)?;
    Ok(origin.to_owned())
}

fn read_issuers(predicate: &mut Fields<'_>, kind: EvidenceKind) -> Result<Vec<PublicKey>, FieldError> {
    let issuers: Vec<PublicKey> = predicate.list("issuers", MAX_ISSUERS)?;
    let path = predicate.path_of("issuers");
    if issuers.is_empty() {
        return Err(FieldError::new(path, "must name at least one key"));
    }
    if kind.is_execution() && issuers.len() != 1 {
        return Err(FieldError::new(path, format!("must name exactly one key for `{kind}`")));
    }
    check_distinct(&path, &issuers)?;
    Ok(issuers)
}

fn read_sequence(predicate: &mut Fields<'_>) -> Result<Option<u64>, FieldError> {
    let Some(sequence) = predicate.opt_int("sequence")? else { return Ok(None) };
    let negative = |_| FieldError::new(predicate.path_of("sequence"), "must not be negative");
    u64::try_from(sequence).map(Some).map_err(negative)
}

fn read_references(predicate: &mut Fields<'_>) -> Result<Vec<EvidenceId>, FieldError> {
    let references: Vec<EvidenceId> = predicate.opt_list("references", MAX_REFERENCES)?.unwrap_or_default();
    check_distinct(&predicate.path_of("references"), &references)?;
    Ok(references)
}

fn read_claims(predicate: &mut Fields<'_>) -> Result<Json, FieldError> {
    let claims = predicate.value("claims")?;
    Fields::of(claims, predicate.path_of("claims"))?.ignore_rest();
    Ok(claims.clone())
}

/// Refuses a list that has the same entry twice. Lists have at most 64 entries.
pub(crate) fn check_distinct<T: PartialEq + std::fmt::Display>(
    path: &str,
    items: &[T],
) -> Result<(), FieldError> {
    for (i, item) in items.iter().enumerate() {
        if items.iter().take(i).any(|other| other == item) {
            return Err(FieldError::new(format!("{path}[{i}]"), format!("`{item}` appears twice")));
        }
    }
    Ok(())
}
