//! The identity that a caller has shown, or that it claims, and that no entry of the table has.

use std::fmt;
use std::sync::Arc;

use assent_proof::text::{cut, one_line};
use assent_tls::SpiffeId;

use super::jwt::JwtIdentity;

/// The most characters of an identity that messages and the audit trail show.
const SHOWN_CHARS_MAX: usize = 256;

/// Who a refused caller is by what it has shown, for its own answer and for the audit trail. It gives no right. Each text is
/// bounded, and control characters in it are escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ShownIdentity {
    /// The SPIFFE id of a certificate that TLS has checked.
    Certificate(Arc<str>),
    /// What a certificate that was refused calls its holder, or the claims of a JSON web token whose signature was not
    /// verified. Anyone can make such a certificate or token.
    Unverified(Arc<str>),
}

impl ShownIdentity {
    /// That of a certificate that TLS has checked.
    pub(super) fn of_certificate(id: &SpiffeId) -> Self {
        ShownIdentity::Certificate(bounded(id.as_str()))
    }

    /// What a JSON web token claims whose signature was not verified.
    pub(super) fn of_claims(claimed: &JwtIdentity) -> Self {
        let (issuer, subject) = (bounded(&claimed.issuer), bounded(&claimed.subject));
        ShownIdentity::Unverified(format!("the subject `{subject}` of the issuer `{issuer}`").into())
    }

    /// The name in a certificate that was refused.
    pub(crate) fn unverified(name: &str) -> Self {
        ShownIdentity::Unverified(bounded(name))
    }
}

impl fmt::Display for ShownIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShownIdentity::Certificate(id) => write!(f, "`{id}`"),
            ShownIdentity::Unverified(name) => write!(f, "{name}, which is not verified"),
        }
    }
}

/// The beginning of a foreign text, on one line.
fn bounded(text: &str) -> Arc<str> {
    Arc::from(&*one_line(&cut(text, SHOWN_CHARS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It fails if a token's subject can write a line of its own, or make a message as long as it likes, or if what was not
    /// verified looks as if it was.
    #[test]
    fn a_foreign_identity_is_one_line_and_bounded() {
        let identity = JwtIdentity {
            issuer: "https://issuer.example".to_owned(),
            subject: format!("a\n\u{202e}{}", "b".repeat(9_000)),
        };
        let shown = ShownIdentity::of_claims(&identity).to_string();
        assert!(shown.contains("a\\n\\u{202e}bbb") && shown.contains('…'), "{shown}");
        assert!(!shown.contains('\n') && shown.chars().count() < 400, "{shown}");
        assert!(shown.ends_with("of the issuer `https://issuer.example`, which is not verified"), "{shown}");
    }
}
