//! Nodes that join a running cluster, and members that have left it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use assent_proof::SigningKey;

use crate::answer::Answer;
use crate::cluster::{Cluster, Node};
use crate::error::HarnessError;
use crate::evidence::Evidence;

impl Cluster {
    /// Starts a node that is in no membership, with an id, a key, an empty data directory and free ports of its own.
    pub fn start_newcomer(&mut self, id: u64) -> Result<(), HarnessError> {
        let first = self.node(1)?.clone();
        let port = |address: &str| -> Result<u64, HarnessError> {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            port.ok_or_else(|| HarnessError::Unexpected(format!("`{address}` has no port")))
        };
        let offset = id.saturating_sub(1);
        let client = format!("127.0.0.1:{}", port(&first.client)? + offset);
        let peer = format!("127.0.0.1:{}", port(&first.peer)? + offset);
        let folder = self.dev_directory();
        let (data, key) = (folder.join(format!("data-{id}")), self.newcomer_key_path(id));
        fs::write(&key, newcomer_key(id).to_pem())
            .and_then(|()| fs::set_permissions(&key, fs::Permissions::from_mode(0o600)))
            .map_err(HarnessError::io("writing a key"))?;
        let own = [
            ("node_id", id.to_string()),
            ("data_dir", format!("{:?}", data.display().to_string())),
            ("node_key", format!("{:?}", key.display().to_string())),
            ("client_listen", format!("{client:?}")),
            ("peer_listen", format!("{peer:?}")),
        ];
        self.write_config(id, 1, &own)?;
        self.nodes.push(Node { id, pid: i32::MAX, client, peer, data });
        self.restart(id)
    }

    /// The file of a newcomer's key.
    pub fn newcomer_key_path(&self, id: u64) -> std::path::PathBuf {
        self.dev_directory().join(format!("keys/node-{id}.pem"))
    }

    /// Has root grant a newcomer's key.
    pub async fn grant_newcomer(&self, id: u64) -> Result<(), HarnessError> {
        self.grant_newcomer_through(1, id).await
    }

    /// Has root grant a newcomer's key, through the node `through`.
    pub async fn grant_newcomer_through(&self, through: u64, id: u64) -> Result<(), HarnessError> {
        let evidence = Evidence::new(self, "grant").await?.in_domain("_root");
        let root = self.key("root")?;
        let slot = self.governance_slot(through, "_root").await;
        self.accept(through, &evidence.grant(&newcomer_key(id), "registry", &root, slot)).await?;
        Ok(())
    }

    /// Asks `through` to add a started newcomer as a learner, with the addresses and the key that the newcomer itself
    /// states.
    pub async fn add_learner(&self, through: u64, id: u64) -> Result<Answer, HarnessError> {
        let status = self.introduced(id).await?;
        let of = |name: &str| status.body.pointer(&format!("/node/{name}")).cloned();
        let body = json!({"id": id, "peer": of("peer"), "client": of("client"), "storeId": of("storeId"), "key": of("key")});
        Ok(self.post(through, "/v1/cluster/members", body.to_string().into_bytes()).await)
    }

    /// The status of a node that was just started.
    pub async fn introduced(&self, id: u64) -> Result<Answer, HarnessError> {
        for _ in 0..400 {
            let status = self.get(id, "/v1/cluster/status").await;
            if status.status == Some(200) {
                return Ok(status);
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        Err(HarnessError::TimedOut(format!("node {id} does not state its identity:\n{}", self.node_log(id))))
    }

    /// Promotes a learner, and repeats the call until the learner has caught up.
    pub async fn promote(&self, through: u64, id: u64) -> Result<Answer, HarnessError> {
        let path = format!("/v1/cluster/members/{id}/promote");
        for _ in 0..100 {
            let answer = self.post(through, &path, "").await;
            match answer.status {
                Some(409 | 503) | None => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                _ => return Ok(answer),
            }
        }
        Err(HarnessError::TimedOut(format!("node {id} was not promoted in time:\n{}", self.node_log(id))))
    }
}

/// A newcomer's key.
pub fn newcomer_key(id: u64) -> SigningKey {
    let mut seed = [0x6e; 32];
    if let Some(last) = seed.last_mut() {
        *last = u8::try_from(id % 256).unwrap_or(0);
    }
    SigningKey::from_seed(seed)
}
