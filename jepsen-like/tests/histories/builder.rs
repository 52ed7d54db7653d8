//! Builds histories: really signed evidence and decisions, and a ledger that does what the test says.

use std::collections::BTreeMap;

use assent_fixtures::Place;
use assent_jepsen::history::{History, Op, Outcome, Record};
use assent_proof::{Envelope, EvidenceKind, Seconds, Sha256, SigningKey, json as strict, sign_batch};
use serde_json::{Value, json};

/// The registry of the stories.
pub(crate) const ORIGIN: &str = "registry.test";
/// When the stories begin.
pub(crate) const BEGIN: Seconds = Seconds(1_795_374_000);
const MS: u64 = 1_000_000;
/// The registry's history in every story.
const HISTORY: &str = "blake3:00/e1";

/// The key of somebody in the stories.
pub(crate) fn key(who: &str) -> SigningKey {
    SigningKey::from_seed(Sha256::of(who.as_bytes()).0)
}

/// Somebody's key, as it is written.
pub(crate) fn name(who: &str) -> String {
    key(who).public().to_string()
}

/// So many seconds after the beginning, as statements write it.
pub(crate) fn time(seconds: i64) -> String {
    BEGIN.saturating_add(seconds).to_string()
}

/// An envelope and its id.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl Piece {
    pub(crate) fn new(
        kind: EvidenceKind,
        lineage: &str,
        by: &str,
        sequence: Option<u64>,
        claims: Value,
    ) -> Self {
        let domain = if lineage == "_root" { "_root" } else { "prod" };
        let lineage = if lineage == "_root" { "_governance" } else { lineage };
        let place = Place::new(ORIGIN, domain.parse().unwrap(), BEGIN).lineage(lineage.parse().unwrap());
        let claims = strict::parse(claims.to_string().as_bytes()).unwrap();
        let mut draft = place.about("it").raw(kind, claims);
        draft.0.sequence = sequence;
        Self::of(&draft.sign(&[&key(by)]))
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let id = Envelope::parse(bytes).unwrap().id().to_string();
        Self { id, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// The same statement in other bytes.
    pub(crate) fn reencoded(&self) -> Self {
        Self { id: self.id.clone(), text: format!(" {}", self.text) }
    }
}

/// An authorization of lineage `x`, for 100 s.
pub(crate) fn authorization(by: &str) -> Piece {
    let claims = json!({"actions": ["run"], "notBefore": time(0), "notAfter": time(100)});
    Piece::new(EvidenceKind::ExecutionAuthorization, "x", by, Some(0), claims)
}

/// An authorization of so many uses.
pub(crate) fn counted(by: &str, sequence: u64, uses: u64) -> Piece {
    let claims = json!({"actions": ["run"], "notBefore": time(0), "notAfter": time(100), "uses": uses});
    Piece::new(EvidenceKind::ExecutionAuthorization, "x", by, Some(sequence), claims)
}

pub(crate) fn attestation(by: &str) -> Piece {
    let claims = json!({"verifier": "v", "status": "affirming", "measurement": "m"});
    Piece::new(EvidenceKind::RuntimeAttestation, "x", by, Some(0), claims)
}

pub(crate) fn revocation(of: &str, by: &str) -> Piece {
    let claims = json!({"authority": name(of), "reason": "keyCompromise"});
    Piece::new(EvidenceKind::Revocation, "_governance", by, None, claims)
}

pub(crate) fn containment(action: &str, target: &str, by: &str) -> Piece {
    let claims = json!({"action": action, "target": target});
    Piece::new(EvidenceKind::Containment, "_governance", by, None, claims)
}

pub(crate) fn release(of: &Piece) -> Piece {
    let claims = json!({"containment": of.id});
    Piece::new(EvidenceKind::Release, "_governance", "governance", Some(7), claims)
}

pub(crate) fn permit_of(request: &Value) -> Piece {
    Piece::new(EvidenceKind::Permit, "x", "node", None, json!({"request": request}))
}

/// What everybody asks.
pub(crate) fn request() -> Value {
    json!({"domain": "prod", "lineage": "x", "action": "run",
        "subject": {"digest": {"sha256": Sha256::of(b"it").to_string()}}})
}

pub(crate) fn with_nonce(nonce: &str) -> Value {
    let mut request = request();
    request["nonce"] = nonce.into();
    request
}

#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) piece: Piece,
    pub(crate) accepted_at: i64,
}

/// A history while it is told, with times in milliseconds.
#[derive(Default)]
pub(crate) struct HistoryBuilder {
    pub(crate) records: Vec<Record>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) policy: Option<String>,
    clients: u64,
}

impl HistoryBuilder {
    /// A registry with the nodes' key granted.
    pub(crate) fn founded() -> Self {
        let mut builder = Self::default();
        let root = json!({"keys": [name("root")], "threshold": 1, "registryKey": name("registry")});
        builder.enter(&Piece::new(EvidenceKind::Root, "_root", "root", Some(0), root), 0);
        let grant = json!({"authority": name("node"), "name": "nodes", "role": "registry",
            "notBefore": time(0), "notAfter": time(9000)});
        builder.enter(&Piece::new(EvidenceKind::AuthorityGrant, "_root", "root", Some(1), grant), 0);
        builder
    }

    /// The same, and `governance` has authorized lineage `x`.
    pub(crate) fn authorized() -> Self {
        let mut builder = Self::founded();
        builder.accept(10, 20, &authorization("governance"));
        builder
    }

    pub(crate) fn enter(&mut self, piece: &Piece, ms: u64) -> Value {
        let accepted_at = BEGIN.to_millis().0 + i64::try_from(ms).unwrap();
        self.leaves.push(Leaf { piece: piece.clone(), accepted_at });
        let size = self.leaves.len();
        json!({"evidenceId": piece.id, "ledgerIndex": size - 1, "revision": size, "acceptedAt": accepted_at})
    }

    pub(crate) fn push(
        &mut self,
        op: Op,
        node: u64,
        at: (u64, Option<u64>),
        said: (Value, Value),
        outcome: Outcome,
    ) {
        self.clients += 1;
        let client = if matches!(op, Op::Fault | Op::Sample | Op::Ledger) { 0 } else { self.clients };
        let (invoke_ns, return_ns) = (at.0 * MS, at.1.map(|ms| ms * MS));
        let (input, output) = said;
        let key = String::new();
        self.records.push(Record { op, client, node, key, input, output, invoke_ns, return_ns, outcome });
    }

    /// It is accepted, at node 1.
    pub(crate) fn accept(&mut self, from: u64, to: u64, piece: &Piece) -> Value {
        let receipt = self.enter(piece, from);
        self.answered(from, to, piece, receipt.clone(), Outcome::Ok);
        receipt
    }

    /// It is answered with something, at node 1.
    pub(crate) fn answered(&mut self, from: u64, to: u64, piece: &Piece, answer: Value, outcome: Outcome) {
        let input = json!({"id": piece.id, "envelope": piece.text});
        self.push(Op::Submit, 1, (from, Some(to)), (input, answer), outcome);
    }

    pub(crate) fn refuse(&mut self, from: u64, to: u64, piece: &Piece, code: &str) {
        self.answered(from, to, piece, json!({"code": code}), Outcome::Deny);
    }

    /// Nobody answers.
    pub(crate) fn lose(&mut self, from: u64, piece: &Piece) {
        let input = json!({"id": piece.id, "envelope": piece.text});
        self.push(Op::Submit, 1, (from, None), (input, Value::Null), Outcome::Unknown);
    }

    /// A signed decision as of `from`.
    pub(crate) fn decision(
        &self,
        node: u64,
        from: u64,
        request: &Value,
        deny: Option<&str>,
        permit: Option<Value>,
    ) -> Value {
        let at = BEGIN.to_millis().0 + i64::try_from(from).unwrap();
        let verdict = if deny.is_some() { "deny" } else { "allow" };
        let reasons: Vec<Value> = deny.iter().map(|code| json!({"code": code})).collect();
        let policy = self.policy.as_ref().map(|id| json!({"evidenceId": id}));
        let mut said = json!({"decision": verdict, "request": request, "history": HISTORY,
            "nodeId": node, "revision": self.leaves.len(), "head": null, "policy": policy,
            "evaluatedAt": at, "validUntil": if deny.is_some() { at } else { at + 1000 }, "reasons": reasons});
        if let Some(permit) = permit {
            said["permit"] = permit;
        }
        signed(said)
    }

    fn ask(&mut self, op: Op, node: u64, from: u64, to: u64, request: Value, output: Value) {
        let outcome = if output["decision"] == "allow" { Outcome::Ok } else { Outcome::Deny };
        self.push(op, node, (from, Some(to)), (request, output), outcome);
    }

    pub(crate) fn allow(&mut self, node: u64, from: u64, to: u64) {
        let decision = self.decision(node, from, &request(), None, None);
        self.ask(Op::Authorize, node, from, to, request(), decision);
    }

    pub(crate) fn deny(&mut self, node: u64, from: u64, to: u64, code: &str) {
        let decision = self.decision(node, from, &request(), Some(code), None);
        self.ask(Op::Authorize, node, from, to, request(), decision);
    }

    /// A decision that somebody made up.
    pub(crate) fn allow_as(&mut self, node: u64, from: u64, to: u64, decision: Value) {
        self.push(Op::Authorize, node, (from, Some(to)), (request(), decision), Outcome::Ok);
    }

    /// A permit is recorded, if it was not, and allowed.
    pub(crate) fn permit(&mut self, from: u64, to: u64, nonce: &str) {
        let request = with_nonce(nonce);
        let piece = permit_of(&request);
        let known = self.leaves.iter().position(|leaf| leaf.piece.id == piece.id);
        let receipt = match known {
            Some(index) => json!({"evidenceId": piece.id, "ledgerIndex": index, "revision": index + 1,
                "acceptedAt": self.leaves[index].accepted_at}),
            None => self.enter(&piece, from),
        };
        let decision = self.decision(2, from, &request, None, Some(receipt));
        self.ask(Op::Permit, 2, from, to, request, decision);
    }

    /// Nobody answers the question.
    pub(crate) fn silent(&mut self, op: Op, node: u64, from: u64, request: Value) {
        self.push(op, node, (from, None), (request, Value::Null), Outcome::Unknown);
    }

    pub(crate) fn fault(&mut self, kind: &str, node: u64, from: u64, to: Option<u64>) {
        let input = json!({"kind": kind, "nodes": [node]});
        self.push(Op::Fault, node, (from, to), (input, Value::Null), Outcome::Ok);
    }

    /// All clocks leap a little; `anchored` if no process may trust them at once.
    pub(crate) fn small_leap(&mut self, anchored: bool, node: u64, from: u64, to: Option<u64>) {
        let input = json!({"anchored": anchored, "kind": "clocks-ratchet", "nodes": [node]});
        self.push(Op::Fault, node, (from, to), (input, Value::Null), Outcome::Ok);
    }

    /// A node gets a build that knows these rules.
    pub(crate) fn upgrade(&mut self, node: u64, known: u64, from: u64, to: Option<u64>) {
        let input = json!({"kind": "upgrade", "nodes": [node], "rulesKnown": known});
        self.push(Op::Fault, node, (from, to), (input, Value::Null), Outcome::Ok);
    }

    /// The nodes raise the rules to version 2.
    pub(crate) fn raise(&mut self, ms: u64) {
        self.enter(&Piece::new(EvidenceKind::Rules, "_root", "node", None, json!({"version": 2})), ms);
    }

    /// A node ends because its build does not know the rules.
    pub(crate) fn locked_out(&mut self, node: u64, ms: u64) {
        let why = "did not start: opening: the registry follows version 2 of its rules and this build knows them up to version 1: \
            start this node with a newer build";
        let input = json!({"kind": "exited", "nodes": [node], "why": why});
        self.push(Op::Fault, node, (ms, Some(ms)), (input, Value::Null), Outcome::Ok);
    }

    /// What is not said is as in a healthy follower of node 1 in term 1.
    pub(crate) fn sample(&mut self, ms: u64, node: u64, says: Value) {
        let mut output = json!({"boot": 1, "term": 1, "vote": {"term": 1, "node": 1, "committed": true},
            "state": "follower", "leader": 1, "lastLog": 10, "committed": {"index": 10, "term": 1},
            "applied": {"index": 10, "term": 1}, "voters": [[1, 2, 3]], "learners": [], "revision": 5});
        for (field, value) in says.as_object().unwrap() {
            output[field] = value.clone();
        }
        self.push(Op::Sample, node, (ms, Some(ms)), (Value::Null, output), Outcome::Ok);
    }

    /// What nodes 1 and 2 hold.
    pub(crate) fn ledgers(&mut self, ms: u64) {
        self.ledger(ms, 1, json!({}));
        self.ledger(ms + 1, 2, json!({}));
    }

    pub(crate) fn ledger(&mut self, ms: u64, node: u64, says: Value) {
        let leaves: Vec<Value> =
            self.leaves.iter().enumerate().map(|(index, leaf)| shown(index, leaf)).collect();
        let mut output = json!({"revision": leaves.len(), "applied": 30, "digest": "d30", "leaves": leaves});
        for (field, value) in says.as_object().unwrap() {
            output[field] = value.clone();
        }
        self.push(Op::Ledger, node, (ms, Some(ms)), (Value::Null, output), Outcome::Ok);
    }

    pub(crate) fn told(self) -> History {
        History::new(self.records)
    }
}

/// A leaf as a ledger shows it.
pub(crate) fn shown(index: usize, leaf: &Leaf) -> Value {
    json!({"index": index, "evidenceId": leaf.piece.id, "acceptedAt": leaf.accepted_at,
        "envelope": leaf.piece.text})
}

/// The decision with the nodes' receipt.
pub(crate) fn signed(mut said: Value) -> Value {
    let mut leaf = said.clone();
    leaf["salt"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
    let receipts = sign_batch(vec![leaf.to_string().into_bytes()], &key("node"));
    said["receipt"] = serde_json::from_str(&receipts[0].to_json().to_text()).unwrap();
    said
}

/// Stories by the name of their file.
pub(crate) type NamedHistories = BTreeMap<&'static str, History>;
