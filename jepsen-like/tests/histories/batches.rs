//! What becomes of batches: a stranger's envelope among good ones, and all or nothing.

use assent_jepsen::history::{Op, Outcome};
use serde_json::{Value, json};

use crate::story::{Piece, Shelf, Story, attestation, counted};

pub(crate) fn stories() -> Shelf {
    [
        ("good-batches", right()),
        ("bad-S20-refused-for-anothers-sake", for_anothers_sake()),
        ("bad-S20-taken-for-a-stranger", taken_for_a_stranger()),
        ("bad-S20-stranger-accepted", stranger_accepted()),
        ("bad-S20-accepted-in-part", in_part()),
        ("bad-S20-one-unanswered", unanswered()),
    ]
    .map(|(name, story)| (name, story.told()))
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

    fn push(&mut self, story: &mut Story, piece: &Piece, stranger: bool, answer: Value, outcome: Outcome) {
        let name = format!("batch-{}", self.ms);
        let input = json!({"id": piece.id, "envelope": piece.text,
            "batch": {"name": name, "mode": self.mode, "place": self.told, "stranger": stranger}});
        self.told += 1;
        let returned = (outcome != Outcome::Unknown).then_some(self.ms + 5);
        story.push(Op::Submit, 1, (self.ms, returned), (input, answer), outcome);
    }

    fn accepted(&mut self, story: &mut Story, piece: &Piece) -> Value {
        let receipt = story.enter(piece, self.ms);
        self.push(story, piece, false, receipt.clone(), Outcome::Ok);
        receipt
    }

    fn refused(&mut self, story: &mut Story, piece: &Piece, answer: Value) {
        self.push(story, piece, false, answer, Outcome::Deny);
    }

    /// The stranger's envelope is refused for what it is.
    fn stranger(&mut self, story: &mut Story) {
        self.push(story, &attestation("stranger"), true, unknown_issuer(), Outcome::Deny);
    }
}

fn unknown_issuer() -> Value {
    json!({"code": "authority_unknown", "field": "predicate.issuers"})
}

fn for_the_sake_of(place: u64) -> Value {
    json!({"code": "authority_unknown", "field": format!("envelopes[{place}]")})
}

/// What may become of batches.
fn right() -> Story {
    let mut story = Story::authorized();
    let mut each = Batch::new(30, "each");
    let first = each.accepted(&mut story, &attestation("a"));
    each.stranger(&mut story);
    each.refused(&mut story, &attestation("b"), json!({"code": "overloaded"}));
    // Nobody was told that its grant was accepted.
    each.refused(&mut story, &attestation("c"), unknown_issuer());
    let mut refused = Batch::new(40, "all");
    refused.refused(&mut story, &attestation("d"), for_the_sake_of(1));
    refused.stranger(&mut story);
    let mut accepted = Batch::new(50, "all");
    accepted.accepted(&mut story, &attestation("e"));
    accepted.accepted(&mut story, &attestation("f"));
    let mut unknown = Batch::new(60, "all");
    unknown.push(&mut story, &attestation("g"), false, Value::Null, Outcome::Unknown);
    unknown.push(&mut story, &attestation("h"), false, Value::Null, Outcome::Unknown);
    // A receipt from before the batch stays true.
    let mut again = Batch::new(70, "all");
    let mut repeated = first;
    repeated["repeated"] = true.into();
    again.push(&mut story, &attestation("a"), false, repeated, Outcome::Ok);
    again.stranger(&mut story);
    story.ledgers(200);
    story
}

fn for_anothers_sake() -> Story {
    let mut story = Story::authorized();
    let mut batch = Batch::new(30, "each");
    batch.refused(&mut story, &attestation("a"), for_the_sake_of(1));
    batch.stranger(&mut story);
    story
}

fn taken_for_a_stranger() -> Story {
    let mut story = Story::authorized();
    let mut batch = Batch::new(30, "each");
    batch.refused(&mut story, &counted("governance", 1, 2), unknown_issuer());
    batch.stranger(&mut story);
    story
}

fn stranger_accepted() -> Story {
    let mut story = Story::authorized();
    let stranger = attestation("stranger");
    let receipt = story.enter(&stranger, 30);
    Batch::new(30, "each").push(&mut story, &stranger, true, receipt, Outcome::Ok);
    story
}

fn in_part() -> Story {
    let mut story = Story::authorized();
    let mut batch = Batch::new(30, "all");
    batch.accepted(&mut story, &attestation("a"));
    batch.refused(&mut story, &attestation("b"), json!({"code": "overloaded"}));
    story
}

fn unanswered() -> Story {
    let mut story = Story::authorized();
    let mut batch = Batch::new(30, "each");
    batch.stranger(&mut story);
    batch.push(&mut story, &attestation("a"), false, Value::Null, Outcome::Unknown);
    story
}
