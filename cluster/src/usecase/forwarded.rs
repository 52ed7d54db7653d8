//! forwarded: what peers hand in, on the leader.
//!
//! The node that took an envelope from a client has looked at it, or says that it has. The leader looks at it all the same, in turn with
//! what its own clients hand in and by the same urgency, and never proposes what must not be handed in. What peers forward has places of
//! its own, so that the leader's own clients take none of them.

use bytes::Bytes;

use assent_proof::Refusal;
use assent_registry::{Group, Outcome, Outcomes};

use super::check::{Sender, Unfit};
use super::shed::Shed;
use super::urgency::Urgency;
use super::{Service, within};
use crate::peer::SubmitError;

impl Service {
    /// A peer's submissions, if this node leads. It has checked them, or says that it has; what it must not hand in is refused
    /// here all the same, and a group that holds such an envelope is not proposed.
    pub(crate) async fn propose_for_peer(&self, groups: Vec<Group>) -> Result<Outcomes, SubmitError> {
        let parts = self.parts();
        if parts.believed_leader() != Some(parts.config.node_id) {
            return Err(SubmitError::NotLeader { leader: parts.believed_leader() });
        }
        let count: usize = groups.iter().map(|group| group.envelopes.len()).sum();
        let urgency = Urgency::of_groups(&groups);
        let _places = self.inner.peers_places.take(urgency, count).map_err(|_| SubmitError::Overloaded)?;
        let until = within(parts.config.deadlines.submit_ms);
        let envelopes: Vec<Bytes> = groups.iter().flat_map(|group| group.envelopes.iter().cloned()).collect();
        let unfit = self.check(Sender::Peer, urgency, &envelopes, until).await;
        let judged_in = unfit.iter().flatten().find_map(|unfit| unfit.history);
        let (good, refused) = sort_out(groups, unfit);
        let Outcomes { groups: proposed, history } = match good.is_empty() {
            true => Outcomes { history: judged_in, ..Outcomes::default() },
            false => parts.propose(&good, until).await?,
        };
        let mut proposed = proposed.into_iter();
        let groups =
            refused.into_iter().map(|group| group.unwrap_or_else(|| proposed.next().unwrap_or_default()));
        Ok(Outcomes { groups: groups.collect(), history })
    }
}

/// The groups to propose, and for each group given what it is answered if it is not among them.
fn sort_out(groups: Vec<Group>, unfit: Vec<Option<Unfit>>) -> (Vec<Group>, Vec<Option<Vec<Outcome>>>) {
    let mut refusals = unfit.into_iter().map(|unfit| unfit.map(|unfit| unfit.refusal));
    let (mut good, mut answers) = (Vec::new(), Vec::with_capacity(groups.len()));
    for group in groups {
        let missing = || Some(Shed::Lost.refusal());
        let of_group: Vec<Option<Refusal>> =
            group.envelopes.iter().map(|_| refusals.next().unwrap_or_else(missing)).collect();
        let first = of_group.iter().enumerate().find_map(|(place, refusal)| Some((place, refusal.clone()?)));
        let Some((place, cause)) = first else {
            good.push(group);
            answers.push(None);
            continue;
        };
        let with_it = || Refusal::of_batch(place, &cause);
        let outcomes = of_group.into_iter().map(|refusal| Outcome::refused(refusal.unwrap_or_else(with_it)));
        answers.push(Some(outcomes.collect()));
    }
    (good, answers)
}

#[cfg(test)]
mod tests {
    use assent_proof::Code;

    use super::*;

    #[test]
    fn a_peers_group_with_a_refused_envelope_is_answered_and_not_proposed_and_the_others_are() {
        let group = |names: &[&'static str]| Group {
            atomic: false,
            envelopes: names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect(),
        };
        let refusal = Refusal::new(Code::CallerNotPermitted, "no");
        let groups = vec![group(&["a"]), group(&["b", "rules"]), group(&["c", "d"])];
        let refusals = vec![None, None, Some(refusal.clone().into()), None, None];
        let (good, answers) = sort_out(groups.clone(), refusals);
        assert_eq!(good, [groups[0].clone(), groups[2].clone()]);
        let [None, Some(refused), None] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(refused[1], Outcome::refused(refusal));
        assert!(
            matches!(&refused[0], Outcome::Refused { refusal, .. } if refusal.code == Code::CallerNotPermitted)
        );
        // An answer too few refuses, and not for good; nothing slips through unseen.
        let (good, answers) = sort_out(vec![group(&["a"])], Vec::new());
        assert!(good.is_empty());
        assert_eq!(answers, [Some(vec![Outcome::refused(Shed::Lost.refusal())])]);
    }
}
