//! A registry in memory with real keys and signatures, and short ways to say what a test submits.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its own part of the support"
)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;

use assent_proof::{
    AttestationStatus, AuthorizeRequest, Claims, Code, Containment, DomainName, Envelope, EvidenceId,
    EvidenceKind, History, Json, LineageName, Millis, Of, ParsedEnvelope, PolicyBody, PolicyVerdict,
    PublicKey, Refusal, Requirement, RevocationReason, Role, Seconds, Sha256, SigningKey, Statement,
    VerifiedEnvelope, sign_statement,
};
use assent_registry::{
    Checked, Decision, GenesisFile, Group, MemoryRows, Outcome, Receipt, RulesVersion, ToVerify, Unverified,
    View, apply, authorize, bootstrap, query, refuses_strangers, rules_in_force, would_accept,
};

/// The origin of every registry in these tests.
pub const ORIGIN: &str = "registry.test/1";
/// Genesis time: 2026-11-22T19:00:00Z.
pub const T0: i64 = 1_795_374_000;

/// A fixed key for a number.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

/// `T0` plus seconds.
pub fn at(seconds: i64) -> Seconds {
    Seconds(T0 + seconds)
}

/// `T0` plus seconds, in milliseconds.
pub fn ms(seconds: i64) -> Millis {
    Millis((T0 + seconds) * 1000)
}

/// The keys of a test registry.
pub struct Keys {
    pub root: SigningKey,
    pub checkpoint: SigningKey,
    pub node: SigningKey,
    pub governance: Vec<SigningKey>,
    pub attestation: SigningKey,
    pub attestation2: SigningKey,
    pub runtime: SigningKey,
    pub orchestration: SigningKey,
    pub gateway: SigningKey,
    pub audit: SigningKey,
    pub zone: SigningKey,
}

impl Keys {
    fn new(governance: u8) -> Self {
        Self {
            root: key(1),
            checkpoint: key(2),
            node: key(3),
            governance: (0..governance).map(|n| key(10 + n)).collect(),
            attestation: key(20),
            attestation2: key(21),
            runtime: key(22),
            orchestration: key(23),
            gateway: key(24),
            audit: key(25),
            zone: key(26),
        }
    }
}

/// A statement to be shaped and signed.
#[derive(Clone)]
pub struct Draft(pub Statement);

impl Draft {
    pub fn sign(&self, keys: &[&SigningKey]) -> Vec<u8> {
        let mut statement = self.0.clone();
        statement.issuers = keys.iter().map(|key| key.public()).collect();
        sign_statement(&statement, keys)
    }
    pub fn slot(mut self, sequence: u64, parent: Option<EvidenceId>) -> Self {
        self.0.sequence = Some(sequence);
        self.0.parent = parent;
        self
    }
    pub fn issued(mut self, at: Seconds) -> Self {
        self.0.issued_at = at;
        self
    }
    pub fn expires(mut self, at: Seconds) -> Self {
        self.0.expires_at = Some(at);
        self
    }
    pub fn references(mut self, references: &[EvidenceId]) -> Self {
        self.0.references = references.to_vec();
        self
    }
    pub fn subject(mut self, subject: &str) -> Self {
        self.0.subject = Sha256::of(subject.as_bytes());
        self
    }
    pub fn lineage(mut self, lineage: &str) -> Self {
        self.0.lineage = lineage.parse().unwrap();
        self
    }
    pub fn domain(mut self, domain: &str) -> Self {
        self.0.domain = domain.parse().unwrap();
        self
    }
}

/// The domain of these tests.
pub fn domain() -> DomainName {
    "prod.eu".parse().unwrap()
}

/// The lineage most tests use.
pub fn lineage() -> LineageName {
    "exec-1".parse().unwrap()
}

fn draft(kind: EvidenceKind, claims: Json) -> Draft {
    Draft(Statement {
        subject_name: None,
        subject: Sha256::of(b"trainer"),
        kind,
        registry: ORIGIN.to_owned(),
        domain: domain(),
        lineage: lineage(),
        issuers: Vec::new(),
        sequence: Some(0),
        parent: None,
        references: Vec::new(),
        issued_at: at(0),
        expires_at: None,
        claims,
    })
}

/// A statement with claims as JSON text.
pub fn raw(kind: EvidenceKind, claims: &str) -> Draft {
    draft(kind, assent_proof::json::parse(claims.as_bytes()).unwrap())
}

fn governance(kind: EvidenceKind, claims: Claims, target: &str) -> Draft {
    let mut draft = draft(kind, claims.to_json());
    draft.0.lineage = LineageName::governance();
    draft.0.subject = Sha256::of(target.as_bytes());
    draft
}

pub fn root_statement(keys: &[PublicKey], threshold: u32, registry_key: PublicKey) -> Draft {
    let claims = Claims::Root { keys: keys.to_vec(), threshold, registry_key };
    governance(EvidenceKind::Root, claims, ORIGIN).domain("_root")
}

pub fn domain_statement(name: &str, keys: &[PublicKey], threshold: u32) -> Draft {
    let claims = Claims::Domain { domain: name.parse().unwrap(), governance: keys.to_vec(), threshold };
    governance(EvidenceKind::Domain, claims, name).domain("_root")
}

pub fn grant(authority: PublicKey, role: Role) -> Draft {
    grant_for(authority, role, at(-3600), at(86_400))
}

pub fn grant_for(authority: PublicKey, role: Role, not_before: Seconds, not_after: Seconds) -> Draft {
    let name = format!("the {role} authority");
    let claims = Claims::AuthorityGrant { authority, name, role, not_before, not_after };
    governance(EvidenceKind::AuthorityGrant, claims, &authority.to_string())
}

pub fn policy(body: PolicyBody) -> Draft {
    governance(EvidenceKind::Policy, Claims::Policy(body), domain().as_ref())
}

pub fn revocation(authority: PublicKey, invalid_since: Option<Seconds>) -> Draft {
    let reason = RevocationReason::KeyCompromise;
    let claims = Claims::Revocation { authority, reason, invalid_since };
    let mut draft = governance(EvidenceKind::Revocation, claims, &authority.to_string());
    draft.0.sequence = None;
    draft
}

pub fn containment(containment: Containment) -> Draft {
    let target = containment.target();
    let mut draft = governance(EvidenceKind::Containment, Claims::Containment(containment), &target);
    draft.0.sequence = None;
    draft
}

pub fn quarantine(lineage: &str) -> Draft {
    containment(Containment::Quarantine(lineage.parse().unwrap()))
}

pub fn isolate() -> Draft {
    containment(Containment::Isolate(domain()))
}

pub fn invalidate(id: EvidenceId) -> Draft {
    containment(Containment::Invalidate(id))
}

pub fn release(id: EvidenceId) -> Draft {
    governance(EvidenceKind::Release, Claims::Release { containment: id }, &id.to_string())
}

pub fn reconciliation(conflict: [EvidenceId; 2], canonical: EvidenceId) -> Draft {
    let claims = Claims::Reconciliation { conflict, canonical };
    governance(EvidenceKind::Reconciliation, claims, &canonical.to_string())
}

pub fn permit(request: &AuthorizeRequest) -> Draft {
    let mut draft = draft(EvidenceKind::Permit, Claims::Permit(Box::new(request.clone())).to_json());
    draft.0.lineage = request.lineage.clone().unwrap();
    draft.0.subject = request.subject;
    draft.0.sequence = None;
    draft
}

pub fn rules(version: u32) -> Draft {
    let mut draft = governance(EvidenceKind::Rules, Claims::Rules { version }, "rules").domain("_root");
    draft.0.sequence = None;
    draft
}

pub fn recovery(epoch: u64, voters: &[PublicKey]) -> Draft {
    let claims = Claims::Recovery { epoch, voters: voters.to_vec() };
    governance(EvidenceKind::Recovery, claims, ORIGIN).domain("_root")
}

pub fn authorization(actions: &[&str]) -> Draft {
    authorization_with(actions, None, None, None)
}

pub fn authorization_with(
    actions: &[&str],
    audience: Option<&[&str]>,
    environment: Option<&str>,
    uses: Option<u32>,
) -> Draft {
    let claims = Claims::ExecutionAuthorization {
        actions: actions.iter().map(|a| (*a).to_owned()).collect(),
        audience: audience.map(|list| list.iter().map(|a| (*a).to_owned()).collect()),
        environment: environment.map(str::to_owned),
        not_before: at(-60),
        not_after: at(7200),
        uses,
        runtimes: None,
    };
    draft(EvidenceKind::ExecutionAuthorization, claims.to_json())
}

/// An authorization that is for these runtimes only.
pub fn authorization_on(actions: &[&str], runtimes: &[&str]) -> Draft {
    let claims = Claims::ExecutionAuthorization {
        actions: actions.iter().map(|a| (*a).to_owned()).collect(),
        audience: None,
        environment: None,
        not_before: at(-60),
        not_after: at(7200),
        uses: None,
        runtimes: Some(runtimes.iter().map(|name| name.parse().unwrap()).collect()),
    };
    draft(EvidenceKind::ExecutionAuthorization, claims.to_json())
}

pub fn attestation(status: AttestationStatus, measurement: &str) -> Draft {
    let claims = Claims::RuntimeAttestation {
        verifier: "verifier-1".to_owned(),
        status,
        measurement: measurement.to_owned(),
    };
    draft(EvidenceKind::RuntimeAttestation, claims.to_json())
}

pub fn affirming() -> Draft {
    attestation(AttestationStatus::Affirming, "m1")
}

pub fn integrity(measured: &str) -> Draft {
    draft(
        EvidenceKind::RuntimeIntegrity,
        Claims::RuntimeIntegrity { measured: measured.to_owned() }.to_json(),
    )
}

pub fn validation(policy_digest: &str, verdict: PolicyVerdict) -> Draft {
    let claims = Claims::PolicyValidation { policy_digest: policy_digest.to_owned(), verdict };
    draft(EvidenceKind::PolicyValidation, claims.to_json())
}

pub fn audit(event: &str) -> Draft {
    let claims = Claims::AuditLineage { event: event.to_owned(), detail: None };
    draft(EvidenceKind::AuditLineage, claims.to_json())
}

/// A policy that requires one fresh affirming attestation.
pub fn attested_policy() -> PolicyBody {
    PolicyBody {
        require: vec![Requirement {
            kind: EvidenceKind::RuntimeAttestation,
            of: Of::Execution,
            min_issuers: 1,
            max_age_seconds: Some(300),
        }],
        attestation_status: Some(vec![AttestationStatus::Affirming]),
        measurements: None,
        policy_digests: None,
        decision_ttl_seconds: 10,
        permit_always: false,
    }
}

/// A registry in memory.
#[derive(Clone)]
pub struct World {
    pub rows: MemoryRows,
    pub keys: Arc<Keys>,
    /// The newest rules that whoever applies knows.
    pub known: RulesVersion,
    governance_head: (u64, Option<EvidenceId>),
}

impl World {
    /// A registry whose domain has one governance key and the given policy.
    pub fn with_policy(body: PolicyBody) -> Self {
        Self::founded(1, 1, Some(body))
    }

    /// A registry whose domain requires one fresh affirming attestation.
    pub fn new() -> Self {
        Self::with_policy(attested_policy())
    }

    /// A registry whose domain has `governance` keys of which `threshold` must sign.
    pub fn founded(governance: u8, threshold: u32, body: Option<PolicyBody>) -> Self {
        let keys = Keys::new(governance);
        let file = GenesisFile::parse(&genesis_bytes(&keys, threshold)).unwrap();
        let mut rows = MemoryRows::new();
        bootstrap(&mut rows, &file).unwrap();
        let mut world =
            World { rows, keys: Arc::new(keys), known: RulesVersion::NEWEST, governance_head: (0, None) };
        let grants = [
            (world.keys.attestation.public(), Role::Attestation, 20),
            (world.keys.attestation2.public(), Role::Attestation, 21),
            (world.keys.runtime.public(), Role::Runtime, 22),
            (world.keys.orchestration.public(), Role::Orchestration, 23),
            (world.keys.gateway.public(), Role::Gateway, 24),
            (world.keys.audit.public(), Role::Audit, 25),
            (world.keys.zone.public(), Role::Zone, 26),
        ];
        for (authority, role, seed) in grants {
            world.govern(grant(authority, role), &[&key(seed)]);
        }
        if let Some(body) = body {
            world.govern(policy(body), &[]);
        }
        world
    }

    /// Accepts a governance statement in the next shared slot, signed by the whole governance and `others`.
    pub fn govern(&mut self, draft: Draft, others: &[&SigningKey]) -> Receipt {
        let (sequence, parent) = self.governance_head;
        let keys = self.keys.clone();
        let signers: Vec<&SigningKey> = keys.governance.iter().chain(others.iter().copied()).collect();
        let bytes = draft.slot(sequence, parent).sign(&signers);
        let receipt = accepted(&self.submit_at(0, &bytes));
        self.governance_head = (sequence + 1, Some(receipt.evidence_id));
        receipt
    }

    /// Submits a governance statement in the next shared slot, signed by these keys.
    pub fn try_to_govern(&mut self, draft: Draft, signers: &[&SigningKey]) -> Outcome {
        let (sequence, parent) = self.governance_head;
        let outcome = self.submit(&draft.slot(sequence, parent).sign(signers));
        if let Outcome::Accepted { receipt, .. } = &outcome {
            self.governance_head = (sequence + 1, Some(receipt.evidence_id));
        }
        outcome
    }

    /// Submits a statement in the next slot of `_root`.
    pub fn submit_to_root(&mut self, seconds: i64, draft: Draft, signers: &[&SigningKey]) -> Outcome {
        let (slot, head) = query::governance_slot(&self.rows, &DomainName::root()).unwrap();
        self.submit_at(seconds, &draft.slot(slot, head).sign(signers))
    }

    /// A governance statement was accepted beside `govern`: the next slot, and its parent.
    pub fn governed(&mut self, next: u64, head: EvidenceId) {
        self.governance_head = (next, Some(head));
    }

    /// The next slot and parent of the domain's `_governance`.
    pub fn governance_slot(&self) -> (u64, Option<EvidenceId>) {
        self.governance_head
    }

    /// Submits one envelope at `T0` plus seconds; a dry run before must have known what becomes of it, and what is refused as of
    /// strangers before a signature is computed must be refused with the same code.
    pub fn submit_at(&mut self, seconds: i64, bytes: &[u8]) -> Outcome {
        let strange = strangers(&self.rows, bytes);
        let foreseen = verified(&self.rows, bytes)
            .and_then(|envelope| would_accept(&self.rows, self.known, ms(seconds), &envelope).unwrap());
        let outcome = self.submit_group(seconds, false, &[bytes.to_vec()]).remove(0);
        match &outcome {
            Outcome::Accepted { .. } => {
                assert_eq!(foreseen, Ok(()));
                assert_eq!(strange, None, "it was accepted");
            }
            Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => {
                assert_eq!(foreseen.as_ref(), Err(refusal));
                if let Some(strange) = strange {
                    assert_eq!(strange.code, refusal.code, "{strange} {refusal}");
                }
            }
        }
        outcome
    }

    /// Submits one envelope at `T0`.
    pub fn submit(&mut self, bytes: &[u8]) -> Outcome {
        self.submit_at(0, bytes)
    }

    /// Submits envelopes as one group.
    pub fn submit_group(&mut self, seconds: i64, atomic: bool, envelopes: &[Vec<u8>]) -> Vec<Outcome> {
        let group = group_of(atomic, envelopes.iter().map(|bytes| unverified(bytes)).collect());
        let outcomes = apply(&mut self.rows, self.known, ms(seconds), &[group]).unwrap().remove(0);
        if self.revision() < 40 {
            // It works everything out anew, so only where there is little.
            assert_eq!(assent_registry::facts::check(&self.rows), Ok(Vec::new()));
        }
        outcomes
    }

    /// The usual grounds: an authorization for `run` and an affirming attestation. Answers their ids.
    pub fn grounds(&mut self) -> (EvidenceId, EvidenceId) {
        let keys = self.keys.clone();
        let artifact = authorization(&["run"]).sign(&[&keys.governance[0]]);
        let attested = affirming().sign(&[&keys.attestation]);
        (accepted(&self.submit(&artifact)).evidence_id, accepted(&self.submit(&attested)).evidence_id)
    }

    /// Decides at `T0` plus seconds.
    pub fn decide_at(&self, seconds: i64, request: &AuthorizeRequest) -> Decision {
        authorize(&View::new(&self.rows), request, ms(seconds))
    }

    /// The history in force.
    pub fn history(&self) -> Option<History> {
        query::history(&self.rows).unwrap()
    }

    /// Root recovers the registry by its one node: the next epoch begins.
    pub fn recover(&mut self) -> Receipt {
        let (keys, epoch) = (self.keys.clone(), query::summary(&self.rows).unwrap().unwrap().epoch + 1);
        accepted(&self.submit_to_root(0, recovery(epoch, &[keys.node.public()]), &[&keys.root]))
    }

    /// Decides the usual request at `T0`.
    pub fn decide(&self) -> Decision {
        self.decide_at(0, &request())
    }

    /// What an empty registry holds after the ledger is replayed into it, at most `per_command` leaves at a time.
    pub fn replayed(&self, per_command: usize) -> MemoryRows {
        let genesis = GenesisFile::parse(&genesis_bytes(&self.keys, 1)).unwrap();
        let mut rows = MemoryRows::new();
        bootstrap(&mut rows, &genesis).unwrap();
        let first = query::revision(&rows).unwrap();
        let leaves: Vec<(Millis, Vec<u8>)> = (first..self.revision())
            .map(|index| {
                let (id, accepted_at) = query::leaf(&self.rows, index).unwrap().unwrap();
                (accepted_at, query::envelope(&self.rows, &id).unwrap().unwrap())
            })
            .collect();
        let mut rest = leaves.as_slice();
        while let Some((time, _)) = rest.first() {
            let same_time = rest.iter().take_while(|(at, _)| at == time).count().min(per_command);
            let envelopes = rest[..same_time].iter().map(|(_, bytes)| unverified(bytes)).collect();
            apply(&mut rows, self.known, *time, &[group_of(false, envelopes)]).unwrap();
            rest = &rest[same_time..];
        }
        rows
    }

    pub fn revision(&self) -> u64 {
        query::revision(&self.rows).unwrap()
    }
}

/// The genesis file's bytes of these keys.
pub fn genesis_bytes(keys: &Keys, threshold: u32) -> Vec<u8> {
    let root = root_statement(&[keys.root.public()], 1, keys.checkpoint.public())
        .slot(0, None)
        .sign(&[&keys.root, &keys.checkpoint]);
    let node = grant(keys.node.public(), Role::Registry)
        .domain("_root")
        .slot(1, Some(id_of(&root)))
        .sign(&[&keys.root, &keys.node]);
    let governance: Vec<PublicKey> = keys.governance.iter().map(SigningKey::public).collect();
    let signers: Vec<&SigningKey> = std::iter::once(&keys.root).chain(&keys.governance).collect();
    let domain = domain_statement(domain().as_ref(), &governance, threshold)
        .slot(2, Some(id_of(&node)))
        .sign(&signers);
    let envelopes: Vec<Envelope> =
        [root, node, domain].iter().map(|bytes| Envelope::parse(bytes).unwrap()).collect();
    GenesisFile::format(&envelopes).unwrap()
}

/// What `apply` takes of these bytes.
pub fn unverified(bytes: &[u8]) -> Unverified<'_> {
    Unverified { bytes, origin: ORIGIN }
}

/// Envelopes of one submission, as `apply` takes them.
pub fn group_of<E>(atomic: bool, envelopes: Vec<E>) -> Group<E> {
    Group { atomic, envelopes }
}

/// What they are under the rules that these rows follow.
pub fn verified(rows: &MemoryRows, bytes: &[u8]) -> Result<Arc<VerifiedEnvelope>, Refusal> {
    match unverified(bytes).verified(rules_in_force(rows).unwrap()) {
        Checked::Verified(envelope) => Ok(envelope),
        Checked::Refused(refusal) => Err(refusal),
    }
}

/// Why these rows refuse an envelope before a signature is computed, if they do.
pub fn strangers(rows: &MemoryRows, bytes: &[u8]) -> Option<Refusal> {
    let rules = rules_in_force(rows).ok()?;
    let parsed = ParsedEnvelope::parse(bytes, ORIGIN, rules).ok()?;
    // Of rows that cannot be read the dry run says what is wrong.
    refuses_strangers(&View::new(rows), &parsed, |_| false).ok()?
}

pub fn id_of(bytes: &[u8]) -> EvidenceId {
    Envelope::parse(bytes).unwrap().id()
}

/// The usual request: run `trainer` in `exec-1`.
pub fn request() -> AuthorizeRequest {
    AuthorizeRequest {
        domain: domain(),
        lineage: Some(lineage()),
        runtime: None,
        action: "run".to_owned(),
        subject: Sha256::of(b"trainer"),
        audience: None,
        environment: None,
        nonce: None,
        expected_head: None,
        min_revision: None,
        history: None,
    }
}

#[track_caller]
pub fn accepted(outcome: &Outcome) -> Receipt {
    match outcome {
        Outcome::Accepted { receipt, .. } => receipt.clone(),
        other => panic!("expected acceptance, got {other:?}"),
    }
}

#[track_caller]
pub fn refused(outcome: &Outcome) -> Code {
    match outcome {
        Outcome::Refused { refusal, .. } => refusal.code,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A refusal's code, field and detail.
#[track_caller]
pub fn refusal(outcome: &Outcome) -> (Code, &str, &str) {
    match outcome {
        Outcome::Refused { refusal, .. } => {
            (refusal.code, refusal.field.as_deref().unwrap_or(""), &refusal.detail)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The codes of a decision's reasons.
pub fn codes(decision: &Decision) -> Vec<Code> {
    decision.reasons.iter().map(|reason| reason.code).collect()
}

/// A registry whose root keys are three, of which two must sign; the first is `keys.root`.
pub fn two_of_three() -> (World, [SigningKey; 3]) {
    let mut world = World::new();
    let keys = world.keys.clone();
    let root = [keys.root.clone(), key(61), key(62)];
    let all: Vec<PublicKey> = root.iter().map(SigningKey::public).collect();
    let next = root_statement(&all, 2, keys.checkpoint.public());
    accepted(&world.submit_to_root(0, next, &[&root[0], &root[1], &root[2]]));
    (world, root)
}
