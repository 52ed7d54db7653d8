//! SPIFFE ids, by which certificates name nodes and callers.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The most bytes of an id.
const ID_BYTES_MAX: usize = 2048;
/// The most bytes of a trust domain.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Why a text is no SPIFFE id, or an id names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpiffeIdError(String);

fn wrong<T>(detail: impl Into<String>) -> Result<T, SpiffeIdError> {
    Err(SpiffeIdError(detail.into()))
}

/// A trust domain: the name of an authority for certificates.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Reads a trust domain.
    ///
    /// # Errors
    /// If it is empty, has more than 255 bytes, or has other characters than `a-z`, `0-9`, `.`, `-` and `_`.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX {
            return wrong(format!("a trust domain has 1 to {TRUST_DOMAIN_BYTES_MAX} bytes"));
        }
        let is_allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_')
        };
        if !text.bytes().all(is_allowed) {
            return wrong("a trust domain has only the characters `a-z`, `0-9`, `.`, `-` and `_`");
        }
        Ok(TrustDomain(text.to_owned()))
    }

    /// The trust domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for TrustDomain {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TrustDomain::parse(text)
    }
}

/// A SPIFFE id: `spiffe://<trust domain>/<path>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: String,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Reads an id.
    ///
    /// # Errors
    /// If it is not of the form that the SPIFFE-ID specification asks for.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > ID_BYTES_MAX {
            return wrong(format!("a SPIFFE id has at most {ID_BYTES_MAX} bytes"));
        }
        let Some(rest) = text.strip_prefix("spiffe://") else {
            return wrong("a SPIFFE id begins with `spiffe://`");
        };
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        let trust_domain = TrustDomain::parse(domain)?;
        let is_segment = |segment: &str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_allowed)
        };
        if path.is_some_and(|path| !path.split('/').all(is_segment)) {
            return wrong(
                "each segment of the path has only the characters `A-Z`, `a-z`, `0-9`, `.`, `-` and `_`",
            );
        }
        Ok(SpiffeId { text: text.to_owned(), trust_domain })
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading `/`; empty if there is none.
    pub fn path(&self) -> &str {
        let begin = "spiffe://".len().saturating_add(self.trust_domain.as_str().len());
        self.text.get(begin..).unwrap_or_default()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Display for SpiffeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        SpiffeId::parse(text)
    }
}

/// What the certificate of a node names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName {
    /// The trust domain of the cluster's certificates.
    pub trust_domain: TrustDomain,
    /// The digest that names the cluster.
    pub cluster_id: [u8; 32],
    /// The node id, at least 1.
    pub node_id: u64,
}

impl NodeName {
    /// The node's SPIFFE id.
    pub fn to_id(&self) -> SpiffeId {
        let (cluster, node) = (hex::encode(self.cluster_id), self.node_id);
        let text = format!("spiffe://{}/assent/{cluster}/node/{node}", self.trust_domain);
        SpiffeId { text, trust_domain: self.trust_domain.clone() }
    }

    /// Which node an id names.
    ///
    /// # Errors
    /// If the id names no node.
    pub fn of(id: &SpiffeId) -> Result<Self, SpiffeIdError> {
        let segments: Vec<&str> = id.path().split('/').collect();
        let ["", "assent", cluster, "node", node] = segments.as_slice() else {
            return wrong(format!("`{id}` names no node"));
        };
        let mut cluster_id = [0; 32];
        let decoded = hex::decode_to_slice(cluster, &mut cluster_id);
        let node_id = node.parse().ok().filter(|node: &u64| *node > 0);
        let (Ok(()), Some(node_id)) = (decoded, node_id) else {
            return wrong(format!("`{id}` names no node"));
        };
        let name = NodeName { trust_domain: id.trust_domain().clone(), cluster_id, node_id };
        if name.to_id() == *id { Ok(name) } else { wrong(format!("`{id}` names no node")) }
    }
}
