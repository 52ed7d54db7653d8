//! permit: record an allow in the ledger before it is answered.
//!
//! What the rules deny, or have recorded already, is answered from a read. Otherwise this node signs a `permit` statement around the request and proposes it like any submission; `apply` evaluates the
//! request and makes it a leaf only if it is allowed, which consumes its uses. The answer is then decided like every
//! authorize, behind a barrier of its own, from what the ledger holds by then. So a retry with the same request and nonce
//! returns the first permit, and only while everything but the use still allows.

use bytes::Bytes;

use super::decide::Denied;
use super::joined::Question;
use super::shed::Shed;
use super::{Answered, Caller, Service, Submitted};
use assent_api::Problem;
use assent_proof::{
    AuthorizeRequest, Claims, Code, Envelope, EvidenceKind, Millis, Refusal, STATEMENT_PAYLOAD_TYPE,
    Statement,
};

impl Service {
    /// Records a permit for the request and answers with a signed decision.
    ///
    /// Rule R143 (RFC-EG-033 §10, proof replay attacks): The request of a permit names its lineage and a
    /// nonce (`malformed`, `claims_invalid`), and the permit lies in the domain and the lineage of its
    /// request and is about the same subject (`claims_invalid`, `subject_mismatch`).
    ///
    /// # Errors
    /// `malformed` for a request without a nonce or a lineage.
    pub async fn permit(&self, _caller: &Caller, request: AuthorizeRequest) -> Result<Answered, Refusal> {
        // A retry has to find what the first try recorded, whatever opened or closed in between.
        for (field, given) in [("nonce", request.nonce.is_some()), ("lineage", request.lineage.is_some())] {
            if !given {
                let detail = format!("a permit needs a `{field}`, by which a retry finds the first one");
                return Err(Refusal::at(Code::Malformed, field, detail));
            }
        }
        // Ask first: what would be denied, and what is recorded already, never goes through the log.
        let asked = self.decided(request.clone()).await;
        if !asked.is_denied_only_for(Code::PermitRequired) {
            return Ok(asked);
        }
        let now = match self.parts().judged() {
            Ok(now) => now,
            Err(unsure) => return Ok(self.denied(request, unsure.into()).await),
        };
        let bytes = self.parts().permit_statement(&request, now);
        match self.submit_nodes(bytes).await {
            // Whatever became of it, the ledger says now what is recorded, and the rules say what follows.
            Submitted::Accepted { .. } | Submitted::Refused(_) => Ok(self.decided(request).await),
            Submitted::NotTaken(problem) | Submitted::Unknown(problem) => {
                let Problem { code, detail, remedy, .. } = *problem;
                let detail = format!("{detail}; ask again with the same nonce");
                // What else went wrong has its remedy for the submission, and this is none of the caller's.
                let remedy = (code == Code::ClockUncertain).then_some(remedy);
                Ok(self.denied(request, Denied { code, detail, remedy }).await)
            }
        }
    }

    async fn decided(&self, request: AuthorizeRequest) -> Answered {
        let decided = self.ask(Question::Permitted, vec![request.clone()]).await.pop();
        decided.unwrap_or_else(|| self.parts().denied_one(&request, &Shed::Lost))
    }

    async fn denied(&self, request: AuthorizeRequest, denied: Denied) -> Answered {
        if denied.code == Code::Overloaded {
            return self.parts().denied_one(&request, &Shed::Overloaded(denied.detail));
        }
        // Its signature may be what fails inside the node, and then it is denied without one.
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
            // The caller has put it there.
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
