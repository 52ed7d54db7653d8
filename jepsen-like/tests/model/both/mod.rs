//! A registry by the rules themselves and one by the model, and random statements and requests for both, while the rules are
//! raised.

mod ask;
mod dice;
mod evidence;
mod governance;
mod submit;

use std::collections::BTreeMap;

use assent_jepsen::history::{Op, Outcome as Ended, Record};
use assent_jepsen::model::Model;
use assent_proof::{
    Envelope, EvidenceId, EvidenceKind, Seconds, Sha256, SigningKey, Statement, sign_statement,
};
use assent_registry::{GenesisFile, MemoryRows, bootstrap, query};
use serde_json::{Value, json};

pub(crate) use dice::Dice;

const ORIGIN: &str = "registry.test/1";
const T0: i64 = 1_795_374_000;
const DOMAINS: [&str; 2] = ["lab", "prod"];
const LINEAGES: [&str; 3] = ["exec-1", "exec-2", "host-1"];
const ROLES: [&str; 6] = ["attestation", "runtime", "orchestration", "gateway", "audit", "zone"];

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
