//! The signatures of JSON web tokens that a node verifies for one address: they are bounded, and bad tokens keep no good one
//! out. Over real sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster_support::jwt::{Signer, issuer as issuer_of, jwks as jwks_of, reader};
use crate::cluster_support::over_tls::{answer_over, answer_to, connector};
use crate::cluster_support::raw::{connect_from, post, problem};
use crate::cluster_support::token_callers::{caller, serve_tls};
use crate::cluster_support::*;
use assent_cluster::access::{CallerConfig, Role};
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

/// A node that accepts the tokens of an issuer.
struct Door {
    node: Node,
    connector: TlsConnector,
    /// The issuer's file of keys.
    jwks: PathBuf,
}

impl Door {
    /// It is ready and sure of its clock, and has accepted this token.
    async fn open(folder: &Path, issuer: &Signer, known: &str) -> Self {
        let jwks = folder.join("jwks.json");
        fs::write(&jwks, jwks_of(&[issuer])).unwrap();
        let (entry, _) = caller(folder, "reads", &[Role::Auditor], 1);
        let reads = CallerConfig { tokens: None, jwt: Some(reader()), ..entry };
        let mut ca = None;
        let node = alone(folder, |config| {
            ca = Some(serve_tls(config, folder));
            config.callers = vec![reads];
            config.jwt_issuers = vec![issuer_of(&jwks)];
        })
        .await;
        let door = Self { node, connector: connector(ca.unwrap().certificate_path(), None), jwks };
        // A node accepts no such token until it is sure of its clock.
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let first = door.status("127.0.0.1", known).await;
            if first.starts_with("HTTP/1.1 200") {
                return door;
            }
            assert!(Instant::now() < until && first.contains("not sure of its clock"), "{first}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The answer about the cluster's status, from an address of this machine and with a token.
    async fn status(&self, source: &str, token: &str) -> String {
        let request = format!(
            "GET /v1/cluster/status HTTP/1.1\r\nhost: node\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        let stream = connect_from(source, self.node.client_addr()).await;
        String::from_utf8(answer_over(&self.connector, stream, request.as_bytes()).await).unwrap()
    }
}

/// It fails if a token that can be refused without its signature, or whose signature was found wrong before, uses up what
/// a good token of the same address needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_that_is_shown_again_and_again_keeps_no_good_token_of_its_address_out() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Signer::new("one"), Signer::new("one"));
    let door = Door::open(folder.path(), &issuer, &issuer.token(0)).await;
    let expired = issuer.token_with(1, "reader", now().0 - 3_600);
    let unlisted = issuer.token_with(2, "writer", now().0 + 3_600);
    let bad = [
        ("has expired", expired),
        ("the subject `writer` of the issuer `https://issuer.example`, which is not verified", unlisted),
        ("signature of the JSON web token does not verify", stranger.token(3)),
    ];
    for (number, (said, token)) in bad.iter().enumerate() {
        for time in 0..500 {
            let answer = door.status("127.0.0.1", token).await;
            assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(said), "{said}, {time}: {answer}");
        }
        let new = door.status("127.0.0.1", &issuer.token(10 + number)).await;
        assert!(new.starts_with("HTTP/1.1 200"), "{said}: {new}");
    }
    let counted = door.node.service().status(Caller::local()).refused_callers;
    for reason in ["jwt_expired", "jwt_signature_invalid", "jwt_subject_not_listed"] {
        assert_eq!(counted[reason], 500, "{counted:?}");
    }
    door.node.shutdown().await;
}

/// It fails if each token of a stranger costs the node a verification, if a flood of them keeps out a caller of another
/// address or one whose token is known, or if a token outlives the keys that have verified it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_of_one_address_cost_few_verifications_and_keep_no_good_token_out() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, stranger) = (Signer::new("one"), Signer::new("one"));
    let known = issuer.token(0);
    let door = Door::open(folder.path(), &issuer, &known).await;
    let status = async |source: &str, token: &str| door.status(source, token).await;

    let from = Instant::now();
    let (mut refused, mut shed) = (0_u64, 0_u64);
    let mut beyond = None;
    for number in 0..2_000 {
        let answer = status("127.0.0.1", &stranger.token(number)).await;
        if answer.starts_with("HTTP/1.1 401") {
            refused += 1;
            continue;
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        shed += 1;
        // A good token that the node does not know yet is told to come back.
        let new = status("127.0.0.1", &issuer.token(10_000 + number)).await;
        if new.starts_with("HTTP/1.1 503") {
            beyond = Some(new);
            break;
        }
    }
    let (head, beyond) = problem(&beyond.expect("the address uses up its verifications"));
    assert_eq!(beyond.code, Code::Overloaded, "{head}");
    assert!(beyond.detail.contains("JSON web tokens") && head.contains("retry-after"), "{}", beyond.detail);
    // 100 at once and 10 a second, and one for the time that the last one took.
    assert!(refused <= 101 + 10 * (from.elapsed().as_secs() + 1), "{refused} in {:?}", from.elapsed());
    let counted = door.node.service().status(Caller::local()).refused_callers;
    assert_eq!(counted["jwt_signature_invalid"], refused, "{counted:?}");
    assert_eq!(counted["jwt_unverified"], shed + 1, "{counted:?}");

    let again = status("127.0.0.1", &known).await;
    assert!(again.starts_with("HTTP/1.1 200"), "a known token needs no verification: {again}");
    let other = status("127.0.0.2", &issuer.token(1)).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    // The answer of a request for a decision is a deny.
    let mut denied = None;
    for number in 20_000..20_050 {
        let headers = format!("authorization: Bearer {}\r\nconnection: close\r\n", stranger.token(number));
        let asked = post("/v1/authorize", &headers, &request().to_json().to_vec());
        let answer =
            String::from_utf8(answer_to(&door.connector, door.node.client_addr(), &asked).await).unwrap();
        if answer.starts_with("HTTP/1.1 503") {
            denied = Some(answer);
            break;
        }
    }
    let denied = denied.expect("a request is beyond the verifications");
    assert!(denied.contains("\"decision\":\"deny\"") && denied.contains("\"overloaded\""), "{denied}");
    assert!(!denied.contains("\"receipt\":{"), "{denied}");

    // Once the issuer has other keys, what the old ones have verified is void.
    fs::write(&door.jwks, jwks_of(&[&stranger])).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = status("127.0.0.3", &known).await;
        if answer.starts_with("HTTP/1.1 401") {
            break;
        }
        assert!(Instant::now() < until, "it outlives its key: {answer}");
        sleep(Duration::from_millis(200)).await;
    }
    door.node.shutdown().await;
}
