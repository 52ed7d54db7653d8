//! SPIFFE ids: the names that certificates give to nodes and callers.
//!
//! An id is `spiffe://<trust domain>/<path>`, by the rules of the [SPIFFE-ID standard]. Every id has exactly one
//! spelling, and this module refuses each other one, so that two ids are equal if and only if their texts are.
//!
//! [SPIFFE-ID standard]: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md

use std::fmt::{self, Display, Formatter};
use std::num::NonZeroU64;
use std::str::FromStr;

use assent_proof::from_lower_hex;

const SCHEME: &str = "spiffe://";
/// Longest SPIFFE id, in bytes.
const ID_BYTES_MAX: usize = 2048;
/// Longest trust domain, in bytes.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Why a text is no SPIFFE id, or not the one that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// The text is longer than any SPIFFE id.
    #[error("a SPIFFE id has at most {} bytes, and this one has {bytes}", ID_BYTES_MAX)]
    TooLong {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// The text does not begin with `spiffe://`.
    #[error("a SPIFFE id begins with `spiffe://`, in lower case")]
    Scheme,
    /// The trust domain is empty, too long, or has a character that it cannot have.
    #[error(
        "a trust domain has 1 to {} of the characters `a-z`, `0-9`, `.`, `-` and `_`, and nothing else: no port, no \
         user and no upper case",
        TRUST_DOMAIN_BYTES_MAX
    )]
    TrustDomain,
    /// A segment of the path is empty, `.` or `..`, or has a character that it cannot have.
    #[error(
        "each segment of a SPIFFE id's path has one or more of the characters `A-Z`, `a-z`, `0-9`, `.`, `-` and `_`, \
         and is neither `.` nor `..`: no `%`, no query, no fragment and no `/` at the end"
    )]
    Path,
    /// The id is not that of a node.
    #[error(
        "`{id}` is not the id of a node, which is `spiffe://<trust domain>/assent/<cluster id as 64 lower-case hex \
         digits>/node/<id, 1 or more>`"
    )]
    NoNode {
        /// The id.
        id: SpiffeId,
    },
}

/// The name of one group of identities that one authority answers for, such as `example.org`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Reads a trust domain: 1 to 255 of the characters `a-z`, `0-9`, `.`, `-` and `_`.
    ///
    /// # Errors
    /// [`SpiffeIdError::TrustDomain`] for any other text.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > TRUST_DOMAIN_BYTES_MAX || !text.bytes().all(fits) {
            return Err(SpiffeIdError::TrustDomain);
        }
        Ok(TrustDomain(text.to_owned()))
    }

    /// The text of the trust domain.
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

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        TrustDomain::parse(text)
    }
}

/// The identity of a program, such as `spiffe://example.org/slurm/ctl`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    /// Empty, or `/` and the segments.
    path: String,
    text: String,
}

impl SpiffeId {
    /// Reads a SPIFFE id of at most 2048 bytes.
    ///
    /// # Errors
    /// A [`SpiffeIdError`] that says which rule of the standard the text breaks.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > ID_BYTES_MAX {
            return Err(SpiffeIdError::TooLong { bytes: text.len() });
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (trust_domain, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).ok_or(SpiffeIdError::Path)?,
            None => (rest, ""),
        };
        let trust_domain = TrustDomain::parse(trust_domain)?;
        if let Some(segments) = path.strip_prefix('/')
            && !segments.split('/').all(is_segment)
        {
            return Err(SpiffeIdError::Path);
        }
        Ok(SpiffeId { trust_domain, path: path.to_owned(), text: text.to_owned() })
    }

    /// The authority's trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading `/`, or the empty text if the id names the trust domain itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether the text is one segment of a path.
fn is_segment(segment: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(fits)
}

impl Display for SpiffeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        SpiffeId::parse(text)
    }
}

/// Which node of which cluster a certificate is for. Its SPIFFE id is
/// `spiffe://<trust domain>/assent/<cluster id as 64 lower-case hex digits>/node/<node id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    /// The trust domain of the cluster's operator.
    pub trust_domain: TrustDomain,
    /// The cluster.
    pub cluster_id: [u8; 32],
    /// The node's id, 1 or more. An id with 0 is not read back by [`NodeName::of`].
    pub node_id: u64,
}

impl NodeName {
    /// The id that the node's certificate has.
    pub fn to_id(&self) -> SpiffeId {
        let NodeName { trust_domain, cluster_id, node_id } = self;
        let path = format!("/assent/{}/node/{node_id}", hex::encode(cluster_id));
        let text = format!("{SCHEME}{trust_domain}{path}");
        SpiffeId { trust_domain: trust_domain.clone(), path, text }
    }

    /// The node that `id` names.
    ///
    /// # Errors
    /// [`SpiffeIdError::NoNode`] if the id does not name a node.
    pub fn of(id: &SpiffeId) -> Result<Self, SpiffeIdError> {
        let read = || {
            let (cluster_id, node_id) = id.path().strip_prefix("/assent/")?.split_once("/node/")?;
            let name = NodeName {
                trust_domain: id.trust_domain().clone(),
                cluster_id: from_lower_hex(cluster_id)?,
                node_id: node_id.parse::<NonZeroU64>().ok()?.get(),
            };
            // One node must not have two spellings: `07` and `7`.
            (name.to_id() == *id).then_some(name)
        };
        read().ok_or_else(|| SpiffeIdError::NoNode { id: id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLUSTER: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn an_id_by_the_standard_is_read_and_keeps_its_text() {
        let longest_domain = format!("spiffe://{}", "a".repeat(TRUST_DOMAIN_BYTES_MAX));
        let longest = format!("spiffe://a/{}", "b".repeat(ID_BYTES_MAX - "spiffe://a/".len()));
        for (text, domain, path) in [
            ("spiffe://example.org", "example.org", ""),
            ("spiffe://example.org/slurm/ctl", "example.org", "/slurm/ctl"),
            ("spiffe://a/b", "a", "/b"),
            ("spiffe://my_domain-1.test/A.b-C_9", "my_domain-1.test", "/A.b-C_9"),
            ("spiffe://10.0.0.1/x", "10.0.0.1", "/x"),
            ("spiffe://a/...", "a", "/..."),
            ("spiffe://a/.b/c.", "a", "/.b/c."),
            (longest_domain.as_str(), longest_domain.trim_start_matches("spiffe://"), ""),
            (longest.as_str(), "a", longest.trim_start_matches("spiffe://a")),
        ] {
            let id = SpiffeId::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(id.trust_domain().as_str(), domain, "{text}");
            assert_eq!(id.path(), path, "{text}");
            assert_eq!(id.as_str(), text);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn a_text_that_is_no_id_is_refused_with_the_rule_that_it_breaks() {
        use SpiffeIdError::{Path, Scheme, TooLong, TrustDomain};

        let long_domain = format!("spiffe://{}", "a".repeat(TRUST_DOMAIN_BYTES_MAX + 1));
        let long = format!("spiffe://a/{}", "b".repeat(ID_BYTES_MAX));
        for (text, error) in [
            ("", Scheme),
            ("spiffe:/a/b", Scheme),
            ("Spiffe://a/b", Scheme),
            ("https://a/b", Scheme),
            (" spiffe://a/b", Scheme),
            ("spiffe://", TrustDomain),
            ("spiffe:///b", TrustDomain),
            ("spiffe://A/b", TrustDomain),
            ("spiffe://a:80/b", TrustDomain),
            ("spiffe://user@a/b", TrustDomain),
            ("spiffe://a%20/b", TrustDomain),
            ("spiffe://a?b", TrustDomain),
            ("spiffe://a#b", TrustDomain),
            ("spiffe://\u{e4}/b", TrustDomain),
            ("spiffe://[::1]/b", TrustDomain),
            (long_domain.as_str(), TrustDomain),
            ("spiffe://a/", Path),
            ("spiffe://a/b/", Path),
            ("spiffe://a//b", Path),
            ("spiffe://a/.", Path),
            ("spiffe://a/../b", Path),
            ("spiffe://a/b%2f", Path),
            ("spiffe://a/b?c=d", Path),
            ("spiffe://a/b#c", Path),
            ("spiffe://a/b c", Path),
            ("spiffe://a/b\n", Path),
            ("spiffe://a/b\0", Path),
            ("spiffe://a/\u{e4}", Path),
            ("spiffe://a/b*", Path),
            (long.as_str(), TooLong { bytes: long.len() }),
        ] {
            assert_eq!(SpiffeId::parse(text), Err(error), "{text:?}");
        }
        assert_eq!("a/b".parse::<super::TrustDomain>(), Err(TrustDomain));
    }

    #[test]
    fn the_id_of_a_node_names_its_cluster_and_its_number() {
        let id = SpiffeId::parse(&format!("spiffe://a/assent/{CLUSTER}/node/18446744073709551615")).unwrap();
        let name = NodeName::of(&id).unwrap();
        assert_eq!(name.trust_domain.as_str(), "a");
        assert_eq!(hex::encode(name.cluster_id), CLUSTER);
        assert_eq!(name.node_id, u64::MAX);
        assert_eq!(name.to_id(), id);
    }

    #[test]
    fn an_id_that_only_looks_like_that_of_a_node_is_refused() {
        let upper = CLUSTER.to_uppercase();
        for path in [
            String::new(),
            "/slurm/ctl".to_owned(),
            format!("/assent/{CLUSTER}"),
            format!("/assent/{CLUSTER}/node/0"),
            format!("/assent/{CLUSTER}/node/01"),
            format!("/assent/{CLUSTER}/node/-1"),
            format!("/assent/{CLUSTER}/node/1.0"),
            format!("/assent/{CLUSTER}/node/18446744073709551616"),
            format!("/assent/{CLUSTER}/node/1/2"),
            format!("/assent/{CLUSTER}/Node/1"),
            format!("/assent/{CLUSTER}0/node/1"),
            format!("/assent/{upper}/node/1"),
            format!("/assent/x/{CLUSTER}/node/1"),
            format!("/x/assent/{CLUSTER}/node/1"),
        ] {
            let id = SpiffeId::parse(&format!("spiffe://a{path}")).unwrap();
            assert_eq!(NodeName::of(&id), Err(SpiffeIdError::NoNode { id: id.clone() }), "{id}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_read_as_an_id_with_another_text(text in "spiffe://[a-cA.:%]{0,3}(/[a-b.%?]{0,2}){0,3}|\\PC{0,40}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
            }
        }
    }
}
