//! Reads: things that do not exist, pages, and answers that are not the API's.

use crate::support::*;
use assent_api::{LineageBody, LineageStatus};
use assent_client::{Client, ClientConfig, Trust};
use assent_proof::{Code, DomainName, LineageName};

fn client(server: &Server) -> Client {
    Client::new(ClientConfig::new([&server.endpoint], Trust::NoAllow)).unwrap()
}

fn page(next: Option<u64>) -> Do {
    let body = LineageBody {
        domain: "prod.eu".parse().unwrap(),
        lineage: "exec-1".parse().unwrap(),
        history: history(1),
        status: LineageStatus::Open,
        subject: None,
        subjects: vec![],
        head: None,
        sequence: None,
        quarantined_by: vec![],
        conflicts: vec![],
        issuers: vec![],
        entries: vec![],
        next,
    };
    Do::Answer(200, serde_json::to_vec(&body).unwrap())
}

fn names() -> (DomainName, LineageName) {
    ("prod.eu".parse().unwrap(), "exec-1".parse().unwrap())
}

#[tokio::test]
async fn an_envelope_is_the_one_asked_for() {
    let (good, other) = (envelope(1), envelope(2));
    let server = Server::start(vec![
        Do::Answer(200, good.clone()),
        Do::Answer(200, other),
        Do::Answer(200, b"{}".to_vec()),
        problem(Code::EvidenceMissing, 404),
        Do::Answer(404, b"nope".to_vec()),
    ])
    .await;
    let (client, id) = (client(&server), id(&good));
    assert_eq!(client.envelope(&id).await.unwrap().unwrap().to_vec(), good);
    assert_eq!(client.envelope(&id).await.unwrap_err().code(), "answer_invalid");
    assert_eq!(client.envelope(&id).await.unwrap_err().code(), "answer_invalid");
    assert_eq!(client.envelope(&id).await.unwrap(), None);
    assert_eq!(client.envelope(&id).await.unwrap_err().code(), "answer_invalid");
    assert_eq!(server.seen.lock().unwrap()[0].0, format!("/v1/envelopes/{id}"));
}

#[tokio::test]
async fn a_lineage_is_read_page_by_page_to_its_end() {
    let server = Server::start(vec![page(Some(7)), page(Some(9)), page(None)]).await;
    let (domain, lineage) = names();
    let mut pages = client(&server).lineage_pages(&domain, &lineage);
    for _ in 0..3 {
        assert!(pages.next().await.unwrap().is_some());
    }
    assert!(pages.next().await.unwrap().is_none());
    let paths: Vec<_> = server.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(
        paths,
        [
            "/v1/lineages/prod.eu/exec-1?limit=1000".to_owned(),
            format!("/v1/lineages/prod.eu/exec-1?history={}&after=7&limit=1000", history(1)),
            format!("/v1/lineages/prod.eu/exec-1?history={}&after=9&limit=1000", history(1)),
        ]
    );
}

#[tokio::test]
async fn a_page_of_another_history_is_not_joined_to_those_before() {
    let server = Server::start(vec![page(Some(7)), problem(Code::HistoryMismatch, 409)]).await;
    let (domain, lineage) = names();
    let mut pages = client(&server).lineage_pages(&domain, &lineage);
    assert!(pages.next().await.unwrap().is_some());
    assert_eq!(pages.next().await.unwrap_err().code(), "history_mismatch");
}

#[tokio::test]
async fn a_node_that_turns_in_circles_does_not_keep_the_client() {
    let server = Server::start(vec![page(Some(7)), page(Some(7))]).await;
    let (domain, lineage) = names();
    let mut pages = client(&server).lineage_pages(&domain, &lineage);
    assert!(pages.next().await.unwrap().is_some());
    assert!(pages.next().await.unwrap().is_some());
    assert!(pages.next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_does_not_exist_is_none_and_a_node_that_is_ready_says_ok() {
    let server = Server::start(vec![
        problem(Code::LineageUnknown, 404),
        problem(Code::PolicyMissing, 404),
        Do::Answer(200, b"ok\n".to_vec()),
        problem(Code::NoQuorum, 503),
        Do::Answer(200, b"<html>welcome</html>".to_vec()),
        Do::Answer(200, Vec::new()),
        Do::Answer(200, b"garbage".to_vec()),
    ])
    .await;
    let (client, (domain, lineage)) = (client(&server), names());
    assert!(client.lineage(&domain, &lineage, None, None).await.unwrap().is_none());
    assert!(client.policy(&domain).await.unwrap().is_none());
    assert!(client.ready().await);
    assert!(!client.ready_at(&server.endpoint).await);
    assert!(!client.ready_at(&server.endpoint).await, "it is no node");
    assert!(!client.ready().await, "it is no node");
    assert_eq!(client.status().await.unwrap_err().code(), "answer_invalid");
    assert_eq!(client.status_at("https://x:1").await.unwrap_err().code(), "config_invalid");
}

#[tokio::test]
async fn nothing_at_a_path_and_a_code_of_another_call_do_not_say_that_something_does_not_exist() {
    for code in [Code::TargetUnknown, Code::DomainUnknown] {
        let server = Server::start((0..3).map(|_| problem(code, 404)).collect()).await;
        let (client, (domain, lineage)) = (client(&server), names());
        for error in [
            client.envelope(&id(&envelope(1))).await.unwrap_err(),
            client.lineage(&domain, &lineage, None, None).await.unwrap_err(),
            client.policy(&domain).await.unwrap_err(),
        ] {
            assert_eq!(error.code(), code.as_str());
        }
    }
}

/// It fails if a call of members goes to the endpoints, or a read to the admin listeners.
#[tokio::test]
async fn the_calls_of_operators_go_to_the_admin_listeners_and_everything_else_to_the_endpoints() {
    let members = || {
        let body = assent_api::MembersBody {
            node_id: 1,
            leader: None,
            changing: false,
            next_id: 4,
            members: vec![],
        };
        Do::Answer(200, serde_json::to_vec(&body).unwrap())
    };
    let endpoint = Server::start(vec![problem(Code::EvidenceMissing, 404)]).await;
    let admin = Server::start(vec![members(), members(), members()]).await;
    let config = ClientConfig {
        admin: vec![admin.endpoint.clone()],
        ..ClientConfig::new([&endpoint.endpoint], Trust::NoAllow)
    };
    let client = Client::new(config).unwrap();
    client.members().await.unwrap();
    client.remove_member(2).await.unwrap();
    client.transfer_leader(None).await.unwrap();
    assert_eq!(client.envelope(&id(&envelope(1))).await.unwrap(), None);
    let paths = |server: &Server| -> Vec<String> {
        server.seen.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    };
    assert_eq!(paths(&admin), ["/v1/cluster/members", "/v1/cluster/members/2", "/v1/cluster/leader"]);
    assert_eq!(endpoint.requests(), 1);

    // Without any, the endpoints are asked.
    let only = Server::start(vec![members()]).await;
    let client = Client::new(ClientConfig::new([&only.endpoint], Trust::NoAllow)).unwrap();
    client.members().await.unwrap();
    assert_eq!(only.requests(), 1);
}
