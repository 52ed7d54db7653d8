//! What a flood sends: the bodies of each kind, made beforehand, and what their answers may be.
//!
//! A node may shed any of it. What it must never do is to accept a forged envelope, to refuse a valid one for good, or
//! to add one to the ledger twice.

use assent_api::{
    BatchMode, MAX_BATCH, MAX_BATCH_BYTES, MAX_EVENTS_WAIT_MS, MAX_PAGE, authorize_batch_body, batch_body,
};
use assent_client::load::{Call, Judge, Judgement, Work};
use assent_proof::{AuthorizeRequest, Cursor, DomainName, Envelope, SigningKey};
use bytes::Bytes;
use serde::Deserialize;

use crate::Failure;
use crate::args::{FloodArgs, FloodKind};
use crate::evidence::{Place, allowing, chains, forged};
use crate::scenario::singles;

/// Two issuers and this many signatures are as many checks as a node spends on one envelope.
const SIGNATURES: usize = 48;

/// One connection in so many gets batches of forged envelopes of its own, since each has nearly 1 MiB.
const CONNECTIONS_A_BATCH: usize = 8;

/// The most different valid envelopes of one kind. They are fewer than an issuer may submit at once
/// (`limits.issuer_burst`), so that nearly all of what is sent was accepted before.
const VALID_MOST: usize = 2000;

/// How many valid envelopes a batch has.
const VALID_A_BATCH: usize = 20;

/// From how many places of the ledger a flood of feeds begins.
const FEEDS: u64 = 100;

/// The labels of answers that no node may give.
pub(crate) const WRONG: [&str; 2] = [FORGED_ACCEPTED, VALID_REFUSED];
const FORGED_ACCEPTED: &str = "ACCEPTED";
const VALID_REFUSED: &str = "REFUSED";

/// What a flood of one kind sends, and how its answers are judged.
pub(crate) struct FloodWork {
    pub(crate) work: Work,
    pub(crate) judge: Judge,
    /// The most leaves that all of it may add to the ledger; none if each call may add one.
    pub(crate) adds_most: Option<usize>,
}

/// What the bodies are made from.
#[derive(Clone, Copy)]
pub(crate) struct Prepared<'a> {
    /// Where the evidence belongs, as when the requests were prepared.
    pub(crate) place: &'a Place,
    /// What is allowed, in the order in which it was prepared.
    pub(crate) requests: &'a [AuthorizeRequest],
    /// The domain's governance, and its attester. The nodes know both.
    pub(crate) issuers: [&'a SigningKey; 2],
    /// How far the ledger goes.
    pub(crate) ledger: Cursor,
}

/// Makes the bodies.
pub(crate) fn make(args: &FloodArgs, kind: FloodKind, prepared: Prepared<'_>) -> Result<FloodWork, Failure> {
    let Prepared { place, requests, issuers, ledger } = prepared;
    let connections = usize::from(args.connections);
    let count = connections.saturating_mul(usize::from(args.bodies));
    let valid = count.min(VALID_MOST);
    let batches = count.min(VALID_MOST / VALID_A_BATCH);
    let calls: Result<Vec<Call>, Failure> = match kind {
        FloodKind::Authorizes => singles(requests),
        FloodKind::AuthorizeBatches => {
            let full: Vec<AuthorizeRequest> = requests.iter().cycle().take(MAX_BATCH).cloned().collect();
            Ok(vec![Call::post("/v1/authorize:batch", authorize_batch_body(&full))?])
        }
        FloodKind::SignatureBatches => {
            signature_batches(place, connections.div_ceil(CONNECTIONS_A_BATCH), issuers)
        }
        FloodKind::InvalidEnvelopes => {
            let call = |n: usize| -> Result<Call, Failure> {
                Ok(Call::post("/v1/envelopes", forged(place, n, &issuers, 1)?)?)
            };
            (0..count).map(call).collect()
        }
        FloodKind::EnvelopeBatches => valid_batches(place, batches, issuers),
        FloodKind::Envelopes => {
            let call =
                |envelope: Bytes| -> Result<Call, Failure> { Ok(Call::post("/v1/envelopes", envelope)?) };
            valid_envelopes(place, "single", valid, issuers)?.into_iter().map(call).collect()
        }
        FloodKind::Permits => {
            let call = |(n, request): (usize, &AuthorizeRequest)| -> Result<Call, Failure> {
                let nonce = Some(format!("flood-{n}"));
                let request = AuthorizeRequest { nonce, ..request.clone() };
                Ok(Call::post("/v1/permits", request.to_json().to_vec())?)
            };
            requests.iter().cycle().take(count).enumerate().map(call).collect()
        }
        FloodKind::Reads => reads(place, requests.len(), issuers),
        FloodKind::Feeds => feeds(requests, ledger),
    };
    let judge: Judge = match kind {
        FloodKind::Authorizes => judge_authorize,
        FloodKind::AuthorizeBatches => judge_authorize_batch,
        FloodKind::SignatureBatches => judge_forged_batch,
        FloodKind::InvalidEnvelopes => judge_forged,
        FloodKind::EnvelopeBatches => judge_valid_batch,
        FloodKind::Envelopes => judge_valid,
        FloodKind::Permits => judge_permit,
        FloodKind::Reads => judge_read,
        FloodKind::Feeds => judge_feed,
    };
    let adds_most = match kind {
        FloodKind::Authorizes
        | FloodKind::AuthorizeBatches
        | FloodKind::SignatureBatches
        | FloodKind::InvalidEnvelopes
        | FloodKind::Reads
        | FloodKind::Feeds => Some(0),
        // Each of them once, however often it is sent.
        FloodKind::EnvelopeBatches => Some(batches.saturating_mul(VALID_A_BATCH)),
        FloodKind::Envelopes => Some(valid),
        FloodKind::Permits => None,
    };
    Ok(FloodWork { work: Work::Repeat(calls?), judge, adds_most })
}

/// Valid envelopes that a node accepts in any order: the first statement of a lineage each.
fn valid_envelopes(
    place: &Place,
    name: &str,
    count: usize,
    [_, attester]: [&SigningKey; 2],
) -> Result<Vec<Bytes>, Failure> {
    chains(place, &format!("flood-{name}"), count, 1, attester)
}

/// Batches of valid envelopes.
fn valid_batches(place: &Place, batches: usize, issuers: [&SigningKey; 2]) -> Result<Vec<Call>, Failure> {
    let envelopes = valid_envelopes(place, "batched", batches.saturating_mul(VALID_A_BATCH), issuers)?;
    let call = |batch: &[Bytes]| -> Result<Call, Failure> {
        Ok(Call::post("/v1/envelopes:batch", batch_body(BatchMode::Each, batch)?)?)
    };
    envelopes.chunks(VALID_A_BATCH).map(call).collect()
}

/// For each lineage that was prepared, in turn: its page, its two envelopes, and a page of authorities.
fn reads(
    place: &Place,
    lineages: usize,
    [governance, attester]: [&SigningKey; 2],
) -> Result<Vec<Call>, Failure> {
    let mut calls = Vec::new();
    for n in 0..lineages {
        // The bytes that were submitted, so the ids are those of the ledger.
        let (envelopes, request) = allowing(place, n, governance, attester)?;
        let lineage = request.lineage.ok_or("a prepared request names no lineage")?;
        calls.push(Call::get(&format!("/v1/lineages/{}/{lineage}", request.domain))?);
        for envelope in &envelopes {
            calls.push(Call::get(&format!("/v1/envelopes/{}", Envelope::parse(envelope)?.id()))?);
        }
        let domain = if n % 2 == 0 { request.domain } else { DomainName::root() };
        calls.push(Call::get(&format!("/v1/authorities?domain={domain}"))?);
    }
    Ok(calls)
}

/// From many places of the ledger: a long poll, a page, and a page of one lineage. Each is answered at once, since the
/// long polls begin before the end of the ledger and the others do not wait.
fn feeds(requests: &[AuthorizeRequest], ledger: Cursor) -> Result<Vec<Call>, Failure> {
    let Cursor { history, revision } = ledger;
    let lineages = requests.iter().filter_map(|request| request.lineage.as_ref()).cycle();
    let mut calls = Vec::new();
    for (n, lineage) in (0..FEEDS).zip(lineages) {
        let after = revision.saturating_mul(n) / FEEDS;
        let page = format!("/v1/events?history={history}&after={after}");
        calls.push(Call::get(&format!("{page}&limit={MAX_PAGE}&waitMs={MAX_EVENTS_WAIT_MS}"))?);
        calls.push(Call::get(&page)?);
        calls.push(Call::get(&format!("{page}&lineage={lineage}"))?);
    }
    Ok(calls)
}

/// Batches of forged envelopes, each as large as it may be.
fn signature_batches(place: &Place, batches: usize, issuers: [&SigningKey; 2]) -> Result<Vec<Call>, Failure> {
    // The envelopes of one run have the same length, except for the digits of their numbers.
    const ROOM: usize = 64;
    let one = forged(place, 0, &issuers, SIGNATURES)?.len().saturating_add(ROOM);
    let fit = (MAX_BATCH_BYTES.saturating_sub(1024) / one).clamp(1, MAX_BATCH);
    let mut calls = Vec::with_capacity(batches);
    for batch in 0..batches {
        let first = batch.saturating_mul(fit);
        let envelopes: Result<Vec<_>, Failure> =
            (first..first.saturating_add(fit)).map(|n| forged(place, n, &issuers, SIGNATURES)).collect();
        let body = batch_body(BatchMode::Each, &envelopes?)?;
        calls.push(Call::post("/v1/envelopes:batch", body)?);
    }
    Ok(calls)
}

/// Statuses with which a node sheds a call, or refuses a caller that asks too often.
fn is_shed(status: u16) -> bool {
    matches!(status, 429 | 503)
}

fn judgement(label: &'static str, expected: bool) -> Judgement {
    Judgement { label, expected, resend: false }
}

/// What all kinds have in common: shed calls, and answers that no call of this flood has.
fn other(status: u16) -> Judgement {
    if is_shed(status) { judgement("shed", true) } else { judgement("other status", false) }
}

/// The lineages are allowed, so a deny for another reason than the load is not expected.
fn judge_authorize(status: u16, body: &[u8]) -> Judgement {
    match status {
        200 if body.starts_with(br#"{"decision":"allow""#) => judgement("allowed", true),
        403 => judgement("denied", false),
        _ => other(status),
    }
}

fn judge_authorize_batch(status: u16, body: &[u8]) -> Judgement {
    match status {
        200 if body.starts_with(br#"{"decisions":["#) => judgement("decided", true),
        _ => other(status),
    }
}

/// The results of a batch are not read here. That none of it was accepted is seen by the ledger's size.
fn judge_forged_batch(status: u16, _: &[u8]) -> Judgement {
    match status {
        200 => judgement("judged", true),
        _ => other(status),
    }
}

fn judge_forged(status: u16, _: &[u8]) -> Judgement {
    match status {
        200 | 201 => judgement(FORGED_ACCEPTED, false),
        400 | 403 => judgement("refused", true),
        // The node had no time to judge it.
        504 => judgement("no outcome in time", true),
        _ => other(status),
    }
}

/// A valid envelope is accepted, or its first receipt is given again.
fn judge_valid(status: u16, _: &[u8]) -> Judgement {
    match status {
        201 => judgement("accepted", true),
        200 => judgement("accepted before", true),
        // The outcome is open. The same bytes come again.
        504 => judgement("no outcome in time", true),
        400 | 403 | 404 | 409 | 413 => judgement(VALID_REFUSED, false),
        _ => other(status),
    }
}

/// The statuses in the answer to a batch of envelopes.
#[derive(Deserialize)]
struct Results {
    results: Vec<OneResult>,
}

#[derive(Deserialize)]
struct OneResult {
    status: u16,
}

/// A batch of valid envelopes is judged by the worst of its results: one that is refused for good, one that was not
/// taken in time, and one that is accepted for the first time, in this order.
fn judge_valid_batch(status: u16, body: &[u8]) -> Judgement {
    if status != 200 {
        return judge_valid(status, body);
    }
    let results = match serde_json::from_slice::<Results>(body) {
        Ok(Results { results }) if results.len() == VALID_A_BATCH => results,
        Ok(_) | Err(_) => return judgement("not an answer to the batch", false),
    };
    let each = || results.iter().map(|result| judge_valid(result.status, b""));
    if let Some(unexpected) = each().find(|judgement| !judgement.expected) {
        return unexpected;
    }
    if results.iter().any(|result| !matches!(result.status, 200 | 201)) {
        return judgement("partly shed", true);
    }
    each().find(|judgement| judgement.label == "accepted").unwrap_or(judge_valid(200, b""))
}

fn judge_permit(status: u16, body: &[u8]) -> Judgement {
    match status {
        200 if body.starts_with(br#"{"decision":"allow""#) => judgement("permitted", true),
        403 => judgement("denied", true),
        504 => judgement("no outcome in time", true),
        _ => other(status),
    }
}

/// Everything that is read exists.
fn judge_read(status: u16, body: &[u8]) -> Judgement {
    match status {
        200 if body.starts_with(b"{") => judgement("read", true),
        _ => other(status),
    }
}

/// A page ends with a heartbeat.
fn judge_feed(status: u16, body: &[u8]) -> Judgement {
    let last = body.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
    match status {
        200 if last.starts_with(br#"{"heartbeat":"#) => judgement("page", true),
        _ => other(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_api::parse_batch;
    use assent_fixtures::key;
    use assent_proof::{History, Rules, Seconds, verify};
    use std::collections::BTreeSet;

    fn place() -> Place {
        Place {
            origin: "bench.local/registry".to_owned(),
            domain: "bench.local".parse().unwrap(),
            run: "1".to_owned(),
            now: Seconds(1_700_000_000),
        }
    }

    #[test]
    fn a_batch_of_forged_envelopes_is_nearly_as_large_as_a_batch_may_be() {
        let envelopes: Vec<_> =
            (0..3).map(|n| forged(&place(), n, &[&key(3), &key(4)], SIGNATURES).unwrap()).collect();
        assert!(envelopes.iter().all(|envelope| envelope.len() < 64 * 1024));
        assert_eq!(signature_batches(&place(), 2, [&key(3), &key(4)]).unwrap().len(), 2);
        let body = batch_body(BatchMode::Each, &envelopes).unwrap();
        assert_eq!(parse_batch(&body).unwrap().1.len(), 3);
    }

    #[test]
    fn a_flood_of_valid_envelopes_has_different_ones_that_need_no_other() {
        let issuers = [&key(3), &key(4)];
        let single = valid_envelopes(&place(), "single", 30, issuers).unwrap();
        let batched = valid_envelopes(&place(), "batched", 30, issuers).unwrap();
        let mut ids = BTreeSet::new();
        for bytes in single.iter().chain(&batched) {
            let envelope = verify(bytes, &place().origin, Rules::NEWEST).unwrap();
            assert_eq!((envelope.statement().sequence, envelope.statement().parent), (Some(0), None));
            ids.insert(envelope.id());
        }
        assert_eq!(ids.len(), 60);
        assert_eq!(valid_batches(&place(), 3, issuers).unwrap().len(), 3);
    }

    #[test]
    fn reads_and_feeds_have_calls_for_each_lineage_and_each_place() {
        assert_eq!(reads(&place(), 3, [&key(3), &key(4)]).unwrap().len(), 12);
        let (_, request) = allowing(&place(), 0, &key(3), &key(4)).unwrap();
        let ledger = Cursor { history: History::founded([1; 32]), revision: 7 };
        assert_eq!(feeds(&[request], ledger).unwrap().len(), 300);
    }

    #[test]
    fn a_forged_envelope_that_is_accepted_is_not_as_expected_and_a_shed_one_is() {
        for (status, expected) in
            [(201, false), (200, false), (403, true), (429, true), (503, true), (404, false)]
        {
            assert_eq!(judge_forged(status, b"").expected, expected, "{status}");
        }
        assert!(WRONG.contains(&judge_forged(201, b"").label));
        assert!(!judge_permit(200, br#"{"decision":"deny""#).expected);
        assert!(!judge_authorize_batch(200, b"{}").expected);
    }

    #[test]
    fn a_valid_envelope_that_is_refused_for_good_is_wrong_and_a_shed_one_is_not() {
        for (status, label) in [
            (201, "accepted"),
            (200, "accepted before"),
            (504, "no outcome in time"),
            (429, "shed"),
            (503, "shed"),
            (409, VALID_REFUSED),
            (403, VALID_REFUSED),
            (500, "other status"),
        ] {
            assert_eq!(judge_valid(status, b"").label, label, "{status}");
        }
        let batch = |last: u16| {
            let before = r#"{"status":200,"receipt":{}},"#.repeat(VALID_A_BATCH - 1);
            let body = format!(r#"{{"results":[{before}{{"status":{last},"problem":{{}}}}]}}"#);
            judge_valid_batch(200, body.as_bytes())
        };
        for (last, label, expected) in [
            (200, "accepted before", true),
            (201, "accepted", true),
            (429, "partly shed", true),
            (504, "partly shed", true),
            (409, VALID_REFUSED, false),
            (500, "other status", false),
        ] {
            assert_eq!((batch(last).label, batch(last).expected), (label, expected), "{last}");
        }
        assert_eq!(judge_valid_batch(503, b"").label, "shed");
        assert!(!judge_valid_batch(200, br#"{"results":[{"status":200}]}"#).expected);
    }

    #[test]
    fn only_what_was_asked_for_is_an_answer_to_an_authorize_a_read_or_a_feed() {
        assert!(judge_authorize(200, br#"{"decision":"allow","#).expected);
        assert!(!judge_authorize(200, br#"{"decision":"deny","#).expected);
        assert!(!judge_authorize(403, br#"{"decision":"deny","#).expected);
        assert!(judge_read(200, b"{}").expected && !judge_read(404, b"{}").expected);
        let heartbeat = br#"{"heartbeat":{}}"#;
        let event = br#"{"revision":1}"#;
        assert!(judge_feed(200, heartbeat).expected);
        assert!(judge_feed(200, &[&event[..], b"\n", heartbeat, b"\n"].concat()).expected);
        assert!(!judge_feed(200, &[&heartbeat[..], b"\n", event, b"\n"].concat()).expected);
        assert!(!judge_feed(200, b"").expected && !judge_feed(409, heartbeat).expected);
        for judge in [judge_authorize, judge_read, judge_feed] {
            assert_eq!(judge(503, b"").label, "shed");
        }
    }
}
