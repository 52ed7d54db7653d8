//! The table of callers: which identity has which roles in which domains. It comes from the configuration alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use assent_api::MAX_BATCH;
use assent_proof::DomainName;
use assent_tls::SpiffeId;
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Credential, Domains, OwnPace};
use super::jwt::{JwtIdentity, JwtIssuerConfig};
use super::role::{Role, RoleSet};
use super::setting::SettingError;

/// The largest number of entries.
const CALLERS_MAX: usize = 1024;
/// The largest number of domains in an entry.
const DOMAINS_MAX: usize = 64;
/// The largest length of a name, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The largest `rate` and `burst`.
const PACE_MAX: u64 = 1 << 24;

/// One caller: exactly one of `certificate`, `tokens` and `jwt`, and what whoever shows it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// The caller's name in the audit trail and metrics: from 1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`. Two entries
    /// may have the same name only if they have the same roles, domains, rate and burst, such as a caller that has both a
    /// certificate and a token.
    pub name: String,
    /// The SPIFFE id in its certificate, exactly: `spiffe://<trust domain>/<path>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The path of a file with the SHA-256 of each of its bearer tokens, one a line in lower-case hex. `#` begins a
    /// comment. At most 64 tokens and 64 KiB. The node reads the file again every 5 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<PathBuf>,
    /// Its roles: at least one, and never `public`.
    pub roles: Vec<Role>,
    /// The domains in which it may act, at most 64. Without this field they are all domains. The system's domain is
    /// `_root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<DomainName>>,
    /// The number of requests that it may make in a second, in place of `limits.caller_rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u64>,
    /// The number of requests that it may make at once, in place of `limits.caller_burst`. At least 1000, so that a full
    /// batch fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// The issuer and the subject of its JSON web tokens, exactly. `jwt_issuers` must have the issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtIdentity>,
}

/// What an entry grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) name: Arc<str>,
    roles: RoleSet,
    domains: Domains,
    pace: OwnPace,
}

impl Grant {
    /// The caller who has shown this.
    pub(super) fn to_caller(&self, by: Credential) -> Caller {
        Caller::named(self.name.clone(), by, self.roles, self.domains.clone()).paced(self.pace)
    }
}

/// A file of tokens, and what whoever shows one of them may do.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    /// The field that names it.
    pub(super) field: String,
    pub(super) path: PathBuf,
    pub(super) grant: Arc<Grant>,
}

/// The table, ready for lookups.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) certificates: BTreeMap<SpiffeId, Arc<Grant>>,
    pub(super) subjects: BTreeMap<JwtIdentity, Arc<Grant>>,
    pub(super) token_files: Vec<TokenFile>,
}

impl Table {
    /// Checks the entries and makes the table, without reading a file.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub(super) fn new(callers: &[CallerConfig], issuers: &[JwtIssuerConfig]) -> Result<Self, SettingError> {
        if callers.len() > CALLERS_MAX {
            let problem = format!("has {} entries, must have at most {CALLERS_MAX}", callers.len());
            return Err(SettingError::new("callers", problem));
        }
        let mut table = Self::default();
        let mut names: BTreeMap<Arc<str>, Arc<Grant>> = BTreeMap::new();
        let mut files = BTreeSet::new();
        for (place, caller) in callers.iter().enumerate() {
            let at =
                |field: &str, problem: &str| SettingError::new(format!("callers[{place}].{field}"), problem);
            let grant = Arc::new(caller.grant().map_err(|(field, problem)| at(field, &problem))?);
            let same = names.entry(grant.name.clone()).or_insert_with(|| grant.clone());
            if *same != grant {
                return Err(at(
                    "name",
                    "is the name of another entry with other roles, domains, rate or burst",
                ));
            }
            let twice = |field: &str| at(field, "is the identity of another entry too: each is given once");
            match (&caller.certificate, &caller.tokens, &caller.jwt) {
                (Some(id), None, None) => {
                    let id: SpiffeId =
                        SpiffeId::parse(id).map_err(|error| at("certificate", &error.to_string()))?;
                    if table.certificates.insert(id, grant).is_some() {
                        return Err(twice("certificate"));
                    }
                }
                (None, Some(path), None) => {
                    if !files.insert(path.clone()) {
                        return Err(twice("tokens"));
                    }
                    let field = format!("callers[{place}].tokens");
                    table.token_files.push(TokenFile { field, path: path.clone(), grant });
                }
                (None, None, Some(identity)) => {
                    identity.check(issuers).map_err(|(field, problem)| at(field, problem))?;
                    if table.subjects.insert(identity.clone(), grant).is_some() {
                        return Err(twice("jwt"));
                    }
                }
                (None | Some(_), None | Some(_), None | Some(_)) => {
                    let problem = "needs exactly one of `certificate`, `tokens` and `jwt`";
                    return Err(SettingError::new(format!("callers[{place}]"), problem));
                }
            }
        }
        Ok(table)
    }
}

impl CallerConfig {
    fn grant(&self) -> Result<Grant, (&'static str, String)> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(plain) {
            let problem = format!("must have from 1 to {NAME_BYTES_MAX} of `a-z`, `0-9`, `.`, `_` and `-`");
            return Err(("name", problem));
        }
        let roles: RoleSet = self.roles.iter().copied().collect();
        if self.roles.is_empty() {
            return Err(("roles", "must name at least one role".to_owned()));
        }
        if roles.iter().count() != self.roles.len() {
            return Err(("roles", "names a role twice".to_owned()));
        }
        if roles.contains(Role::Public) {
            let problem =
                "has `public`, which only callers have that show nothing: set `public_read` for them";
            return Err(("roles", problem.to_owned()));
        }
        let domains = match &self.domains {
            None => Domains::All,
            Some(domains) if domains.is_empty() => {
                let problem = "is empty, so the entry permits nothing: leave it out for every domain";
                return Err(("domains", problem.to_owned()));
            }
            Some(domains) if domains.len() > DOMAINS_MAX => {
                let problem = format!("has {} domains, must have at most {DOMAINS_MAX}", domains.len());
                return Err(("domains", problem));
            }
            Some(domains) => Domains::Only(Arc::new(domains.iter().cloned().collect())),
        };
        for (field, value, least) in [("rate", self.rate, 1), ("burst", self.burst, MAX_BATCH as u64)] {
            if let Some(value) = value
                && !(least..=PACE_MAX).contains(&value)
            {
                return Err((field, format!("is {value}, must be from {least} to {PACE_MAX}")));
            }
        }
        let pace = OwnPace { rate: self.rate, burst: self.burst };
        Ok(Grant { name: self.name.as_str().into(), roles, domains, pace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> CallerConfig {
        CallerConfig {
            name: name.to_owned(),
            certificate: Some(format!("spiffe://example.org/{name}")),
            tokens: None,
            roles: vec![Role::Scheduler],
            domains: None,
            jwt: None,
            rate: None,
            burst: None,
        }
    }

    fn issuer() -> JwtIssuerConfig {
        JwtIssuerConfig {
            issuer: "https://issuer.example".to_owned(),
            audience: "assent".to_owned(),
            jwks: "jwks.json".into(),
            algorithms: vec![super::super::jwt::JwtAlgorithm::ES256],
            leeway_s: 30,
        }
    }

    fn by_jwt(subject: &str) -> CallerConfig {
        let jwt = JwtIdentity { issuer: issuer().issuer, subject: subject.to_owned() };
        CallerConfig { certificate: None, jwt: Some(jwt), ..entry("by-jwt") }
    }

    fn by_tokens(path: &str) -> CallerConfig {
        CallerConfig { certificate: None, tokens: Some(path.into()), ..entry("by-token") }
    }

    #[test]
    fn each_kind_of_identity_is_taken_and_one_caller_may_have_several() {
        let callers = [
            entry("sched"),
            CallerConfig { name: "sched".to_owned(), ..by_tokens("a.tokens") },
            CallerConfig { name: "sched".to_owned(), ..by_jwt("system:serviceaccount:ci:sched") },
        ];
        let table = Table::new(&callers, &[issuer()]).unwrap();
        assert_eq!((table.certificates.len(), table.token_files.len(), table.subjects.len()), (1, 1, 1));
    }

    #[test]
    fn a_wrong_entry_is_named_by_its_field() {
        type Spoil = fn(&mut CallerConfig);
        let cases: Vec<(Spoil, &str)> = vec![
            (|c| c.name = String::new(), "callers[1].name"),
            (|c| c.name = "A".to_owned(), "callers[1].name"),
            (|c| c.name = "a".repeat(65), "callers[1].name"),
            // The name of the first entry, which has another role.
            (|c| (c.name, c.roles) = ("one".to_owned(), vec![Role::Auditor]), "callers[1].name"),
            (|c| c.roles = vec![], "callers[1].roles"),
            (|c| c.roles = vec![Role::Public], "callers[1].roles"),
            (|c| c.roles = vec![Role::Peer, Role::Peer], "callers[1].roles"),
            (|c| c.rate = Some(0), "callers[1].rate"),
            (|c| c.rate = Some(PACE_MAX + 1), "callers[1].rate"),
            // A full batch would never fit.
            (|c| c.burst = Some(999), "callers[1].burst"),
            (|c| c.domains = Some(vec![]), "callers[1].domains"),
            (
                |c| c.domains = Some((0..65).map(|n| format!("d{n}").parse().unwrap()).collect()),
                "callers[1].domains",
            ),
            (|c| c.certificate = Some("https://example.org/two".to_owned()), "callers[1].certificate"),
            (|c| c.certificate = Some("spiffe://example.org/one".to_owned()), "callers[1].certificate"),
            (|c| c.certificate = None, "callers[1]"),
            (|c| c.tokens = Some("two.tokens".into()), "callers[1]"),
            (|c| *c = by_jwt(""), "callers[1].jwt.subject"),
            (
                |c| {
                    let jwt = JwtIdentity { issuer: "https://other.example".into(), subject: "x".into() };
                    *c = CallerConfig { jwt: Some(jwt), ..by_jwt("x") };
                },
                "callers[1].jwt.issuer",
            ),
        ];
        for (spoil, expected) in cases {
            let mut callers = [entry("one"), entry("two")];
            spoil(&mut callers[1]);
            assert_eq!(Table::new(&callers, &[issuer()]).unwrap_err().field, expected);
        }
        for (twice, expected) in [(by_jwt("x"), "callers[1].jwt"), (by_tokens("x"), "callers[1].tokens")] {
            let callers = [twice.clone(), twice];
            assert_eq!(Table::new(&callers, &[issuer()]).unwrap_err().field, expected);
        }
        let many: Vec<CallerConfig> = (0..1025).map(|n| entry(&format!("c{n}"))).collect();
        assert_eq!(Table::new(&many, &[]).unwrap_err().field, "callers");
    }
}
