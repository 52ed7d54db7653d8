//! Denies that are hard to read: each ends the call, and no allow of another endpoint replaces it.

use crate::support::*;
use assent_api::Verdict::{Allow, Deny};
use assent_client::{Client, ClientConfig, FirstEndpoint, Trust};
use assent_proof::{Code, Millis};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

fn config(endpoints: &[&str]) -> ClientConfig {
    let mut config = ClientConfig::new(endpoints.iter().copied(), Trust::keys([node_id()]).unwrap());
    config.deadline = Duration::from_secs(2);
    config.first_endpoint = FirstEndpoint::AsListed;
    config.attempt_timeout = Duration::from_millis(300);
    config.hedge_after = Some(config.deadline);
    config.response_bytes_max = 100_000;
    config.clock = FakeClock::at(Millis(5000));
    config
}

fn client(endpoints: &[&str]) -> Client {
    Client::new(config(endpoints)).unwrap()
}

fn allow() -> String {
    text(signed(&decision(Allow, request("run").to_json(), &[]), &node_key()))
}

/// The same of a permit.
fn permit() -> String {
    text(signed(&permitted(request("run").to_json()), &node_key()))
}

fn deny() -> String {
    text(signed(&decision(Deny, request("run").to_json(), &[Code::LineageQuarantined]), &node_key()))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn batch(decisions: &[&str]) -> String {
    format!("{{\"decisions\":[{}]}}", decisions.join(","))
}

#[tokio::test]
async fn a_deny_with_something_before_it_or_around_it_ends_the_call_under_every_status_that_judged() {
    let (allow, deny) = (allow(), deny());
    for body in [
        format!("\u{feff}{deny}"),
        format!("x{deny}"),
        format!("[{deny}]"),
        format!("{{\"answer\":{deny}}}"),
        format!("{allow}{deny}"),
        deny[4..].to_owned(),
        deny.replacen("\"deny\"", "[\"deny\"]", 1),
    ] {
        for status in [200, 302, 403, 404] {
            let bad = || Do::Answer(status, body.clone().into_bytes());
            let good = |text: &str| Do::Answer(200, text.as_bytes().to_vec());
            let a = Server::start(vec![bad(), bad()]).await;
            let b = Server::start(vec![good(&allow), good(&permit())]).await;
            let client = client(&[&a.endpoint, &b.endpoint]);
            let error = client.authorize(&request("run")).await.unwrap_err();
            assert_eq!(error.code(), "deny_not_understood", "{status} {body}: {error}");
            assert!(client.permit(&request("run")).await.is_err(), "{status} {body}");
            assert_eq!((a.requests(), b.requests()), (2, 0), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn a_deny_in_an_element_of_a_batch_that_cannot_be_read_is_the_deny_of_that_element() {
    let (allow, deny) = (allow(), deny());
    let requests = [request("run"), request("run")];
    for element in [format!("[{deny}]"), format!("{{\"answer\":{deny}}}")] {
        let a = Server::start(vec![
            Do::Answer(200, batch(&[&allow, &element]).into_bytes()),
            Do::Answer(200, batch(&[&element]).into_bytes()),
            Do::Answer(200, batch(&["{}", &element]).into_bytes()),
        ])
        .await;
        let good = || Do::Answer(200, batch(&[&allow, &allow]).into_bytes());
        let b = Server::start(vec![good(), good(), good()]).await;
        let client_of_both = || client(&[&a.endpoint, &b.endpoint]);
        let decisions = client_of_both().authorize_batch(&requests).await.unwrap();
        assert!(decisions[0].as_ref().unwrap().is_allow());
        assert!(decisions[1].is_err());
        // One decision is missing, or is none.
        for _ in 0..2 {
            let error = client_of_both().authorize_batch(&requests).await.unwrap_err();
            assert_eq!(error.code(), "decision_untrusted", "{element}: {error}");
        }
        assert_eq!((a.requests(), b.requests()), (3, 0), "{element}");
    }
}

/// An endpoint that sends these bytes to every request, and then ends the connection, or holds it.
async fn raw(bytes: Vec<u8>, hold: bool) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // The questions here end with the object that they are.
            while !request.ends_with(b"}") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            // A client gives up an answer that is too long.
            let _ = stream.write_all(&bytes).await;
            if hold {
                held.push(stream);
            } else {
                let _ = stream.shutdown().await;
            }
        }
    });
    (endpoint, answering)
}

#[tokio::test]
async fn a_deny_that_has_begun_is_not_overtaken_by_the_allow_of_an_endpoint_that_is_asked_meanwhile() {
    for (part, denies) in [
        (r#"{"decision":"deny","reasons":[{"code":"aut"#, true),
        (r#"{"decision":"de"#, false),
        (r#"{"decision":"allow","#, false),
    ] {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        let (endpoint, answering) = raw([head, part].concat().into_bytes(), true).await;
        let good = Server::start(vec![Do::Answer(200, allow().into_bytes())]).await;
        let mut config = config(&[&endpoint, &good.endpoint]);
        config.attempt_timeout = config.deadline;
        config.hedge_after = Some(Duration::from_millis(200));
        let decided = Client::new(config).unwrap().authorize(&request("run")).await;
        assert_eq!(good.requests(), 1, "the endpoint with the allow is asked meanwhile: {part}");
        if denies {
            assert_eq!(decided.unwrap_err().code(), "deny_not_understood", "{part}");
        } else {
            assert!(decided.unwrap().is_allow(), "{part}");
        }
        answering.abort();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_deny_once_it_has_said_so() {
    let (allow, deny) = (allow(), deny());
    let requests = [request("run")];
    for (body, hold, denies) in [
        (deny.clone(), false, true),
        (deny.clone(), true, true),
        (deny[..20].to_owned(), false, true),
        (batch(&[&deny]), false, true),
        (format!("{deny}{}", " ".repeat(200_000)), false, true),
        (deny[..10].to_owned(), false, false),
        (allow.clone(), false, false),
        (allow.clone(), true, false),
        (batch(&[&allow]), false, false),
    ] {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n";
        let (endpoint, answering) = raw([head, body.as_str()].concat().into_bytes(), hold).await;
        let one = Do::Answer(200, allow.clone().into_bytes());
        let permit = Do::Answer(200, permit().into_bytes());
        let many = Do::Answer(200, batch(&[&allow]).into_bytes());
        let good = Server::start(vec![one, permit, many]).await;
        let of_both = || client(&[&endpoint, &good.endpoint]);
        let decided = of_both().authorize(&request("run")).await;
        if denies {
            assert_eq!(decided.unwrap_err().code(), "deny_not_understood", "{body}");
        } else {
            assert!(decided.unwrap().is_allow(), "{body}");
        }
        assert_eq!(of_both().permit(&request("run")).await.is_err(), denies, "{body}");
        assert_eq!(of_both().authorize_batch(&requests).await.is_err(), denies, "{body}");
        assert_eq!(good.requests(), if denies { 0 } else { 3 }, "{body}");
        answering.abort();
    }
}

#[tokio::test]
async fn a_403_that_breaks_off_before_its_decision_is_a_deny() {
    for (body, hold) in [("", false), ("", true), ("{\"deci", false), ("{\"deci", true)] {
        let head = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n";
        let (endpoint, answering) = raw([head, body].concat().into_bytes(), hold).await;
        let one = Do::Answer(200, allow().into_bytes());
        let good = Server::start(vec![one, Do::Answer(200, permit().into_bytes())]).await;
        let of_both = || client(&[&endpoint, &good.endpoint]);
        let error = of_both().authorize(&request("run")).await.unwrap_err();
        assert_eq!(error.code(), "deny_not_understood", "`{body}`, {hold}: {error}");
        let told = format!("{error}; {}", error.remedy());
        assert!(told.contains("its answer broke off") && told.contains("ask again"), "{told}");
        assert!(!told.contains("this build") && !told.contains("update"), "{told}");
        assert!(of_both().permit(&request("run")).await.is_err(), "`{body}`, {hold}");
        assert_eq!(good.requests(), 0, "`{body}`, {hold}");
        answering.abort();
    }
}

#[tokio::test]
async fn an_answer_that_says_that_it_is_encoded_never_allows_and_its_deny_counts() {
    let (allow, deny, permit) = (allow(), deny(), permit());
    let gzip = "content-encoding: gzip";
    for (headers, status, body, denies) in [
        (gzip, 200, &permit, false),
        ("content-encoding: ", 200, &permit, false),
        ("Content-Encoding: identity, br", 200, &permit, false),
        ("content-encoding: identity\r\ncontent-encoding: zstd", 200, &permit, false),
        (gzip, 200, &"no json".to_owned(), false),
        (gzip, 200, &deny, true),
        (gzip, 403, &deny, true),
        (gzip, 403, &permit, true),
        (gzip, 403, &"no json".to_owned(), true),
    ] {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} said\r\nconnection: close\r\n{headers}\r\ncontent-length: {length}\r\n\r\n"
        );
        let told = format!("{headers}, {status}, {body}");
        let (endpoint, answering) = raw([&head, body.as_str()].concat().into_bytes(), false).await;
        let good = Server::start(vec![
            Do::Answer(200, allow.clone().into_bytes()),
            Do::Answer(200, permit.clone().into_bytes()),
        ])
        .await;
        let of_both = || client(&[&endpoint, &good.endpoint]);
        let asked = of_both().authorize(&request("run")).await;
        let permitted = of_both().permit(&request("run")).await;
        let alone = client(&[&endpoint]).authorize(&request("run")).await.unwrap_err();
        if denies {
            assert_eq!(asked.unwrap_err().code(), "deny_not_understood", "{told}");
            assert!(permitted.is_err(), "{told}");
            assert_eq!((good.requests(), alone.code()), (0, "deny_not_understood"), "{told}");
            let said = format!("{alone}; {}", alone.remedy());
            assert!(said.contains("its answer is encoded") && said.contains("ask again"), "{said}");
        } else {
            assert!(asked.unwrap().is_allow() && permitted.unwrap().is_allow(), "{told}");
            assert_eq!((good.requests(), alone.code()), (2, "answer_invalid"), "{told}");
            assert!(alone.to_string().contains("content-encoding"), "{alone}");
        }
        answering.abort();
    }
}

#[tokio::test]
async fn an_answer_that_says_that_it_is_not_encoded_is_read() {
    let allow = allow();
    for header in ["content-encoding: Identity", "content-encoding: identity, identity"] {
        let length = allow.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{header}\r\ncontent-length: {length}\r\n\r\n");
        let (endpoint, answering) = raw([&head, allow.as_str()].concat().into_bytes(), false).await;
        assert!(client(&[&endpoint]).authorize(&request("run")).await.unwrap().is_allow(), "{header}");
        answering.abort();
    }
}

#[tokio::test]
async fn the_remedy_of_a_newer_nodes_refusal_speaks_of_a_slot_only_after_a_submission() {
    let newer = || Do::Answer(403, br#"{"code":"moon_wrong","detail":"the moon is wrong"}"#.to_vec());
    let server = Server::start(vec![newer(), newer(), newer()]).await;
    let client = client(&[&server.endpoint]);
    let asked = client.authorize(&request("run")).await.unwrap_err();
    let permitted = client.permit(&request("run")).await.unwrap_err();
    let submitted = client.submit(envelope(1)).await.unwrap_err();
    assert_eq!((asked.code(), permitted.code()), ("refusal_not_understood", "refusal_not_understood"));
    assert!(!asked.remedy().contains("slot") && !permitted.remedy().contains("slot"), "{}", asked.remedy());
    assert!(submitted.remedy().contains("slot"), "{}", submitted.remedy());
}
