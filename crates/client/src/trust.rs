//! Whose allows a client believes.
//!
//! There is no default, and no list whose emptiness would mean "believe every answer": a list of trusted keys cannot be
//! empty, and believing unverified allows has a name of its own.

use assent_proof::PublicKey;

use crate::error::ClientError;

/// Whose allows a client believes. A deny is believed as it comes: to believe a false one only keeps something from
/// running.
///
/// A client cannot be made without saying this:
///
/// ```compile_fail,E0061
/// let config = assent_client::ClientConfig::new(["http://127.0.0.1:7400"]);
/// ```
///
/// There is nothing that it is by default:
///
/// ```compile_fail,E0599
/// let trust = assent_client::Trust::default();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// An allow is believed if one of these node keys signed it.
    Keys(TrustedKeys),
    /// No allow is believed. For clients that submit and read, and ask for no decision.
    NoAllow,
    /// Every allow is believed as it comes, so anything that can answer in a node's place can allow. For experiments.
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
            return Err(ClientError::Config { detail: "there is no node key to trust".to_owned() });
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
