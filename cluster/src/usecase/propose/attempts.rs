//! The groups of one log entry while a node tries to have them proposed, and what is known of each.
//!
//! Nothing of an entry is tried again unless the outcome of an attempt is unknown. Then only the groups are sent again
//! that no leader has settled since. A leader that refuses an envelope as `overloaded` settles its group too: it has
//! looked at the group, and its bound on an issuer would refuse the envelope again and again until the deadline.
//!
//! An envelope that may be in the log is never said not to have been taken. Its outcome stays unknown until a leader has
//! judged it.

use assent_proof::{Code, History};
use assent_registry::{Group, Outcome, Outcomes};

use crate::peer::{Behalf, SubmitFor};
use crate::usecase::pending::{Failure, SubmissionOutcome};
use crate::usecase::problem::is_settled;

/// The groups of one entry, in order.
pub(super) struct Attempts {
    groups: Vec<Attempted>,
    /// Why the outcome of an attempt is unknown, if that of one is. That attempt may be in the log.
    unknown: Option<String>,
}

/// One group, and what is known of it.
struct Attempted {
    group: Group,
    behalf: Behalf,
    /// The outcome of each envelope, once a leader has looked at the group.
    outcomes: Vec<Outcome>,
    /// The history of these outcomes.
    history: Option<History>,
    /// Whether it is not sent again.
    is_ended: bool,
}

impl Attempts {
    /// These groups, of which none was sent yet, each with its caller.
    pub(super) fn new(groups: impl Iterator<Item = (Group, Behalf)>) -> Self {
        let new = |(group, behalf)| Attempted {
            group,
            behalf,
            outcomes: Vec::new(),
            history: None,
            is_ended: false,
        };
        Self { groups: groups.map(new).collect(), unknown: None }
    }

    /// The groups that are to be sent now.
    pub(super) fn open(&self) -> SubmitFor {
        let open = self.groups.iter().filter(|attempted| !attempted.is_ended);
        let (groups, behalf) =
            open.map(|attempted| (attempted.group.clone(), attempted.behalf.clone())).unzip();
        SubmitFor { groups, behalf }
    }

    /// The outcome of an attempt is unknown, for this reason.
    pub(super) fn became_unknown(&mut self, detail: String) {
        self.unknown = Some(detail);
    }

    /// Whether certainly nothing was proposed.
    pub(super) fn is_unproposed(&self) -> bool {
        self.unknown.is_none()
    }

    /// A leader has looked at the groups that were open. Returns whether none of them is open any more.
    pub(super) fn judged(&mut self, Outcomes { groups, history }: Outcomes) -> bool {
        let mut outcomes = groups.into_iter();
        for attempted in self.groups.iter_mut().filter(|attempted| !attempted.is_ended) {
            attempted.found(outcomes.next().unwrap_or_default(), history);
            attempted.is_ended = self.unknown.is_none() || !attempted.is_to_be_sent_again();
        }
        self.groups.iter().all(|attempted| attempted.is_ended)
    }

    /// What became of each group, now that nothing is sent any more. `last` is what the last attempt came to.
    pub(super) fn results(self, last: &str) -> Vec<Result<SubmissionOutcome, Failure>> {
        let Self { groups, unknown } = self;
        groups.into_iter().map(|attempted| attempted.result(unknown.as_deref(), last)).collect()
    }

    /// The same failure for each group.
    pub(super) fn failed(self, failure: &Failure) -> Vec<Result<SubmissionOutcome, Failure>> {
        self.groups.iter().map(|_| Err(failure.clone())).collect()
    }
}

impl Attempted {
    /// Notes what a leader has found. What was settled before stays as it was: the second outcome of an envelope that
    /// was accepted does not say that it was fresh.
    fn found(&mut self, outcomes: Vec<Outcome>, history: Option<History>) {
        if self.outcomes.len() == outcomes.len() {
            for (earlier, later) in self.outcomes.iter_mut().zip(outcomes) {
                if is_open(earlier) {
                    *earlier = later;
                }
            }
        } else {
            self.outcomes = outcomes;
        }
        self.history = history.or(self.history);
    }

    /// Whether a leader could not judge all of it, for another reason than that it has too much to do.
    fn is_to_be_sent_again(&self) -> bool {
        self.outcomes.iter().any(is_open) && !self.outcomes.iter().any(is_of_load)
    }

    fn result(self, unknown: Option<&str>, last: &str) -> Result<SubmissionOutcome, Failure> {
        let Self { outcomes, history, is_ended, .. } = self;
        if !is_ended && outcomes.is_empty() {
            return Err(match unknown {
                Some(detail) => Failure::Unknown(detail.to_owned()),
                None => Failure::NoQuorum(format!("not proposed in time: {last}")),
            });
        }
        let told = |outcome| match (unknown, outcome) {
            (Some(detail), Outcome::Refused { refusal, .. }) if !is_settled(refusal.code) => {
                let then = format!("{detail}; then the leader did not judge it: {}", refusal.detail);
                Err(Failure::Unknown(then))
            }
            (_, outcome) => Ok(outcome),
        };
        Ok(SubmissionOutcome { outcomes: outcomes.into_iter().map(told).collect(), history })
    }
}

/// Whether an outcome settles nothing, because a node could not judge at that time.
fn is_open(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Refused { refusal, .. } => !is_settled(refusal.code),
        Outcome::Accepted { .. } | Outcome::Equivocation { .. } => false,
    }
}

/// Whether a leader has refused the envelope because it has too much to do, or because an issuer has submitted too much.
fn is_of_load(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Refused { refusal, .. } => refusal.code == Code::Overloaded,
        Outcome::Accepted { .. } | Outcome::Equivocation { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use assent_proof::{EvidenceId, Millis, Refusal};
    use assent_registry::Receipt;
    use bytes::Bytes;

    use super::*;

    /// Groups of so many envelopes each.
    fn attempts(sizes: &[usize]) -> Attempts {
        let behalf =
            Behalf { name: String::new(), by: "node".to_owned(), request: String::new(), operator: false };
        let group = |(place, size): (usize, &usize)| {
            let envelope = |at: usize| Bytes::from(format!("{place}-{at}"));
            (Group { atomic: false, envelopes: (0..*size).map(envelope).collect() }, behalf.clone())
        };
        Attempts::new(sizes.iter().enumerate().map(group))
    }

    fn refused(code: Code) -> Outcome {
        Outcome::refused(Refusal::new(code, "refused"))
    }

    fn accepted(fresh: bool) -> Outcome {
        let receipt = Receipt {
            evidence_id: EvidenceId::of_pae(b"envelope"),
            ledger_index: 1,
            revision: 2,
            accepted_at: Millis(0),
        };
        Outcome::Accepted { receipt, fresh }
    }

    fn outcomes(groups: &[&[Outcome]]) -> Outcomes {
        Outcomes { groups: groups.iter().map(|group| group.to_vec()).collect(), history: None }
    }

    /// The first envelope of each group that would be sent.
    fn open(attempts: &Attempts) -> Vec<Bytes> {
        attempts.open().groups.iter().map(|group| group.envelopes[0].clone()).collect()
    }

    /// What became of each envelope of a group: an outcome, or that it is unknown.
    fn told(result: &Result<SubmissionOutcome, Failure>) -> Vec<Option<Outcome>> {
        let told = |outcome: &Result<Outcome, Failure>| match outcome {
            Ok(outcome) => Some(outcome.clone()),
            Err(Failure::Unknown(_)) => None,
            Err(other) => panic!("{other:?}"),
        };
        match result {
            Ok(SubmissionOutcome { outcomes, .. }) => outcomes.iter().map(told).collect(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_an_unknown_attempt_the_first_answer_of_a_leader_ends_every_group_as_it_is() {
        let mut attempts = attempts(&[1, 1, 1]);
        let answer = [accepted(true), refused(Code::Overloaded), refused(Code::NoQuorum)];
        assert!(attempts.is_unproposed());
        assert!(attempts.judged(outcomes(&[&answer[..1], &answer[1..2], &answer[2..]])));
        let told: Vec<_> = attempts.results("").iter().flat_map(told).collect();
        assert_eq!(told, answer.map(Some));
    }

    /// Fails if the groups of other callers are proposed and charged again because one of the entry is open, or if what is
    /// refused for an issuer's bucket is sent again until the deadline.
    #[test]
    fn after_an_unknown_attempt_only_groups_are_sent_again_that_a_leader_could_not_judge_yet() {
        let mut attempts = attempts(&[1, 1, 1, 1]);
        attempts.became_unknown("lost".to_owned());
        assert!(!attempts.is_unproposed());
        assert_eq!(open(&attempts).len(), 4);
        let (malformed, no_quorum) = (refused(Code::Malformed), refused(Code::NoQuorum));
        let over = refused(Code::Overloaded);
        let first = outcomes(&[
            &[accepted(true)],
            std::slice::from_ref(&malformed),
            &[over],
            std::slice::from_ref(&no_quorum),
        ]);
        assert!(!attempts.judged(first));
        assert_eq!(open(&attempts), ["3-0"]);
        assert!(!attempts.judged(outcomes(&[&[no_quorum]])));
        assert!(attempts.judged(outcomes(&[&[accepted(false)]])));
        assert!(open(&attempts).is_empty());
        let told: Vec<_> = attempts.results("").iter().flat_map(told).collect();
        // The one that was refused for load may be in the log.
        assert_eq!(told, [Some(accepted(true)), Some(malformed), None, Some(accepted(false))]);
    }

    /// Fails if an issuer gets a token back for an envelope that was fresh, because the group was sent once more.
    #[test]
    fn what_is_settled_of_a_group_that_is_sent_again_stays_as_it_was() {
        let mut attempts = attempts(&[3]);
        attempts.became_unknown("lost".to_owned());
        let late = refused(Code::DeadlineExceeded);
        assert!(!attempts.judged(outcomes(&[&[accepted(true), late.clone(), late.clone()]])));
        assert!(!attempts.judged(outcomes(&[&[accepted(false), accepted(true), late]])));
        let results = attempts.results("");
        assert_eq!(told(&results[0]), [Some(accepted(true)), Some(accepted(true)), None]);
    }

    #[test]
    fn a_group_that_no_leader_has_looked_at_has_no_outcome_and_is_unknown_only_if_it_may_be_in_the_log() {
        let ended = attempts(&[1, 1]).results("no leader is known");
        for result in &ended {
            assert!(
                matches!(result, Err(Failure::NoQuorum(why)) if why.contains("no leader")),
                "{:?}",
                result.as_ref().err()
            );
        }
        let mut sent = attempts(&[1]);
        sent.became_unknown("lost".to_owned());
        assert!(matches!(&sent.results("")[..], [Err(Failure::Unknown(why))] if why == "lost"));
        let clock = attempts(&[1, 1]).failed(&Failure::ClockUncertain(None));
        assert!(clock.iter().all(|result| matches!(result, Err(Failure::ClockUncertain(None)))));
    }

    /// Fails if outcomes that belong to other envelopes are taken for those of a group.
    #[test]
    fn a_group_without_its_outcomes_ends_without_any() {
        let mut attempts = attempts(&[1, 2]);
        assert!(attempts.judged(outcomes(&[&[accepted(true)]])));
        let results = attempts.results("");
        assert_eq!((told(&results[0]).len(), told(&results[1]).len()), (1, 0));
    }
}
