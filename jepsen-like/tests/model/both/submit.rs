//! What comes in, to both.

use std::sync::Arc;

use assent_jepsen::history::{Op, Outcome as Ended};
use assent_jepsen::model::SubmitAnswer;
use assent_proof::{Millis, verify};
use assent_registry::{Checked, Outcome, RulesVersion, apply};
use serde_json::json;

use super::{Both, ORIGIN};

/// How a submission ended, and the index of the leaf that it was answered with.
type Said = (String, Option<u64>);

impl Both {
    /// Submits to both and compares.
    pub(super) fn submit(&mut self, bytes: &[u8]) -> bool {
        let index = u64::try_from(self.model.len()).unwrap();
        let text = std::str::from_utf8(bytes).unwrap();
        let verified = verify(bytes, ORIGIN);
        let statement = verified.as_ref().ok().map(|envelope| envelope.statement().clone());
        let refused = verified.as_ref().err().map(|refusal| refusal.code);
        let checked = match verified {
            Ok(envelope) => Checked::Verified(Arc::new(envelope)),
            Err(refusal) => Checked::Refused(refusal),
        };
        let outcome =
            apply(&mut self.rows, RulesVersion::TEST, Millis(self.now_ms), &[(false, vec![checked])])
                .unwrap()
                .remove(0)
                .remove(0);
        let real: Said = match &outcome {
            Outcome::Accepted { receipt, .. } if receipt.ledger_index == index => {
                ("accepted".to_owned(), Some(receipt.ledger_index))
            }
            Outcome::Accepted { receipt, .. } => ("again".to_owned(), Some(receipt.ledger_index)),
            Outcome::Equivocation { receipt, .. } => ("equivocation".to_owned(), Some(receipt.ledger_index)),
            Outcome::Refused { refusal, .. } => (refusal.code.to_string(), None),
        };
        if let Some(statement) = &statement {
            let of = |receipt: &assent_registry::Receipt| {
                json!({"evidenceId": receipt.evidence_id.to_string(), "ledgerIndex": receipt.ledger_index,
                    "revision": receipt.revision, "acceptedAt": receipt.accepted_at.0})
            };
            let (output, ended) = match &outcome {
                Outcome::Accepted { receipt, fresh } => {
                    let mut output = of(receipt);
                    output["repeated"] = json!(!fresh);
                    (output, Ended::Ok)
                }
                Outcome::Equivocation { receipt, refusal } => {
                    (json!({"code": refusal.code.to_string(), "receipt": of(receipt)}), Ended::Deny)
                }
                Outcome::Refused { refusal, .. } => (json!({"code": refusal.code.to_string()}), Ended::Deny),
            };
            let input = json!({"id": Self::id(bytes).to_string(), "envelope": text});
            self.record(Op::Submit, statement.domain.as_ref(), input, output, ended);
        }
        let place = |place: usize| Some(u64::try_from(place).unwrap());
        self.sent.push(bytes.to_vec());
        let kind = statement.as_ref().map_or("unparsed".to_owned(), |s| s.kind.to_string());
        *self.tally.entry(format!("submit {kind} {}", real.0)).or_default() += 1;
        if refused.is_some() {
            return true;
        }
        let (next, answer) = self.model.submit(text, self.now_ms);
        let modelled: Said = match answer {
            SubmitAnswer::Accepted(at) => ("accepted".to_owned(), place(at)),
            SubmitAnswer::Again(at) => ("again".to_owned(), place(at)),
            SubmitAnswer::Equivocation(at) => ("equivocation".to_owned(), place(at)),
            SubmitAnswer::Refused(code) => (code.to_owned(), None),
        };
        let statement = statement.unwrap();
        if real != modelled {
            let said = String::from_utf8(statement.to_vec()).unwrap();
            self.told
                .push(format!("submit {kind}: rules {} model {}\n{said}\n{outcome:?}", real.0, modelled.0));
            return false;
        }
        self.model = next;
        let id = Self::id(bytes);
        if real.1 == Some(index) {
            let (domain, lineage) = (statement.domain.to_string(), statement.lineage.to_string());
            self.known.push((id, kind, domain.clone(), lineage.clone()));
            let issuer = statement.issuers[0].to_string();
            let issuer = if lineage == "_governance" { String::new() } else { issuer };
            let chain = self.chains.entry((domain, lineage, issuer)).or_default();
            if real.0 == "equivocation" {
                self.pairs.push([chain[usize::try_from(statement.sequence.unwrap()).unwrap()], id]);
            } else if statement.sequence.is_some() {
                chain.push(id);
            }
        }
        true
    }

    /// A node raises the rules, or somebody tries to.
    pub(super) fn raise(&mut self) {
        let next = self.model.rules() + 1;
        let version =
            if self.dice.once_in(6) { next + 1 - 2 * u64::from(self.dice.once_in(2)) } else { next };
        let signer = if self.dice.once_in(6) { self.dice.below(40) } else { 5 };
        let statement =
            self.draft("rules", "_root", "_governance", "rules", &json!({"version": version.max(1)}));
        let bytes = Self::sign(statement, &[signer]);
        let text = std::str::from_utf8(&bytes).unwrap();
        let checked = Checked::Verified(Arc::new(verify(&bytes, ORIGIN).unwrap()));
        // A build that knows no more would have to stop.
        if version > u64::from(RulesVersion::TEST.0) {
            return;
        }
        let batch = [(false, vec![checked])];
        let mut outcomes =
            apply(&mut self.rows, RulesVersion::TEST, Millis(self.now_ms), &batch).unwrap().remove(0);
        let real = match outcomes.remove(0) {
            Outcome::Refused { refusal, .. } => refusal.code.to_string(),
            _ => "accepted".to_owned(),
        };
        let modelled = match self.model.record_rules(text, self.now_ms) {
            Ok(model) => {
                self.model = model;
                "accepted".to_owned()
            }
            Err(code) => code.to_owned(),
        };
        *self.tally.entry(format!("raise {real}")).or_default() += 1;
        if real != modelled {
            self.told.push(format!("raise: rules {real} model {modelled}\n{text}"));
        }
    }
}
