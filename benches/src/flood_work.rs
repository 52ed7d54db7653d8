//! What a flood sends: the bodies of each kind, made beforehand, and what their answers may be.
//!
//! A node may refuse any of it. What it must never do is to accept a forged envelope.

use assent_api::{BatchMode, MAX_BATCH, MAX_BATCH_BYTES, authorize_batch_body, batch_body};
use assent_client::load::{Call, Judge, Judgement, Work};
use assent_proof::{AuthorizeRequest, SigningKey};

use crate::Failure;
use crate::args::{FloodArgs, FloodKind};
use crate::evidence::{Place, forged};

/// Two issuers and this many signatures are as many checks as a node spends on one envelope.
const SIGNATURES: usize = 48;

/// One connection in so many gets batches of forged envelopes of its own, since each has nearly 1 MiB.
const CONNECTIONS_A_BATCH: usize = 8;

/// What a flood of one kind sends, and how its answers are judged.
pub(crate) struct FloodWork {
    pub(crate) work: Work,
    pub(crate) judge: Judge,
    /// Whether none of it may enter the ledger.
    pub(crate) is_forged: bool,
}

/// Makes the bodies. The forged envelopes are in the name of these issuers, which the nodes know.
pub(crate) fn make(
    args: &FloodArgs,
    kind: FloodKind,
    place: &Place,
    requests: &[AuthorizeRequest],
    issuers: [&SigningKey; 2],
) -> Result<FloodWork, Failure> {
    let connections = usize::from(args.connections);
    let count = connections.saturating_mul(usize::from(args.bodies));
    let calls: Result<Vec<Call>, Failure> = match kind {
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
        FloodKind::Permits => {
            let call = |(n, request): (usize, &AuthorizeRequest)| -> Result<Call, Failure> {
                let nonce = Some(format!("flood-{n}"));
                let request = AuthorizeRequest { nonce, ..request.clone() };
                Ok(Call::post("/v1/permits", request.to_json().to_vec())?)
            };
            requests.iter().cycle().take(count).enumerate().map(call).collect()
        }
    };
    let judge: Judge = match kind {
        FloodKind::AuthorizeBatches => judge_authorize_batch,
        FloodKind::SignatureBatches => judge_envelope_batch,
        FloodKind::InvalidEnvelopes => judge_envelope,
        FloodKind::Permits => judge_permit,
    };
    let is_forged = matches!(kind, FloodKind::SignatureBatches | FloodKind::InvalidEnvelopes);
    Ok(FloodWork { work: Work::Repeat(calls?), judge, is_forged })
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

fn judge_authorize_batch(status: u16, body: &[u8]) -> Judgement {
    match status {
        200 if body.starts_with(br#"{"decisions":["#) => judgement("decided", true),
        _ if is_shed(status) => judgement("shed", true),
        _ => judgement("other status", false),
    }
}

/// The results of a batch are not read here. That none of it was accepted is seen by the ledger's size.
fn judge_envelope_batch(status: u16, _: &[u8]) -> Judgement {
    match status {
        200 => judgement("judged", true),
        _ if is_shed(status) => judgement("shed", true),
        _ => judgement("other status", false),
    }
}

fn judge_envelope(status: u16, _: &[u8]) -> Judgement {
    match status {
        200 | 201 => judgement("ACCEPTED", false),
        400 | 403 => judgement("refused", true),
        // The node had no time to judge it.
        504 => judgement("no outcome in time", true),
        _ if is_shed(status) => judgement("shed", true),
        _ => judgement("other status", false),
    }
}

fn judge_permit(status: u16, body: &[u8]) -> Judgement {
    match status {
        200 if body.starts_with(br#"{"decision":"allow""#) => judgement("permitted", true),
        403 => judgement("denied", true),
        504 => judgement("no outcome in time", true),
        _ if is_shed(status) => judgement("shed", true),
        _ => judgement("other status", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_api::parse_batch;
    use assent_fixtures::key;
    use assent_proof::Seconds;

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
    fn a_forged_envelope_that_is_accepted_is_not_as_expected_and_a_shed_one_is() {
        for (status, expected) in
            [(201, false), (200, false), (403, true), (429, true), (503, true), (404, false)]
        {
            assert_eq!(judge_envelope(status, b"").expected, expected, "{status}");
        }
        assert!(!judge_permit(200, br#"{"decision":"deny""#).expected);
        assert!(!judge_authorize_batch(200, b"{}").expected);
    }
}
