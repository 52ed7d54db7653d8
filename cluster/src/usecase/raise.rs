//! Raising the rules: once every voter knows the next version, the leader states it, and from there on all follow it.
//!
//! A voter that does not know the rules that the registry follows would have to stop. So the leader waits until each of
//! them has said, when it connected, that it knows the next version; and from then on no member that does not is promoted.

use std::time::Duration;

use tokio::time::interval;

use assent_proof::{Claims, DomainName, EvidenceKind, LineageName, Sha256, Statement};
use assent_registry::mutant::{self, Mutant};

use super::{Parts, Service, Submitted, within};

/// How often the leader looks whether all voters know the next version.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a `rules` statement is about, in the bytes whose digest is its subject.
const SUBJECT: &[u8] = b"rules";

/// Raises the rules whenever this node leads and every voter knows the next version.
pub(crate) async fn raise_rules(service: Service) {
    let mut ticks = interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let parts = service.parts();
        let Some(version) = parts.rules_to_raise() else { continue };
        let Some(statement) = parts.rules_statement(version) else { continue };
        // Proposed by this node itself as the leader that it was a moment ago, never forwarded: who leads by then has to find
        // out for itself whether every voter knows them.
        let until = within(parts.config.deadlines.submit_ms);
        match parts.propose_own(parts.signed(&statement), until).await {
            Ok(Submitted::Accepted { .. }) => tracing::info!(version, "the rules are raised"),
            Ok(Submitted::Problem(problem)) => {
                tracing::warn!(version, code = %problem.code, detail = problem.detail, "the rules are not raised yet");
            }
            Err(error) => tracing::warn!(version, %error, "the rules are not raised yet"),
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

    fn rules_statement(&self, version: u32) -> Option<Statement> {
        Some(Statement {
            subject_name: None,
            subject: Sha256::of(SUBJECT),
            kind: EvidenceKind::Rules,
            registry: self.origin.clone(),
            domain: DomainName::root(),
            lineage: LineageName::governance(),
            issuers: vec![self.key.public()],
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at: self.sure_now()?.to_seconds(),
            expires_at: None,
            claims: Claims::Rules { version }.to_json(),
        })
    }
}
