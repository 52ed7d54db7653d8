//! Members that move, and what the membership says about them.

use std::time::Duration;

use assent_api::{MemberBody, Problem};
use assent_cluster::config::Config;
use assent_cluster::node::Node;
use assent_cluster::usecase::Caller;
use assent_proof::Code;
use tokio::time::sleep;

use super::{free_port, start_all};

pub fn address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The node listens on other ports from its next start on, and says so.
pub fn moves(config: &mut Config) {
    (config.peer_listen, config.client_listen) = (address(), address());
    config.peer_advertise = Some(config.peer_listen.clone());
    config.client_advertise = Some(config.client_listen.clone());
}

pub async fn member(node: &Node, id: u64) -> MemberBody {
    node.service().members(Caller::local()).await.member(id).unwrap().clone()
}

/// Waits until every node sees every member where its configuration has it.
pub async fn are_where_they_are(nodes: &[Node], configs: &[Config]) {
    for node in nodes {
        for config in configs {
            let mut seen = member(node, config.node_id).await;
            for _ in 0..400 {
                if (&seen.peer, &seen.client) == (&config.addresses().0, &config.addresses().1) {
                    break;
                }
                sleep(Duration::from_millis(50)).await;
                seen = member(node, config.node_id).await;
            }
            assert_eq!((seen.peer, seen.client), config.addresses());
        }
    }
}

pub async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown().await;
    }
}

pub async fn ready_all(configs: &[Config]) -> Vec<Node> {
    let nodes = start_all(configs).await;
    are_where_they_are(&nodes, configs).await;
    nodes
}

/// What `/readyz` says until it says that code.
pub async fn ready_says(node: &Node, code: Code) -> Box<Problem> {
    for _ in 0..400 {
        match node.service().ready().await {
            Err(problem) if problem.code == code => return problem,
            _ => sleep(Duration::from_millis(25)).await,
        }
    }
    panic!("never {code}: {:?}", node.service().ready().await);
}

pub async fn store_of(node: &Node) -> [u8; 16] {
    hex::decode(node.service().status(Caller::local()).node.store_id).unwrap().try_into().unwrap()
}
