//! The answers of newer nodes: denies and refusals that this build cannot read in full.
//!
//! A node may be newer than its client and use codes that the client does not know. Such an answer is recognized by
//! its shape, before it is taken for an answer that is not the API's. A deny that is recognized in this way is a deny.
//! If the client dropped it, it could ask another endpoint and take that endpoint's allow instead.

use assent_api::Call;
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt::{self, Formatter};

/// The verdict `deny` as every node writes it.
const DENY: &[u8] = b"\"deny\"";

/// The most characters of one code or sentence of an answer that an error repeats.
const TOLD_MAX: usize = 200;

/// The most reasons that an error names.
const REASONS_MAX: usize = 8;

/// What keeps an answer from being read as a whole, whatever its words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// It broke off.
    BrokeOff,
    /// Its headers say that its body is encoded, and no node encodes its answers.
    Encoded,
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Spoilt::BrokeOff => "broke off",
            Spoilt::Encoded => "is encoded, as no node's is",
        })
    }
}

/// A deny that this build cannot read in full: it has a reason with a newer code, a field of another form, or a
/// decision that is neither `allow` nor `deny`, or the answer broke off or is encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnreadDeny {
    /// Whether the answer broke off or is encoded. Then the reason why this build cannot read it may be that alone, and
    /// not that its words are newer.
    pub spoilt: Option<Spoilt>,
    /// What this build can read of it, for people.
    pub detail: String,
    /// The exact bytes of the decision.
    pub bytes: Bytes,
}

impl fmt::Display for UnreadDeny {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.spoilt {
            Some(spoilt) => write!(f, "a node denied it, and its answer {spoilt}: {}", self.detail),
            None => write!(f, "a node denied it in words that this build does not know: {}", self.detail),
        }
    }
}

/// A node's refusal that this build cannot read in full, for example because its code is newer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node refused it in words that this build does not know: status {status}, `{code}`: {detail}")]
pub struct UnreadRefusal {
    /// Whether an envelope was submitted.
    pub is_of_submission: bool,
    /// The HTTP status.
    pub status: u16,
    /// The node's code, at most 200 characters of it.
    pub code: String,
    /// The node's explanation for people, at most 200 characters of it.
    pub detail: String,
}

/// What an answer's body says if it is read as a decision or a problem document.
#[derive(Debug, Default)]
pub(crate) struct AnswerShape {
    /// Whether the body has a decision: the field `decision` with a text.
    decides: bool,
    /// Whether the body has a decision that does not say `allow`. It counts even if the body says `allow` as well.
    denies: bool,
    /// Whether the word `deny` stands somewhere in the body.
    names_deny: bool,
    code: Option<String>,
    detail: Option<String>,
    /// The codes of a decision's reasons.
    reasons: Vec<String>,
}

impl AnswerShape {
    /// Reads a body. If it breaks off, or is not JSON from some point on, what stands before that point counts.
    pub(crate) fn of(body: &[u8]) -> Self {
        let names_deny = body.windows(DENY.len()).any(|bytes| bytes == DENY);
        let mut shape = AnswerShape { names_deny, ..AnswerShape::default() };
        let _ = DeserializeSeed::deserialize(&mut shape, &mut serde_json::Deserializer::from_slice(body));
        shape
    }

    /// Whether the answer denies, whatever its status is.
    pub(crate) fn is_deny(&self) -> bool {
        self.denies
    }

    /// Whether the answer denies with this status. With 403, every decision denies.
    pub(crate) fn is_deny_under(&self, status: u16) -> bool {
        self.denies || (self.decides && status == 403)
    }

    /// Whether the answer denies if it cannot be read. The word `deny` anywhere in the body is then enough: the body
    /// may be a batch that breaks off or names its decisions twice, or a deny with something before it or around it.
    /// The word may mean something else there, such as an action of that name. In that case the client denies more
    /// than the node did.
    pub(crate) fn is_deny_if_unread(&self) -> bool {
        self.denies || self.names_deny
    }

    /// The answer as a deny.
    pub(crate) fn into_deny(self, bytes: &Bytes, spoilt: Option<Spoilt>) -> UnreadDeny {
        let detail = if self.reasons.is_empty() {
            "no reason of it can be read".to_owned()
        } else {
            format!("its reasons are {}", self.reasons.join(", "))
        };
        UnreadDeny { spoilt, detail, bytes: bytes.clone() }
    }

    /// The answer to this call as a refusal with this status, if it is one: a problem document has a text as its
    /// `code`.
    pub(crate) fn into_refusal(self, call: Call, status: u16) -> Option<UnreadRefusal> {
        let (code, detail) = (self.code?, self.detail.unwrap_or_default());
        let is_of_submission = matches!(call, Call::Submission);
        (status >= 400).then_some(UnreadRefusal { is_of_submission, status, code, detail })
    }

    /// The codes in the answer, as text to put after a status; empty if there are none.
    pub(crate) fn codes(&self) -> String {
        let code = self.code.iter().map(|code| format!(", `{code}`"));
        code.chain(self.reasons.iter().map(|reason| format!(", {reason}"))).collect()
    }

    fn note_reasons(&mut self, reasons: &Value) {
        let codes =
            reasons.as_array().into_iter().flatten().filter_map(|reason| reason.get("code")?.as_str());
        self.reasons = codes.take(REASONS_MAX).map(|code| format!("`{}`", cut(code))).collect();
    }
}

impl<'de> DeserializeSeed<'de> for &mut AnswerShape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut AnswerShape {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "decision" => {
                    if let Value::String(said) = map.next_value()? {
                        self.decides = true;
                        self.denies |= said != "allow";
                    }
                }
                "code" => self.code = map.next_value::<Value>()?.as_str().map(cut),
                "detail" => self.detail = map.next_value::<Value>()?.as_str().map(cut),
                "reasons" => self.note_reasons(&map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deny_is_told_from_its_shape_whatever_else_stands_in_the_body() {
        for body in [
            r#"{"decision":"deny"}"#,
            r#"{"decision":"defer","x":1}"#,
            r#"{"decision":"allow","decision":"deny"}"#,
            r#"{"decision":"deny","decision":"allow"}"#,
            r#"{"reasons":7,"decision":"deny","reasons":[{"code":"no"#,
            r#"{"request":[[[[{"a":[]}]]]],"decision":"deny"} and more"#,
        ] {
            let shape = AnswerShape::of(body.as_bytes());
            assert!(shape.is_deny() && shape.is_deny_under(200), "{body}");
        }
        for body in
            ["", "[]", "deny", r#""deny""#, "{}", r#"{"decision":false}"#, r#"{"x":{"decision":"deny"}}"#]
        {
            assert!(!AnswerShape::of(body.as_bytes()).is_deny_under(403), "{body}");
        }
        for body in
            ["\u{feff}{\"decision\":\"deny\"}", r#"[{"decision":"deny"}]"#, r#"{"x":{"decision":"deny"}}"#]
        {
            assert!(AnswerShape::of(body.as_bytes()).is_deny_if_unread(), "{body}");
        }
        for body in ["", "deny", "{}", r#"{"decision":false}"#, r#"{"decision":"allow"} x"#] {
            assert!(!AnswerShape::of(body.as_bytes()).is_deny_if_unread(), "{body}");
        }
        let allow = AnswerShape::of(br#"{"decision":"allow"}"#);
        assert!(!allow.is_deny_under(200) && allow.is_deny_under(403));
    }

    #[test]
    fn what_can_be_read_of_a_newer_nodes_words_is_told() {
        let body =
            br#"{"decision":"deny","reasons":[{"code":"moon_wrong"},{"code":3},{"code":"no_quorum"}]}"#;
        let deny = AnswerShape::of(body).into_deny(&Bytes::from_static(body), None);
        assert_eq!(deny.detail, "its reasons are `moon_wrong`, `no_quorum`");
        let body = format!(r#"{{"code":"moon_wrong","detail":"{}"}}"#, "x".repeat(1000));
        let refusal = AnswerShape::of(body.as_bytes()).into_refusal(Call::Read, 409).unwrap();
        assert_eq!((refusal.code.as_str(), refusal.detail.len()), ("moon_wrong", TOLD_MAX));
        assert_eq!(AnswerShape::of(body.as_bytes()).into_refusal(Call::Read, 200), None);
        assert_eq!(AnswerShape::of(br#"{"code":404}"#).into_refusal(Call::Read, 404), None);
    }
}
