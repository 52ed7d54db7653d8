//! A registry by the rules themselves and one by the model, and random statements and requests for both, while the rules are
//! raised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use assent_jepsen::history::{Op, Outcome as Ended, Record};
use assent_jepsen::model::{Model, SubmitAnswer};
use assent_proof::{
    AuthorizeRequest, Envelope, EvidenceId, EvidenceKind, Millis, Seconds, Sha256, SigningKey, Statement,
    sign_statement, verify,
};
use assent_registry::{
    Checked, GenesisFile, MemoryRows, Outcome, RulesVersion, View, apply, authorize, authorize_permitted,
    bootstrap, query,
};
use serde_json::{Value, json};

const ORIGIN: &str = "registry.test/1";
const T0: i64 = 1_795_374_000;
const DOMAINS: [&str; 2] = ["lab", "prod"];
const LINEAGES: [&str; 3] = ["exec-1", "exec-2", "host-1"];
const ROLES: [&str; 6] = ["attestation", "runtime", "orchestration", "gateway", "audit", "zone"];

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
    /// Once in so many.
    pub(crate) fn once_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
    /// A domain, mostly the second.
    fn domain(&mut self) -> usize {
        usize::from(!self.once_in(5))
    }
    /// A lineage, mostly the first.
    fn lineage(&mut self) -> &'static str {
        LINEAGES[[0, 0, 0, 0, 1, 2, 2][self.below(7)]]
    }
    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

fn key(seed: usize) -> SigningKey {
    SigningKey::from_seed([u8::try_from(seed).unwrap(); 32])
}

fn name(seed: usize) -> String {
    key(seed).public().to_string()
}

/// A number for each key: root 1–3, checkpoints 4, node 5; of a domain from 20 (lab) or 60 (prod): governance 0–4,
/// then one of each role twice, then spare ones.
fn base(domain: usize) -> usize {
    20 + 40 * domain
}

/// A registry and its model, and what a generator has to know to make statements that mostly are accepted.
pub(crate) struct Both {
    rows: MemoryRows,
    model: Model,
    pub(crate) dice: Dice,
    now_ms: i64,
    /// Accepted and refused envelopes.
    sent: Vec<Vec<u8>>,
    /// Ids of what was accepted, with kind, domain and lineage.
    known: Vec<(EvidenceId, String, String, String)>,
    /// What was accepted in a chain, by domain, lineage and, where each has its own, issuer.
    chains: BTreeMap<(String, String, String), Vec<EvidenceId>>,
    pairs: Vec<[EvidenceId; 2]>,
    permits: Vec<Value>,
    pub(crate) tally: BTreeMap<String, u64>,
    pub(crate) told: Vec<String>,
    /// What was done, each at a moment of its own.
    pub(crate) done: Vec<Record>,
}

type Said = (String, Option<u64>);

impl Both {
    pub(crate) fn new(seed: u64) -> Self {
        let mut both = Self {
            rows: MemoryRows::new(),
            model: Model::default(),
            dice: Dice(seed),
            now_ms: T0 * 1000,
            sent: Vec::new(),
            known: Vec::new(),
            chains: BTreeMap::new(),
            pairs: Vec::new(),
            permits: Vec::new(),
            tally: BTreeMap::new(),
            told: Vec::new(),
            done: Vec::new(),
        };
        let text = |at: i64| Seconds(at).to_string();
        let (from, to) = (text(T0 - 3600), text(T0 + 86_400));
        let keys: Vec<String> = (1..4).map(name).collect();
        let mut file = vec![both.governs(
            "root",
            "_root",
            ORIGIN,
            json!({"keys": keys, "threshold": 2, "registryKey": name(4)}),
            &[1, 2, 3, 4],
        )];
        both.chain("_root", &file[0]);
        let grant = json!({"authority": name(5), "name": "node", "role": "registry", "notBefore": from, "notAfter": to});
        file.push(both.governs("authority-grant", "_root", &name(5), grant, &[1, 2, 5]));
        both.chain("_root", &file[1]);
        for (d, domain) in DOMAINS.iter().enumerate() {
            let seeds: Vec<usize> = (base(d)..base(d) + 3 - 2 * (1 - d)).collect();
            let governance: Vec<String> = seeds.iter().map(|seed| name(*seed)).collect();
            let claims = json!({"domain": domain, "governance": governance, "threshold": 1 + d});
            let signers: Vec<usize> = [1, 2].into_iter().chain(seeds).collect();
            let envelope = both.governs("domain", "_root", domain, claims, &signers);
            both.chain("_root", &envelope);
            file.push(envelope);
        }
        let envelopes: Vec<Envelope> = file.iter().map(|bytes| Envelope::parse(bytes).unwrap()).collect();
        bootstrap(&mut both.rows, &GenesisFile::parse(&GenesisFile::format(&envelopes).unwrap()).unwrap())
            .unwrap();
        for (index, bytes) in file.iter().enumerate() {
            let (_, at) = query::leaf(&both.rows, u64::try_from(index).unwrap()).unwrap().unwrap();
            both.model = both.model.founded_with(std::str::from_utf8(bytes).unwrap(), at.0).unwrap();
        }
        for (d, domain) in DOMAINS.iter().enumerate() {
            for (r, role) in ROLES.iter().enumerate() {
                for twin in 0..2 {
                    let seed = base(d) + 5 + 2 * r + twin;
                    let to = if both.dice.once_in(6) { text(T0 + 40) } else { to.clone() };
                    let claims = json!({"authority": name(seed), "name": role, "role": role, "notBefore": from, "notAfter": to});
                    let envelope = both.governs(
                        "authority-grant",
                        domain,
                        &name(seed),
                        claims,
                        &[base(d), base(d) + d, seed],
                    );
                    both.submit(&envelope);
                }
            }
            let policy = both.policy();
            let envelope = both.governs("policy", domain, domain, policy, &[base(d), base(d) + d]);
            both.submit(&envelope);
        }
        both
    }

    fn id(bytes: &[u8]) -> EvidenceId {
        Envelope::parse(bytes).unwrap().id()
    }

    fn chain(&mut self, domain: &str, bytes: &[u8]) {
        let chain =
            self.chains.entry((domain.to_owned(), "_governance".to_owned(), String::new())).or_default();
        chain.push(Self::id(bytes));
    }

    fn draft(&mut self, kind: &str, domain: &str, lineage: &str, subject: &str, claims: &Value) -> Statement {
        let ahead = if self.dice.once_in(60) { 20 } else { 0 };
        let back = i64::try_from(self.dice.below(30)).unwrap();
        // Up to the bound ahead is accepted, and ages from its acceptance.
        let soon = (self.now_ms + 500) / 1000;
        let soon = self.dice.once_in(3).then_some(soon);
        Statement {
            subject_name: None,
            subject: Sha256::of(subject.as_bytes()),
            kind: EvidenceKind::from_predicate_type(&format!("urn:egpep:v1:{kind}")).unwrap(),
            registry: ORIGIN.to_owned(),
            domain: domain.parse().unwrap(),
            lineage: lineage.parse().unwrap(),
            issuers: Vec::new(),
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at: Seconds(if self.sent.is_empty() {
                T0 - 60
            } else {
                soon.unwrap_or(self.now_ms / 1000 - back + ahead * 2)
            }),
            expires_at: None,
            claims: assent_proof::json::parse(claims.to_string().as_bytes()).unwrap(),
        }
    }

    fn sign(mut statement: Statement, seeds: &[usize]) -> Vec<u8> {
        let mut seeds = seeds.to_vec();
        seeds.sort_unstable();
        seeds.dedup();
        let keys: Vec<SigningKey> = seeds.into_iter().map(key).collect();
        statement.issuers = keys.iter().map(SigningKey::public).collect();
        // The registry's own key signs the root that names it, and is no issuer of anything.
        sign_statement(&statement, &keys.iter().collect::<Vec<_>>())
    }

    fn governs(
        &mut self,
        kind: &str,
        domain: &str,
        target: &str,
        claims: Value,
        signers: &[usize],
    ) -> Vec<u8> {
        let mut statement = self.draft(kind, domain, "_governance", target, &claims);
        let chain = self.chains.get(&(domain.to_owned(), "_governance".to_owned(), String::new()));
        let chain = chain.cloned().unwrap_or_default();
        let mut next = chain.len();
        if self.sent.len() > 30 && self.dice.once_in(25) {
            next = self.dice.below(chain.len() + 2);
        }
        statement.sequence = Some(u64::try_from(next).unwrap());
        statement.parent = next.checked_sub(1).and_then(|before| chain.get(before)).copied();
        if next > 0 && statement.parent.is_none() {
            statement.parent = Some(EvidenceId([9; 32]));
        }
        Self::sign(statement, signers)
    }

    fn policy(&mut self) -> Value {
        let kinds = [
            "runtime-attestation",
            "runtime-integrity",
            "policy-validation",
            "audit-lineage",
            "execution-authorization",
        ];
        let require: Vec<Value> = (0..self.dice.below(3))
            .map(|_| {
                let mut one = json!({"kind": self.dice.pick(&kinds),
                    "of": if self.dice.once_in(4) { "runtime" } else { "execution" }, "minIssuers": 1 + self.dice.below(2)});
                if self.dice.once_in(2) {
                    one["maxAgeSeconds"] = json!(20 + self.dice.below(60));
                }
                one
            })
            .collect();
        let mut policy = json!({"require": require, "decisionTtlSeconds": 10});
        if self.dice.once_in(2) {
            policy["attestationStatus"] = if self.dice.once_in(8) { json!([]) } else { json!(["affirming"]) };
        }
        if self.dice.once_in(3) {
            policy["measurements"] = json!(["m1", "m2"]);
        }
        if self.dice.once_in(3) {
            policy["policyDigests"] = json!(["d1"]);
        }
        if self.dice.once_in(8) {
            policy["permitAlways"] = json!(true);
        }
        policy
    }

    /// Submits to both and compares.
    fn submit(&mut self, bytes: &[u8]) -> bool {
        let index = u64::try_from(self.model.len()).unwrap();
        let text = std::str::from_utf8(bytes).unwrap();
        let verified = verify(bytes, ORIGIN);
        let statement = verified.as_ref().ok().map(|envelope| envelope.statement().clone());
        let refused = verified.as_ref().err().map(|refusal| refusal.code);
        let checked = match verified {
            Ok(envelope) => Checked::Verified(Arc::new(envelope)),
            Err(refusal) => Checked::Refused(refusal),
        };
        let outcome =
            apply(&mut self.rows, RulesVersion::TEST, Millis(self.now_ms), &[(false, vec![checked])])
                .unwrap()
                .remove(0)
                .remove(0);
        let real: Said = match &outcome {
            Outcome::Accepted { receipt, .. } if receipt.ledger_index == index => {
                ("accepted".to_owned(), Some(receipt.ledger_index))
            }
            Outcome::Accepted { receipt, .. } => ("again".to_owned(), Some(receipt.ledger_index)),
            Outcome::Equivocation { receipt, .. } => ("equivocation".to_owned(), Some(receipt.ledger_index)),
            Outcome::Refused { refusal, .. } => (refusal.code.to_string(), None),
        };
        if let Some(statement) = &statement {
            let of = |receipt: &assent_registry::Receipt| {
                json!({"evidenceId": receipt.evidence_id.to_string(), "ledgerIndex": receipt.ledger_index,
                    "revision": receipt.revision, "acceptedAt": receipt.accepted_at.0})
            };
            let (output, ended) = match &outcome {
                Outcome::Accepted { receipt, fresh } => {
                    let mut output = of(receipt);
                    output["repeated"] = json!(!fresh);
                    (output, Ended::Ok)
                }
                Outcome::Equivocation { receipt, refusal } => {
                    (json!({"code": refusal.code.to_string(), "receipt": of(receipt)}), Ended::Deny)
                }
                Outcome::Refused { refusal, .. } => (json!({"code": refusal.code.to_string()}), Ended::Deny),
            };
            let input = json!({"id": Self::id(bytes).to_string(), "envelope": text});
            self.record(Op::Submit, statement.domain.as_ref(), input, output, ended);
        }
        let place = |place: usize| Some(u64::try_from(place).unwrap());
        self.sent.push(bytes.to_vec());
        let kind = statement.as_ref().map_or("unparsed".to_owned(), |s| s.kind.to_string());
        *self.tally.entry(format!("submit {kind} {}", real.0)).or_default() += 1;
        if refused.is_some() {
            return true;
        }
        let (next, answer) = self.model.submit(text, self.now_ms);
        let modelled: Said = match answer {
            SubmitAnswer::Accepted(at) => ("accepted".to_owned(), place(at)),
            SubmitAnswer::Again(at) => ("again".to_owned(), place(at)),
            SubmitAnswer::Equivocation(at) => ("equivocation".to_owned(), place(at)),
            SubmitAnswer::Refused(code) => (code.to_owned(), None),
        };
        let statement = statement.unwrap();
        if real != modelled {
            let said = String::from_utf8(statement.to_vec()).unwrap();
            self.told
                .push(format!("submit {kind}: rules {} model {}\n{said}\n{outcome:?}", real.0, modelled.0));
            return false;
        }
        self.model = next;
        let id = Self::id(bytes);
        if real.1 == Some(index) {
            let (domain, lineage) = (statement.domain.to_string(), statement.lineage.to_string());
            self.known.push((id, kind, domain.clone(), lineage.clone()));
            let issuer = statement.issuers[0].to_string();
            let issuer = if lineage == "_governance" { String::new() } else { issuer };
            let chain = self.chains.entry((domain, lineage, issuer)).or_default();
            if real.0 == "equivocation" {
                self.pairs.push([chain[usize::try_from(statement.sequence.unwrap()).unwrap()], id]);
            } else if statement.sequence.is_some() {
                chain.push(id);
            }
        }
        true
    }

    fn evidence(&mut self) -> Vec<u8> {
        let d = self.dice.domain();
        let (domain, lineage) = (DOMAINS[d], self.dice.lineage());
        let text = |at: i64| Seconds(at).to_string();
        let now = self.now_ms / 1000;
        let (kind, claims, roles): (&str, Value, &[usize]) = match self.dice.below(9) {
            0..=2 => {
                let mut claims = json!({"actions": if self.dice.once_in(5) { json!(["stop"]) } else { json!(["run", "stop"]) },
                    "notBefore": text(if self.dice.once_in(9) { now + 15 } else { T0 - 60 }),
                    "notAfter": text(now + if self.dice.once_in(5) { 20 } else { 5000 })});
                if self.dice.once_in(4) {
                    claims["uses"] = json!(1 + self.dice.below(2));
                }
                if self.dice.once_in(8) {
                    claims["audience"] = json!(["edge"]);
                }
                if self.dice.once_in(8) {
                    claims["environment"] = json!("blue");
                }
                ("execution-authorization", claims, &[0, 1, 2])
            }
            3 | 4 => {
                let status = if self.dice.once_in(4) { "warning" } else { "affirming" };
                let measurement = if self.dice.once_in(4) { "m9" } else { "m1" };
                (
                    "runtime-attestation",
                    json!({"verifier": "v", "status": status, "measurement": measurement}),
                    &[5, 6],
                )
            }
            5 => {
                let verdict = if self.dice.once_in(4) { "fail" } else { "pass" };
                let digest = if self.dice.once_in(4) { "d2" } else { "d1" };
                ("policy-validation", json!({"policyDigest": digest, "verdict": verdict}), &[9, 10, 0, 1])
            }
            6 | 7 => {
                let measured = if self.dice.once_in(4) { "m9" } else { "m2" };
                ("runtime-integrity", json!({"measured": measured}), &[7, 8, 5])
            }
            _ => {
                let event = if self.dice.once_in(5) { "completed" } else { "started" };
                let mut claims = json!({"event": event});
                if self.dice.once_in(2) {
                    claims["detail"] = json!("why");
                }
                ("audit-lineage", claims, &[13, 11, 9])
            }
        };
        let seed = match self.dice.below(40) {
            0 => base(d) + self.dice.below(24),
            1 => base(1 - d) + self.dice.below(20),
            _ => base(d) + *self.dice.pick(roles),
        };
        let subject = if self.dice.once_in(30) { "another" } else { lineage };
        let mut statement = self.draft(kind, domain, lineage, subject, &claims);
        if kind == "audit-lineage" || self.dice.once_in(4) {
            for _ in 0..=self.dice.below(2) {
                let known: Vec<_> =
                    self.known.iter().filter(|(_, kind, ..)| kind != "policy").cloned().collect();
                let near =
                    known.iter().filter(|(_, _, d, l)| d == domain && (l == lineage || self.now_ms % 3 == 0));
                let near: Vec<EvidenceId> = near.map(|known| known.0).collect();
                let id = if self.dice.once_in(20) || near.is_empty() {
                    EvidenceId([7; 32])
                } else {
                    *self.dice.pick(&near)
                };
                if !statement.references.contains(&id) {
                    statement.references.push(id);
                }
            }
        }
        if self.dice.once_in(8) {
            statement.expires_at = Some(Seconds(now - 3 + i64::try_from(self.dice.below(40)).unwrap()));
        }
        let chain = self
            .chains
            .get(&(domain.to_owned(), lineage.to_owned(), name(seed)))
            .cloned()
            .unwrap_or_default();
        let mut next = chain.len();
        if self.dice.once_in(9) {
            next = self.dice.below(chain.len() + 2);
        }
        statement.sequence = Some(u64::try_from(next).unwrap());
        statement.parent =
            next.checked_sub(1).map(|before| chain.get(before).copied().unwrap_or(EvidenceId([9; 32])));
        let second_half = self.pairs.iter().find(|[first, _]| Some(*first) == statement.parent);
        if let Some([_, second]) = second_half.filter(|_| self.now_ms % 2 == 0) {
            statement.parent = Some(*second);
        }
        if self.dice.once_in(40) {
            statement.parent = Some(EvidenceId([8; 32]));
        }
        Self::sign(statement, &[seed])
    }

    /// Some of a domain's governance keys, mostly enough.
    fn governors(&mut self, d: usize) -> Vec<usize> {
        let standing: Vec<usize> = match d {
            2 if self.dice.once_in(2) => vec![1, 2, 3],
            2 => vec![3, 2, 1],
            _ => (base(d)..base(d) + 5).collect(),
        };
        let domain = [DOMAINS[0], DOMAINS[1], "_root"][d];
        let governing: Vec<usize> = standing
            .iter()
            .copied()
            .filter(|seed| self.governs_now(domain, *seed) || self.dice.once_in(40))
            .collect();
        let mut few: Vec<usize> = Vec::new();
        for seed in governing {
            if few.len() < 2 || self.dice.once_in(3) {
                few.push(seed);
            }
        }
        if self.dice.once_in(20) {
            few.pop();
        }
        if self.dice.once_in(30) {
            few.push(base(d % 2) + self.dice.below(24));
        }
        if few.is_empty() {
            few.push(standing[0]);
        }
        few
    }

    fn governs_now(&self, domain: &str, seed: usize) -> bool {
        let key = key(seed).public();
        let view = query::authority(&self.rows, &key, Millis(self.now_ms));
        view.is_ok_and(|authority| authority.is_some_and(|authority| authority.revoked_by.is_none()))
            || domain == "_root"
    }

    fn governance(&mut self) -> Vec<u8> {
        let d = self.dice.domain();
        let domain = DOMAINS[d];
        let text = |at: i64| Seconds(at).to_string();
        let now = self.now_ms / 1000;
        let mut signers = self.governors(d);
        match self.dice.below(12) {
            0 | 1 => {
                let seed = base(d) + self.dice.below(26);
                let role = self.dice.pick(&["attestation", "audit", "runtime", "orchestration"]);
                let to = now + if self.dice.once_in(3) { 25 } else { 4000 };
                let claims = json!({"authority": name(seed), "name": "n", "role": role,
                    "notBefore": text(now - 30), "notAfter": text(to)});
                if !self.dice.once_in(15) {
                    signers.push(seed);
                }
                self.governs("authority-grant", domain, &name(seed), claims, &signers)
            }
            2 | 3 => {
                let policy = self.policy();
                self.governs("policy", domain, domain, policy, &signers)
            }
            4..=6 => {
                let all: Vec<EvidenceId> =
                    self.known.iter().filter(|known| known.2 == domain).map(|known| known.0).collect();
                let contained: Vec<EvidenceId> = self
                    .known
                    .iter()
                    .filter(|known| known.2 == domain && known.1 == "containment")
                    .map(|known| known.0)
                    .collect();
                let newest: Vec<EvidenceId> = contained.iter().rev().take(2).copied().collect();
                let list = match self.dice.below(6) {
                    0 => all,
                    1 => contained,
                    _ => newest,
                };
                let id = if list.is_empty() { EvidenceId([6; 32]) } else { *self.dice.pick(&list) };
                self.governs(
                    "release",
                    domain,
                    &id.to_string(),
                    json!({"containment": id.to_string()}),
                    &signers,
                )
            }
            7..=10 if !self.pairs.is_empty() => {
                let mut pair = *self.dice.pick(&self.pairs.clone());
                if self.dice.once_in(3) {
                    pair.reverse();
                }
                if self.dice.once_in(12) && !self.known.is_empty() {
                    pair[1] = self.known[self.dice.below(self.known.len())].0;
                }
                if pair[0] == pair[1] {
                    pair[1] = EvidenceId([5; 32]);
                }
                let canonical = pair[self.dice.below(2)].to_string();
                let claims =
                    json!({"conflict": [pair[0].to_string(), pair[1].to_string()], "canonical": canonical});
                self.governs("reconciliation", domain, &canonical, claims, &signers)
            }
            _ if self.dice.once_in(3) => {
                let mut seeds: Vec<usize> =
                    (base(d)..base(d) + 5).filter(|seed| self.governs_now(domain, *seed)).collect();
                if self.dice.once_in(2) && seeds.len() > 2 {
                    seeds.remove(self.dice.below(seeds.len()));
                }
                let fresh = base(d) + self.dice.below(5);
                if !seeds.contains(&fresh) {
                    seeds.push(fresh);
                }
                let governance: Vec<String> = seeds.iter().map(|seed| name(*seed)).collect();
                let claims = json!({"domain": domain, "governance": governance, "threshold": 1 + d});
                let mut signers = self.governors(2);
                if !self.dice.once_in(8) {
                    signers.push(fresh);
                }
                self.governs("domain", "_root", domain, claims, &signers)
            }
            _ => {
                let policy = self.policy();
                self.governs("policy", domain, domain, policy, &signers)
            }
        }
    }

    fn restriction(&mut self) -> Vec<u8> {
        let d = self.dice.domain();
        let domain = DOMAINS[d];
        let now = self.now_ms / 1000;
        let text = |at: i64| Seconds(at).to_string();
        if self.dice.once_in(40) {
            let mut claims = json!({"authority": name(3), "reason": "cessation"});
            if self.dice.once_in(2) {
                claims["invalidSince"] = json!(text(now - 20));
            }
            let signers = self.governors(2);
            let statement = self.draft("revocation", "_root", "_governance", &name(3), &claims);
            return Self::sign(statement, &signers);
        }
        if self.dice.once_in(2) {
            let target = if self.dice.once_in(4) {
                base(d) + self.dice.below(5)
            } else {
                base(d) + 5 + self.dice.below(20)
            };
            let mut claims = json!({"authority": name(target), "reason": "keyCompromise"});
            if self.dice.once_in(2) {
                let ago = i64::try_from(self.dice.below(60)).unwrap() - 2;
                claims["invalidSince"] = json!(text(now - ago));
            }
            let signers = if self.dice.once_in(4) { vec![target] } else { self.governors(d) };
            let statement = self.draft("revocation", domain, "_governance", &name(target), &claims);
            return Self::sign(statement, &signers);
        }
        let mine: Vec<EvidenceId> =
            self.known.iter().filter(|known| known.2 == domain).map(|known| known.0).collect();
        let (action, target) = match self.dice.below(8) {
            0 if self.dice.once_in(2) => {
                ("isolate", if self.dice.once_in(6) { DOMAINS[1 - d].to_owned() } else { domain.to_owned() })
            }
            1 => (
                "quarantine",
                if self.dice.once_in(9) { "nowhere" } else { *self.dice.pick(&LINEAGES) }.to_owned(),
            ),
            _ if mine.is_empty() || self.dice.once_in(15) => ("invalidate", EvidenceId([4; 32]).to_string()),
            _ => ("invalidate", self.dice.pick(&mine).to_string()),
        };
        let signer = match self.dice.below(3) {
            0 => base(d) + 13,
            1 => base(d) + self.dice.below(20),
            _ => base(d),
        };
        let statement = self.draft(
            "containment",
            domain,
            "_governance",
            &target,
            &json!({"action": action, "target": target}),
        );
        Self::sign(statement, &[signer])
    }

    fn request(&mut self, nonce: bool) -> Value {
        let lineage = self.dice.lineage();
        let domain = DOMAINS[self.dice.domain()];
        let mut request = json!({"domain": if self.dice.once_in(40) { "else" } else { domain },
            "action": if self.dice.once_in(9) { "jump" } else { "run" },
            "subject": {"digest": {"sha256": Sha256::of(if self.dice.once_in(20) { "another" } else { lineage }.as_bytes()).to_string()}}});
        if nonce || !self.dice.once_in(6) {
            request["lineage"] = json!(lineage);
        }
        if self.dice.once_in(2) {
            request["runtime"] = json!("host-1");
        }
        if self.dice.once_in(4) {
            request["audience"] = json!("edge");
        }
        if self.dice.once_in(4) {
            request["environment"] = json!("blue");
        }
        if self.dice.once_in(12) && !self.known.is_empty() {
            request["expectedHead"] = json!(self.known[self.dice.below(self.known.len())].0.to_string());
        }
        if nonce {
            request["nonce"] = json!(format!("n{}", self.dice.below(6)));
        }
        request
    }

    fn ask(&mut self) {
        let permits = self.dice.once_in(3);
        let request = if permits && !self.permits.is_empty() && self.dice.once_in(2) {
            self.dice.pick(&self.permits.clone()).clone()
        } else {
            self.request(permits)
        };
        let parsed = AuthorizeRequest::parse(request.to_string().as_bytes()).unwrap();
        let now = Millis(self.now_ms);
        let mut before = BTreeSet::new();
        let mut permit = None;
        let decision = if permits {
            let judged = self.model.consider(&request, self.now_ms);
            before.clone_from(&judged.reasons);
            let mut statement = self.draft(
                "permit",
                parsed.domain.as_ref(),
                request["lineage"].as_str().unwrap(),
                "",
                &json!({"request": request}),
            );
            statement.subject = parsed.subject;
            statement.issued_at = Seconds(self.now_ms / 1000);
            let bytes = Self::sign(statement, &[5]);
            let envelope = verify(&bytes, ORIGIN).unwrap();
            let checked = Checked::Verified(Arc::new(envelope));
            let revision = query::revision(&self.rows).unwrap();
            apply(&mut self.rows, RulesVersion::TEST, now, &[(false, vec![checked])]).unwrap();
            if query::revision(&self.rows).unwrap() > revision {
                self.permits.push(request.clone());
                let text = std::str::from_utf8(&bytes).unwrap();
                self.known.push((
                    Self::id(&bytes),
                    "permit".to_owned(),
                    parsed.domain.to_string(),
                    parsed.lineage.clone().unwrap().to_string(),
                ));
                match self.model.record_permit(&request, text, self.now_ms) {
                    Ok(next) => self.model = next,
                    Err(judged) => {
                        self.told.push(format!("permit: recorded, model {:?} {request}", judged.reasons));
                        self.model = self.model.founded_with(text, self.now_ms).unwrap();
                    }
                }
            } else if judged.allows() && judged.permit.is_none() {
                self.told.push(format!("permit: not recorded, the model would {request}"));
            }
            authorize_permitted(&View::new(&self.rows), &parsed, now)
        } else {
            authorize(&View::new(&self.rows), &parsed, now)
        };
        let judged = if permits {
            let judged = self.model.permit(&request, self.now_ms);
            permit = judged.permit;
            judged
        } else {
            self.model.authorize(&request, self.now_ms)
        };
        let real: BTreeSet<String> = decision.reasons.iter().map(|reason| reason.code.to_string()).collect();
        let modelled: BTreeSet<String> = judged.reasons.iter().map(|code| (*code).to_owned()).collect();
        let sort = if permits { "permit" } else { "authorize" };
        for code in &real {
            *self.tally.entry(format!("{sort} {code}")).or_default() += 1;
        }
        *self
            .tally
            .entry(format!("{sort} {}", if real.is_empty() { "allow" } else { "deny" }))
            .or_default() += 1;
        let reasons: Vec<Value> = real.iter().map(|code| json!({"code": code})).collect();
        let mut output = json!({"decision": if real.is_empty() { "allow" } else { "deny" }, "reasons": reasons,
            "revision": query::revision(&self.rows).unwrap(), "evaluatedAt": self.now_ms,
            "validUntil": decision.valid_until.0});
        if let Some(receipt) = &decision.permit {
            output["permit"] = json!({"evidenceId": receipt.evidence_id.to_string(),
                "ledgerIndex": receipt.ledger_index, "revision": receipt.revision, "acceptedAt": receipt.accepted_at.0});
        }
        let op = if permits { Op::Permit } else { Op::Authorize };
        let ended = if real.is_empty() { Ended::Ok } else { Ended::Deny };
        self.record(op, parsed.domain.as_ref(), request.clone(), output, ended);
        let index = decision.permit.as_ref().map(|receipt| receipt.ledger_index);
        let same_permit =
            !permits || !real.is_empty() || index == permit.map(|place| u64::try_from(place).unwrap());
        if real.is_empty() {
            let bound = if decision.valid_until.0 == self.now_ms + 10_000 { "the ttl" } else { "evidence" };
            *self.tally.entry(format!("{sort} allow for as long as {bound}")).or_default() += 1;
        }
        if real == modelled && decision.valid_until.0 != judged.valid_until_ms {
            self.told.push(format!(
                "{sort}: valid until another time\n   {request} {} model {} at {}",
                decision.valid_until.0, judged.valid_until_ms, self.now_ms
            ));
        }
        if real != modelled || !same_permit {
            let only =
                |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            self.told.push(format!(
                "{sort}: only rules {:?} only model {:?}\n   {request} {:?} model before {before:?} permits {index:?} {permit:?}",
                only(&real, &modelled),
                only(&modelled, &real),
                decision.reasons
            ));
        }
    }

    /// A node raises the rules, or somebody tries to.
    fn raise(&mut self) {
        let next = self.model.rules() + 1;
        let version =
            if self.dice.once_in(6) { next + 1 - 2 * u64::from(self.dice.once_in(2)) } else { next };
        let signer = if self.dice.once_in(6) { self.dice.below(40) } else { 5 };
        let statement =
            self.draft("rules", "_root", "_governance", "rules", &json!({"version": version.max(1)}));
        let bytes = Self::sign(statement, &[signer]);
        let text = std::str::from_utf8(&bytes).unwrap();
        let checked = Checked::Verified(Arc::new(verify(&bytes, ORIGIN).unwrap()));
        // A build that knows no more would have to stop.
        if version > u64::from(RulesVersion::TEST.0) {
            return;
        }
        let batch = [(false, vec![checked])];
        let mut outcomes =
            apply(&mut self.rows, RulesVersion::TEST, Millis(self.now_ms), &batch).unwrap().remove(0);
        let real = match outcomes.remove(0) {
            Outcome::Refused { refusal, .. } => refusal.code.to_string(),
            _ => "accepted".to_owned(),
        };
        let modelled = match self.model.record_rules(text, self.now_ms) {
            Ok(model) => {
                self.model = model;
                "accepted".to_owned()
            }
            Err(code) => code.to_owned(),
        };
        *self.tally.entry(format!("raise {real}")).or_default() += 1;
        if real != modelled {
            self.told.push(format!("raise: rules {real} model {modelled}\n{text}"));
        }
    }

    fn record(&mut self, op: Op, key: &str, input: Value, output: Value, outcome: Ended) {
        let moment = u64::try_from(self.done.len()).unwrap() * 100 + 1000;
        self.done.push(Record {
            op,
            client: 1,
            node: 1,
            key: key.to_owned(),
            input,
            output,
            invoke_ns: moment,
            return_ns: Some(moment),
            outcome,
        });
    }

    /// What the registry holds.
    pub(crate) fn ledger(&self) -> Record {
        let leaf = |index| {
            let (id, at) = query::leaf(&self.rows, index).unwrap().unwrap();
            let envelope = query::envelope(&self.rows, &id).unwrap().unwrap();
            json!({"index": index, "evidenceId": id.to_string(), "acceptedAt": at.0,
                "envelope": String::from_utf8(envelope).unwrap()})
        };
        let revision = query::revision(&self.rows).unwrap();
        let leaves: Vec<Value> = (0..revision).map(leaf).collect();
        Record {
            op: Op::Ledger,
            client: 0,
            node: 1,
            key: String::new(),
            input: Value::Null,
            output: json!({"revision": revision, "leaves": leaves}),
            invoke_ns: u64::MAX,
            return_ns: Some(u64::MAX),
            outcome: Ended::Ok,
        }
    }

    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now_ms += [0, 0, 137, 1000, 2900, 9000][self.dice.below(6)];
            if self.dice.once_in(40) {
                self.raise();
            }
            let bytes = match self.dice.below(20) {
                0..=10 => self.evidence(),
                11..=15 => self.governance(),
                16..=18 => self.restriction(),
                _ => self.dice.pick(&self.sent.clone()).clone(),
            };
            if !self.submit(&bytes) {
                return;
            }
            for _ in 0..2 {
                self.ask();
            }
        }
    }
}
