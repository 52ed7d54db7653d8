//! The decision that a caller may act on. The only place in this crate where an allow is made.

use assent_api::{DecisionBody, Verdict};
use assent_proof::{AuthorizeRequest, Millis, PublicKey, json, verify_decision};
use bytes::Bytes;

use crate::error::ClientError;

/// A decision that was checked. Nothing outside this module can make one, so no error, timeout or default elsewhere can
/// turn into an allow.
#[derive(Clone, Debug)]
pub struct Decision {
    allow: bool,
    body: DecisionBody,
    bytes: Bytes,
    signer: Option<PublicKey>,
}

/// What a decision is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation<'a> {
    pub(crate) request: &'a AuthorizeRequest,
    /// The caller's clock when the answer arrived.
    pub(crate) now: Millis,
    /// Empty: receipts are not verified.
    pub(crate) trusted: &'a [PublicKey],
}

impl Decision {
    /// Whether it may execute, now. It holds until [`valid_until`](DecisionBody::valid_until) and not a moment longer.
    pub fn is_allow(&self) -> bool {
        self.allow
    }

    /// Whether it denies because the registry cannot know: asking again later may allow.
    pub fn is_cannot_know(&self) -> bool {
        !self.allow && self.body.status() == 503
    }

    /// What the node answered.
    pub fn body(&self) -> &DecisionBody {
        &self.body
    }

    /// The exact bytes that the node answered; `assent verify` and `assent_proof::verify_decision` take them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The trusted node key that signed it; none when no key is trusted, or for a deny that does not verify.
    pub fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// Checks what a node answered. A deny is believed as it comes: to believe a false one only keeps something from
    /// running. An allow is believed only if nothing speaks against it.
    ///
    /// # Errors
    /// `Untrusted` for an allow that must not be relied on; the text of what is wrong for bytes that are no decision.
    pub(crate) fn check(bytes: Bytes, expected: Expectation<'_>) -> Result<Decision, CheckError> {
        // Strictly first: a key twice, or an array for an object, could be read differently by the receipt's verifier.
        json::parse(&bytes).map_err(|error| CheckError::NoDecision(error.to_string()))?;
        let body: DecisionBody =
            serde_json::from_slice(&bytes).map_err(|error| CheckError::NoDecision(error.to_string()))?;
        let verified = verify_decision(&bytes, expected.trusted);
        let signer = verified.as_ref().ok().map(|verified| verified.signer);
        let allow = match body.decision {
            Verdict::Deny => false,
            Verdict::Allow => {
                if !expected.trusted.is_empty() {
                    let verified = verified.map_err(|refusal| CheckError::Untrusted(refusal.to_string()))?;
                    if !verified.allow {
                        return Err(CheckError::Untrusted("its receipt says `deny`".to_owned()));
                    }
                }
                standing(&body, expected)?;
                true
            }
        };
        Ok(Decision { allow, body, bytes, signer })
    }
}

/// Checks that an allow answers what was asked, has no reason against it, and is not over.
fn standing(body: &DecisionBody, expected: Expectation<'_>) -> Result<(), CheckError> {
    if !body.request.same_as(&expected.request.to_json()) {
        return Err(CheckError::Untrusted("it answers another request".to_owned()));
    }
    if !body.reasons.is_empty() {
        return Err(CheckError::Untrusted("it names reasons to deny".to_owned()));
    }
    if body.valid_until <= expected.now {
        let (until, now) = (body.valid_until, expected.now);
        return Err(CheckError::Untrusted(format!("it was valid until `{until}` ms and it is `{now}` ms")));
    }
    Ok(())
}

/// Why an answer is no decision to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckError {
    /// It is not a decision at all.
    NoDecision(String),
    /// It is an allow that must not be relied on.
    Untrusted(String),
}

impl CheckError {
    /// As the caller sees it, from the endpoint that answered.
    pub(crate) fn at_endpoint(self, endpoint: impl ToString) -> ClientError {
        match self {
            CheckError::NoDecision(detail) => ClientError::Answer { endpoint: endpoint.to_string(), detail },
            CheckError::Untrusted(detail) => ClientError::Untrusted { detail },
        }
    }
}
