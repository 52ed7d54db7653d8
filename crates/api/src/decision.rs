//! The decision with which a node answers an authorize or a permit, and batches of requests.

use assent_proof::{
    AuthorizeRequest, Code, DecisionReceipt, EvidenceId, Fields, History, Json, Millis, Refusal, Unchecked,
    encode_base64, json,
};
use serde::{Deserialize, Serialize};

use crate::receipt::ReceiptBody;
use crate::retry::{Retry, retry_of};
use crate::status::Call;
use crate::submission::{bound, bound_count};

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The execution may run.
    Allow,
    /// The execution must not run.
    Deny,
}

/// The answer to one authorize request: the body of 200 (allow), 403 (deny) and 503 (deny because the registry cannot
/// know).
///
/// The body alone proves nothing. A caller that relies on it across a boundary must verify `receipt` with
/// [`assent_proof::verify_decision`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionBody {
    /// Whether the execution may run.
    pub decision: Verdict,
    /// The request as it was understood, [`AuthorizeRequest::to_json`].
    pub request: Json,
    /// The history in which the request was decided: a cluster and its epoch. For a deny without an evaluation, it is
    /// the history that the node is in by what it has applied.
    pub history: History,
    /// The node that answered.
    pub node_id: u64,
    /// The ledger's size at which the request was decided; 0 if nothing could be read.
    pub revision: u64,
    /// The lineage's head; null if none was found.
    pub head: Option<EvidenceId>,
    /// The policy that judged; null if there was none.
    pub policy: Option<JudgedByBody>,
    /// When the request was decided, in milliseconds.
    pub evaluated_at: Millis,
    /// Until when the decision holds, exclusive, in milliseconds. For a deny it equals `evaluated_at`.
    pub valid_until: Millis,
    /// The reasons that deny, in the order of the codes, at most 32. It is empty exactly if the decision is an allow.
    /// Every code that denies is among the reasons.
    pub reasons: Vec<ReasonBody>,
    /// The number of further findings that deny and are not among `reasons`; absent if there are none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_reasons: u32,
    /// The receipt of the permit that was recorded for this request; only in answers to `POST /v1/permits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<ReceiptBody>,
    /// The receipt with the node's signature over the decision, [`DecisionReceipt::to_json`]. It is absent only from a
    /// deny that was made without an evaluation, because the node was overloaded or the deadline was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Json>,
}

impl DecisionBody {
    /// The HTTP status of the decision: 200, 403, or 503 if any reason is that the registry cannot know.
    ///
    /// Rule R53 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A decision is answered with `allow`, and
    /// outside a batch with status 200, if it holds an `Allow`, and only then.
    pub fn status(&self) -> u16 {
        match (self.decision, self.retry()) {
            (Verdict::Allow, _) => 200,
            (Verdict::Deny, Retry::Final) => 403,
            (Verdict::Deny, Retry::Here | Retry::Elsewhere) => 503,
        }
    }

    /// Whether the same request can be made again, and where. A deny is final if all its reasons are final. With any
    /// other reason, the registry could not know.
    pub fn retry(&self) -> Retry {
        let mut said = self.reasons.iter().map(|reason| retry_of(reason.code, Call::Authorize));
        match self.decision {
            Verdict::Allow => Retry::Final,
            Verdict::Deny => said.find(|retry| *retry != Retry::Final).unwrap_or(Retry::Final),
        }
    }

    /// The leaf that a node signs for this decision before it has a receipt: its fields, followed by `salt`.
    pub fn to_leaf(&self, salt: &[u8; 16]) -> Vec<u8> {
        #[derive(Serialize)]
        struct Leaf<'a> {
            #[serde(flatten)]
            decision: &'a DecisionBody,
            salt: String,
        }
        json::to_vec(&Leaf { decision: self, salt: encode_base64(salt) })
    }

    /// This decision with its receipt.
    #[must_use]
    pub fn signed(self, receipt: &DecisionReceipt) -> Self {
        DecisionBody { receipt: Some(receipt.to_json()), ..self }
    }

    /// The body, as compact JSON.
    pub fn to_vec(&self) -> Vec<u8> {
        json::to_vec(self)
    }
}

/// The policy that judges in a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgedByBody {
    /// The statement that set it.
    pub evidence_id: EvidenceId,
    /// What the policy does not check although it could, each in words for people; absent if there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<String>,
}

impl JudgedByBody {
    /// A body for a policy and what it does not check.
    pub fn new(evidence_id: EvidenceId, unchecked: &[Unchecked]) -> Self {
        JudgedByBody { evidence_id, unchecked: unchecked.iter().map(ToString::to_string).collect() }
    }
}

fn is_none(count: &u32) -> bool {
    *count == 0
}

/// One reason that denies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonBody {
    /// The stable code.
    pub code: Code,
    /// The clause of RFC-EG-033 that requires the code.
    pub clause: String,
    /// What is wrong here, one sentence for people.
    pub detail: String,
    /// What to do about it, one line.
    pub remedy: String,
    /// The evidence at fault, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceId>,
}

impl ReasonBody {
    /// A reason with its code's clause and remedy.
    pub fn new(code: Code, detail: impl Into<String>, evidence: Option<EvidenceId>) -> Self {
        ReasonBody {
            code,
            clause: code.clause().to_owned(),
            detail: detail.into(),
            remedy: code.remedy().to_owned(),
            evidence,
        }
    }
}

/// The body of `POST /v1/authorize:batch`.
pub fn authorize_batch_body(requests: &[AuthorizeRequest]) -> Vec<u8> {
    let requests = requests.iter().map(AuthorizeRequest::to_json).collect();
    Json::object([("requests", Json::Array(requests))]).to_vec()
}

/// Reads the body of `POST /v1/authorize:batch`: `{requests[]}`, 1 to [`MAX_BATCH`](crate::MAX_BATCH) requests and
/// [`MAX_BATCH_BYTES`](crate::MAX_BATCH_BYTES).
///
/// # Errors
/// `too_large`; `malformed` with the field at fault, such as `requests[3].action`. If one request is bad, the whole
/// batch is refused, and no request was evaluated.
pub fn parse_authorize_batch(bytes: &[u8]) -> Result<Vec<AuthorizeRequest>, Refusal> {
    bound(bytes)?;
    let body = json::parse(bytes)?;
    let mut fields = Fields::of(&body, "")?;
    let requests = fields.array("requests")?;
    fields.finish()?;
    bound_count(requests.len(), "requests")?;
    let read = |(i, request)| AuthorizeRequest::from_json(request, &format!("requests[{i}]"));
    requests.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_proof::{Sha256, SigningKey, sign_batch, verify_decision};

    fn request() -> AuthorizeRequest {
        AuthorizeRequest {
            domain: "prod.eu".parse().unwrap(),
            lineage: Some("exec-1".parse().unwrap()),
            runtime: None,
            action: "run".to_owned(),
            subject: Sha256([3; 32]),
            audience: None,
            environment: None,
            nonce: Some("n".to_owned()),
            expected_head: None,
            min_revision: None,
            history: None,
        }
    }

    fn decision(verdict: Verdict, reasons: Vec<ReasonBody>) -> DecisionBody {
        DecisionBody {
            decision: verdict,
            request: request().to_json(),
            history: History::founded([0; 32]),
            node_id: 1,
            revision: 12,
            head: None,
            policy: Some(JudgedByBody::new(EvidenceId([4; 32]), &[])),
            evaluated_at: Millis(1000),
            valid_until: Millis(31_000),
            reasons,
            more_reasons: 0,
            permit: None,
            receipt: None,
        }
    }

    #[test]
    fn a_decision_is_written_in_the_documented_order() {
        let reason = ReasonBody::new(Code::PolicyMissing, "domain `prod.eu` has no policy", None);
        let body = decision(Verdict::Deny, vec![reason]);
        let expected = format!(
            concat!(
                r#"{{"decision":"deny","request":{{"domain":"prod.eu","lineage":"exec-1","action":"run","#,
                r#""subject":{{"digest":{{"sha256":"{}"}}}},"nonce":"n"}},"history":"blake3:{}/e1","nodeId":1,"#,
                r#""revision":12,"head":null,"policy":{{"evidenceId":"blake3:{}"}},"evaluatedAt":1000,"#,
                r#""validUntil":31000,"#,
                r#""reasons":[{{"code":"policy_missing","clause":"RFC-EG-033 §7","#,
                r#""detail":"domain `prod.eu` has no policy","#,
                r#""remedy":"have the domain's governance publish a policy"}}]}}"#
            ),
            "03".repeat(32),
            "00".repeat(32),
            "04".repeat(32)
        );
        assert_eq!(String::from_utf8(body.to_vec()).unwrap(), expected);
        assert_eq!(serde_json::from_slice::<DecisionBody>(&body.to_vec()).unwrap(), body);
    }

    #[test]
    fn a_decision_says_in_words_what_its_policy_does_not_check() {
        let unchecked = [Unchecked::Requirements, Unchecked::Measurements];
        let policy = JudgedByBody::new(EvidenceId([4; 32]), &unchecked);
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(
            text,
            format!(
                concat!(
                    r#"{{"evidenceId":"blake3:{}","unchecked":["#,
                    r#""no kind of evidence is required besides the `execution-authorization`","#,
                    r#""any measurement is accepted"]}}"#
                ),
                "04".repeat(32)
            )
        );
        assert_eq!(serde_json::from_str::<JudgedByBody>(&text).unwrap(), policy);
        let body = DecisionBody { policy: None, ..decision(Verdict::Allow, vec![]) };
        assert!(String::from_utf8(body.to_vec()).unwrap().contains(r#""policy":null"#));
    }

    /// Rule R53.
    #[test]
    fn a_deny_that_cannot_know_is_503_even_among_other_reasons() {
        let rule = ReasonBody::new(Code::EvidenceMissing, "none", None);
        let cannot = ReasonBody::new(Code::NoQuorum, "no barrier", None);
        assert_eq!(decision(Verdict::Allow, vec![]).status(), 200);
        assert_eq!(decision(Verdict::Deny, vec![rule.clone()]).status(), 403);
        assert_eq!(decision(Verdict::Deny, vec![cannot, rule]).status(), 503);
    }

    #[test]
    fn a_signed_body_verifies_against_its_leaf() {
        let key = SigningKey::from_seed([7; 32]);
        let unsigned = decision(Verdict::Allow, vec![]);
        let receipts = sign_batch(vec![unsigned.to_leaf(&[1; 16]), unsigned.to_leaf(&[2; 16])], &key);
        let body = unsigned.signed(&receipts[1]).to_vec();
        let verified = verify_decision(&body, &[key.public()]).unwrap();
        assert!(verified.allow);
        let read: DecisionBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(read.to_vec(), body);
    }

    #[test]
    fn a_leaf_is_the_decision_followed_by_its_salt_and_a_signed_body_ends_with_the_receipt() {
        let reason = ReasonBody::new(Code::NoQuorum, "no \u{1f}barrier", Some(EvidenceId([4; 32])));
        let policy = JudgedByBody::new(EvidenceId([4; 32]), &[Unchecked::Requirements]);
        for unsigned in [
            decision(Verdict::Allow, vec![]),
            DecisionBody { policy: Some(policy), more_reasons: 3, ..decision(Verdict::Deny, vec![reason]) },
        ] {
            let text = String::from_utf8(unsigned.to_vec()).unwrap();
            let open = text.strip_suffix('}').unwrap();
            let leaf = unsigned.to_leaf(&[9; 16]);
            let expected = format!(r#"{open},"salt":"{}"}}"#, encode_base64(&[9; 16]));
            assert_eq!(String::from_utf8(leaf.clone()).unwrap(), expected);
            let receipt = sign_batch(vec![leaf], &SigningKey::from_seed([7; 32])).remove(0);
            let expected = format!(r#"{open},"receipt":{}}}"#, receipt.to_json().to_text());
            assert_eq!(String::from_utf8(unsigned.signed(&receipt).to_vec()).unwrap(), expected);
        }
    }

    #[test]
    fn a_batch_of_requests_survives_the_round_trip() {
        let requests = vec![request(), AuthorizeRequest { lineage: None, ..request() }];
        assert_eq!(parse_authorize_batch(&authorize_batch_body(&requests)).unwrap(), requests);
    }

    #[test]
    fn bad_batches_of_requests_name_the_field_at_fault() {
        for (body, field) in [
            (r#"{"requests":[{"domain":1}]}"#, Some("requests[0].domain")),
            (r#"{"requests":[[]]}"#, Some("requests[0]")),
            (r#"{"requests":[],"x":1}"#, Some("x")),
            (r#"{"requests":[]}"#, Some("requests")),
            (r#"{}"#, Some("requests")),
            (r#"[]"#, None),
        ] {
            let refusal = parse_authorize_batch(body.as_bytes()).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Malformed, field), "{body}");
        }
        let many = authorize_batch_body(&vec![request(); crate::MAX_BATCH + 1]);
        assert_eq!(parse_authorize_batch(&many).unwrap_err().code, Code::TooLarge);
    }
}
