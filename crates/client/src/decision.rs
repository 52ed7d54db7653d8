//! The decision that a caller may act on. This is the only place in this crate that makes an allow.

use assent_api::{DecisionBody, Verdict};
use assent_proof::{AuthorizeRequest, PublicKey, json, verify_decision};
use bytes::Bytes;

use crate::allowed::{Allowed, Asked};
use crate::answer::{Unread, is_judged, not_the_api, refused, unreadable};
use crate::answer_shape::{AnswerShape, UnreadDeny};
use crate::error::ClientError;
use crate::transport::Answer;
use crate::trust::Trust;

/// A decision that was checked. Only this module can make one, so no error, timeout or default elsewhere can become an
/// allow.
#[derive(Clone, Debug)]
pub struct Decision {
    allowed: Option<Allowed>,
    body: DecisionBody,
    bytes: Bytes,
    signer: Option<PublicKey>,
    /// Whether the status of its answer says that the request was judged.
    judged: bool,
}

/// What a decision is checked against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectation<'a> {
    pub(crate) request: &'a AuthorizeRequest,
    /// The moment before the request was sent.
    pub(crate) asked: &'a Asked,
    /// The keys whose allows are believed.
    pub(crate) trust: &'a Trust,
    /// The status of the answer that contains the decision.
    pub(crate) status: u16,
    /// Which allow was asked for.
    pub(crate) wanted: Wanted,
}

/// Which allow a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Any allow.
    Allow,
    /// An allow that is recorded: it has the receipt of its permit.
    Permit,
}

impl Decision {
    /// Whether the decision was an allow when it came. An allow holds for seconds; [`Decision::allowed`] tells whether
    /// it still holds.
    pub fn is_allow(&self) -> bool {
        self.allowed.is_some()
    }

    /// How long the allow may be relied on; `None` for a deny. A caller must check it right before it begins what was
    /// allowed, and while that goes on.
    pub fn allowed(&self) -> Option<&Allowed> {
        self.allowed.as_ref()
    }

    /// Whether the decision denies because the registry cannot know. If the caller asks again later, the answer may be
    /// an allow. A deny that came with the status 403 was judged, whatever its reasons are.
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

    /// The trusted node key that signed the decision. It is `None` if allows are believed unverified, or for a deny
    /// that does not verify.
    pub fn signer(&self) -> Option<PublicKey> {
        self.signer
    }

    /// Checks what a node answered. A deny is believed without a check: a false deny only keeps something from
    /// running. An allow is believed only if every check passes.
    ///
    /// # Errors
    /// `Denied` for a deny that cannot be read in full, which the caller must obey as well; `Untrusted` for an allow
    /// that must not be relied on; `NoDecision` with what is wrong for bytes that are not a decision.
    pub(crate) fn check(bytes: Bytes, expected: Expectation<'_>) -> Result<Decision, CheckError> {
        // The strict parser comes first: the receipt's verifier could read a repeated key, or an array for an object,
        // differently.
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

/// The trusted key that signed a decision, and whether an allow can be believed, or why not.
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

/// Checks that an allow answers the request, names no reason to deny, has a permit's receipt if a permit was asked
/// for, and is not over. The permit's receipt is part of the signed bytes, like every field of the decision.
/// [`believed`] checks the signature.
fn check_allow(body: &DecisionBody, expected: Expectation<'_>) -> Result<Allowed, CheckError> {
    if !body.request.same_as(&expected.request.to_json()) {
        return Err(CheckError::Untrusted("it answers another request".to_owned()));
    }
    if !body.reasons.is_empty() {
        return Err(CheckError::Untrusted("it names reasons to deny".to_owned()));
    }
    if expected.wanted == Wanted::Permit && body.permit.is_none() {
        // A proxy on the way may have sent the request to `/v1/authorize`.
        let detail = "it answers a permit without the permit's receipt, as a node answers an authorize";
        return Err(CheckError::Untrusted(detail.to_owned()));
    }
    Allowed::new(expected.asked, body.evaluated_at, body.valid_until).map_err(CheckError::Untrusted)
}

/// Why an answer is not a decision that a caller may act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CheckError {
    /// It is a deny that this build cannot read in full.
    Denied(UnreadDeny),
    /// It is not a decision at all.
    NoDecision(String),
    /// It is an allow that must not be relied on.
    Untrusted(String),
}

impl CheckError {
    /// The error of bytes that cannot be read as a decision.
    fn unread(bytes: &Bytes, error: String) -> Self {
        let shape = AnswerShape::of(bytes);
        if shape.is_deny_if_unread() {
            CheckError::Denied(shape.into_deny(bytes, None))
        } else {
            CheckError::NoDecision(error)
        }
    }

    /// The verdict on the answer that was checked. A deny ends the call. An allow that must not be relied on counts as
    /// no answer, and so does an answer that is neither a decision nor a problem document.
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
