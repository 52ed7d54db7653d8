//! The caller of a use case: which party it is, and what it may do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use assent_proof::DomainName;

use super::identity::ShownIdentity;
use super::jwt::JwtRefusal;
use super::role::{Role, RoleSet};
use super::source::Source;

/// The caller of a use case. Every use case takes one. Only [`Access`](super::Access) and the constructors here make
/// one, and no caller chooses its own roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    who: Who,
    roles: RoleSet,
    domains: Domains,
    pace: OwnPace,
    /// Where it calls from, to share a node's room. It says nothing of what the caller may do.
    source: Option<Source>,
    /// Of a caller that the node does not know: the identity that it has proved or claims, and that no entry of the table
    /// has.
    shown: Option<ShownIdentity>,
    /// The id of the request that it makes, for the audit trail. It says nothing of what the caller may do.
    request: Option<Arc<str>>,
}

/// How many requests a caller may make, where the configuration says so for this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct OwnPace {
    /// In a second.
    pub(crate) rate: Option<u64>,
    /// At once.
    pub(crate) burst: Option<u64>,
}

/// Which party a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A program on this machine, on a port that serves plain HTTP to loopback. It has every role.
    Local,
    /// A caller from the table of the configuration.
    Named {
        /// The name that the table gives it, for the audit trail and metrics.
        name: Arc<str>,
        /// What it has shown.
        by: Credential,
    },
    /// A caller that the node does not know.
    Unknown(Unknown),
    /// This node itself.
    Node,
}

/// What a known caller has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// An X.509 certificate.
    Certificate,
    /// A bearer token of this registry's own form.
    Token,
    /// A JSON web token.
    Jwt,
}

impl Credential {
    /// The stable word for the audit trail and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Credential::Certificate => "certificate",
            Credential::Token => "token",
            Credential::Jwt => "jwt",
        }
    }
}

/// Why a caller is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unknown {
    /// It has shown neither a certificate nor a bearer token.
    NothingShown,
    /// Its certificate is good, and `callers` has no entry for the identity in it.
    CertificateNotListed,
    /// Its bearer token has the form of a token, and no file of `callers` lists it.
    TokenNotListed,
    /// What stands behind `Authorization: Bearer` is neither a token nor a JSON web token.
    BearerMalformed,
    /// Its JSON web token is refused.
    Jwt(JwtRefusal),
}

impl Unknown {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Unknown::NothingShown,
            Unknown::CertificateNotListed,
            Unknown::TokenNotListed,
            Unknown::BearerMalformed,
        ];
        others.into_iter().chain(JwtRefusal::ALL.into_iter().map(Unknown::Jwt))
    }

    /// The stable word for the audit trail and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Unknown::NothingShown => "nothing_shown",
            Unknown::CertificateNotListed => "certificate_not_listed",
            Unknown::TokenNotListed => "token_not_listed",
            Unknown::BearerMalformed => "bearer_malformed",
            Unknown::Jwt(refusal) => refusal.as_str(),
        }
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::NothingShown => f.write_str("the caller showed no certificate and no bearer token"),
            Unknown::CertificateNotListed => f.write_str(
                "`callers` of this node's configuration does not list the certificate's SPIFFE id",
            ),
            Unknown::TokenNotListed => f.write_str(
                "no file of `callers` of this node's configuration lists the SHA-256 of the bearer token",
            ),
            Unknown::BearerMalformed => {
                f.write_str("the bearer token is neither an `assent_…` token nor a JSON web token")
            }
            Unknown::Jwt(refusal) => refusal.fmt(f),
        }
    }
}

/// The domains in which a caller may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domains {
    /// Every domain.
    All,
    /// Only these.
    Only(Arc<BTreeSet<DomainName>>),
}

/// Why a caller may not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Whether the node does not know the caller at all. Then other credentials would help, and HTTP says so.
    pub(crate) unknown: bool,
    /// One sentence.
    pub(crate) detail: String,
}

static LOCAL: Caller = Caller {
    who: Who::Local,
    roles: RoleSet::ALL,
    domains: Domains::All,
    pace: OwnPace::NONE,
    source: None,
    shown: None,
    request: None,
};
static NODE: Caller = Caller {
    who: Who::Node,
    roles: RoleSet::ALL,
    domains: Domains::All,
    pace: OwnPace::NONE,
    source: None,
    shown: None,
    request: None,
};

impl OwnPace {
    /// That of all callers.
    const NONE: Self = Self { rate: None, burst: None };
}

impl Caller {
    /// A program on this machine, on a port that serves plain HTTP to loopback. It may do everything.
    pub fn local() -> &'static Self {
        &LOCAL
    }

    /// This node itself, for what it reads for its own pages.
    pub fn node() -> &'static Self {
        &NODE
    }

    /// A caller from the table.
    pub(crate) fn named(name: Arc<str>, by: Credential, roles: RoleSet, domains: Domains) -> Self {
        Self {
            who: Who::Named { name, by },
            roles,
            domains,
            pace: OwnPace::NONE,
            source: None,
            shown: None,
            request: None,
        }
    }

    /// The caller with a pace of its own.
    pub(super) fn paced(self, pace: OwnPace) -> Self {
        Self { pace, ..self }
    }

    /// A caller that has shown nothing, or nothing good. It has no role.
    pub(crate) fn unknown(why: Unknown) -> Self {
        Self {
            who: Who::Unknown(why),
            roles: RoleSet::NONE,
            domains: Domains::Only(Arc::default()),
            pace: OwnPace::NONE,
            source: None,
            shown: None,
            request: None,
        }
    }

    /// A caller that has shown nothing, on a node with `public_read`. Of the domains it sees only the system's own,
    /// which holds the keys of the nodes.
    pub(crate) fn public() -> Self {
        Self {
            who: Who::Unknown(Unknown::NothingShown),
            roles: RoleSet::NONE.with(Role::Public),
            domains: Domains::Only(Arc::new(BTreeSet::from([DomainName::root()]))),
            pace: OwnPace::NONE,
            source: None,
            shown: None,
            request: None,
        }
    }

    /// Whether the node does not know it only because it has not looked at the signature of its token.
    pub(crate) fn is_unverified(&self) -> bool {
        self.who == Who::Unknown(Unknown::Jwt(JwtRefusal::Unverified))
    }

    /// The same unknown caller, with the identity that it has proved or claims.
    #[must_use]
    pub(super) fn showing(self, identity: ShownIdentity) -> Self {
        Self { shown: Some(identity), ..self }
    }

    /// The identity that it has proved or claims, if the node does not know it.
    pub(crate) fn shown(&self) -> Option<&ShownIdentity> {
        self.shown.as_ref()
    }

    /// The same caller, as the one that makes the request with this id.
    #[must_use]
    pub(crate) fn for_request(self, id: Arc<str>) -> Self {
        Self { request: Some(id), ..self }
    }

    /// The same caller, as one that calls from there.
    #[must_use]
    pub(crate) fn calling_from(self, source: &Source) -> Self {
        Self { source: Some(source.clone()), ..self }
    }

    /// Where it calls from, if that is known.
    pub(super) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The id of the request that it makes, if it has one.
    pub(crate) fn request(&self) -> Option<&Arc<str>> {
        self.request.as_ref()
    }

    /// Which party it is.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Its roles.
    pub fn roles(&self) -> RoleSet {
        self.roles
    }

    /// How many requests it may make, where the table says so.
    pub(crate) fn pace(&self) -> OwnPace {
        self.pace
    }

    /// The domains in which it may act.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// Whether it is the same party as another caller, by the same kind of credential and with the same roles and
    /// domains.
    pub(crate) fn is_still(&self, before: &Self) -> bool {
        self.who == before.who && self.roles == before.roles && self.domains == before.domains
    }

    /// Whether it has one of these roles.
    ///
    /// # Errors
    /// Why it may not make a call that is for these roles.
    pub fn permitted(&self, roles: RoleSet) -> Result<(), Denial> {
        if self.roles.meets(roles) {
            return Ok(());
        }
        Err(match &self.who {
            Who::Unknown(why) => Denial { unknown: true, detail: self.why_unknown(*why) },
            Who::Local | Who::Named { .. } | Who::Node => Denial {
                unknown: false,
                detail: format!(
                    "{self} has the roles [{}], and this call is for the roles [{roles}]",
                    self.roles
                ),
            },
        })
    }

    /// Why the node does not know it. It is told its own identity, if it has proved or claimed one, so that an operator can
    /// look for it in the table.
    fn why_unknown(&self, why: Unknown) -> String {
        match &self.shown {
            Some(identity) => format!("{why}: it is {identity}"),
            None => why.to_string(),
        }
    }

    /// Whether it may act in this domain, whatever its roles are.
    ///
    /// # Errors
    /// Why it may not.
    pub fn permitted_in(&self, domain: &DomainName) -> Result<(), Denial> {
        match &self.domains {
            Domains::All => Ok(()),
            Domains::Only(domains) if domains.contains(domain) => Ok(()),
            Domains::Only(_) => Err(Denial {
                unknown: matches!(self.who, Who::Unknown(_)),
                detail: format!("{self} may not act in domain `{domain}`"),
            }),
        }
    }

    /// The domains to which it is narrowed, if it is.
    pub(crate) fn narrowed(&self) -> Option<&BTreeSet<DomainName>> {
        match &self.domains {
            Domains::All => None,
            Domains::Only(domains) => Some(domains),
        }
    }
}

/// The caller in words, for messages and logs. It never shows a credential.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Local => f.write_str("the caller on this machine"),
            Who::Named { name, by } => write!(f, "caller `{name}` (by {})", by.as_str()),
            Who::Unknown(_) => f.write_str("an unknown caller"),
            Who::Node => f.write_str("this node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_may_do_what_its_roles_and_its_domains_both_permit() {
        let domain: DomainName = "prod.eu".parse().unwrap();
        let other: DomainName = "prod.us".parse().unwrap();
        let domains = Domains::Only(Arc::new(BTreeSet::from([domain.clone()])));
        let auditor = RoleSet::NONE.with(Role::Auditor);
        let caller = Caller::named("audits".into(), Credential::Token, auditor, domains);
        assert_eq!(caller.permitted(auditor.with(Role::Operator)), Ok(()));
        assert_eq!(caller.permitted_in(&domain), Ok(()));
        let why = caller.permitted(RoleSet::NONE.with(Role::Operator)).unwrap_err();
        assert!(!why.unknown && why.detail.contains("caller `audits`"), "{why:?}");
        assert!(caller.permitted_in(&other).is_err());
        for all in [Caller::local(), Caller::node()] {
            assert!(all.permitted_in(&other).is_ok());
            for role in Role::ALL {
                assert!(all.permitted(RoleSet::NONE.with(role)).is_ok());
            }
        }
    }

    #[test]
    fn an_unknown_caller_has_no_role_and_no_domain() {
        let unknown = Caller::unknown(Unknown::NothingShown);
        for role in Role::ALL {
            let why = unknown.permitted(RoleSet::NONE.with(role)).unwrap_err();
            assert!(why.unknown, "{why:?}");
        }
        assert!(unknown.permitted_in(&DomainName::root()).is_err());
        let public = Caller::public();
        assert!(public.permitted_in(&DomainName::root()).is_ok());
        assert!(public.permitted_in(&"prod.eu".parse().unwrap()).is_err());
        assert_eq!(public.roles().iter().collect::<Vec<_>>(), [Role::Public]);
    }
}
