//! Raising the rules: once every voter knows the next version, the leader states it, and from there on all follow it.
//!
//! A voter that does not know the rules that the registry follows would have to stop. So every voter signs the statement,
//! and by its signature says that its build knows the version; applying refuses one that lacks a voter's signature, whoever
//! leads. The leader asks for the signatures once each voter has said, when it connected, that it knows the next version;
//! and from the raise on no member that does not is promoted.

use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::interval;

use assent_proof::{
    Claims, DomainName, Envelope, EvidenceKind, LineageName, PublicKey, STATEMENT_PAYLOAD_TYPE, Sha256,
    Statement, pae,
};
use assent_registry::limit::RULES_USABLE_MS;
use assent_registry::mutant::{self, Mutant};

use super::{Parts, Service, Submitted, within};
use crate::peer::{CosignRules, CosignRulesReply};
use crate::raft::types::NodeId;
use crate::raft::voters::Voters;

/// How often the leader looks whether all voters know the next version.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a voter may take to sign.
const SIGNS_WITHIN: Duration = Duration::from_secs(1);
/// Most bytes of a `rules` statement. One of 32 issuers takes a fifth of it.
const STATEMENT_BYTES_MAX: usize = 16 * 1024;
/// What a `rules` statement is about, in the bytes whose digest is its subject.
const SUBJECT: &[u8] = b"rules";

/// Raises the rules whenever this node leads and every voter knows the next version.
pub(crate) async fn raise_rules(service: Service) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let parts = service.parts();
        let Some(version) = parts.rules_to_raise() else { continue };
        match parts.raise(version).await {
            Ok(()) => tracing::info!(version, "the rules are raised"),
            Err(problem) => tracing::warn!(version, problem, "the rules are not raised yet"),
        }
    }
}

impl Parts {
    /// The next version of the rules, if this node leads and every voter, and every learner that is connected, knows it.
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
            _ if mutant::is_active(Mutant::RaiseBeforeAllKnow) => true,
            Some(hello) => hello.rules_version >= next,
            // A learner that is away catches up under the build that it comes back with.
            None => !voters.contains(&id),
        };
        metrics.membership_config.nodes().all(|(id, _)| knows(*id)).then_some(next)
    }

    /// The voters of this node's newest membership.
    pub(super) fn voters_now(&self) -> Voters {
        Voters::of(self.raft.metrics().borrow_watched().membership_config.membership())
    }

    /// Has every voter sign the statement, and proposes it. Proposed by this node itself as the leader that it was a moment ago,
    /// never forwarded: whoever leads by then asks the voters itself.
    async fn raise(&self, version: u32) -> Result<(), String> {
        let envelope = self.signed_by_all(version).await?;
        let until = within(self.config.deadlines.submit_ms);
        match self.propose_own(envelope, until).await {
            Ok(Submitted::Accepted { .. }) => Ok(()),
            Ok(Submitted::Problem(problem)) => Err(format!("{}: {}", problem.code, problem.detail)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The statement with the signatures of all voters.
    async fn signed_by_all(&self, version: u32) -> Result<Bytes, String> {
        let mut voters: Vec<(NodeId, PublicKey)> = Vec::new();
        for (id, key) in self.voters_now().iter() {
            match key {
                Some(key) => voters.push((id, key)),
                None => return Err(format!("the membership names no key of node {id}, so it cannot sign")),
            }
        }
        if mutant::is_active(Mutant::RaiseBeforeAllKnow) {
            voters.retain(|(id, _)| *id == self.config.node_id);
        }
        let keys = voters.iter().map(|(_, key)| *key).collect();
        let statement = self.rules_statement(version, keys).ok_or("this node does not trust its clock")?;
        let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement.to_vec());
        let ask = CosignRules { statement: envelope.payload.clone().into() };
        for (id, key) in voters {
            if id == self.config.node_id {
                envelope.sign_with(&self.key);
                continue;
            }
            let answer = self.hub.call(id, &ask, SIGNS_WITHIN).await;
            let sig = answer.map_err(|error| format!("node {id} did not sign: {error}"))?;
            let sig = sig.map_err(|why| format!("node {id} does not sign: {why}"))?;
            let sig = sig.as_ref().try_into().map_err(|_| format!("node {id} sent no signature"))?;
            envelope.attach(&key, sig).map_err(|refusal| format!("node {id}: {}", refusal.detail))?;
        }
        Ok(envelope.to_vec().into())
    }

    fn rules_statement(&self, version: u32, issuers: Vec<PublicKey>) -> Option<Statement> {
        Some(Statement {
            subject_name: None,
            subject: Sha256::of(SUBJECT),
            kind: EvidenceKind::Rules,
            registry: self.origin.clone(),
            domain: DomainName::root(),
            lineage: LineageName::governance(),
            issuers,
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at: self.sure_now()?.to_seconds(),
            expires_at: None,
            claims: Claims::Rules { version }.to_json(),
        })
    }

    /// This node's signature of a `rules` statement, which says that its build knows them. Whoever asks may have it: it says
    /// nothing else, and soon it is of no use.
    pub(crate) fn cosign_rules(&self, ask: &CosignRules) -> CosignRulesReply {
        if ask.statement.len() > STATEMENT_BYTES_MAX {
            return Err(format!("no `rules` statement takes more than {STATEMENT_BYTES_MAX} bytes"));
        }
        let statement = Statement::parse(&ask.statement)
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.detail))?;
        let Ok(Claims::Rules { version }) = Claims::parse(statement.kind, &statement.claims) else {
            return Err("it is no `rules` statement".to_owned());
        };
        if statement.registry != self.origin {
            return Err(format!(
                "it is meant for registry `{}`, this is `{}`",
                statement.registry, self.origin
            ));
        }
        let known = self.rules_known();
        if version > known {
            return Err(format!("its build knows the rules up to version {known}, not {version}"));
        }
        let now = self.sure_now().ok_or("it does not trust its clock")?;
        let away = now.0.abs_diff(statement.issued_at.to_millis().0);
        if away > RULES_USABLE_MS.unsigned_abs() {
            return Err(format!("its clock is {away} ms away from `{}`", statement.issued_at));
        }
        // What was understood is what is signed.
        Ok(Bytes::copy_from_slice(&self.key.sign(&pae(STATEMENT_PAYLOAD_TYPE, &statement.to_vec()))))
    }
}
