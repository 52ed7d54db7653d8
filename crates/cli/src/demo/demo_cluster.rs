//! The demo's cluster: three node processes in a temporary directory, and helper functions to call them.

use std::net::TcpListener;
use std::time::Duration;

use assent_api::{NodeRole, ReceiptBody, StatusBody};
use assent_client::{Client, ClientConfig, ClientError, Decision, Trust, TrustedKeys};
use assent_proof::{
    AuthorizeRequest, Claims, DomainName, EvidenceKind, LineageName, PublicKey, Sha256, SigningKey,
    Statement, sign_statement,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::dev::{Layout, Nodes};
use crate::draft::{self, Slot};
use crate::exit::CliError;
use crate::{edge, keys};

/// The number of nodes.
const NODES: u16 = 3;
/// How often the processes are started at most, each time on other ports.
const STARTS: u32 = 3;
/// Longest wait for anything; a busy machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for one answer of one node, above any deadline of a node.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest that a call may take over all its attempts.
const DONE_WITHIN: Duration = Duration::from_secs(20);
/// How often something awaited is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What is to be executed.
const PROGRAM: &[u8] = b"print('hello')";

/// A running cluster and what one needs to speak to it.
pub(crate) struct DemoCluster {
    // Dropped in this order: the processes end before their directory goes.
    /// The processes.
    pub(crate) nodes: Nodes,
    directory: TempDir,
    trusted: TrustedKeys,
    domain: DomainName,
    lineage: LineageName,
}

/// What one node answered.
pub(crate) struct Answer {
    /// The node.
    pub(crate) node: u64,
    /// What it decided, or why there was no answer.
    pub(crate) outcome: Result<Decision, ClientError>,
    /// How long it took, with the times that it was asked again.
    pub(crate) took: Duration,
    /// How often it was asked again because it could not know.
    pub(crate) again: usize,
}

impl DemoCluster {
    /// Makes the directory, starts the processes and waits until each serves. On other ports where these were taken
    /// between the look and the start. Dropping it half way ends and removes everything.
    pub(crate) async fn set() -> Result<Self, CliError> {
        let mut tries = 1..=STARTS;
        loop {
            let mut cluster = Self::start()?;
            let last = tries.next().is_none_or(|number| number == STARTS);
            match cluster.nodes.ready(PATIENCE, |_, _| {}).await {
                Err(error) if error.code == "node_ended" && !last => cluster.clear().await,
                Err(error) => {
                    cluster.clear().await;
                    return Err(error);
                }
                Ok(()) => return Ok(cluster),
            }
        }
    }

    fn start() -> Result<Self, CliError> {
        let directory = tempfile::Builder::new().prefix("assent-demo-").tempdir()?;
        let layout = Layout::open(directory.path(), Some(NODES), Some(free_base_port()?), Some(false))?;
        let trusted = keys::read_trusted(&[layout.node_keys()])?;
        let domain = layout.dev.domain.parse().map_err(|_| CliError::usage("the domain is no name"))?;
        let lineage = "job-1".parse().map_err(|_| CliError::usage("the lineage is no name"))?;
        Ok(Self { nodes: Nodes::start(layout)?, directory, trusted, domain, lineage })
    }

    /// Ends the processes and removes the directory.
    pub(crate) async fn clear(mut self) {
        // Nothing of it is needed again, so the nodes need not hand anything over.
        self.nodes.kill_all().await;
        // What is left lies in the system's directory for temporary files.
        let _ = self.directory.close();
    }

    /// The nodes' numbers.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.layout().dev.nodes.iter().map(|node| node.id).collect()
    }

    /// Where a node serves clients, `host:port`.
    pub(crate) fn address(&self, id: u64) -> &str {
        let nodes = &self.nodes.layout().dev.nodes;
        nodes.iter().find(|node| node.id == id).map_or("", |node| node.client.as_str())
    }

    /// The nodes' public keys.
    pub(crate) fn trusted(&self) -> &[PublicKey] {
        self.trusted.as_slice()
    }

    /// The key that the genesis file gave a role.
    pub(crate) fn key(&self, role: &str) -> Result<SigningKey, CliError> {
        match self.nodes.layout().dev.keys.get(role) {
            Some(path) => keys::read_signing(path),
            None => Err(CliError::usage(format!("there is no key for `{role}`"))),
        }
    }

    /// A client that speaks to these nodes and believes only what a node's key signed.
    pub(crate) fn client(&self, ids: &[u64]) -> Result<Client, CliError> {
        let endpoints = ids.iter().map(|id| format!("http://{}", self.address(*id)));
        let mut config = ClientConfig::new(endpoints, Trust::Keys(self.trusted.clone()));
        config.attempt_timeout = ANSWER_WITHIN;
        config.deadline = DONE_WITHIN;
        Ok(Client::new(config)?)
    }

    /// The question of the whole story.
    pub(crate) fn question(&self) -> AuthorizeRequest {
        AuthorizeRequest {
            domain: self.domain.clone(),
            lineage: Some(self.lineage.clone()),
            runtime: None,
            action: "run".to_owned(),
            subject: Sha256::of(PROGRAM),
            audience: None,
            environment: None,
            nonce: None,
            expected_head: None,
            min_revision: None,
            history: None,
        }
    }

    /// Asks each of these nodes, all at once, as a client does: one that cannot know is asked again.
    pub(crate) async fn ask(&self, ids: &[u64]) -> Result<Vec<Answer>, CliError> {
        let mut asked = Vec::new();
        for id in ids {
            asked.push(tokio::spawn(ask_until_known(*id, self.client(&[*id])?, self.question())));
        }
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.map_err(|error| bug(&error.to_string()))?);
        }
        Ok(answers)
    }

    /// Signs and submits, through the first of these nodes that takes it; the slot is looked up.
    pub(crate) async fn submit(
        &self,
        ids: &[u64],
        claims: &Claims,
        kind: EvidenceKind,
        signers: &[&SigningKey],
    ) -> Result<ReceiptBody, CliError> {
        let client = self.client(ids)?;
        let claims = claims.to_json();
        let origin = &self.nodes.layout().dev.origin;
        let lineage = if kind.is_execution() { self.lineage.clone() } else { LineageName::governance() };
        let target = draft::governance_subject(kind, origin, &self.domain, &claims);
        let slot = if kind.is_restriction() {
            None
        } else {
            let issuer = signers.first().map(|key| key.public());
            Some(draft::next_slot(&client, kind, &self.domain, &lineage, issuer.as_ref()).await?)
        };
        let statement = Statement {
            subject_name: None,
            subject: target.unwrap_or_else(|| Sha256::of(PROGRAM)),
            kind,
            registry: origin.clone(),
            domain: self.domain.clone(),
            lineage,
            issuers: signers.iter().map(|key| key.public()).collect(),
            sequence: slot.map(|Slot { sequence, .. }| sequence),
            parent: slot.and_then(|slot| slot.parent),
            references: Vec::new(),
            issued_at: edge::now_seconds(),
            expires_at: None,
            claims,
        };
        Ok(client.submit(sign_statement(&statement, signers)).await?.receipt)
    }

    /// Waits until one of these nodes leads, as it says itself.
    pub(crate) async fn leader(&self, ids: &[u64]) -> Result<StatusBody, CliError> {
        let client = self.client(ids)?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            for id in ids {
                let status = client.status_at(&format!("http://{}", self.address(*id))).await;
                if let Ok(status) = status
                    && status.role == NodeRole::Leader
                {
                    return Ok(status);
                }
            }
            sleep(LOOK_EVERY).await;
        }
        Err(late("no node leads"))
    }

    /// Waits until a node serves reads through a quorum and has this revision.
    pub(crate) async fn caught_up(&self, id: u64, revision: u64) -> Result<(), CliError> {
        let client = self.client(&[id])?;
        let endpoint = format!("http://{}", self.address(id));
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if client.ready_at(&endpoint).await
                && matches!(client.status_at(&endpoint).await, Ok(status) if status.revision >= revision)
            {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        Err(late(&format!("node {id} did not catch up")))
    }
}

/// Asks one node.
pub(crate) async fn ask(node: u64, client: Client, question: AuthorizeRequest) -> Answer {
    let asked = Instant::now();
    let outcome = client.authorize(&question).await;
    Answer { node, outcome, took: asked.elapsed(), again: 0 }
}

/// Asks one node until it knows. On a busy machine a quorum may be late, and a node then rightly denies.
async fn ask_until_known(node: u64, client: Client, question: AuthorizeRequest) -> Answer {
    let asked = Instant::now();
    let mut again: usize = 0;
    loop {
        let answer = ask(node, client.clone(), question.clone()).await;
        let unknown =
            answer.is_cannot_know() || matches!(answer.outcome, Err(ClientError::Unavailable { .. }));
        if !unknown || asked.elapsed() >= DONE_WITHIN {
            return Answer { took: asked.elapsed(), again, ..answer };
        }
        again = again.saturating_add(1);
        sleep(LOOK_EVERY).await;
    }
}

impl Answer {
    /// Whether it allows; no answer does not.
    pub(crate) fn is_allow(&self) -> bool {
        matches!(&self.outcome, Ok(decision) if decision.is_allow())
    }

    /// Whether the node said no, because the rules do.
    pub(crate) fn is_deny_by_rule(&self) -> bool {
        matches!(&self.outcome, Ok(decision) if !decision.is_allow() && !decision.is_cannot_know())
    }

    /// Whether the node said no, because it cannot know.
    pub(crate) fn is_cannot_know(&self) -> bool {
        matches!(&self.outcome, Ok(decision) if decision.is_cannot_know())
    }

    /// The codes of the reasons, or of what went wrong.
    pub(crate) fn codes(&self) -> Vec<&'static str> {
        match &self.outcome {
            Ok(decision) => decision.body().reasons.iter().map(|reason| reason.code.as_str()).collect(),
            Err(error) => vec![error.code()],
        }
    }
}

/// A port with room for the cluster's others above it, all of them free just now.
fn free_base_port() -> Result<u16, CliError> {
    // Below the range from which systems draw the ports of outgoing connections.
    const LOWEST: u16 = 20_000;
    const SPREAD: u16 = 12_000;
    for _ in 0..64 {
        let drawn = u16::from_le_bytes(edge::random()?);
        let base = LOWEST.saturating_add(drawn.checked_rem(SPREAD).unwrap_or_default());
        let mut ports = (0..NODES).flat_map(|n| [base.saturating_add(n), base.saturating_add(n + 100)]);
        if ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return Ok(base);
        }
    }
    Err(CliError::new("port_in_use", "found no free ports", "end what listens on 127.0.0.1"))
}

fn late(what: &str) -> CliError {
    let detail = format!("{what} within {} s", PATIENCE.as_secs());
    CliError::new("not_ready", detail, "run it again on a machine that is less busy")
}

fn bug(what: &str) -> CliError {
    CliError::new("internal", what, "report this as a bug")
}
