//! Histories with batches: an envelope of an unknown issuer among good ones, and batches that are all or nothing.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use super::builder::{HistoryBuilder, NamedHistories, Piece, attestation, counted};

pub(crate) fn histories() -> NamedHistories {
    [
        ("good-batches", right()),
        ("bad-S20-refused-for-anothers-sake", for_anothers_sake()),
        ("bad-S20-taken-for-a-stranger", taken_for_a_stranger()),
        ("bad-S20-stranger-accepted", stranger_accepted()),
        ("bad-S20-accepted-in-part", in_part()),
        ("bad-S20-one-unanswered", unanswered()),
    ]
    .map(|(name, builder)| (name, builder.told()))
    .into()
}

/// A batch while it is told: when it was posted, in milliseconds, and how many of its envelopes were told of.
struct Batch {
    ms: u64,
    mode: &'static str,
    told: u64,
}

impl Batch {
    fn new(ms: u64, mode: &'static str) -> Self {
        Self { ms, mode, told: 0 }
    }

    fn push(
        &mut self,
        builder: &mut HistoryBuilder,
        piece: &Piece,
        stranger: bool,
        answer: Value,
        outcome: Outcome,
    ) {
        let name = format!("batch-{}", self.ms);
        let input = json!({"id": piece.id, "envelope": piece.text,
            "batch": {"name": name, "mode": self.mode, "place": self.told, "stranger": stranger}});
        self.told += 1;
        let returned = (outcome != Outcome::Unknown).then_some(self.ms + 5);
        builder.push(Op::Submit, 1, (self.ms, returned), (input, answer), outcome);
    }

    fn accepted(&mut self, builder: &mut HistoryBuilder, piece: &Piece) -> Value {
        let receipt = builder.enter(piece, self.ms);
        self.push(builder, piece, false, receipt.clone(), Outcome::Ok);
        receipt
    }

    fn refused(&mut self, builder: &mut HistoryBuilder, piece: &Piece, answer: Value) {
        self.push(builder, piece, false, answer, Outcome::Deny);
    }

    /// The stranger's envelope is refused for what it is.
    fn stranger(&mut self, builder: &mut HistoryBuilder) {
        self.push(builder, &attestation("stranger"), true, unknown_issuer(), Outcome::Deny);
    }
}

fn unknown_issuer() -> Value {
    json!({"code": "authority_unknown", "field": "predicate.issuers"})
}

fn for_the_sake_of(place: u64) -> Value {
    json!({"code": "authority_unknown", "field": format!("envelopes[{place}]")})
}

/// What may become of batches.
fn right() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut each = Batch::new(30, "each");
    let first = each.accepted(&mut builder, &attestation("a"));
    each.stranger(&mut builder);
    each.refused(&mut builder, &attestation("b"), json!({"code": "overloaded"}));
    // Nobody was told that its grant was accepted.
    each.refused(&mut builder, &attestation("c"), unknown_issuer());
    let mut refused = Batch::new(40, "all");
    refused.refused(&mut builder, &attestation("d"), for_the_sake_of(1));
    refused.stranger(&mut builder);
    let mut accepted = Batch::new(50, "all");
    accepted.accepted(&mut builder, &attestation("e"));
    accepted.accepted(&mut builder, &attestation("f"));
    let mut unknown = Batch::new(60, "all");
    unknown.push(&mut builder, &attestation("g"), false, Value::Null, Outcome::Unknown);
    unknown.push(&mut builder, &attestation("h"), false, Value::Null, Outcome::Unknown);
    // A receipt from before the batch stays true.
    let mut again = Batch::new(70, "all");
    let mut repeated = first;
    repeated["repeated"] = true.into();
    again.push(&mut builder, &attestation("a"), false, repeated, Outcome::Ok);
    again.stranger(&mut builder);
    builder.ledgers(200);
    builder
}

fn for_anothers_sake() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut batch = Batch::new(30, "each");
    batch.refused(&mut builder, &attestation("a"), for_the_sake_of(1));
    batch.stranger(&mut builder);
    builder
}

fn taken_for_a_stranger() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut batch = Batch::new(30, "each");
    batch.refused(&mut builder, &counted("governance", 1, 2), unknown_issuer());
    batch.stranger(&mut builder);
    builder
}

fn stranger_accepted() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let stranger = attestation("stranger");
    let receipt = builder.enter(&stranger, 30);
    Batch::new(30, "each").push(&mut builder, &stranger, true, receipt, Outcome::Ok);
    builder
}

fn in_part() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut batch = Batch::new(30, "all");
    batch.accepted(&mut builder, &attestation("a"));
    batch.refused(&mut builder, &attestation("b"), json!({"code": "overloaded"}));
    builder
}

fn unanswered() -> HistoryBuilder {
    let mut builder = HistoryBuilder::authorized();
    let mut batch = Batch::new(30, "each");
    batch.stranger(&mut builder);
    batch.push(&mut builder, &attestation("a"), false, Value::Null, Outcome::Unknown);
    builder
}
