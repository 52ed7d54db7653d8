//! The parsers of `assent_api`: bodies of requests, addresses and node ids; and two answers, which a client reads.

use assent_api::{
    BatchMode, ConfirmClock, DecisionBody, JudgedByBody, MemberAddress, MemberAddresses, NewMember, Problem,
    ReasonBody, Verdict, address_key, authorize_batch_body, batch_body, parse_authorize_batch, parse_batch,
    parse_node_id, parse_transfer, same_address, transfer_body,
};
use assent_fixtures::{key, usual};
use assent_proof::{AuthorizeRequest, Code, EvidenceId, History, Json, Millis, Refusal, json};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::judge::{Growth, holds, one_spelling, reread};
use super::parser::{Parser, Reading};
use super::samples;

/// A body that is written anew: JSON's two escapes of two bytes become six, and a mode may be added.
const BODY: Growth = Growth { times: 3, more: 64 };
/// An answer is read by a derive, which takes an array for an object: its names are written, and optional fields too.
const ANSWER: Growth = Growth { times: 16, more: 1024 };

/// The parsers.
pub(super) const PARSERS: &[Parser] = &[
    Parser { name: "authorize", check: authorize, samples: requests },
    Parser { name: "authorize_batch", check: authorize_batch, samples: request_batches },
    Parser { name: "batch", check: batch, samples: batches },
    Parser { name: "new_member", check: new_member, samples: new_members },
    Parser { name: "member_addresses", check: member_addresses, samples: address_bodies },
    Parser { name: "transfer", check: transfer, samples: transfers },
    Parser { name: "confirm_clock", check: confirm_clock, samples: clocks },
    Parser { name: "member_address", check: member_address, samples: addresses },
    Parser { name: "node_id", check: node_id, samples: node_ids },
    Parser { name: "decision_body", check: decision_body, samples: decisions },
    Parser { name: "problem_body", check: problem_body, samples: problems },
];

fn authorize(bytes: &[u8]) -> Result<Reading, String> {
    reread(bytes, BODY, AuthorizeRequest::parse, |request| request.to_json().to_vec())
}

fn authorize_batch(bytes: &[u8]) -> Result<Reading, String> {
    reread(bytes, BODY, parse_authorize_batch, |requests| authorize_batch_body(requests))
}

fn batch(bytes: &[u8]) -> Result<Reading, String> {
    if let Ok((_, envelopes)) = parse_batch(bytes) {
        let all: usize = envelopes.iter().map(Vec::len).sum();
        holds(all <= bytes.len(), "the envelopes of a batch are parts of it")?;
    }
    // A batch that cannot be written is written as nothing, which is refused.
    reread(bytes, BODY, parse_batch, |(mode, envelopes)| batch_body(*mode, envelopes).unwrap_or_default())
}

fn new_member(bytes: &[u8]) -> Result<Reading, String> {
    reread(bytes, BODY, NewMember::parse, NewMember::to_vec)
}

fn member_addresses(bytes: &[u8]) -> Result<Reading, String> {
    reread(bytes, BODY, MemberAddresses::parse, MemberAddresses::to_vec)
}

fn transfer(bytes: &[u8]) -> Result<Reading, String> {
    reread(bytes, BODY, parse_transfer, |to| transfer_body(*to))
}

fn confirm_clock(bytes: &[u8]) -> Result<Reading, String> {
    reread(bytes, BODY, ConfirmClock::parse, ConfirmClock::to_vec)
}

fn member_address(bytes: &[u8]) -> Result<Reading, String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(Reading::Refused) };
    let key = address_key(text);
    // `0:1` is `0.0.0.0:1`.
    holds(key.len() <= text.len().saturating_add(64), "the text that addresses are compared by is bounded")?;
    holds(same_address(text, text), "an address is the same as itself")?;
    one_spelling(bytes, str::parse::<MemberAddress>)
}

fn node_id(bytes: &[u8]) -> Result<Reading, String> {
    one_spelling(bytes, parse_node_id)
}

fn decision_body(bytes: &[u8]) -> Result<Reading, String> {
    answer::<DecisionBody>(bytes)
}

fn problem_body(bytes: &[u8]) -> Result<Reading, String> {
    answer::<Problem>(bytes)
}

/// An answer. Why it cannot be read is serde's own text, which the client does not pass on as it is.
fn answer<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Result<Reading, String> {
    let read = |bytes: &[u8]| serde_json::from_slice::<T>(bytes).map_err(|_| "it is no such answer");
    reread(bytes, ANSWER, read, json::to_vec)
}

fn request_values() -> Vec<AuthorizeRequest> {
    let request = usual::request();
    let with_all = AuthorizeRequest {
        runtime: "runtime-1".parse().ok(),
        audience: Some("a".to_owned()),
        environment: Some("prod".to_owned()),
        nonce: Some("n-1".to_owned()),
        expected_head: Some(EvidenceId([4; 32])),
        min_revision: Some(7),
        history: Some(History::founded([1; 32])),
        ..request.clone()
    };
    vec![request, with_all]
}

fn requests() -> Vec<Vec<u8>> {
    request_values().iter().map(|request| request.to_json().to_vec()).collect()
}

fn request_batches() -> Vec<Vec<u8>> {
    vec![authorize_batch_body(&request_values())]
}

fn batches() -> Vec<Vec<u8>> {
    let envelopes = samples::envelopes();
    let one = envelopes.get(..1).unwrap_or_default();
    let bodies = [batch_body(BatchMode::Each, &envelopes), batch_body(BatchMode::All, one)];
    bodies.into_iter().flatten().collect()
}

fn new_members() -> Vec<Vec<u8>> {
    let (store, key) = ("0f".repeat(16), key(3).public());
    let text = format!(
        r#"{{"id":4,"peer":"10.0.0.4:7500","client":"node-4:7400","storeId":"{store}","key":"{key}"}}"#
    );
    vec![text.into_bytes()]
}

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn address_bodies() -> Vec<Vec<u8>> {
    owned(&[r#"{"peer":"10.0.0.4:7500","client":"node-4:7400"}"#, r#"{"client":"[2001:db8::4]:7400"}"#])
}

fn transfers() -> Vec<Vec<u8>> {
    vec![transfer_body(None), transfer_body(Some(2))]
}

fn clocks() -> Vec<Vec<u8>> {
    vec![ConfirmClock { time: usual::at(0) }.to_vec()]
}

fn addresses() -> Vec<Vec<u8>> {
    owned(&[
        "10.0.0.4:7500",
        "node-4.example.org:7400",
        "[2001:db8::4]:7400",
        "127.1:1",
        "0x7f000001:1",
        "[::ffff:127.0.0.1]:80",
        "[fe80::1]:7500",
        "0.0.0.0:7500",
        "LocalHost.:080",
    ])
}

fn node_ids() -> Vec<Vec<u8>> {
    owned(&["1", "4294967296", "4294967297", "01", "0"])
}

fn decisions() -> Vec<Vec<u8>> {
    let body = DecisionBody {
        decision: Verdict::Deny,
        request: usual::request().to_json(),
        history: History::founded([1; 32]),
        node_id: 1,
        revision: 12,
        head: Some(EvidenceId([4; 32])),
        policy: Some(JudgedByBody::new(EvidenceId([4; 32]), &[])),
        evaluated_at: Millis(1000),
        valid_until: Millis(31_000),
        reasons: vec![ReasonBody::new(Code::Malformed, "why", None)],
        more_reasons: 3,
        permit: None,
        receipt: Some(json::parse(br#"{"leaf":""}"#).unwrap_or(Json::Null)),
    };
    vec![body.to_vec(), DecisionBody { decision: Verdict::Allow, reasons: Vec::new(), ..body }.to_vec()]
}

fn problems() -> Vec<Vec<u8>> {
    let refusal = Refusal::at(Code::Malformed, "predicate.claims", "why");
    vec![json::to_vec(&Problem::from_refusal(&refusal, 400))]
}
