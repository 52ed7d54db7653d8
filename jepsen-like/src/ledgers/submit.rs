//! Submits envelopes to the rules and to the model, and compares what they answer.

use assent_proof::{EvidenceId, Millis, Rules};
use assent_registry::{
    Checked, Group, Outcome, Receipt, RulesVersion, ToVerify, Unverified, apply, query, rules_in_force,
};
use serde_json::{Value, json};

use super::both::{Both, Known, LedgerError};
use super::draft::{Draft, ORIGIN};
use crate::history::{Op, Outcome as Ended};
use crate::model::SubmitAnswer;

/// How a submission ended, and the index of the leaf in the answer.
type Said = (String, Option<u64>);

/// A ledger of up to this size is checked against its facts after each statement, a larger one after every eighth
/// statement, because the check computes everything anew.
const SMALL: u64 = 40;

/// An envelope that is verified only once, because verification is half of what a step costs. Under other rules it is
/// verified anew.
pub(super) struct VerifiedOnce<'a> {
    envelope: Unverified<'a>,
    rules: Rules,
    checked: Checked,
}

impl<'a> VerifiedOnce<'a> {
    /// Verifies the bytes under these rules.
    pub(super) fn under(rules: Rules, bytes: &'a [u8]) -> Self {
        let envelope = Unverified { bytes, origin: ORIGIN };
        let checked = envelope.verified(rules);
        Self { envelope, rules, checked }
    }

    /// Its id, if it verifies.
    pub(super) fn id(&self) -> Option<EvidenceId> {
        match &self.checked {
            Checked::Verified(envelope) => Some(envelope.id()),
            Checked::Refused(_) => None,
        }
    }
}

impl ToVerify for VerifiedOnce<'_> {
    fn verified(&self, rules: Rules) -> Checked {
        if rules == self.rules { self.checked.clone() } else { self.envelope.verified(rules) }
    }
}

impl Both {
    /// Submits to both and compares.
    pub(super) fn submit(&mut self, draft: &Draft) -> Result<(Option<EvidenceId>, String), LedgerError> {
        let bytes = draft.sign();
        let text = text(&bytes)?;
        let index = u64::try_from(self.model.len()).unwrap_or(u64::MAX);
        let verified = VerifiedOnce::under(rules_in_force(&self.rows)?, &bytes);
        let id = verified.id();
        let outcome = self.apply(verified)?;
        let real: Said = match &outcome {
            Outcome::Accepted { receipt, .. } if receipt.ledger_index == index => {
                ("accepted".to_owned(), Some(receipt.ledger_index))
            }
            Outcome::Accepted { receipt, .. } => ("again".to_owned(), Some(receipt.ledger_index)),
            Outcome::Equivocation { receipt, .. } => ("equivocation".to_owned(), Some(receipt.ledger_index)),
            Outcome::Refused { refusal, .. } => (refusal.code.to_string(), None),
        };
        self.sent.push(draft.clone());
        let kind = draft.claims.kind();
        self.count(format!("submit {kind} {}", real.0));
        // The model covers only envelopes that verify.
        let Some(id) = id else { return Ok((None, real.0)) };
        self.record_submission(draft, id, text, &outcome);
        let (next, answer) = self.model.submit(text, self.now_ms);
        let place = |place: usize| u64::try_from(place).ok();
        let modelled: Said = match answer {
            SubmitAnswer::Accepted(at) => ("accepted".to_owned(), place(at)),
            SubmitAnswer::Again(at) => ("again".to_owned(), place(at)),
            SubmitAnswer::Equivocation(at) => ("equivocation".to_owned(), place(at)),
            SubmitAnswer::Refused(code) => (code.to_owned(), None),
        };
        if real != modelled {
            let (kind, detail) =
                (format!("submit {kind}: rules {} model {}", real.0, modelled.0), format!("{outcome:?}"));
            self.differ(kind, detail);
            return Ok((None, real.0));
        }
        self.model = next;
        if real.1 != Some(index) {
            self.saw_refusal(draft, &real.0);
            return Ok((None, real.0));
        }
        let epoch = query::summary(&self.rows)?.map(|summary| summary.epoch);
        if epoch != Some(self.model.epoch()) {
            let detail = format!("rules {epoch:?} model {}", self.model.epoch());
            self.differ(format!("submit {kind}: another epoch"), detail);
        }
        let (second, late) = self.placed(draft, id);
        let accepted = Millis(self.now_ms);
        self.known.push(Known { id, draft: draft.clone(), accepted, second, late });
        self.saw_accepted();
        self.check_facts();
        Ok((Some(id), real.0))
    }

    /// A node raises the rules, or another key tries to.
    pub(super) fn raise(&mut self, draft: &Draft) -> Result<(Option<EvidenceId>, String), LedgerError> {
        let bytes = draft.sign();
        let text = text(&bytes)?;
        let verified = VerifiedOnce::under(rules_in_force(&self.rows)?, &bytes);
        let Some(id) = verified.id() else {
            return Err(LedgerError::unexpected("rules that do not verify"));
        };
        let real = match self.apply(verified)? {
            Outcome::Refused { refusal, .. } => refusal.code.to_string(),
            Outcome::Accepted { fresh: false, .. } => "again".to_owned(),
            Outcome::Accepted { .. } | Outcome::Equivocation { .. } => "accepted".to_owned(),
        };
        let modelled = match self.model.record_rules(text, self.now_ms) {
            Ok(model) if model.len() == self.model.len() => "again".to_owned(),
            Ok(model) => {
                self.model = model;
                "accepted".to_owned()
            }
            Err(code) => code.to_owned(),
        };
        self.count(format!("raise by {} {real}", draft.signers.len()));
        if real != modelled {
            self.differ(format!("raise: rules {real} model {modelled}"), String::new());
        }
        self.check_facts();
        Ok(((real == "accepted").then_some(id), real))
    }

    /// Applies one envelope by the rules.
    pub(super) fn apply(&mut self, envelope: VerifiedOnce<'_>) -> Result<Outcome, LedgerError> {
        let batch = [Group { atomic: false, envelopes: vec![envelope] }];
        let outcomes = apply(&mut self.rows, RulesVersion::TEST, Millis(self.now_ms), &batch)?;
        let outcome = outcomes.into_iter().flatten().next();
        outcome.ok_or_else(|| LedgerError::unexpected("the rules gave no outcome"))
    }

    pub(super) fn check_facts(&mut self) {
        let problem = match query::revision(&self.rows) {
            Ok(revision) if revision > SMALL && !revision.is_multiple_of(8) => return,
            Ok(_) => self.facts.check(&self.rows),
            Err(error) => Err(error),
        };
        match problem {
            Ok(wrong) if wrong.is_empty() => {}
            Ok(wrong) => self.differ("the rows disagree with the ledger".to_owned(), wrong.join("\n")),
            Err(error) => self.differ("the rows cannot be read".to_owned(), error.to_string()),
        }
    }

    fn record_submission(&mut self, draft: &Draft, id: EvidenceId, text: &str, outcome: &Outcome) {
        if self.records.is_none() {
            return;
        }
        let (output, ended) = match outcome {
            Outcome::Accepted { receipt, fresh } => {
                let mut output = of(receipt);
                if let Some(fields) = output.as_object_mut() {
                    fields.insert("repeated".to_owned(), Value::Bool(!fresh));
                }
                (output, Ended::Ok)
            }
            Outcome::Equivocation { receipt, refusal } => {
                (json!({"code": refusal.code.to_string(), "receipt": of(receipt)}), Ended::Deny)
            }
            Outcome::Refused { refusal, .. } => (json!({"code": refusal.code.to_string()}), Ended::Deny),
        };
        let input = json!({"id": id.to_string(), "envelope": text});
        self.record(Op::Submit, draft.domain.as_str(), input, output, ended);
    }
}

/// An envelope's text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, LedgerError> {
    std::str::from_utf8(bytes).map_err(|_| LedgerError::unexpected("an envelope that is no text"))
}

/// A receipt in the form that an answer has.
pub(super) fn of(receipt: &Receipt) -> Value {
    json!({"evidenceId": receipt.evidence_id.to_string(), "ledgerIndex": receipt.ledger_index,
        "revision": receipt.revision, "acceptedAt": receipt.accepted_at.0})
}
