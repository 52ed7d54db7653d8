//! A submission on its way into the log, its outcome, and why it has none.

use tokio::sync::oneshot;
use tokio::time::Instant;

use assent_proof::History;
use assent_registry::{Group, Outcome};

use super::anchor::Unsure;
use super::growth::Charge;
use crate::peer::Behalf;
use crate::shares::Share;

/// One submission on its way into the log.
pub(crate) struct Pending {
    pub(super) group: Group,
    /// Whose it is.
    pub(super) behalf: Behalf,
    pub(super) bytes: usize,
    pub(super) until: Instant,
    pub(super) reply: oneshot::Sender<Result<SubmissionOutcome, Failure>>,
    /// What the issuers were charged for each envelope of the group. If this is dropped before it has an outcome, they
    /// get it back.
    pub(super) charges: Vec<Option<Charge>>,
    /// The places of the call, which are given back with the answer.
    pub(super) _places: Share,
}

impl Pending {
    /// Gives the issuers back what they were charged for envelopes that did not enter the ledger, and tells the caller
    /// the outcome, if it is still there.
    pub(super) fn end(self, result: Result<SubmissionOutcome, Failure>) {
        match &result {
            Ok(SubmissionOutcome { outcomes, .. }) => {
                let may_have_entered: Vec<bool> = outcomes
                    .iter()
                    .map(|outcome| outcome.as_ref().map_or_else(Failure::may_have_entered, has_entered))
                    .collect();
                settle(self.charges, &may_have_entered);
            }
            Err(failure) if failure.may_have_entered() => {
                self.charges.into_iter().flatten().for_each(Charge::keep);
            }
            Err(_) => drop(self.charges),
        }
        let _ = self.reply.send(result);
    }
}

/// Keeps the charges for envelopes that have entered the ledger, or may have. The others are given back. There is a place
/// in `charges` for each envelope of a group, and in `may_have_entered` for each envelope with an outcome.
pub(super) fn settle(charges: Vec<Option<Charge>>, may_have_entered: &[bool]) {
    // If their numbers differ, the outcomes belong to other envelopes, so it is not known what became of these.
    let may_all_have_entered = may_have_entered.len() != charges.len();
    for (place, charge) in charges.into_iter().enumerate() {
        if let Some(charge) = charge
            && (may_all_have_entered || may_have_entered.get(place).copied().unwrap_or_default())
        {
            charge.keep();
        }
    }
}

/// Whether the ledger has grown by the envelope that has this outcome.
pub(super) fn has_entered(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Accepted { fresh, .. } => *fresh,
        // The second statement for a slot is kept as a proof.
        Outcome::Equivocation { .. } => true,
        Outcome::Refused { .. } => false,
    }
}

/// What became of each envelope of one submission, and in which history.
pub(super) struct SubmissionOutcome {
    /// One for each envelope. It is a failure if the envelope may be in the ledger and no leader has judged it.
    pub(super) outcomes: Vec<Result<Outcome, Failure>>,
    pub(super) history: Option<History>,
}

/// Why a submission has no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was certainly not proposed.
    NoQuorum(String),
    /// It may have been committed, or may still be.
    Unknown(String),
    /// The leader, or this node while there is none, does not trust its clock.
    ClockUncertain(Option<Unsure>),
    /// Too many submissions are waiting.
    Overloaded(String),
}

impl Failure {
    /// Whether the envelopes may be in the ledger, or may still enter it.
    fn may_have_entered(&self) -> bool {
        match self {
            Failure::Unknown(_) => true,
            Failure::NoQuorum(_) | Failure::ClockUncertain(_) | Failure::Overloaded(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assent_proof::{Code, EvidenceId, Millis, PublicKey, Refusal, SigningKey};
    use assent_registry::Receipt;
    use bytes::Bytes;

    use super::*;
    use crate::access::Account;
    use crate::shares::Pool;
    use crate::usecase::growth::IssuerRates;

    const BURST: usize = 8;

    fn issuer() -> PublicKey {
        SigningKey::from_seed([1; 32]).public()
    }

    fn outcome(fresh: Option<bool>) -> Outcome {
        let receipt = Receipt {
            evidence_id: EvidenceId::of_pae(b"envelope"),
            ledger_index: 1,
            revision: 2,
            accepted_at: Millis(0),
        };
        match fresh {
            Some(fresh) => Outcome::Accepted { receipt, fresh },
            None => Outcome::refused(Refusal::new(Code::LineageFragmented, "refused")),
        }
    }

    /// How many tokens are left after a group of three envelopes has ended so, whose caller has left before.
    fn left_after(end: impl FnOnce(Pending)) -> usize {
        let (rates, now) = (Arc::new(IssuerRates::new(1, BURST as u64)), Instant::now());
        let charged = || rates.charge(&[issuer()], false, now).unwrap();
        let (reply, caller) = oneshot::channel();
        drop(caller);
        let envelopes = vec![Bytes::from_static(b"envelope"); 3];
        let nobody =
            Behalf { name: String::new(), by: "node".to_owned(), request: String::new(), operator: false };
        let pending = Pending {
            group: Group { atomic: false, envelopes },
            behalf: nobody,
            bytes: 24,
            until: now,
            reply,
            charges: vec![Some(charged()), None, Some(charged())],
            _places: Pool::new(3).take(&Account::Common, 3).unwrap(),
        };
        end(pending);
        (0..100).take_while(|_| rates.charge(&[issuer()], false, now).map(Charge::keep).is_ok()).count()
    }

    /// Fails if whoever holds an envelope that the registry refuses can spend its issuer's tokens by leaving before the
    /// answer.
    #[tokio::test(start_paused = true)]
    async fn issuers_pay_only_for_what_may_have_entered_the_ledger_even_if_the_caller_has_left() {
        let ended = |of: [Option<bool>; 3]| {
            let outcomes = of.into_iter().map(outcome).map(Ok).collect();
            left_after(|pending| pending.end(Ok(SubmissionOutcome { outcomes, history: None })))
        };
        assert_eq!(ended([None, None, None]), BURST, "refused");
        assert_eq!(ended([Some(false), Some(true), Some(false)]), BURST, "there before");
        assert_eq!(ended([Some(true), None, None]), BURST - 1);
        assert_eq!(ended([Some(true), None, Some(true)]), BURST - 2);
        let one_unknown = vec![
            Ok(outcome(None)),
            Ok(outcome(Some(true))),
            Err(Failure::Unknown("it may be there".to_owned())),
        ];
        let one_unknown = Ok(SubmissionOutcome { outcomes: one_unknown, history: None });
        assert_eq!(left_after(|pending| pending.end(one_unknown)), BURST - 1, "it may have entered");
        let failed = |failure| left_after(|pending| pending.end(Err(failure)));
        assert_eq!(failed(Failure::NoQuorum("not proposed".to_owned())), BURST);
        assert_eq!(failed(Failure::Overloaded("not proposed".to_owned())), BURST);
        assert_eq!(failed(Failure::Unknown("it may be there".to_owned())), BURST - 2);
        let lacks_outcomes = Ok(SubmissionOutcome { outcomes: Vec::new(), history: None });
        assert_eq!(left_after(|pending| pending.end(lacks_outcomes)), BURST - 2);
        assert_eq!(left_after(drop), BURST, "it was never proposed");
    }
}
