//! The decision that a caller may act on. The only place in this crate where an allow is made.

use assent_api::{DecisionBody, Verdict};
use assent_proof::{AuthorizeRequest, PublicKey, json, verify_decision};
use bytes::Bytes;

use crate::allowed::{Allowed, Asked};
use crate::answer::{Unread, is_judged, not_the_api, refused, unreadable};
use crate::answer_shape::{AnswerShape, UnreadDeny};
use crate::error::ClientError;
use crate::transport::Answer;
use crate::trust::Trust;

/// A decision that was checked. Nothing outside this module can make one, so no error, timeout or default elsewhere can
/// turn into an allow.
#[derive(Clone, Debug)]
pub struct Decision {
    allowed: Option<Allowed>,
    body: DecisionBody,
    bytes: Bytes,
    signer: Option<PublicKey>,
    /// Whether the status under which it came says that it was judged.
    judged: bool,
}

/// What a decision is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation<'a> {
    pub(crate) request: &'a AuthorizeRequest,
    /// The moment before the question was sent.
    pub(crate) asked: &'a Asked,
    /// Whose allows are believed.
    pub(crate) trust: &'a Trust,
    /// The status of the answer that it stands in.
    pub(crate) status: u16,
    /// Which allow was asked for.
    pub(crate) wanted: Wanted,
}

/// Which allow a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Any allow.
    Allow,
    /// One that is recorded: it has the receipt of its permit.
    Permit,
}

impl Decision {
    /// Whether it allowed when it came. It holds for seconds: [`Decision::allowed`] says whether it still does.
    pub fn is_allow(&self) -> bool {
        self.allowed.is_some()
    }

    /// How long the allow may be relied on; `None` for a deny. To be asked right before what was allowed begins, and
    /// while it goes on.
    pub fn allowed(&self) -> Option<&Allowed> {
        self.allowed.as_ref()
    }

    /// Whether it denies because the registry cannot know: asking again later may allow. A deny that came with the status 403 was
    /// judged, whatever its reasons are.
    pub fn is_cannot_know(&self) -> bool {
        !self.is_allow() && !self.judged && self.body.status() == 503
    }

    /// What the node answered.
    pub fn body(&self) -> &DecisionBody {
        &self.body
    }

    /// The exact bytes that the node answered; `assent verify` and `assent_proof::verify_decision` take them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The trusted node key that signed it; none where allows are believed unverified, or for a deny that does not
    /// verify.
    pub fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// Checks what a node answered. A deny is believed as it comes: to believe a false one only keeps something from
    /// running. An allow is believed only if nothing speaks against it.
    ///
    /// # Errors
    /// `Denied` for a deny that cannot be read in full, which is to be obeyed as well; `Untrusted` for an allow that must not be relied
    /// on; the text of what is wrong for bytes that are no decision.
    pub(crate) fn check(bytes: Bytes, expected: Expectation<'_>) -> Result<Decision, CheckError> {
        // Strictly first: a key twice, or an array for an object, could be read differently by the receipt's verifier.
        let strict = json::parse(&bytes).map_err(|error| error.to_string());
        let read = strict
            .and_then(|_| serde_json::from_slice::<DecisionBody>(&bytes).map_err(|error| error.to_string()));
        let body = read.map_err(|error| CheckError::unread(&bytes, error))?;
        let (signer, believed) = believed(&bytes, expected.trust);
        let allowed = match body.decision {
            Verdict::Deny => None,
            Verdict::Allow => {
                believed.map_err(CheckError::Untrusted)?;
                Some(check_allow(&body, expected)?)
            }
        };
        let judged = is_judged(body.decision, expected.status);
        Ok(Decision { allowed, body, bytes, signer, judged })
    }
}

/// The trusted key that signed a decision, and whether that is enough to believe an allow; if not, why.
fn believed(bytes: &[u8], trust: &Trust) -> (Option<PublicKey>, Result<(), String>) {
    match trust {
        Trust::Keys(keys) => match verify_decision(bytes, keys.as_slice()) {
            Ok(verified) if verified.allow => (Some(verified.signer), Ok(())),
            Ok(verified) => (Some(verified.signer), Err("its receipt says `deny`".to_owned())),
            Err(refusal) => (None, Err(refusal.to_string())),
        },
        Trust::NoAllow => (None, Err("this client was made to believe no allow".to_owned())),
        Trust::Unverified => (None, Ok(())),
    }
}

/// Checks that an allow answers what was asked, has no reason against it, has a permit's receipt if a permit was asked for, and is not
/// over. The receipt is in the signed bytes like every field of the decision, which [`believed`] holds against them.
fn check_allow(body: &DecisionBody, expected: Expectation<'_>) -> Result<Allowed, CheckError> {
    if !body.request.same_as(&expected.request.to_json()) {
        return Err(CheckError::Untrusted("it answers another request".to_owned()));
    }
    if !body.reasons.is_empty() {
        return Err(CheckError::Untrusted("it names reasons to deny".to_owned()));
    }
    if expected.wanted == Wanted::Permit && body.permit.is_none() {
        // Something on the way may have sent the request to `/v1/authorize`.
        let detail = "it answers a permit without the permit's receipt, as a node answers an authorize";
        return Err(CheckError::Untrusted(detail.to_owned()));
    }
    Allowed::new(expected.asked, body.evaluated_at, body.valid_until).map_err(CheckError::Untrusted)
}

/// Why an answer is no decision to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckError {
    /// It is a deny in words that this build does not know.
    Denied(UnreadDeny),
    /// It is not a decision at all.
    NoDecision(String),
    /// It is an allow that must not be relied on.
    Untrusted(String),
}

impl CheckError {
    /// What bytes are that cannot be read as a decision.
    fn unread(bytes: &Bytes, error: String) -> Self {
        let shape = AnswerShape::of(bytes);
        if shape.is_deny_if_unread() {
            CheckError::Denied(shape.into_deny(bytes))
        } else {
            CheckError::NoDecision(error)
        }
    }

    /// What this says of the answer that was checked. A deny ends the call. An allow that must not be relied on counts as no answer,
    /// and so does what is neither a decision nor a problem document.
    pub(crate) fn of(self, answer: &Answer) -> Unread {
        match self {
            CheckError::Denied(deny) => Unread::Said(ClientError::DenyNotUnderstood(Box::new(deny))),
            CheckError::NoDecision(detail) if answer.status == 200 => not_the_api(answer, detail),
            CheckError::NoDecision(_) => refused(answer),
            CheckError::Untrusted(detail) if answer.status == 200 => Unread::Untrusted(detail),
            // 403 denies, whatever the body says.
            CheckError::Untrusted(detail) => unreadable(answer, detail),
        }
    }
}
