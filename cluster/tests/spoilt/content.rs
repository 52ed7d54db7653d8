//! Changes to the body of a node's answer.

use assent_api::DecisionBody;
use assent_proof::{Json, json, sign_batch};

use super::draw::Draw;
use crate::cluster_support::key;

/// An answer, as a node gave it or as it was spoilt.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}

/// What becomes of a body: of a decision, of a batch, or of one decision in a batch.
#[derive(Clone, Debug)]
pub enum Content {
    /// So many of 1000 parts stay.
    Cut(usize),
    /// So many bytes at the beginning are lost.
    CutFront(usize),
    Doubled,
    /// Something stands before and behind it.
    Within(&'static str, &'static str),
    /// So many arrays around it.
    Nested(usize),
    /// So many blanks behind it.
    Huge(usize),
    /// Every such text is another one.
    Replaced(&'static str, &'static str),
    /// A field more, at the beginning.
    Inserted(&'static str),
    Upper,
    Lost(&'static str),
    /// A field has this value.
    Other(&'static str, &'static str),
    /// An allow for another request stands in its place.
    OtherRequest,
    /// That allow stands before it.
    AfterOther,
    /// That allow stands behind it.
    BeforeOther,
    /// That allow's receipt stands in it.
    OthersReceipt,
    /// A deny is an allow and the other way round, with all that belongs to it except the signature.
    Flipped,
    /// A key that is no node's has signed it.
    Stranger,
    /// Flipped, and signed by that key.
    Forged,
    /// Something else, under this status.
    Instead(u16, &'static str),
    /// One decision of a batch is spoilt.
    Element(usize, Box<Content>),
    FirstMissing,
    LastMissing,
    LastTwice,
    Reversed,
}

const FIELDS: [&str; 8] =
    ["decision", "request", "receipt", "reasons", "validUntil", "evaluatedAt", "history", "nodeId"];

impl Content {
    /// What may become of a decision, or of any other body.
    pub fn of_decision(draw: &mut Draw) -> Content {
        match draw.below(23) {
            0 => Content::Cut(draw.below(1000)),
            1 => Content::CutFront(1 + draw.below(30)),
            2 => Content::Doubled,
            3 => {
                let around = [
                    ("", "x"),
                    ("", " }"),
                    ("", "\0"),
                    (" \r\n\t", "\n\n "),
                    ("\u{feff}", ""),
                    ("{\"answer\":", "}"),
                    ("x", ""),
                ];
                let (before, behind) = draw.one_of(&around);
                Content::Within(before, behind)
            }
            4 => Content::Nested(draw.one_of(&[1, 2, 40])),
            5 => Content::Huge(draw.one_of(&[1_000, 100_000, 400_000])),
            6 => Content::Replaced("\"code\":\"lineage_", "\"code\":\"moon_"),
            7 => Content::Replaced("\"code\":\"lineage_quarantined\"", "\"code\":\"no_quorum\""),
            8 => Content::Replaced("\"deny\"", "\"DENY\""),
            9 => Content::Replaced("\"deny\"", "\"\\u0064eny\""),
            10 => Content::Replaced("\"deny\"", "\"allow\""),
            11 => Content::Replaced("\"allow\"", draw.one_of(&["\"deny\"", "\"defer\"", "\"Allow\""])),
            12 => Content::Inserted(draw.one_of(&[
                "\"moon\":{\"a\":[1]},",
                "\"decision\":\"allow\",",
                "\"decision\":\"deny\",",
                "\"decision\":7,",
            ])),
            13 => Content::Upper,
            14 => Content::Lost(draw.one_of(&FIELDS)),
            15 => {
                let value = draw.one_of(&["7", "null", "[]", "{}", "\"text\"", "[\"deny\"]", "true"]);
                Content::Other(draw.one_of(&FIELDS), value)
            }
            16 => Content::OtherRequest,
            17 => draw.one_of(&[Content::AfterOther, Content::BeforeOther]),
            18 => Content::OthersReceipt,
            19 => Content::Flipped,
            20 => Content::Stranger,
            21 => Content::Forged,
            _ => draw.one_of(&[
                Content::Instead(200, ""),
                Content::Instead(502, "<html>Bad Gateway</html>"),
                Content::Instead(200, "<html>Sign in</html>"),
                Content::Instead(200, "{}"),
                Content::Instead(409, "{\"code\":\"moon_wrong\",\"detail\":\"of the moon\"}"),
                Content::Instead(503, "{\"code\":\"moon_wrong\"}"),
            ]),
        }
    }

    /// What may become of a batch.
    pub fn of_batch(draw: &mut Draw) -> Content {
        match draw.below(10) {
            0 => Content::FirstMissing,
            1 => Content::LastMissing,
            2 => Content::LastTwice,
            3 => Content::Reversed,
            4..7 => Content::Element(draw.below(4), Box::new(Content::of_decision(draw))),
            _ => match Content::of_decision(draw) {
                // A newer node may give a batch a field of any name.
                Content::Inserted(_) => Content::Doubled,
                content => content,
            },
        }
    }

    /// Spoils an answer. `other` is a node's allow for another request. What is no longer of the form that this needs stays as it is.
    pub fn spoil(&self, answer: &mut Answer, other: &[u8]) {
        let body = &mut answer.body;
        match self {
            Content::Cut(parts) => body.truncate(body.len() * parts / 1000),
            Content::CutFront(bytes) => *body = body.split_off((*bytes).min(body.len())),
            Content::Doubled => body.extend_from_within(..),
            Content::Within(before, behind) => {
                *body = [before.as_bytes(), body.as_slice(), behind.as_bytes()].concat();
            }
            Content::Nested(levels) => {
                let (opened, closed) = (b"[".repeat(*levels), b"]".repeat(*levels));
                *body = [opened.as_slice(), body.as_slice(), closed.as_slice()].concat();
            }
            Content::Huge(blanks) => body.resize(body.len() + blanks, b' '),
            Content::Replaced(from, to) => *body = text(body).replace(from, to).into_bytes(),
            Content::Inserted(field) => {
                *body = text(body).replacen('{', &format!("{{{field}"), 1).into_bytes();
            }
            Content::Upper => body.make_ascii_uppercase(),
            Content::Lost(name) => edit(body, |fields| fields.retain(|(field, _)| field != name)),
            Content::Other(name, value) => {
                let value = json::parse(value.as_bytes()).unwrap();
                edit(body, |fields| set(fields, name, value));
            }
            Content::OtherRequest => (answer.status, *body) = (200, other.to_vec()),
            Content::AfterOther => *body = [other, body.as_slice()].concat(),
            Content::BeforeOther => body.extend_from_slice(other),
            Content::OthersReceipt => {
                let receipt = json::parse(other).unwrap().get("receipt").unwrap().clone();
                edit(body, |fields| set(fields, "receipt", receipt));
            }
            Content::Flipped => flip(answer),
            Content::Stranger => sign_by_a_stranger(body),
            Content::Forged => {
                flip(answer);
                sign_by_a_stranger(&mut answer.body);
            }
            Content::Instead(status, text) => {
                (answer.status, *body) = (*status, text.as_bytes().to_vec());
            }
            Content::Element(place, content) => {
                let status = answer.status;
                each(&mut answer.body, |decisions| {
                    let count = decisions.len().max(1);
                    if let Some(decision) = decisions.get_mut(place % count) {
                        let mut alone = Answer {
                            status,
                            content_type: String::new(),
                            retry_after: None,
                            body: std::mem::take(decision),
                        };
                        content.spoil(&mut alone, other);
                        *decision = alone.body;
                    }
                });
            }
            Content::FirstMissing => each(body, |decisions| drop(decisions.drain(..1))),
            Content::LastMissing => each(body, |decisions| drop(decisions.pop())),
            Content::LastTwice => each(body, |decisions| decisions.extend(decisions.last().cloned())),
            Content::Reversed => each(body, |decisions| decisions.reverse()),
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// Changes the fields of a body that is an object.
fn edit(body: &mut Vec<u8>, change: impl FnOnce(&mut Vec<(String, Json)>)) {
    if let Ok(Json::Object(mut fields)) = json::parse(body) {
        change(&mut fields);
        *body = Json::Object(fields).to_vec();
    }
}

fn set(fields: &mut [(String, Json)], name: &str, value: Json) {
    if let Some((_, old)) = fields.iter_mut().find(|(field, _)| field == name) {
        *old = value;
    }
}

fn flip(answer: &mut Answer) {
    let Ok(decision) = json::parse(&answer.body) else { return };
    let (said, status) = match decision.get("decision").and_then(Json::as_str) {
        Some("allow") => ("deny", 403),
        Some("deny") => ("allow", 200),
        _ => return,
    };
    let evaluated = decision.get("evaluatedAt").and_then(Json::as_i64).unwrap_or_default();
    edit(&mut answer.body, |fields| {
        set(fields, "decision", Json::text(said));
        set(fields, "reasons", Json::Array(Vec::new()));
        set(fields, "validUntil", Json::Int(evaluated + 60_000));
    });
    answer.status = status;
}

fn sign_by_a_stranger(body: &mut Vec<u8>) {
    if let Ok(decision) = serde_json::from_slice::<DecisionBody>(body) {
        let decision = DecisionBody { receipt: None, ..decision };
        let receipts = sign_batch(vec![decision.to_leaf(&[9; 16])], &key(77));
        *body = decision.signed(&receipts[0]).to_vec();
    }
}

/// The decisions of a batch.
pub fn decisions(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let batch = json::parse(body).ok()?;
    Some(batch.get("decisions")?.as_array()?.iter().map(Json::to_vec).collect())
}

/// A batch of these decisions.
pub fn batch(decisions: &[Vec<u8>]) -> Vec<u8> {
    [b"{\"decisions\":[".to_vec(), decisions.join(&b','), b"]}".to_vec()].concat()
}

/// Changes the decisions of a body that is a batch with some.
fn each(body: &mut Vec<u8>, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    if let Some(mut list) = decisions(body)
        && !list.is_empty()
    {
        change(&mut list);
        *body = batch(&list);
    }
}
