//! What a client shows to the nodes, and how it knows them: certificates, a key and a bearer token.
//!
//! The files are named here and read in `credentials.rs`. Nothing here prints a token.

use bytes::Bytes;
use http::HeaderValue;
use std::fmt::{self, Debug, Formatter};
use std::path::PathBuf;
use zeroize::Zeroizing;

use crate::endpoint::Endpoint;
use crate::error::ClientError;

/// The most characters of a bearer token.
pub(crate) const TOKEN_MAX: usize = 8 * 1024;

/// What a client shows to the nodes, and how it knows them.
///
/// A client that has one of these makes no call over plain HTTP to another machine.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// A PEM file with the certificates of the CAs whose nodes the client trusts. Every `https` endpoint needs it. No
    /// other CA is trusted, not even those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate by which the nodes know this caller.
    pub certificate: Option<CertificateFiles>,
    /// The bearer token by which the nodes know this caller. It goes with each request.
    pub token: Option<TokenSource>,
}

/// A certificate and its private key, as PEM files. If one of them changes, the client reads both before it makes its
/// next connection, so a short-lived certificate can be renewed while the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by the certificates between it and the CA.
    pub cert: PathBuf,
    /// The private key. Every user of the machine must not be able to read it.
    pub key: PathBuf,
}

/// Where the bearer token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The token itself.
    Value(BearerToken),
    /// A file with one line. If it changes, the client reads it again within 5 s. Every user of the machine must not
    /// be able to read it.
    File(PathBuf),
}

/// A bearer token. `Debug` does not print it, and its memory is overwritten when the last clone is dropped. Copies in
/// the buffers of a connection are not.
#[derive(Clone)]
pub struct BearerToken(HeaderValue);

impl BearerToken {
    /// Takes a token. White space around it is left out.
    ///
    /// # Errors
    /// `config_invalid` for a text that is no token: 1 to 8192 of the characters that RFC 6750 gives for one. The
    /// error does not repeat the text.
    pub fn new(text: &str) -> Result<Self, ClientError> {
        let token = text.trim_ascii();
        let wrong = |what: String| {
            let remedy = "give the token alone: one line of letters, digits and `-._~+/=`";
            ClientError::config(format!("the bearer token {what}"), remedy)
        };
        if token.is_empty() {
            return Err(wrong("is empty".to_owned()));
        }
        if token.len() > TOKEN_MAX {
            return Err(wrong(format!("has `{}` characters; at most {TOKEN_MAX} are sent", token.len())));
        }
        let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !token.bytes().all(is_of_token) {
            return Err(wrong("has a character that no token has".to_owned()));
        }
        let mut header = Zeroizing::new(Vec::with_capacity(token.len().saturating_add(SCHEME.len())));
        header.extend_from_slice(SCHEME);
        header.extend_from_slice(token.as_bytes());
        // The header's bytes are those of the `Zeroizing`, and are not copied.
        let header = HeaderValue::from_maybe_shared(Bytes::from_owner(header));
        let mut header = header.map_err(|_| wrong("is no header's value".to_owned()))?;
        header.set_sensitive(true);
        Ok(BearerToken(header))
    }

    /// The value of the header `Authorization`.
    pub(crate) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

const SCHEME: &[u8] = b"Bearer ";

impl Debug for BearerToken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

impl ClientTls {
    /// Refuses an endpoint that the client must not ask with this.
    pub(crate) fn check(tls: Option<&ClientTls>, endpoint: &Endpoint) -> Result<(), ClientError> {
        let wrong = |why: String, remedy: String| Err(ClientError::config(why, remedy));
        if endpoint.is_https() {
            return match tls.and_then(|tls| tls.ca.as_ref()) {
                Some(_) => Ok(()),
                None => wrong(
                    format!(
                        "`https://{endpoint}` needs the certificate of the CA that issued the nodes' certificates"
                    ),
                    "give the CA's file (`--ca`, or `ASSENT_CA`)".to_owned(),
                ),
            };
        }
        let Some(tls) = tls else { return Ok(()) };
        if endpoint.names_loopback() {
            return Ok(());
        }
        let given = match (&tls.token, &tls.certificate) {
            (Some(_), _) => "a bearer token",
            (None, Some(_)) => "a certificate",
            (None, None) => "a CA",
        };
        wrong(
            format!(
                "`http://{endpoint}` is plain HTTP to another machine, and {given} is given: whoever listens in \
                 between could read the calls and answer them"
            ),
            format!("write `https://{endpoint}`"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "assent_c2VjcmV0c2VjcmV0c2VjcmV0";

    fn with_token() -> ClientTls {
        let token = Some(TokenSource::Value(BearerToken::new(SECRET).unwrap()));
        ClientTls { token, ..ClientTls::default() }
    }

    #[test]
    fn a_token_is_sent_as_a_header_and_never_printed() {
        let token = BearerToken::new(&format!(" {SECRET}\n")).unwrap();
        assert_eq!(token.header().as_bytes(), format!("Bearer {SECRET}").as_bytes());
        let printed = format!("{:?} {:?} {:?}", token, token.header(), with_token());
        assert!(!printed.contains("c2Vj"), "{printed}");
    }

    #[test]
    fn a_text_that_is_no_token_is_refused_without_being_repeated() {
        let long = "x".repeat(TOKEN_MAX + 1);
        for bad in ["", " \n", "two words", "two\nlines", "ümlaut", "nul\0", long.as_str()] {
            let error = BearerToken::new(bad).unwrap_err();
            assert_eq!(error.code(), "config_invalid");
            assert!(bad.trim().is_empty() || !error.to_string().contains(bad.trim()), "{error}");
        }
        assert!(BearerToken::new(&"x".repeat(TOKEN_MAX)).is_ok());
    }

    #[test]
    fn what_is_shown_to_nodes_is_never_meant_for_plain_http_to_another_machine() {
        let check =
            |tls: Option<&ClientTls>, endpoint| ClientTls::check(tls, &Endpoint::parse(endpoint).unwrap());
        let token = with_token();
        let files = CertificateFiles { cert: "c.pem".into(), key: "k.pem".into() };
        let certificate = ClientTls { certificate: Some(files), ..ClientTls::default() };
        let ca = ClientTls { ca: Some("ca.pem".into()), ..ClientTls::default() };
        for tls in [&token, &certificate, &ca] {
            for endpoint in ["http://10.0.0.1:1", "node-1:1", "http://127.0.0.1.example.org:1"] {
                let error = check(Some(tls), endpoint).unwrap_err();
                assert_eq!(error.code(), "config_invalid");
                assert!(error.to_string().contains("is plain HTTP to another machine"), "{error}");
            }
            check(Some(tls), "http://127.0.0.1:1").unwrap();
            check(Some(tls), "http://localhost:1").unwrap();
        }
        check(None, "http://10.0.0.1:1").unwrap();
        check(Some(&ca), "https://10.0.0.1:1").unwrap();
        for without_ca in [None, Some(&token)] {
            let error = check(without_ca, "https://10.0.0.1:1").unwrap_err().to_string();
            assert!(error.contains("needs the certificate of the CA"), "{error}");
        }
    }
}
