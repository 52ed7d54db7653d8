//! Asks the rules and the model for decisions and permits.

use assent_proof::{AuthorizeRequest, Claims, EvidenceId, Millis};
use assent_registry::{Decision, View, authorize, authorize_permitted, query, rules_in_force};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use super::both::{Both, Known, LedgerError};
use super::draft::Draft;
use super::keys::NODE;
use super::submit::{VerifiedOnce, of, text};
use crate::history::{Op, Outcome as Ended};
use crate::model::Judgement;

impl Both {
    /// Asks both for a decision, and compares.
    pub(super) fn ask(&mut self, request: &AuthorizeRequest) -> Result<String, LedgerError> {
        let value = value(request)?;
        let decision = authorize(&View::new(&self.rows), request, Millis(self.now_ms));
        let judged = self.model.authorize(&value, self.now_ms);
        self.compare("authorize", request, &value, &decision, &judged)
    }

    /// Records a permit in both if both would record one, asks both for the decision, and compares.
    pub(super) fn permit(
        &mut self,
        request: &AuthorizeRequest,
    ) -> Result<(Option<EvidenceId>, String), LedgerError> {
        let value = value(request)?;
        let made = self.record_permit(request, &value)?;
        let decision = authorize_permitted(&View::new(&self.rows), request, Millis(self.now_ms));
        let judged = self.model.permit(&value, self.now_ms);
        let index = decision.permit.as_ref().map(|receipt| receipt.ledger_index);
        let place = judged.permit.and_then(|place| u64::try_from(place).ok());
        if decision.reasons.is_empty() && index != place {
            self.differ("permit: another permit".to_owned(), format!("rules {index:?} model {place:?}"));
        }
        let said = self.compare("permit", request, &value, &decision, &judged)?;
        Ok((made, said))
    }

    /// Records a permit in both if both would. Returns the id of what was recorded.
    fn record_permit(
        &mut self,
        request: &AuthorizeRequest,
        value: &Value,
    ) -> Result<Option<EvidenceId>, LedgerError> {
        let Some(lineage) = request.lineage.clone() else {
            return Err(LedgerError::unexpected("a request for a permit names its lineage"));
        };
        let judged = self.model.consider(value, self.now_ms);
        let claims = Claims::Permit(Box::new(request.clone()));
        let issued_at = Millis(self.now_ms).to_seconds();
        let mut draft = Draft::new(request.domain.clone(), lineage, claims, [NODE], issued_at);
        draft.subject = Some(request.subject);
        let bytes = draft.sign();
        let verified = VerifiedOnce::under(rules_in_force(&self.rows)?, &bytes);
        let Some(id) = verified.id() else {
            return Err(LedgerError::unexpected("a permit that does not verify"));
        };
        let revision = query::revision(&self.rows)?;
        self.apply(verified)?;
        if query::revision(&self.rows)? == revision {
            if judged.allows() && judged.permit.is_none() {
                self.differ("permit: not recorded, the model would".to_owned(), value.to_string());
            }
            return Ok(None);
        }
        match self.model.record_permit(value, text(&bytes)?, self.now_ms) {
            Ok(next) => self.model = next,
            Err(judged) => {
                let kind = format!("permit: recorded, model {:?}", judged.reasons);
                self.differ(kind, value.to_string());
                return Ok(None);
            }
        }
        self.permits.push(request.clone());
        let accepted = Millis(self.now_ms);
        self.known.push(Known { id, draft, accepted, second: false, late: false });
        self.saw_permit();
        self.check_facts();
        Ok(Some(id))
    }

    fn compare(
        &mut self,
        sort: &str,
        request: &AuthorizeRequest,
        value: &Value,
        decision: &Decision,
        judged: &Judgement,
    ) -> Result<String, LedgerError> {
        let real: BTreeSet<String> = decision.reasons.iter().map(|reason| reason.code.to_string()).collect();
        let modelled: BTreeSet<String> = judged.reasons.iter().map(|code| (*code).to_owned()).collect();
        let allowed = real.is_empty();
        let verdict = if allowed { "allow" } else { "deny" };
        self.count(format!("{sort} {verdict}"));
        for code in &real {
            self.count(format!("{sort} {code}"));
        }
        if allowed {
            let by_ttl = decision.valid_until.0 == self.now_ms.saturating_add(10_000);
            let bound = if by_ttl { "the ttl" } else { "evidence" };
            self.count(format!("{sort} allow for as long as {bound}"));
            self.saw_allow();
        } else {
            self.saw_deny(&real);
        }
        self.record_decision(sort, request, value, decision, &real)?;
        if allowed != decision.is_allow() {
            self.differ(format!("{sort}: an allow with reasons, or a deny without one"), value.to_string());
        }
        if real != modelled {
            let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
                one.difference(other).cloned().collect::<Vec<_>>()
            };
            let (rules, model) = (only(&real, &modelled), only(&modelled, &real));
            let kind = format!("{sort}: only rules {rules:?} only model {model:?}");
            self.differ(kind, format!("{value} {:?}", decision.reasons));
        } else if decision.valid_until.0 != judged.valid_until_ms {
            let (rules, model) = (decision.valid_until.0, judged.valid_until_ms);
            let detail = format!("{value} rules {rules} model {model} at {}", self.now_ms);
            self.differ(format!("{sort}: valid until another time"), detail);
        }
        let codes: Vec<&str> = real.iter().map(String::as_str).collect();
        Ok(if allowed { verdict.to_owned() } else { format!("{verdict} {}", codes.join(" ")) })
    }

    fn record_decision(
        &mut self,
        sort: &str,
        request: &AuthorizeRequest,
        value: &Value,
        decision: &Decision,
        codes: &BTreeSet<String>,
    ) -> Result<(), LedgerError> {
        if self.records.is_none() {
            return Ok(());
        }
        let reasons: Vec<Value> = codes.iter().map(|code| json!({"code": code})).collect();
        let allowed = codes.is_empty();
        let mut output = json!({"decision": if allowed { "allow" } else { "deny" }, "reasons": reasons,
            "history": decision.history, "revision": query::revision(&self.rows)?, "evaluatedAt": self.now_ms,
            "validUntil": decision.valid_until.0});
        if let (Some(receipt), Some(fields)) = (&decision.permit, output.as_object_mut()) {
            fields.insert("permit".to_owned(), of(receipt));
        }
        let op = if sort == "permit" { Op::Permit } else { Op::Authorize };
        let ended = if allowed { Ended::Ok } else { Ended::Deny };
        self.record(op, request.domain.as_str(), value.clone(), output, ended);
        Ok(())
    }
}

/// A request as the model reads it.
fn value(request: &AuthorizeRequest) -> Result<Value, LedgerError> {
    serde_json::from_slice(&request.to_json().to_vec())
        .map_err(|error| LedgerError::unexpected(format!("a request that is no JSON: {error}")))
}
