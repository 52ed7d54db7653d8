//! Raises the rules: once every voter knows the next version, the leader states it, and from that entry on all nodes
//! follow it.
//!
//! A voter that does not know the rules of the registry would have to stop. So every voter signs the statement, and
//! its signature means that its build knows the version. Applying refuses a statement that lacks a voter's signature.
//! A node remembers on its disk what it has signed, and from then on does not start with an older build. The leader
//! asks for the signatures once each voter, and each connected learner, has announced that it knows the next version.
//! In the meantime it holds the lock for changes of the membership, so that no node that has not signed becomes a
//! voter.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{MissedTickBehavior, interval, sleep};

use assent_proof::{
    Claims, DomainName, Envelope, EvidenceKind, LineageName, PublicKey, Refusal, STATEMENT_PAYLOAD_TYPE,
    Seconds, Sha256, Statement, pae, verify,
};
use assent_registry::limit::{CLOCK_BOUND_MS, RULES_USABLE_MS};
use assent_registry::{RulesVersion, rules_in_force, would_accept};

use super::{Parts, Service, Submitted, within};
use crate::peer::{CosignRules, CosignRulesReply};
use crate::raft::types::NodeId;
use crate::raft::voters::Voters;
use crate::tasks::{TaskHeartbeat, Why};

/// How often the leader checks whether all voters know the next version.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the leader waits after an attempt that failed. In this time the membership can be changed.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a voter may take to sign.
const SIGNS_WITHIN: Duration = Duration::from_secs(1);
/// How long one check may take, beside a submission.
pub(crate) const WAITS: Duration = AGAIN_AFTER.saturating_add(SIGNS_WITHIN);
/// The largest size of a `rules` statement, in bytes. One of 32 issuers takes a fifth of it.
const STATEMENT_BYTES_MAX: usize = 16 * 1024;
/// Why a node that does not trust its clock signs nothing.
const CLOCK: &str = "it does not trust its clock";
/// The subject of a `rules` statement: the bytes whose digest it names.
const SUBJECT: &[u8] = b"rules";

/// Raises the rules whenever this node leads and every voter knows the next version.
pub(crate) async fn raise_rules(service: Service, heartbeat: TaskHeartbeat) -> Why {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = None;
    loop {
        ticks.tick().await;
        heartbeat.beat();
        match service.parts().raise().await {
            Ok(None) => said = None,
            Ok(Some(version)) => tracing::info!(version, "the rules are raised"),
            Err(problem) => {
                if said.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "the rules are not raised yet");
                }
                said = Some(problem);
                sleep(AGAIN_AFTER).await;
            }
        }
    }
}

impl Parts {
    /// The next version of the rules, if this node leads, and every voter and every connected learner knows that
    /// version.
    fn rules_to_raise(&self) -> Option<u32> {
        let me = self.config.node_id;
        if self.believed_leader() != Some(me) {
            return None;
        }
        let next = self.rules().ok()?.checked_add(1)?;
        let metrics = self.metrics_now();
        let voters: Vec<_> = metrics.membership_config.voter_ids().collect();
        let knows = |id: u64| match self.hub.hello(id) {
            _ if id == me => self.rules_known() >= next,
            Some(hello) => hello.rules_version >= next,
            // A learner that is away catches up with the build with which it comes back.
            None => !voters.contains(&id),
        };
        metrics.membership_config.nodes().all(|(id, _)| knows(*id)).then_some(next)
    }

    /// The voters of this node's newest membership.
    fn voters_now(&self) -> Voters {
        Voters::of(self.raft.metrics().borrow_watched().membership_config.membership())
    }

    /// Asks every voter to sign the next version, if all know it, and proposes the statement. Returns that version if
    /// it was accepted. This node proposes it itself, and never forwards it.
    async fn raise(&self) -> Result<Option<u32>, String> {
        // The membership is being changed. The node tries again later.
        let Ok(_turn) = self.managing.try_lock() else { return Ok(None) };
        let Some(version) = self.rules_to_raise() else { return Ok(None) };
        let envelope = self.signed_by_all(version).await?;
        self.would_be_accepted(&envelope)?;
        let until = within(self.config.deadlines.submit_ms);
        match self.propose_own(envelope, until).await {
            Ok(Submitted::Accepted { .. }) => Ok(Some(version)),
            Ok(Submitted::Refused(problem) | Submitted::NotTaken(problem) | Submitted::Unknown(problem)) => {
                Err(format!("{}: {}", problem.code, problem.detail))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the rules would accept the statement now, so that no log entry is used for one that they refuse.
    fn would_be_accepted(&self, envelope: &Bytes) -> Result<(), String> {
        let told = |refusal: Refusal| format!("{}: {}", refusal.code, refusal.detail);
        let now = self.sure_now().ok_or(CLOCK)?;
        let view = self.storage.registry.view().map_err(|error| error.to_string())?;
        let rules = rules_in_force(&view).map_err(|error| error.to_string())?;
        let verified = verify(envelope, &self.identity.origin, rules).map_err(told)?;
        let foreseen = would_accept(&view, RulesVersion(self.rules_known()), now, &verified);
        foreseen.map_err(|error| error.to_string())?.map_err(told)
    }

    /// The statement with the signatures of all voters.
    async fn signed_by_all(&self, version: u32) -> Result<Bytes, String> {
        let mut voters: Vec<(NodeId, PublicKey)> = Vec::new();
        for (id, key) in self.voters_now().iter() {
            match key {
                Some(key) if id == self.config.node_id && key != self.identity.key.public() => {
                    return Err(
                        "this node has another key than the membership says, so it cannot sign".to_owned()
                    );
                }
                Some(key) => voters.push((id, key)),
                None => return Err(format!("the membership names no key of node {id}, so it cannot sign")),
            }
        }
        let issued_at = self.sure_now().ok_or(CLOCK)?.to_seconds();
        let issuers = voters.iter().map(|(_, key)| *key).collect();
        let statement = self.rules_statement(version, issuers, issued_at).to_vec();
        let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement.clone());
        let ask = CosignRules { statement: statement.into() };
        let others = voters.iter().filter(|(id, _)| *id != self.config.node_id);
        let answers = join_all(others.map(async |(id, key)| {
            let answer = self.hub.call(*id, &ask, SIGNS_WITHIN).await;
            let sig = answer.map_err(|error| format!("node {id} did not sign: {error}"))?;
            let sig = sig.map_err(|why| format!("node {id} does not sign: {why}"))?;
            let sig = sig.as_ref().try_into().map_err(|_| format!("node {id} sent no signature"))?;
            Ok::<_, String>((*key, sig))
        }));
        for answer in answers.await {
            let (key, sig) = answer?;
            envelope.attach(&key, sig).map_err(|refusal| refusal.detail)?;
        }
        self.storage.remembered.sign(version).await.map_err(|error| error.to_string())?;
        envelope.sign_with(&self.identity.key);
        Ok(envelope.to_vec().into())
    }

    fn rules_statement(&self, version: u32, issuers: Vec<PublicKey>, issued_at: Seconds) -> Statement {
        Statement {
            subject_name: None,
            subject: Sha256::of(SUBJECT),
            kind: EvidenceKind::Rules,
            registry: self.identity.origin.clone(),
            domain: DomainName::root(),
            lineage: LineageName::governance(),
            issuers,
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at,
            expires_at: None,
            claims: Claims::Rules { version }.to_json(),
        }
    }

    /// This node's signature of a `rules` statement, which means that its build knows these rules. Any peer may ask
    /// for it. The node signs only the statement that it would make itself as leader, byte for byte.
    ///
    /// Rule R147 (RFC-EG-033 §3, Cryptographic Proof Validation): A node signs a `rules` statement for a peer
    /// only if it is byte for byte what the node itself would state as leader now: the next version, which
    /// its build knows.
    pub(crate) async fn cosign_rules(&self, ask: &CosignRules) -> CosignRulesReply {
        if ask.statement.len() > STATEMENT_BYTES_MAX {
            return Err(format!("no `rules` statement takes more than {STATEMENT_BYTES_MAX} bytes"));
        }
        let asked = Statement::parse(&ask.statement)
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.detail))?;
        let rules = self.rules_in_force().map_err(|error| error.to_string())?;
        let Ok(Claims::Rules { version }) = Claims::parse(rules, asked.kind, &asked.claims) else {
            return Err("it is not a `rules` statement".to_owned());
        };
        let known = self.rules_known();
        if version > known {
            return Err(format!("its build knows the rules up to version {known}, not {version}"));
        }
        let next = rules.version().0.saturating_add(1);
        if version != next {
            return Err(format!("the next version of the rules is {next}, not {version}"));
        }
        let (issued_at, me) = (asked.issued_at, self.identity.key.public());
        let is_asked = asked.issuers.contains(&me);
        let statement = self.rules_statement(version, asked.issuers, issued_at).to_vec();
        if !is_asked || statement != *ask.statement {
            return Err(format!(
                "it is not what a leader of `{}` states, with the key {me} among others",
                self.identity.origin
            ));
        }
        let now = self.sure_now().ok_or(CLOCK)?;
        let at = issued_at.to_millis();
        if at.0 > now.0.saturating_add(CLOCK_BOUND_MS) || at.0.saturating_add(RULES_USABLE_MS) < now.0 {
            return Err(format!("`{issued_at}` is not now"));
        }
        self.storage.remembered.sign(version).await.map_err(|error| error.to_string())?;
        Ok(Bytes::copy_from_slice(&self.identity.key.sign(&pae(STATEMENT_PAYLOAD_TYPE, &statement))))
    }
}
