//! What nodes do for one another's callers.
//!
//! A node that forwards something has judged the caller, and says who it was. The node that gets it puts that into its
//! own audit trail. It changes the membership only for a caller of whom the other node says that it is an operator, so
//! forwarding gives no caller a right. A node of protocol version 6 does not say who its callers are: what it forwards
//! of theirs is judged by the signatures alone, and a change of the membership is refused.
//!
//! Nothing is counted for the caller that another node names. A false peer can name any caller.

use std::collections::BTreeSet;

use tokio::time::Instant;

use assent_proof::Code;
use assent_registry::{Group, Outcome};

use super::change::refused;
use super::{Caller, Parts, Service};
use crate::access::{RefusedCaller, Role, RoleSet};
use crate::audit::{AuditClass, Entry, Facts, Open, Party};
use crate::peer::{Behalf, Manage, ManageError, ManageReply, PeerError, SubmitError, SubmitReply};
use crate::raft::types::NodeId;

/// What the audit trail has in place of an HTTP method.
const METHOD: &str = "PEER";
/// The route of envelopes.
pub(super) const SUBMIT: &str = "submit";

/// What this node tells another one of a caller.
pub(super) fn behalf_of(caller: &Caller) -> Behalf {
    let party = Party::of(caller);
    Behalf {
        name: party.name().to_owned(),
        by: party.by().to_owned(),
        request: caller.request().map(|id| id.to_string()).unwrap_or_default(),
        operator: caller.permitted(RoleSet::NONE.with(Role::Operator)).is_ok(),
    }
}

/// The route of a change, for the audit trail.
pub(super) fn route_of(manage: &Manage) -> &'static str {
    match manage {
        Manage::List => "members",
        Manage::Add { .. } => "add member",
        Manage::Promote(_) => "promote member",
        Manage::Remove(_) => "remove member",
        Manage::Transfer(_) => "transfer leadership",
        Manage::Update { .. } => "update member",
    }
}

fn member_of(manage: &Manage) -> Option<NodeId> {
    match manage {
        Manage::List => None,
        Manage::Transfer(to) => *to,
        Manage::Promote(id) | Manage::Remove(id) | Manage::Add { id, .. } | Manage::Update { id, .. } => {
            Some(*id)
        }
    }
}

/// What became of one group of envelopes.
fn of_group(answer: &SubmitReply, place: usize) -> Facts {
    let mut facts = Facts::default();
    let outcomes = match answer {
        Ok(outcomes) => outcomes.groups.get(place).map(Vec::as_slice).unwrap_or_default(),
        Err(SubmitError::NotLeader { .. }) => return Facts { decision: Some("not_taken"), ..facts },
        Err(SubmitError::Unknown(_)) => return Facts { decision: Some("unknown"), ..facts },
        Err(SubmitError::ClockUncertain) => {
            return Facts { decision: Some("refused"), codes: vec![Code::ClockUncertain], ..facts };
        }
        Err(SubmitError::Overloaded) => {
            return Facts { decision: Some("refused"), codes: vec![Code::Overloaded], ..facts };
        }
    };
    let mut granted = 0_usize;
    for outcome in outcomes {
        match outcome {
            Outcome::Accepted { receipt, .. } => {
                granted = granted.saturating_add(1);
                facts.revision = facts.revision.max(Some(receipt.revision));
                facts.evidence = Some(receipt.evidence_id).filter(|_| outcomes.len() == 1);
            }
            Outcome::Equivocation { refusal, .. } | Outcome::Refused { refusal, .. } => {
                facts.code(refusal.code);
            }
        }
    }
    let decision = match granted {
        0 => "refused",
        _ if granted == outcomes.len() => "accepted",
        _ => "done",
    };
    Facts { granted: Some(granted), decision: Some(decision), ..facts }
}

/// What became of a change of the membership.
fn of_change(answer: &ManageReply) -> Facts {
    match answer {
        Ok(_) => Facts { decision: Some("done"), ..Facts::default() },
        Err(ManageError::NotLeader { .. }) => Facts { decision: Some("not_taken"), ..Facts::default() },
        Err(ManageError::Unknown(_)) => Facts { decision: Some("unknown"), ..Facts::default() },
        Err(ManageError::Refused(refusal)) => {
            Facts { decision: Some("refused"), codes: vec![refusal.code], ..Facts::default() }
        }
    }
}

/// The leaders to which one call was sent. The node tries again every few milliseconds, and the audit trail has each
/// leader once.
#[derive(Debug, Default)]
pub(super) struct SentTo(BTreeSet<NodeId>);

/// A call that is being sent to another node. If this is dropped, the caller has left, and the call may have arrived.
pub(super) struct Sending<'a> {
    parts: &'a Parts,
    to: NodeId,
    class: AuditClass,
    route: &'static str,
    behalf: &'a [Behalf],
    is_noted: bool,
}

impl SentTo {
    /// Whether this is the first answer, or loss of one, from a leader to which the call was sent.
    fn is_first<T>(&mut self, to: NodeId, answer: &Result<T, PeerError>) -> bool {
        !answer.as_ref().is_err_and(PeerError::is_unsent) && self.0.insert(to)
    }
}

impl Sending<'_> {
    /// This is what the node knows of the call now.
    pub(super) fn ended<T>(mut self, sent: &mut SentTo, answer: &Result<T, PeerError>) {
        self.is_noted = !sent.is_first(self.to, answer);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if !self.is_noted {
            for behalf in self.behalf {
                self.parts.forwarded(self.to, self.class, self.route, behalf);
            }
        }
    }
}

impl Parts {
    /// A call of these callers is about to be sent to another node. Once it was sent, the audit trail says so.
    pub(super) fn sending<'a>(
        &'a self,
        to: NodeId,
        class: AuditClass,
        route: &'static str,
        behalf: &'a [Behalf],
        sent: &SentTo,
    ) -> Sending<'a> {
        Sending { parts: self, to, class, route, behalf, is_noted: sent.0.contains(&to) }
    }

    /// Notes that something was forwarded to another node.
    fn forwarded(&self, to: NodeId, class: AuditClass, route: &'static str, behalf: &Behalf) {
        if self.trail.is_on() {
            let facts = Facts { decision: Some("forwarded"), ..Facts::default() };
            let entry = self.entry(class, route, Some(behalf), facts);
            self.trail.add(&Entry { forwarded_to: Some(to), ..entry });
        }
    }

    /// Something that another node has forwarded begins.
    fn received(
        &self,
        from: NodeId,
        class: AuditClass,
        route: &'static str,
        behalf: Option<&Behalf>,
        facts: Facts,
    ) -> Open {
        let entry = self.entry(class, route, behalf, facts);
        self.trail.begin(Entry { forwarded_from: Some(from), ..entry })
    }

    fn entry(&self, class: AuditClass, route: &'static str, behalf: Option<&Behalf>, facts: Facts) -> Entry {
        let request = behalf.map(|behalf| behalf.request.as_str()).filter(|id| !id.is_empty());
        let who = match behalf {
            Some(Behalf { name, by, .. }) => Party::said(name, by),
            None => Party::unknown("not_said"),
        };
        Entry {
            class,
            request: request.map_or_else(|| self.trail.new_request(), Into::into),
            who,
            from: None,
            method: METHOD,
            route,
            forwarded_from: None,
            forwarded_to: None,
            facts,
        }
    }
}

impl Service {
    /// Proposes what a peer forwards for these callers, if this node leads.
    pub(crate) async fn submit_on_behalf(
        &self,
        from: NodeId,
        groups: Vec<Group>,
        behalf: Vec<Behalf>,
    ) -> SubmitReply {
        let parts = self.parts();
        // Another leader gets it, and has it in its trail. This node may lead in the next moment, so nothing is proposed
        // from here on that is not in its own.
        let leader = parts.believed_leader();
        if leader != Some(parts.config.node_id) {
            return Err(SubmitError::NotLeader { leader });
        }
        if !parts.trail.is_on() {
            return self.propose_for_peer(groups).await;
        }
        let begin = |(place, group): (usize, &Group)| {
            let facts = Facts { count: Some(group.envelopes.len()), ..Facts::default() };
            parts.received(from, AuditClass::Submission, SUBMIT, behalf.get(place), facts)
        };
        let opened: Vec<Open> = groups.iter().enumerate().map(begin).collect();
        let answer = self.propose_for_peer(groups).await;
        for (place, open) in opened.into_iter().enumerate() {
            let facts = of_group(&answer, place);
            let refused = facts.codes.contains(&Code::CallerNotPermitted);
            open.close(if refused { AuditClass::Refused } else { AuditClass::Submission }, facts);
        }
        answer
    }

    /// Changes the membership for a peer's caller, if this node leads and the peer says that the caller is an operator.
    /// For another caller every node refuses it, whether it leads or not.
    pub(crate) async fn manage_on_behalf(
        &self,
        from: NodeId,
        manage: Manage,
        behalf: Option<Behalf>,
        until: Instant,
    ) -> ManageReply {
        let parts = self.parts();
        if manage == Manage::List {
            return self.manage_as_leader(manage, until).await;
        }
        // Whether this node leads may change at any moment. So it judges the caller first, and looks once whether
        // another leader gets the change: that one has it in its trail.
        let (leader, permitted) = (parts.believed_leader(), is_for_an_operator(from, behalf.as_ref()));
        if permitted.is_ok() && leader != Some(parts.config.node_id) {
            return Err(ManageError::NotLeader { leader });
        }
        let facts = Facts { member: member_of(&manage), ..Facts::default() };
        let open = parts.received(from, AuditClass::Admin, route_of(&manage), behalf.as_ref(), facts);
        if let Err(detail) = permitted {
            parts.metrics.caller_refused(RefusedCaller::Role);
            let answer = refused(Code::CallerNotPermitted, detail);
            let facts = Facts { refused: Some(RefusedCaller::Role), ..of_change(&answer) };
            open.close(AuditClass::Refused, facts);
            return answer;
        }
        if let Err(why) = open.ask().await {
            let detail = format!(
                "nothing was changed, because the audit trail of node {} does not have the call: {why}",
                parts.config.node_id
            );
            let answer = refused(Code::Overloaded, detail);
            open.close(AuditClass::Admin, of_change(&answer));
            return answer;
        }
        let answer = self.manage_as_leader(manage, until).await;
        open.close(AuditClass::Admin, of_change(&answer));
        answer
    }
}

/// Whether the node that forwards a change says that an operator has asked for it.
fn is_for_an_operator(from: NodeId, behalf: Option<&Behalf>) -> Result<(), String> {
    match behalf {
        Some(behalf) if behalf.operator => Ok(()),
        Some(_) => Err(format!("node {from} does not say that its caller has the role `operator`")),
        None => Err(format!(
            "node {from} runs a build that does not say who has asked for the change: make the call on a node of a newer build"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Credential, Domains};

    fn caller(role: Role) -> Caller {
        let roles = RoleSet::NONE.with(role);
        Caller::named("x".into(), Credential::Certificate, roles, Domains::All).for_request("1-a-2".into())
    }

    /// Fails if another role than `operator` passes, or if a peer that says nothing does.
    #[test]
    fn a_change_is_made_only_for_a_caller_of_whom_the_other_node_says_that_it_is_an_operator() {
        for role in Role::ALL {
            let behalf = behalf_of(&caller(role));
            assert_eq!(is_for_an_operator(2, Some(&behalf)).is_ok(), role == Role::Operator, "{role:?}");
        }
        assert!(is_for_an_operator(2, Some(&behalf_of(Caller::local()))).is_ok());
        assert!(is_for_an_operator(2, None).unwrap_err().contains("newer build"));
    }

    /// Fails if a retry to the same leader counts again, or a call that was never sent.
    #[test]
    fn each_leader_that_a_call_was_sent_to_is_noted_once() {
        let mut sent = SentTo::default();
        for unsent in [PeerError::Unreachable(2), PeerError::Full] {
            assert!(!sent.is_first::<()>(2, &Err(unsent)));
        }
        assert!(sent.is_first::<()>(2, &Err(PeerError::Deadline)));
        assert!(!sent.is_first(2, &Ok(())));
        assert!(sent.is_first(3, &Ok(())));
    }

    /// Fails if the two trails cannot be put together, or if another node learns what the caller has shown.
    #[test]
    fn another_node_is_told_the_name_the_way_and_the_request() {
        assert_eq!(
            behalf_of(&caller(Role::Submitter)),
            Behalf {
                name: "x".to_owned(),
                by: "certificate".to_owned(),
                request: "1-a-2".to_owned(),
                operator: false
            }
        );
    }
}
