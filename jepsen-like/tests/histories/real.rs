//! Ledgers by the rules, with the digests that a replay gives, and ledgers whose replay gives another digest.

use assent_fixtures::Place;
use assent_jepsen::history::{Op, Outcome};
use assent_proof::{DomainName, Envelope, EvidenceKind, LineageName, Millis, json as strict};
use assent_registry::{
    GenesisFile, Group, MemoryRows, RowsMut, RulesVersion, Table, Unverified, apply, bootstrap,
};
use assent_store::RegistryDigest;
use serde_json::{Value, json};

use super::builder::{BEGIN, HistoryBuilder, NamedHistories, ORIGIN, Piece, key, name, shown, time};

pub(crate) fn histories() -> NamedHistories {
    [
        ("good-replayed", held_by(2)),
        ("bad-S10-other-rows", other_rows()),
        ("bad-S10-refused-leaf", refused_leaf()),
        ("bad-S10-missing-leaf", missing_leaf()),
        ("bad-S10-founded-on-nothing", founded_on_nothing()),
    ]
    .map(|(name, builder)| (name, builder.told()))
    .into()
}

/// So many nodes hold what their ledger gives.
pub(crate) fn held_by(nodes: u64) -> HistoryBuilder {
    Real::founded().told(nodes)
}

/// A node holds a row that no leaf gave it.
pub(crate) fn other_rows() -> HistoryBuilder {
    let mut real = Real::founded();
    real.rows.put(Table::Evidence, b"left over", b"from before").unwrap();
    real.told(1)
}

/// The leaf is on nobody's chain: nobody could have accepted it.
fn refused_leaf() -> HistoryBuilder {
    let mut real = Real::founded();
    let beside = real.grant("stranger", Some(9));
    real.builder.accept(50, 60, &beside);
    real.told(1)
}

/// Fewer leaves than the revision says. Nobody was told that the last one was accepted, or its loss would be S3's.
fn missing_leaf() -> HistoryBuilder {
    let mut real = Real::founded();
    let mut ledger = real.ledger();
    let submit = real.builder.records.last_mut().unwrap();
    (submit.output, submit.return_ns, submit.outcome) = (Value::Null, None, Outcome::Unknown);
    ledger["leaves"].as_array_mut().unwrap().pop();
    real.builder.push(Op::Ledger, 1, (200, Some(201)), (Value::Null, ledger), Outcome::Ok);
    real.builder
}

/// What the digest is of was founded, and not on these leaves: the first is signed by half of its signers.
fn founded_on_nothing() -> HistoryBuilder {
    let mut builder = HistoryBuilder::founded();
    let digest = digest(&Real::founded().rows);
    builder.ledger(200, 1, json!({"digest": digest}));
    builder
}

fn digest(rows: &MemoryRows) -> String {
    format!("blake3:{}", blake3::Hash::from_bytes(RegistryDigest::of(rows).digest))
}

/// A registry by the rules, and the story of it.
struct Real {
    rows: MemoryRows,
    builder: HistoryBuilder,
    head: Option<Piece>,
    length: u64,
}

impl Real {
    /// A root and a node's key at the beginning, two more nodes' keys later.
    fn founded() -> Self {
        let mut real =
            Self { rows: MemoryRows::new(), builder: HistoryBuilder::default(), head: None, length: 0 };
        let claims = json!({"keys": [name("root")], "threshold": 1, "registryKey": name("registry")});
        let root = real.signed(EvidenceKind::Root, ORIGIN, claims, &["root", "registry"], None);
        let node = real.grant("node", None);
        for piece in [&root, &node] {
            real.builder.enter(piece, 0);
        }
        let envelopes = [&root, &node].map(|piece| Envelope::parse(piece.text.as_bytes()).unwrap());
        let file = GenesisFile::parse(&GenesisFile::format(&envelopes).unwrap()).unwrap();
        bootstrap(&mut real.rows, &file).unwrap();
        for (ms, who) in [(20, "node-2"), (35, "node-3")] {
            let piece = real.grant(who, None);
            real.builder.accept(ms, ms + 10, &piece);
            let at = Millis(BEGIN.to_millis().0 + i64::try_from(ms).unwrap());
            let envelopes = vec![Unverified { bytes: piece.text.as_bytes(), origin: ORIGIN }];
            let group = Group { atomic: false, envelopes };
            apply(&mut real.rows, RulesVersion::GENESIS, at, &[group]).unwrap();
        }
        real
    }

    /// Signed by all of them; on the root's chain, unless another slot is said.
    fn signed(
        &mut self,
        kind: EvidenceKind,
        target: &str,
        claims: Value,
        by: &[&str],
        slot: Option<u64>,
    ) -> Piece {
        let keys: Vec<_> = by.iter().map(|who| key(who)).collect();
        let keys: Vec<_> = keys.iter().collect();
        let place = Place::new(ORIGIN, DomainName::root(), BEGIN).lineage(LineageName::governance());
        let claims = strict::parse(claims.to_string().as_bytes()).unwrap();
        let parent = self.head.as_ref().map(|head| head.id.parse().unwrap());
        let draft = place.about(target).raw(kind, claims).slot(slot.unwrap_or(self.length), parent);
        let piece = Piece::of(&draft.sign(&keys));
        self.length += 1;
        self.head = Some(piece.clone());
        piece
    }

    fn grant(&mut self, who: &str, slot: Option<u64>) -> Piece {
        let claims = json!({"authority": name(who), "name": "nodes", "role": "registry",
            "notBefore": time(0), "notAfter": time(9000)});
        self.signed(EvidenceKind::AuthorityGrant, &name(who), claims, &["root", who], slot)
    }

    /// What a node holds that holds the rows.
    fn ledger(&self) -> Value {
        let leaves: Vec<Value> =
            self.builder.leaves.iter().enumerate().map(|(index, leaf)| shown(index, leaf)).collect();
        json!({"revision": leaves.len(), "applied": 30, "digest": digest(&self.rows), "leaves": leaves})
    }

    /// So many nodes hold it.
    fn told(mut self, nodes: u64) -> HistoryBuilder {
        let ledger = self.ledger();
        for node in 1..=nodes {
            let at = (200 + node, Some(201 + node));
            self.builder.push(Op::Ledger, node, at, (Value::Null, ledger.clone()), Outcome::Ok);
        }
        self.builder
    }
}
