//! Members whose addresses change, with real processes: the node itself announces the change, or an operator makes it
//! with the command.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::Duration;

use assent_jepsen::{Cluster, Evidence, binary};
use serde_json::Value;

const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// An address on which nobody listens.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// `assent member update` with these arguments.
fn update(cluster: &Cluster, args: &[&str]) -> Output {
    let endpoints: Vec<String> = cluster.nodes.iter().map(|node| format!("http://{}", node.client)).collect();
    Command::new(binary().unwrap())
        .args(["member", "update", "--output", "json"])
        .args(args)
        .env("ASSENT_ENDPOINTS", endpoints.join(","))
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Where `through` has a member, for peers and for clients.
async fn place(cluster: &Cluster, through: u64, id: u64) -> (String, String) {
    let members = cluster.get(through, "/v1/cluster/members").await;
    let members = members.body["members"].as_array().cloned().unwrap_or_default();
    let member = members.into_iter().find(|member| member["id"] == id).unwrap_or_default();
    let text = |name: &str| member[name].as_str().unwrap_or_default().to_owned();
    (text("peer"), text("client"))
}

#[tokio::test]
async fn an_operator_says_with_the_command_where_a_member_is() {
    let cluster = Cluster::start(3).await.unwrap();
    let (peer, client) = place(&cluster, 1, 3).await;
    // Until node 3 has seen that the membership has it where it is: before that it would say so itself.
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Other spellings of an address that node 1 has.
    let port = cluster.nodes[0].peer.rsplit_once(':').unwrap().1.to_owned();
    let respelled = [
        format!("localhost:{port}"),
        format!("127.1:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("127.0.0.1:0{port}"),
    ];
    for (args, code) in [
        (["--id", "3", "--peer-addr", "0.0.0.0:7500"], "malformed"),
        (["--id", "3", "--client-addr", "[::]:7400"], "malformed"),
        (["--id", "3", "--peer-addr", "224.0.0.1:7500"], "malformed"),
        (["--id", "03", "--peer-addr", "10.0.0.9:7500"], "without a sign or leading zeros"),
        (["--id", "3", "--peer-addr", respelled[0].as_str()], "malformed"),
        (["--id", "3", "--peer-addr", respelled[1].as_str()], "malformed"),
        (["--id", "3", "--client-addr", respelled[2].as_str()], "malformed"),
        (["--id", "3", "--client-addr", respelled[3].as_str()], "malformed"),
        (["--id", "3", "--peer-addr", cluster.nodes[0].peer.as_str()], "member_exists"),
        (["--id", "9", "--peer-addr", "10.0.0.9:7500"], "member_unknown"),
    ] {
        let output = update(&cluster, &args);
        assert!(!output.status.success(), "{args:?}");
        assert!(said(&output).contains(code), "{args:?}: {}", said(&output));
    }
    assert_eq!(place(&cluster, 1, 3).await, (peer.clone(), client));
    // Nobody listens there yet: an operator may say it before it is so.
    let elsewhere = free();
    let output = update(&cluster, &["--id", "3", "--client-addr", &elsewhere]);
    assert!(output.status.success(), "{}", said(&output));
    let members: Value = serde_json::from_slice(&output.stdout).unwrap();
    let third = members["members"].as_array().unwrap().iter().find(|member| member["id"] == 3).unwrap();
    assert_eq!(third["client"], elsewhere.as_str(), "{members}");
    // It holds, although the node has another address in its configuration.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(place(&cluster, 2, 3).await, (peer, elsewhere));
    cluster.ready(SETTLES_WITHIN).await.unwrap();
}

#[tokio::test]
async fn a_node_that_is_started_at_other_ports_is_found_again_and_the_membership_shows_it() {
    let mut cluster = Cluster::start(3).await.unwrap();
    let evidence = Evidence::new(&cluster, "exec").await.unwrap();
    let (governance, attestation) = (cluster.key("governance").unwrap(), cluster.key("attestation").unwrap());
    cluster.stop(3).unwrap();
    let (peer, client) = (free(), free());
    let path = cluster.config_path(3);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|line| match line.split('=').next().unwrap_or_default().trim() {
        "peer_listen" => format!("peer_listen = {peer:?}"),
        "client_listen" => format!("client_listen = {client:?}"),
        _ => line.to_owned(),
    });
    let lines: Vec<String> = lines.collect();
    let text = format!("peer_advertise = {peer:?}\nclient_advertise = {client:?}\n{}", lines.join("\n"));
    std::fs::write(&path, text).unwrap();
    let third = cluster.nodes.iter_mut().find(|node| node.id == 3).unwrap();
    (third.peer, third.client) = (peer.clone(), client.clone());
    cluster.restart(3).unwrap();
    cluster.node_ready(3, SETTLES_WITHIN).await.unwrap();
    for through in 1..=3 {
        let mut seen = place(&cluster, through, 3).await;
        for _ in 0..600 {
            if seen == (peer.clone(), client.clone()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            seen = place(&cluster, through, 3).await;
        }
        assert_eq!(
            seen,
            (peer.clone(), client.clone()),
            "as node {through} has it:\n{}",
            cluster.node_log(3)
        );
    }
    // It is one of the quorum again.
    cluster.kill(2).unwrap();
    cluster.accept(1, &evidence.authorization(&governance, (0, None))).await.unwrap();
    cluster.accept(1, &evidence.attestation(&attestation, (0, None), "affirming", "m")).await.unwrap();
    let asked = cluster.decide(3, &evidence.request()).await;
    assert!(asked.is_allow(), "{asked:?}");
}
