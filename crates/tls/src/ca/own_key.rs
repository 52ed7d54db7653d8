//! The private keys that the authority makes and signs with, wiped from memory when they are dropped.

use assent_proof::encode_base64;
use rcgen::{Error, KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";
/// The characters of a line of base64 (RFC 7468).
const LINE: usize = 64;

/// A private key. It has no `Debug`.
pub(super) struct OwnKey(KeyPair);

impl OwnKey {
    /// A new key, from the system's randomness.
    pub(super) fn generate() -> Result<Self, Error> {
        KeyPair::generate().map(OwnKey)
    }

    /// The key of a PEM text.
    ///
    /// # Errors
    /// Why there is none, without a part of the text.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, String> {
        // The parser's own error quotes the line at fault, which may hold the key.
        let der =
            PrivateKeyDer::from_pem_slice(pem).map_err(|_| "it is not PEM, or is cut short".to_owned())?;
        let der = Zeroizing::new(der);
        KeyPair::try_from(&*der).map(OwnKey).map_err(|error| error.to_string())
    }

    /// The key as unencrypted PKCS#8 PEM.
    pub(super) fn to_pem(&self) -> Zeroizing<String> {
        let der = Zeroizing::new(self.0.serialize_der());
        let letters = Zeroizing::new(encode_base64(&der));
        let ends = letters.len().div_ceil(LINE);
        // With room for all of it, so that growing leaves no copy behind.
        let room = letters.len().saturating_add(ends).saturating_add(BEGIN.len()).saturating_add(END.len());
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(BEGIN);
        let mut rest = letters.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str(END);
        text
    }
}

impl Drop for OwnKey {
    fn drop(&mut self) {
        // rcgen wipes its copy of the key's bytes only if it is told to. AWS-LC wipes its own.
        self.0.zeroize();
    }
}

impl PublicKeyData for OwnKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for OwnKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(message)
    }
}
