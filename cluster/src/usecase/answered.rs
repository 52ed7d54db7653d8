//! The answer to a request for a decision.

use assent_proof::Code;
use assent_registry::Verdict;
use bytes::Bytes;

/// A decision as it goes over the wire, and beside it the values by which use cases branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What the registry decided.
    pub verdict: Verdict,
    /// The codes of the reasons that deny, in their order; empty exactly when it allows.
    pub codes: Vec<Code>,
    /// The revision of the state that was judged; that of no state if nothing was evaluated.
    pub revision: u64,
    /// The HTTP status: 200 allow, 403 deny, 503 deny because the registry cannot know.
    pub status: u16,
    /// The DecisionBody as JSON. It has a receipt, unless it is a deny that was made without an evaluation.
    pub body: Bytes,
}

impl Answered {
    /// Whether it allows.
    pub fn is_allow(&self) -> bool {
        self.verdict.is_allow()
    }

    /// Whether it denies for this reason and for no other.
    pub fn is_denied_only_for(&self, code: Code) -> bool {
        self.verdict == Verdict::Deny && self.codes == [code]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_is_for_one_reason_only_if_it_has_no_other() {
        let denied = |codes: &[Code]| Answered {
            verdict: Verdict::Deny,
            codes: codes.to_vec(),
            revision: 0,
            status: 403,
            body: Bytes::new(),
        };
        let lacks = |codes: &[Code]| denied(codes).is_denied_only_for(Code::PermitRequired);
        assert!(lacks(&[Code::PermitRequired]));
        for other in [&[][..], &[Code::NonceReused], &[Code::NonceReused, Code::PermitRequired]] {
            assert!(!lacks(other), "{other:?}");
        }
        assert!(!denied(&[Code::PermitRequired]).is_allow());
    }
}
