//! permit: records an allow in the ledger before it answers it.
//!
//! If the rules deny the request, or if it is recorded already, the answer comes from a read. Otherwise this node
//! signs a `permit` statement around the request and proposes it like any submission. `apply` evaluates the request,
//! and makes the statement a leaf only if the request is allowed, which consumes its uses. Then the answer is decided
//! like every authorize request, behind a barrier of its own, from what the ledger holds by then. So a retry with the
//! same request and nonce returns the first permit, but only while everything except the use still allows.

use bytes::Bytes;

use super::decide::Denied;
use super::joined::Question;
use super::shed::Shed;
use super::{Answered, Caller, Service, Submitted};
use crate::access::Account;
use assent_api::Problem;
use assent_proof::{
    AuthorizeRequest, Claims, Code, Envelope, EvidenceKind, Millis, Refusal, STATEMENT_PAYLOAD_TYPE,
    Statement,
};

impl Service {
    /// Records a permit for the request, and answers with a signed decision.
    ///
    /// Rule R143 (RFC-EG-033 §10, proof replay attacks): The request of a permit names its lineage and a
    /// nonce (`malformed`, `claims_invalid`), and the permit lies in the domain and the lineage of its
    /// request and is about the same subject (`claims_invalid`, `subject_mismatch`).
    ///
    /// # Errors
    /// `malformed` for a request without a nonce or a lineage.
    pub async fn permit(&self, caller: &Caller, request: AuthorizeRequest) -> Result<Answered, Refusal> {
        if let Err(denial) = caller.permitted_in(&request.domain) {
            return Ok(self.deny_caller(&request, &denial));
        }
        // A retry must find what the first attempt recorded, even if a lineage was opened or closed in between.
        for (field, given) in [("nonce", request.nonce.is_some()), ("lineage", request.lineage.is_some())] {
            if !given {
                let detail = format!("a permit needs a `{field}`, by which a retry finds the first one");
                return Err(Refusal::at(Code::Malformed, field, detail));
            }
        }
        let account = caller.account();
        // The node asks first, so that a request that is denied or recorded already never goes through the log.
        let asked = self.decided(&account, request.clone()).await;
        if !asked.is_denied_only_for(Code::PermitRequired) {
            return Ok(asked);
        }
        let now = match self.parts().judged() {
            Ok(now) => now,
            Err(unsure) => return Ok(self.denied(request, unsure.into()).await),
        };
        let bytes = self.parts().permit_statement(&request, now);
        match self.submit_nodes(&account, bytes).await {
            // Whatever the outcome was, the ledger now holds what is recorded, and the rules decide what follows.
            Submitted::Accepted { .. } | Submitted::Refused(_) => Ok(self.decided(&account, request).await),
            Submitted::NotTaken(problem) | Submitted::Unknown(problem) => {
                let Problem { code, detail, remedy, .. } = *problem;
                let detail = format!("{detail}; ask again with the same nonce");
                // Any other failure has a remedy for the submission, and that does not help this caller.
                let remedy = (code == Code::ClockUncertain).then_some(remedy);
                Ok(self.denied(request, Denied { code, detail, remedy }).await)
            }
        }
    }

    async fn decided(&self, account: &Account, request: AuthorizeRequest) -> Answered {
        let decided = self.ask(account, Question::Permitted, vec![request.clone()]).await.pop();
        decided.unwrap_or_else(|| self.parts().denied_one(&request, &Shed::Lost))
    }

    async fn denied(&self, request: AuthorizeRequest, denied: Denied) -> Answered {
        if denied.code == Code::Overloaded {
            return self.parts().denied_one(&request, &Shed::Overloaded(denied.detail));
        }
        // The signing itself may have failed inside the node. Then the request is denied without a signature.
        match self.deny(request.clone(), denied).await {
            Some(answer) => answer,
            None => self.parts().denied_one(&request, &Shed::Lost),
        }
    }
}

impl super::Parts {
    /// This node's signed statement that permits the request, if the registry records it.
    fn permit_statement(&self, request: &AuthorizeRequest, now: Millis) -> Bytes {
        let statement = Statement {
            subject_name: None,
            subject: request.subject,
            kind: EvidenceKind::Permit,
            registry: self.identity.origin.clone(),
            domain: request.domain.clone(),
            // The caller has set it.
            lineage: request.lineage.clone().unwrap_or_else(assent_proof::LineageName::governance),
            issuers: vec![self.identity.key.public()],
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at: now.to_seconds(),
            expires_at: None,
            claims: Claims::Permit(Box::new(request.clone())).to_json(),
        };
        self.signed(&statement)
    }

    /// A statement with this node's signature.
    pub(super) fn signed(&self, statement: &Statement) -> Bytes {
        let mut envelope = Envelope::unsigned(STATEMENT_PAYLOAD_TYPE, statement.to_vec());
        envelope.sign_with(&self.identity.key);
        envelope.to_vec().into()
    }
}
