//! Requests, to both.

use std::collections::BTreeSet;
use std::sync::Arc;

use assent_jepsen::history::{Op, Outcome as Ended};
use assent_proof::{AuthorizeRequest, Millis, Seconds, Sha256, verify};
use assent_registry::{Checked, RulesVersion, View, apply, authorize, authorize_permitted, query};
use serde_json::{Value, json};

use super::{Both, DOMAINS, ORIGIN};

impl Both {
    fn request(&mut self, nonce: bool) -> Value {
        let lineage = self.dice.lineage();
        let domain = DOMAINS[self.dice.domain()];
        let mut request = json!({"domain": if self.dice.once_in(40) { "else" } else { domain },
            "action": if self.dice.once_in(9) { "jump" } else { "run" },
            "subject": {"digest": {"sha256": Sha256::of(if self.dice.once_in(20) { "another" } else { lineage }.as_bytes()).to_string()}}});
        if nonce || !self.dice.once_in(6) {
            request["lineage"] = json!(lineage);
        }
        if self.dice.once_in(2) {
            request["runtime"] = json!("host-1");
        }
        if self.dice.once_in(4) {
            request["audience"] = json!("edge");
        }
        if self.dice.once_in(4) {
            request["environment"] = json!("blue");
        }
        if self.dice.once_in(12) && !self.known.is_empty() {
            request["expectedHead"] = json!(self.known[self.dice.below(self.known.len())].0.to_string());
        }
        if nonce {
            request["nonce"] = json!(format!("n{}", self.dice.below(6)));
        }
        request
    }

    /// Asks both for a decision or a permit, and compares.
    pub(super) fn ask(&mut self) {
        let permits = self.dice.once_in(3);
        let request = if permits && !self.permits.is_empty() && self.dice.once_in(2) {
            self.dice.pick(&self.permits.clone()).clone()
        } else {
            self.request(permits)
        };
        let parsed = AuthorizeRequest::parse(request.to_string().as_bytes()).unwrap();
        let now = Millis(self.now_ms);
        let mut before = BTreeSet::new();
        let mut permit = None;
        let decision = if permits {
            let judged = self.model.consider(&request, self.now_ms);
            before.clone_from(&judged.reasons);
            let mut statement = self.draft(
                "permit",
                parsed.domain.as_ref(),
                request["lineage"].as_str().unwrap(),
                "",
                &json!({"request": request}),
            );
            statement.subject = parsed.subject;
            statement.issued_at = Seconds(self.now_ms / 1000);
            let bytes = Self::sign(statement, &[5]);
            let envelope = verify(&bytes, ORIGIN).unwrap();
            let checked = Checked::Verified(Arc::new(envelope));
            let revision = query::revision(&self.rows).unwrap();
            apply(&mut self.rows, RulesVersion::TEST, now, &[(false, vec![checked])]).unwrap();
            if query::revision(&self.rows).unwrap() > revision {
                self.permits.push(request.clone());
                let text = std::str::from_utf8(&bytes).unwrap();
                self.known.push((
                    Self::id(&bytes),
                    "permit".to_owned(),
                    parsed.domain.to_string(),
                    parsed.lineage.clone().unwrap().to_string(),
                ));
                match self.model.record_permit(&request, text, self.now_ms) {
                    Ok(next) => self.model = next,
                    Err(judged) => {
                        self.told.push(format!("permit: recorded, model {:?} {request}", judged.reasons));
                        self.model = self.model.founded_with(text, self.now_ms).unwrap();
                    }
                }
            } else if judged.allows() && judged.permit.is_none() {
                self.told.push(format!("permit: not recorded, the model would {request}"));
            }
            authorize_permitted(&View::new(&self.rows), &parsed, now)
        } else {
            authorize(&View::new(&self.rows), &parsed, now)
        };
        let judged = if permits {
            let judged = self.model.permit(&request, self.now_ms);
            permit = judged.permit;
            judged
        } else {
            self.model.authorize(&request, self.now_ms)
        };
        let real: BTreeSet<String> = decision.reasons.iter().map(|reason| reason.code.to_string()).collect();
        let modelled: BTreeSet<String> = judged.reasons.iter().map(|code| (*code).to_owned()).collect();
        let sort = if permits { "permit" } else { "authorize" };
        for code in &real {
            *self.tally.entry(format!("{sort} {code}")).or_default() += 1;
        }
        *self
            .tally
            .entry(format!("{sort} {}", if real.is_empty() { "allow" } else { "deny" }))
            .or_default() += 1;
        let reasons: Vec<Value> = real.iter().map(|code| json!({"code": code})).collect();
        let mut output = json!({"decision": if real.is_empty() { "allow" } else { "deny" }, "reasons": reasons,
            "revision": query::revision(&self.rows).unwrap(), "evaluatedAt": self.now_ms,
            "validUntil": decision.valid_until.0});
        if let Some(receipt) = &decision.permit {
            output["permit"] = json!({"evidenceId": receipt.evidence_id.to_string(),
                "ledgerIndex": receipt.ledger_index, "revision": receipt.revision, "acceptedAt": receipt.accepted_at.0});
        }
        let op = if permits { Op::Permit } else { Op::Authorize };
        let ended = if real.is_empty() { Ended::Ok } else { Ended::Deny };
        self.record(op, parsed.domain.as_ref(), request.clone(), output, ended);
        let index = decision.permit.as_ref().map(|receipt| receipt.ledger_index);
        let same_permit =
            !permits || !real.is_empty() || index == permit.map(|place| u64::try_from(place).unwrap());
        if real.is_empty() {
            let bound = if decision.valid_until.0 == self.now_ms + 10_000 { "the ttl" } else { "evidence" };
            *self.tally.entry(format!("{sort} allow for as long as {bound}")).or_default() += 1;
        }
        if real == modelled && decision.valid_until.0 != judged.valid_until_ms {
            self.told.push(format!(
                "{sort}: valid until another time\n   {request} {} model {} at {}",
                decision.valid_until.0, judged.valid_until_ms, self.now_ms
            ));
        }
        if real != modelled || !same_permit {
            let only =
                |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
            self.told.push(format!(
                "{sort}: only rules {:?} only model {:?}\n   {request} {:?} model before {before:?} permits {index:?} {permit:?}",
                only(&real, &modelled),
                only(&modelled, &real),
                decision.reasons
            ));
        }
    }
}
