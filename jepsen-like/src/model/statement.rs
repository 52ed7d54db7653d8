//! Reads the content of an envelope loosely. The workload signs well-formed statements, so the model does not check
//! what the rules never check (docs/protocol.md, "Envelope and statement").

use std::collections::BTreeSet;

use assent_proof::{Envelope, Seconds};
use serde_json::Value;

/// The class of a kind, which decides its slots and its signers (docs/protocol.md, "Kinds").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// About one execution or runtime: a chain of its own for each issuer.
    Execution,
    /// One chain in each domain, signed at the domain's threshold.
    Governance,
    /// Revocations and containments: no slot.
    Restriction,
    /// Permits and rules: made by nodes, no slot.
    Node,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub id: String,
    pub kind: String,
    pub class: Option<Class>,
    pub registry: String,
    pub domain: String,
    pub lineage: String,
    pub subject: String,
    pub issuers: Vec<String>,
    pub sequence: Option<u64>,
    pub parent: Option<String>,
    pub references: Vec<String>,
    pub issued_ms: i64,
    pub expires_ms: Option<i64>,
    pub claims: Value,
}

impl Statement {
    /// Reads an envelope's text; `None` if it is not an envelope.
    pub(crate) fn read(envelope: &str) -> Option<Self> {
        let envelope = Envelope::parse(envelope.as_bytes()).ok()?;
        let statement: Value = serde_json::from_slice(&envelope.payload).ok()?;
        let predicate = statement.get("predicate")?;
        let text = |name: &str| Some(predicate.get(name)?.as_str()?.to_owned());
        let kind = statement.get("predicateType")?.as_str()?.strip_prefix("urn:egpep:v1:")?.to_owned();
        Some(Self {
            id: envelope.id().to_string(),
            class: class(&kind),
            kind,
            registry: text("registry")?,
            domain: text("domain")?,
            lineage: text("lineage")?,
            subject: statement.get("subject")?.get(0)?.get("digest")?.get("sha256")?.as_str()?.to_owned(),
            issuers: texts(predicate.get("issuers")),
            sequence: predicate.get("sequence").and_then(Value::as_u64),
            parent: text("parent"),
            references: texts(predicate.get("references")),
            issued_ms: predicate.get("issuedAt").and_then(time_ms)?,
            expires_ms: predicate.get("expiresAt").and_then(time_ms),
            claims: predicate.get("claims")?.clone(),
        })
    }

    /// The roles that may sign it; governance kinds go by threshold instead (docs/protocol.md, "Kinds").
    pub(crate) fn roles(&self) -> &'static [&'static str] {
        match self.kind.as_str() {
            "runtime-attestation" => &["attestation"],
            "policy-validation" => &["orchestration", "governance"],
            "runtime-integrity" => &["runtime", "attestation"],
            "audit-lineage" => &["audit", "gateway", "orchestration"],
            "sovereign-trust" => &["zone"],
            "synchronization-continuity" => &["registry", "zone"],
            "permit" | "rules" => &["registry"],
            "containment" => &["governance", "audit"],
            _ => &["governance"],
        }
    }

    /// A claim that is text, or empty.
    pub(crate) fn claim(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A claim that is a time.
    pub(crate) fn claim_ms(&self, name: &str) -> Option<i64> {
        self.claims.get(name).and_then(time_ms)
    }

    /// The keys that it admits: they sign it and count towards no threshold.
    pub(crate) fn admits(&self) -> BTreeSet<String> {
        match self.kind.as_str() {
            "authority-grant" => BTreeSet::from([self.claim("authority").to_owned()]),
            "domain" => texts(self.claims.get("governance")).into_iter().collect(),
            "root" => texts(self.claims.get("keys")).into_iter().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Whether it closes its lineage.
    pub(crate) fn closes(&self) -> bool {
        self.kind == "audit-lineage" && matches!(self.claim("event"), "completed" | "failed")
    }
}

/// The class of a kind; `None` for an unknown kind.
fn class(kind: &str) -> Option<Class> {
    Some(match kind {
        "execution-authorization"
        | "runtime-attestation"
        | "policy-validation"
        | "runtime-integrity"
        | "audit-lineage"
        | "sovereign-trust"
        | "synchronization-continuity" => Class::Execution,
        "root" | "recovery" | "domain" | "authority-grant" | "policy" | "reconciliation" | "release" => {
            Class::Governance
        }
        "revocation" | "containment" => Class::Restriction,
        "permit" | "rules" => Class::Node,
        _ => return None,
    })
}

/// A list of texts; empty if the value is not a list.
pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A list of texts, if the value is one.
pub(crate) fn maybe_texts(value: Option<&Value>) -> Option<Vec<String>> {
    value.filter(|value| value.is_array()).map(|value| texts(Some(value)))
}

fn time_ms(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<Seconds>().ok().map(|seconds| seconds.to_millis().0)
}
