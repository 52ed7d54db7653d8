//! Who makes the requests of one connection: what the connection has shown, and what each request shows.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use assent_proof::Millis;
use assent_tls::SpiffeId;

use crate::access::{Caller, Shown};
use crate::client_port::ClientPort;

/// The time, if the node is sure of its clock.
pub(crate) type SureNow = Arc<dyn Fn() -> Option<Millis> + Send + Sync>;

/// The remote address of a request's connection, for people.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "the audit trail reads it from a request's extensions")]
pub(crate) struct RemoteAddr(pub(crate) Arc<str>);

/// The caller's side of one connection.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) port: ClientPort,
    pub(super) sure_now: SureNow,
    pub(super) remote: Arc<str>,
    /// The SPIFFE id of the certificate that was shown.
    pub(super) certificate: Option<SpiffeId>,
}

impl Visitor {
    /// The caller of a request with these headers. The bearer token is taken out of them, so that nothing behind this
    /// can print it.
    pub(super) fn identify(&self, headers: &mut HeaderMap) -> Caller {
        let shown = Shown { certificate: self.certificate.clone(), bearer: bearer(headers) };
        let caller = self.port.identify(shown, || (self.sure_now)());
        headers.remove(AUTHORIZATION);
        caller
    }
}

/// The bearer token. If there are several, or one that is no text, the result is a token that nobody has, so that what
/// was shown is never overlooked.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?;
    match (first.to_str(), all.next()) {
        (Ok(text), None) => Shown::bearer_of(text),
        (Ok(_), Some(_)) | (Err(_), _) => Some(""),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_read_from_exactly_one_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.append(AUTHORIZATION, HeaderValue::from_static("Basic eDp5"));
        assert_eq!(bearer(&headers), None);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer assent_x"));
        assert_eq!(bearer(&headers), Some("assent_x"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer assent_y"));
        assert_eq!(bearer(&headers), Some(""));
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert_eq!(bearer(&headers), Some(""));
    }
}
