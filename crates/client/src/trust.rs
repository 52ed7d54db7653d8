//! The keys whose allows a client believes.
//!
//! There is no default, and no list whose emptiness would mean "believe every answer": a list of trusted keys cannot be
//! empty, and believing unverified allows has a name of its own.

use assent_proof::PublicKey;

use crate::error::ClientError;

/// The keys whose allows a client believes. A deny is believed without a check: a false deny only keeps something from
/// running.
///
/// A client cannot be made without saying this:
///
/// ```compile_fail,E0061
/// let config = assent_client::ClientConfig::new(["http://127.0.0.1:7400"]);
/// ```
///
/// It has no default:
///
/// ```compile_fail,E0599
/// let trust = assent_client::Trust::default();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// An allow is believed if one of these node keys signed it.
    Keys(TrustedKeys),
    /// No allow is believed. This is for clients that submit and read, and never ask for a decision.
    NoAllow,
    /// Every allow is believed without a check, so anything that can answer in place of a node can allow. This is for
    /// experiments.
    Unverified,
}

impl Trust {
    /// Trusts these node keys.
    ///
    /// # Errors
    /// `config_invalid` if there is none.
    pub fn keys(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, ClientError> {
        TrustedKeys::new(keys).map(Trust::Keys)
    }
}

/// The node keys that are trusted: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Trusts these node keys.
    ///
    /// # Errors
    /// `config_invalid` if there is none.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, ClientError> {
        let keys: Vec<PublicKey> = keys.into_iter().collect();
        if keys.is_empty() {
            let remedy = "give the public key of at least one node";
            return Err(ClientError::config("there is no node key to trust", remedy));
        }
        Ok(TrustedKeys(keys))
    }

    /// The keys: at least one, in the order given.
    pub fn as_slice(&self) -> &[PublicKey] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_trusted_keys_is_never_empty() {
        assert_eq!(TrustedKeys::new([]).unwrap_err().code(), "config_invalid");
        assert_eq!(Trust::keys(Vec::new()).unwrap_err().code(), "config_invalid");
    }
}
