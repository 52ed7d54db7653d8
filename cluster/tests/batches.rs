//! Batches of envelopes over HTTP: what each result says of its envelope.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod cluster_support;

use std::net::SocketAddr;

use assent_api::{BatchMode, batch_body};
use assent_proof::Envelope;
use cluster_support::http::{ask, status};
use cluster_support::*;
use serde_json::Value;

/// The results of a batch.
async fn results(address: SocketAddr, mode: BatchMode, envelopes: &[Vec<u8>]) -> Vec<Value> {
    let answer = ask(address, "POST /v1/envelopes:batch", &batch_body(mode, envelopes)).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    body["results"].as_array().unwrap().clone()
}

/// The same envelope with a signature that does not verify.
fn tampered(envelope: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::parse(envelope).unwrap();
    let other = Envelope::parse(&authorization_for("elsewhere")).unwrap();
    envelope.signatures = other.signatures;
    envelope.to_vec()
}

/// An authorization that is signed as it should be, by a key that nobody has granted anything.
fn by_nobody() -> Vec<u8> {
    let mut draft = statement(
        assent_proof::EvidenceKind::RuntimeIntegrity,
        "prod.eu".parse().unwrap(),
        "program",
        &assent_proof::Claims::RuntimeIntegrity { measured: "m".to_owned() },
    );
    draft.lineage = "exec-9".parse().unwrap();
    sign(draft, &[&key(99)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_envelope_of_a_batch_that_is_refused_whole_is_told_that_it_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = configs(folder.path()).swap_remove(0);
    config.voters.truncate(1);
    let node = start(&config).await;
    ready(&node).await;
    let address = node.client_addr();
    let good = authorization_for("exec-1");
    // One batch fails when its signatures are verified, the other when the registry judges it.
    for (bad, code) in
        [(tampered(&authorization_for("exec-2")), "signature_invalid"), (by_nobody(), "authority_unknown")]
    {
        let batch = [good.clone(), bad, authorization_for("exec-3")];
        let all = results(address, BatchMode::All, &batch).await;
        for (place, result) in all.iter().enumerate() {
            assert_eq!(result["problem"]["code"], code, "{result}");
            assert!(result["receipt"].is_null(), "{result}");
            let field = &result["problem"]["field"];
            match place {
                1 => assert!(result["good"].is_null() && field != "envelopes[1]", "{result}"),
                _ => assert!(result["good"] == true && field == "envelopes[1]", "{result}"),
            }
        }
    }
    // Alone, and in a batch of the other mode, it is accepted: nothing was recorded before.
    let each = results(address, BatchMode::Each, &[good.clone(), by_nobody()]).await;
    assert_eq!((each[0]["status"].as_u64(), &each[0]["good"]), (Some(201), &Value::Null), "{each:?}");
    assert!(each[1]["good"].is_null(), "{each:?}");
    node.shutdown().await;
}
