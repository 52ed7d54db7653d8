//! What a client may conclude from the answers that it got. `docs/protocol.md` ("Asking again", "Verifying a
//! decision") decides this, and none of the client's code is used.

use std::time::Duration;

use assent_proof::{AuthorizeRequest, Json, Millis, PublicKey, json, verify_decision};
use bytes::Bytes;

use super::case::Kind;
use super::content::decisions;
use super::endpoint::Told;

/// If a second endpoint may be asked at the same time, a client that was told a deny so long before an allow has surely read it first.
const LONG_BEFORE: Duration = Duration::from_millis(250);

/// The word of a deny.
const DENY: &str = "\"deny\"";

/// The codes that say that another node can be asked.
const ELSEWHERE: [&str; 8] = [
    "no_quorum",
    "evidence_mutated",
    "clock_uncertain",
    "deadline_exceeded",
    "overloaded",
    "revision_not_reached",
    "internal_error",
    "member_removed",
];

/// A call, and what the client returned for each of its requests: the bytes of an allow, or none.
pub struct Called<'a> {
    pub kind: Kind,
    pub requests: &'a [AuthorizeRequest],
    pub hedged: bool,
    /// Whether the caller's clocks let any allow stand.
    pub may_allow: bool,
    /// The caller's wall clock before the call.
    pub wall: Millis,
    pub node_keys: &'a [PublicKey],
    pub allows: Vec<Option<Bytes>>,
    /// The nonce with which the client says to ask again for the permit.
    pub again_with: Option<String>,
}

impl Called<'_> {
    /// Judges the call.
    ///
    /// # Errors
    /// Says what must not be.
    pub fn judge(&self, told: &[Told]) -> Result<(), String> {
        if self.allows.len() != self.requests.len() {
            return Err(format!("{} decisions for {} requests", self.allows.len(), self.requests.len()));
        }
        for (request, allow) in self.requests.iter().zip(&self.allows) {
            if let Some(bytes) = allow {
                self.believed(request, bytes)?;
                self.not_after_a_deny(bytes, told)?;
            }
        }
        self.names_its_nonce(told)
    }

    /// A permit of which an endpoint has told an allow may be recorded: if the client takes no allow, it names the nonce.
    fn names_its_nonce(&self, told: &[Told]) -> Result<(), String> {
        let has_none = self.allows.iter().all(Option::is_none);
        let may_be_recorded = told.iter().any(|told| told.status == 200 && allows(told.surely_read()));
        let named = self.again_with.is_some() && self.again_with == self.requests[0].nonce;
        if self.kind == Kind::Permit && has_none && may_be_recorded && !named {
            return Err(format!(
                "no allow, though one was told, and the nonce named is {:?}",
                self.again_with
            ));
        }
        Ok(())
    }

    /// Whether an endpoint has surely told an allow that lacks nothing but the receipt of the permit that was asked for.
    pub fn is_allow_without_its_permit(&self, told: &Told) -> bool {
        let bytes = told.surely_read();
        let Ok(decision) = json::parse(bytes) else { return false };
        let allows = verify_decision(bytes, self.node_keys).is_ok_and(|verified| verified.allow);
        let asked = self.requests[0].to_json();
        let answers = decision.get("request").is_some_and(|said| said.same_as(&asked));
        let heard = told.status == 200 && told.heard.is_some();
        self.kind == Kind::Permit && self.may_allow && heard && allows && answers && !has_permit(&decision)
    }

    /// An allow is one that a node signed for this request, with the receipt of the permit if one was asked for, and that is not over.
    fn believed(&self, request: &AuthorizeRequest, bytes: &[u8]) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {}", String::from_utf8_lossy(bytes)));
        if !self.may_allow {
            return wrong("an allow, though by the caller's clocks each one is over");
        }
        match verify_decision(bytes, self.node_keys) {
            Ok(verified) if verified.allow => {}
            Ok(_) => return wrong("an allow of which the signed bytes deny"),
            Err(refusal) => return wrong(&format!("an allow that does not verify ({refusal})")),
        }
        let decision = json::parse(bytes).unwrap();
        if !decision.get("request").is_some_and(|said| said.same_as(&request.to_json())) {
            return wrong("an allow for another request");
        }
        if decision.get("reasons").and_then(Json::as_array).is_none_or(|reasons| !reasons.is_empty()) {
            return wrong("an allow with reasons to deny");
        }
        if self.kind == Kind::Permit && !has_permit(&decision) {
            return wrong("an allow of a permit without the permit's receipt");
        }
        if decision.get("validUntil").and_then(Json::as_i64).is_none_or(|until| until <= self.wall.0) {
            return wrong("an allow that is over");
        }
        Ok(())
    }

    /// An endpoint told it under 200, and no other endpoint had denied before.
    fn not_after_a_deny(&self, bytes: &[u8], told: &[Told]) -> Result<(), String> {
        let has_it = |told: &&Told| {
            let heard = told.heard.as_deref().unwrap_or_default();
            told.status == 200 && heard.windows(bytes.len()).any(|part| part == bytes)
        };
        let mut sources = told.iter().filter(has_it).peekable();
        if sources.peek().is_none() {
            return Err("an allow that no endpoint told under 200".to_owned());
        }
        let denied_before = |source: &Told| {
            let mut others = told.iter().filter(|other| other.endpoint != source.endpoint);
            others.any(|other| self.is_final_deny(other) && self.is_before(other, source))
        };
        if sources.all(denied_before) {
            return Err("an allow after a deny that is final".to_owned());
        }
        Ok(())
    }

    fn is_before(&self, deny: &Told, allow: &Told) -> bool {
        if self.hedged {
            deny.done_at.is_some_and(|done| done + LONG_BEFORE <= allow.answered_at)
        } else {
            // The attempt at one endpoint is over before another one is asked.
            deny.asked_at < allow.asked_at
        }
    }

    /// Whether an endpoint has surely told a deny after which no other one may be asked.
    pub fn is_final_deny(&self, told: &Told) -> bool {
        let (body, whole) = (told.surely_read(), told.heard.is_some());
        if told.status >= 500 || matches!(told.status, 408 | 425 | 429) {
            return false;
        }
        if self.kind == Kind::Batch {
            return match decisions(body) {
                Some(decisions) if told.status == 200 && whole => {
                    decisions.iter().any(|decision| denies(decision, 200))
                }
                _ => has(body, DENY),
            };
        }
        let elsewhere = ELSEWHERE.iter().any(|code| has(body, &format!("\"{code}\"")));
        denies(body, told.status) && (told.status == 403 || !elsewhere)
    }
}

/// Whether this is a deny: by its text, by the status, or since it cannot be read and has the word.
fn denies(decision: &[u8], status: u16) -> bool {
    let read = json::parse(decision).ok();
    match read.as_ref().and_then(|read| read.get("decision")).and_then(Json::as_str) {
        Some(said) => said != "allow" || status == 403,
        None => has(decision, DENY),
    }
}

/// Whether this is an allow by its text. One that has the word of a deny as well may be taken for a deny.
fn allows(decision: &[u8]) -> bool {
    let read = json::parse(decision).ok();
    let said = read.as_ref().and_then(|read| read.get("decision")).and_then(Json::as_str);
    said == Some("allow") && !has(decision, DENY)
}

/// Whether a decision has the receipt of a permit.
fn has_permit(decision: &Json) -> bool {
    decision.get("permit").and_then(|permit| permit.get("evidenceId")).and_then(Json::as_str).is_some()
}

fn has(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}
