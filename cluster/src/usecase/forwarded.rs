//! forwarded: what the leader does with envelopes that peers forward.
//!
//! The node that took an envelope from a client claims to have checked it. The leader checks it again, in turn with
//! its own clients' envelopes of the same urgency, and never proposes an envelope that the sender must not submit.
//! Forwarded envelopes have places of their own, so that the leader's own clients take none of them.
//!
//! The leader refuses an envelope as the client's node would. In a group that is all or nothing, it refuses the whole
//! group. In any other group, it refuses that envelope alone.
//!
//! The leader charges what is forwarded to its issuers, from the buckets that it has for its own clients. So an issuer
//! gets no more by submitting to several nodes. It charges an issuer only once the signatures are good, so a peer cannot
//! spend the tokens of a key whose signatures it does not have. Restrictions and governance statements are never refused
//! for that. Callers are not charged here: the node that they call has charged them, and this one has only that node's
//! word for who they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::time::Instant;

use assent_proof::Refusal;
use assent_registry::{Group, Outcome, Outcomes};

use super::check::{Looked, Sender, Unfit};
use super::growth::Charge;
use super::pending::{has_entered, settle};
use super::shed::Shed;
use super::urgency::{HeldPlaces, READ_AT_ONCE, Urgency};
use super::{Service, within};
use crate::access::Account;
use crate::env::blocking;
use crate::peer::SubmitError;

impl Service {
    /// Proposes a peer's submissions, if this node leads. The peer claims to have checked them. This node checks them
    /// again, and does not propose what the peer must not submit. This must be run to its
    /// end, even if the peer hangs up: if it is dropped, issuers get back what they were charged for envelopes that may
    /// still be committed.
    pub(super) async fn propose_for_peer(&self, groups: Vec<Group>) -> Result<Outcomes, SubmitError> {
        let parts = self.parts();
        if parts.believed_leader() != Some(parts.config.node_id) {
            return Err(SubmitError::NotLeader { leader: parts.believed_leader() });
        }
        let (urgency, groups) = self.urgency_of(groups).await?;
        let count = groups.iter().map(|group| group.envelopes.len()).sum();
        let mut held_places = HeldPlaces::take(&self.inner.peers_places, &Account::Common, urgency, count)
            .map_err(|_| SubmitError::Overloaded)?;
        let until = within(parts.config.deadlines.submit_ms);
        self.check_and_propose(&mut held_places, groups, until).await
    }

    /// Checks what a peer forwards, and proposes what may be proposed. Their issuers are charged for what enters the
    /// ledger, or may have entered it.
    async fn check_and_propose(
        &self,
        held_places: &mut HeldPlaces<'_>,
        groups: Vec<Group>,
        until: Instant,
    ) -> Result<Outcomes, SubmitError> {
        let envelopes: Vec<Bytes> = groups.iter().flat_map(|group| group.envelopes.iter().cloned()).collect();
        let Looked { unfit, charges } = self.check(Sender::Peer, held_places, &envelopes, until).await;
        let judged_in = unfit.iter().flatten().find_map(|unfit| unfit.history);
        let (good, answers) = split_refused(groups, unfit);
        if good.is_empty() {
            return Ok(Outcomes { groups: merge_answers(answers, Vec::new()), history: judged_in });
        }
        match self.parts().propose(&good, until).await {
            Ok(Outcomes { groups, history }) => {
                let lengths: Vec<usize> = answers.iter().map(Vec::len).collect();
                let groups = merge_answers(answers, groups);
                settle_groups(charges, &lengths, &groups);
                Ok(Outcomes { groups, history })
            }
            Err(SubmitError::Unknown(detail)) => {
                charges.into_values().for_each(Charge::keep);
                Err(SubmitError::Unknown(detail))
            }
            // Nothing was proposed, so the issuers get back what they were charged.
            Err(
                error @ (SubmitError::NotLeader { .. }
                | SubmitError::ClockUncertain
                | SubmitError::Overloaded),
            ) => Err(error),
        }
    }

    /// How urgent a peer's submissions are. If reading them takes more than a moment, that runs off the async
    /// threads. The number of submissions that a peer may have under way bounds this work (`submissions_max` and
    /// `submission_bytes_max` of the peers' limits).
    async fn urgency_of(&self, groups: Vec<Group>) -> Result<(Urgency, Vec<Group>), SubmitError> {
        let bytes: usize = groups.iter().flat_map(|group| &group.envelopes).map(Bytes::len).sum();
        if bytes <= READ_AT_ONCE {
            return Ok((Urgency::of_groups(&groups), groups));
        }
        let read = move || (Urgency::of_groups(&groups), groups);
        // Nothing was proposed, and the peer may send it again.
        blocking(&*self.parts().env.blocking, read).await.map_err(|_| SubmitError::Overloaded)
    }
}

/// The answers for a group: one for each envelope, empty where the outcome of the proposal will be the answer.
type Answers = Vec<Option<Outcome>>;

/// The groups to propose, without refused envelopes, and the answers for each given group. A group of which nothing
/// is to be proposed is left out.
fn split_refused(groups: Vec<Group>, unfit: Vec<Option<Unfit>>) -> (Vec<Group>, Vec<Answers>) {
    let mut refusals = unfit.into_iter().map(|unfit| unfit.map(|unfit| unfit.refusal));
    let (mut good, mut answers) = (Vec::new(), Vec::with_capacity(groups.len()));
    for Group { atomic, envelopes } in groups {
        // If an answer is missing, nothing may pass, and nothing may be refused for good.
        let missing = || Some(Shed::Lost.refusal());
        let mut of_group: Vec<Option<Refusal>> =
            envelopes.iter().map(|_| refusals.next().unwrap_or_else(missing)).collect();
        if atomic {
            refuse_all_if_one(&mut of_group);
        }
        let fit: Vec<Bytes> = envelopes
            .into_iter()
            .zip(&of_group)
            .filter_map(|(envelope, refusal)| refusal.is_none().then_some(envelope))
            .collect();
        if !fit.is_empty() {
            good.push(Group { atomic, envelopes: fit });
        }
        answers.push(of_group.into_iter().map(|refusal| refusal.map(Outcome::refused)).collect());
    }
    (good, answers)
}

/// In a group that is all or nothing, one refused envelope refuses the others too, and their answers say so.
fn refuse_all_if_one(of_group: &mut [Option<Refusal>]) {
    let first = of_group.iter().enumerate().find_map(|(place, refusal)| Some((place, refusal.clone()?)));
    let Some((place, cause)) = first else { return };
    for refusal in of_group {
        refusal.get_or_insert_with(|| Refusal::of_batch(place, &cause));
    }
}

/// Every group's answers: the refusals from here, and the outcomes of what was proposed.
fn merge_answers(answers: Vec<Answers>, proposed: Vec<Vec<Outcome>>) -> Vec<Vec<Outcome>> {
    let mut proposed = proposed.into_iter();
    let whole = |answers: Answers| -> Vec<Outcome> {
        let open = answers.iter().filter(|answer| answer.is_none()).count();
        let outcomes = if open == 0 { Vec::new() } else { proposed.next().unwrap_or_default() };
        if outcomes.len() != open {
            // It is not known which outcome belongs to which envelope. The peer finds answers missing, and says that
            // the outcome is unknown.
            return Vec::new();
        }
        let mut outcomes = outcomes.into_iter();
        answers.into_iter().filter_map(|refused| refused.or_else(|| outcomes.next())).collect()
    };
    answers.into_iter().map(whole).collect()
}

/// Keeps the charges for envelopes that have entered the ledger, or may have, and gives the others back. The charges are
/// by the place of the envelope among those of all groups, which have these lengths and outcomes.
fn settle_groups(mut charges: BTreeMap<usize, Charge>, lengths: &[usize], outcomes: &[Vec<Outcome>]) {
    let mut from = 0_usize;
    for (length, outcomes) in lengths.iter().zip(outcomes) {
        let until = from.saturating_add(*length);
        let of_group: Vec<Option<Charge>> = (from..until).map(|place| charges.remove(&place)).collect();
        let entered: Vec<bool> = outcomes.iter().map(has_entered).collect();
        settle(of_group, &entered);
        from = until;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assent_proof::{Code, EvidenceId, Millis, SigningKey};
    use assent_registry::Receipt;

    use super::*;
    use crate::usecase::growth::IssuerRates;

    fn group(atomic: bool, names: &[&'static str]) -> Group {
        let envelopes = names.iter().map(|name| Bytes::from_static(name.as_bytes())).collect();
        Group { atomic, envelopes }
    }

    fn no() -> Refusal {
        Refusal::new(Code::AuthorityUnknown, "no")
    }

    /// An outcome that can be told from every other.
    fn outcome(detail: &str) -> Outcome {
        Outcome::refused(Refusal::new(Code::ClaimsInvalid, detail))
    }

    #[test]
    fn in_a_peers_group_of_mode_each_only_the_unfit_envelope_is_refused() {
        let groups =
            vec![group(false, &["a"]), group(false, &["b", "strange", "c"]), group(false, &["strange"])];
        let unfit = vec![None, None, Some(no().into()), None, Some(no().into())];
        let (good, answers) = split_refused(groups, unfit);
        assert_eq!(good, [group(false, &["a"]), group(false, &["b", "c"])]);
        let proposed = vec![vec![outcome("a")], vec![outcome("b"), outcome("c")]];
        let whole = merge_answers(answers, proposed);
        assert_eq!(whole[0], [outcome("a")]);
        assert_eq!(whole[1], [outcome("b"), Outcome::refused(no()), outcome("c")]);
        assert_eq!(whole[2], [Outcome::refused(no())]);
    }

    #[test]
    fn in_a_peers_group_of_mode_all_one_unfit_envelope_refuses_the_whole_group() {
        let groups = vec![group(true, &["a"]), group(true, &["b", "strange", "c"]), group(true, &["d"])];
        let (good, answers) = split_refused(groups, vec![None, None, Some(no().into()), None, None]);
        assert_eq!(good, [group(true, &["a"]), group(true, &["d"])]);
        let whole = merge_answers(answers, vec![vec![outcome("a")], vec![outcome("d")]]);
        assert_eq!(whole[0], [outcome("a")]);
        assert_eq!(whole[2], [outcome("d")]);
        let of_batch = Outcome::refused(Refusal::of_batch(1, &no()));
        assert_eq!(whole[1], [of_batch.clone(), Outcome::refused(no()), of_batch]);
    }

    #[test]
    fn an_answer_too_few_lets_nothing_through_and_refuses_nothing_for_good() {
        let lost = Outcome::refused(Shed::Lost.refusal());
        let (good, answers) = split_refused(vec![group(false, &["a", "b"])], vec![None]);
        assert_eq!(good, [group(false, &["a"])]);
        assert_eq!(merge_answers(answers, vec![vec![outcome("a")]]), [vec![outcome("a"), lost.clone()]]);
        let (good, answers) = split_refused(vec![group(true, &["a", "b"])], vec![None]);
        assert!(good.is_empty());
        let of_batch = Outcome::refused(Refusal::of_batch(1, &Shed::Lost.refusal()));
        assert_eq!(merge_answers(answers, Vec::new()), [vec![of_batch, lost]]);
    }

    #[test]
    fn outcomes_that_do_not_fit_what_was_proposed_are_given_to_no_envelope() {
        let (_, answers) =
            split_refused(vec![group(false, &["a", "strange"])], vec![None, Some(no().into())]);
        for proposed in [Vec::new(), vec![Vec::new()], vec![vec![outcome("a"), outcome("b")]]] {
            assert_eq!(merge_answers(answers.clone(), proposed), [Vec::<Outcome>::new()]);
        }
    }

    /// Fails if the issuers of one group pay for another, or if one pays for what did not enter the ledger.
    #[tokio::test(start_paused = true)]
    async fn issuers_pay_for_the_envelopes_of_their_own_group_that_entered_the_ledger() {
        let accepted = || {
            let receipt = Receipt {
                evidence_id: EvidenceId::of_pae(b"envelope"),
                ledger_index: 1,
                revision: 2,
                accepted_at: Millis(0),
            };
            Outcome::Accepted { receipt, fresh: true }
        };
        let paid = |outcomes: &[Vec<Outcome>]| {
            let (rates, now) = (Arc::new(IssuerRates::new(1, 9)), Instant::now());
            let issuer = |seed: u8| SigningKey::from_seed([seed; 32]).public();
            // One issuer for each group. The second envelope of the first group was not charged.
            let charges = [(0, 1), (2, 2), (3, 2)];
            let charges =
                charges.map(|(place, seed)| (place, rates.charge(&[issuer(seed)], false, now).unwrap()));
            settle_groups(BTreeMap::from(charges), &[2, 2], outcomes);
            [1, 2].map(|seed| {
                let left = (0..9)
                    .take_while(|_| rates.charge(&[issuer(seed)], false, now).map(Charge::keep).is_ok());
                9 - left.count()
            })
        };
        assert_eq!(paid(&[vec![accepted(), accepted()], vec![outcome("a"), accepted()]]), [1, 1]);
        assert_eq!(paid(&[vec![outcome("a"), accepted()], vec![accepted(), accepted()]]), [0, 2]);
        assert_eq!(paid(&[vec![outcome("a"), outcome("b")], Vec::new()]), [0, 2], "it is not known");
    }
}
