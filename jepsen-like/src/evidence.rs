//! The statements that the tests submit: real ones, with real signatures by the keys of a development cluster.

use serde_json::{Value, json};

use assent_fixtures::{Draft, Place};
use assent_proof::{Envelope, EvidenceId, EvidenceKind, Json, Seconds, Sha256, SigningKey};

use crate::cluster::Cluster;
use crate::error::HarnessError;

/// Signs statements for one lineage of a cluster.
#[derive(Debug, Clone)]
pub struct Evidence {
    origin: String,
    domain: String,
    lineage: String,
    subject: Sha256,
    issued_at: Seconds,
}

impl Evidence {
    /// Evidence for `lineage`, about a subject of its own, issued at the cluster's present time.
    pub async fn new(cluster: &Cluster, lineage: &str) -> Result<Self, HarnessError> {
        // The registry refuses a statement that is issued in its future, so this asks the registry for the time and
        // uses no clock here.
        let asked = json!({"domain": cluster.domain, "lineage": lineage, "action": "ask",
            "subject": {"digest": {"sha256": Sha256::of(b"").to_string()}}});
        for node in &cluster.nodes {
            let answer = cluster.authorize(node.id, &asked).await;
            if let Some(now) = answer.number("evaluatedAt") {
                let seconds = i64::try_from(now / 1000).unwrap_or(0);
                return Ok(Self {
                    origin: cluster.origin.clone(),
                    domain: cluster.domain.clone(),
                    lineage: lineage.to_owned(),
                    subject: Sha256::of(lineage.as_bytes()),
                    issued_at: Seconds(seconds),
                });
            }
        }
        Err(HarnessError::Unexpected("no node answered with the time".to_owned()))
    }

    /// The same signer for another lineage, about a subject of its own.
    pub fn in_lineage(self, lineage: &str) -> Self {
        Self { lineage: lineage.to_owned(), subject: Sha256::of(lineage.as_bytes()), ..self }
    }

    /// The same signer for another domain, such as `_root`.
    pub fn in_domain(self, domain: &str) -> Self {
        Self { domain: domain.to_owned(), ..self }
    }

    /// The time at which the statements are issued.
    pub fn issued(&self) -> Seconds {
        self.issued_at
    }

    /// The same signer, with another time of issue.
    pub fn issued_at(self, issued_at: Seconds) -> Self {
        Self { issued_at, ..self }
    }

    /// An authorize request for the action `run`.
    pub fn request(&self) -> Value {
        json!({"domain": self.domain, "lineage": self.lineage, "action": "run",
            "subject": {"digest": {"sha256": self.subject.to_string()}}})
    }

    /// An authorization of the action `run`, for a long time.
    pub fn authorization(&self, key: &SigningKey, slot: Slot) -> Vec<u8> {
        let claims = json!({"actions": ["run"], "notBefore": self.issued_at.to_string(),
            "notAfter": Seconds(self.issued_at.0 + 100_000).to_string()});
        self.execution(EvidenceKind::ExecutionAuthorization, &claims, key, slot)
    }

    /// An attestation with a status.
    pub fn attestation(&self, key: &SigningKey, slot: Slot, status: &str, measurement: &str) -> Vec<u8> {
        let claims = json!({"verifier": "harness", "status": status, "measurement": measurement});
        self.execution(EvidenceKind::RuntimeAttestation, &claims, key, slot)
    }

    /// A runtime's own measurement.
    pub fn integrity(&self, key: &SigningKey, slot: Slot, measured: &str) -> Vec<u8> {
        self.execution(EvidenceKind::RuntimeIntegrity, &json!({"measured": measured}), key, slot)
    }

    /// Execution evidence with claims as JSON.
    pub fn execution(&self, kind: EvidenceKind, claims: &Value, key: &SigningKey, slot: Slot) -> Vec<u8> {
        self.draft(kind, &self.lineage, self.subject, claims).slot(slot.0, slot.1).sign(&[key])
    }

    /// The revocation of an authority.
    pub fn revocation(&self, authority: &SigningKey, by: &SigningKey) -> Vec<u8> {
        let target = authority.public().to_string();
        let claims = json!({"authority": target, "reason": "keyCompromise"});
        let subject = Sha256::of(target.as_bytes());
        self.restriction(EvidenceKind::Revocation, subject, &claims, by)
    }

    /// The quarantine of this lineage.
    pub fn quarantine(&self, by: &SigningKey) -> Vec<u8> {
        let claims = json!({"action": "quarantine", "target": self.lineage});
        let subject = Sha256::of(self.lineage.as_bytes());
        self.restriction(EvidenceKind::Containment, subject, &claims, by)
    }

    /// The grant of a role, in the given slot of the `_governance` chain.
    pub fn grant(&self, authority: &SigningKey, role: &str, by: &SigningKey, slot: Slot) -> Vec<u8> {
        let target = authority.public().to_string();
        let claims = json!({"authority": target, "name": role, "role": role,
            "notBefore": self.issued_at.to_string(), "notAfter": Seconds(self.issued_at.0 + 100_000).to_string()});
        let subject = Sha256::of(target.as_bytes());
        let draft = self.draft(EvidenceKind::AuthorityGrant, "_governance", subject, &claims);
        draft.slot(slot.0, slot.1).sign(&[by, authority])
    }

    /// A statement of `_governance` that takes no slot.
    fn restriction(&self, kind: EvidenceKind, subject: Sha256, claims: &Value, by: &SigningKey) -> Vec<u8> {
        let mut draft = self.draft(kind, "_governance", subject, claims);
        draft.0.sequence = None;
        draft.sign(&[by])
    }

    fn draft(&self, kind: EvidenceKind, lineage: &str, subject: Sha256, claims: &Value) -> Draft {
        let claims = assent_proof::json::parse(claims.to_string().as_bytes()).unwrap_or(Json::Null);
        let place = Place {
            origin: self.origin.clone(),
            domain: parsed(&self.domain),
            lineage: parsed(lineage),
            subject,
            issued_at: self.issued_at,
        };
        place.raw(kind, claims)
    }
}

/// A slot and its parent.
pub type Slot = (u64, Option<EvidenceId>);

impl Cluster {
    /// The next slot of a domain's `_governance` chain, as a node answers.
    pub async fn governance_slot(&self, through: u64, domain: &str) -> Slot {
        let page = self.get(through, &format!("/v1/lineages/{domain}/_governance?limit=1")).await;
        let head = page.text("head").and_then(|head| head.parse().ok());
        (page.number("sequence").map_or(0, |last| last + 1), head)
    }
}

/// The id of an envelope's statement.
pub fn id_of(envelope: &[u8]) -> Option<EvidenceId> {
    Envelope::parse(envelope).ok().map(|envelope| envelope.id())
}

#[expect(clippy::panic, reason = "the names are the tests' own; a wrong one is a mistake in the test")]
fn parsed<T: std::str::FromStr>(name: &str) -> T {
    name.parse().unwrap_or_else(|_| panic!("`{name}` is not a name"))
}
