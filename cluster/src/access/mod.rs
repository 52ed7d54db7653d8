//! Who may call this node, and what.
//!
//! [`Access`] knows the table of callers and the files that it names. It turns what a connection and a request have
//! shown into a [`Caller`], whose roles and domains come from the table alone. It opens no socket and reads no clock.
//! Which roles may make which call is in `http/routes.rs`.

mod account;
mod caller;
mod identity;
mod jwt;
pub mod outside;
mod refused;
mod role;
mod setting;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};

use assent_proof::Millis;
use assent_tls::SpiffeId;

use crate::locked::{read, write};
use jwt::{Issuer, Issuers, JWKS_BYTES, KeySet, check_issuers};
use setting::read_file;
use table::{Grant, Table, TokenFile};

pub(crate) use account::Account;
pub(crate) use caller::OwnPace;
pub use caller::{Caller, Credential, Denial, Domains, Unknown, Who};
pub(crate) use identity::ShownIdentity;
pub use jwt::{JwtAlgorithm, JwtIdentity, JwtIssuerConfig, JwtRefusal};
pub use refused::RefusedCaller;
pub use role::{Role, RoleSet, UnknownRole};
pub use setting::SettingError;
pub(crate) use source::Source;
pub use table::CallerConfig;
pub use tokens::{TOKEN_FILE_BYTES, TOKEN_PREFIX, TOKENS_MAX, Token, TokenDigest, parse_tokens};

/// What a caller has shown.
#[derive(Debug, Clone, Default)]
pub struct Shown<'a> {
    /// The SPIFFE id in its certificate, which TLS has checked.
    pub certificate: Option<SpiffeId>,
    /// What stands behind `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
}

impl<'a> Shown<'a> {
    /// What stands behind the scheme `Bearer` in an `Authorization` header with that scheme (RFC 6750 §2.1). It is empty
    /// if nothing does, and then it is a bad token, so that a caller which tried to show one is never taken for one that
    /// showed none. For the same reason it is empty if a header of another scheme has the word `bearer`, or what a token
    /// begins with.
    pub fn bearer_of(header: &'a str) -> Option<&'a str> {
        let header = header.trim();
        let end = header.find(|c: char| !is_of_scheme(c)).unwrap_or(header.len());
        let (scheme, token) = header.split_at(end);
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(token.trim());
        }
        let has = |word: &str| {
            header.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        };
        (has("bearer") || has(TOKEN_PREFIX)).then_some("")
    }
}

/// Whether a scheme's name can have this character (RFC 9110 §5.6.2).
fn is_of_scheme(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// How callers are told apart, in the configuration's terms.
#[derive(Debug, Clone, Copy)]
pub struct AccessConfig<'a> {
    /// Whether the port serves plain HTTP to loopback, so that each caller is [`Who::Local`].
    pub plain_http: bool,
    /// Whether callers that show nothing have the role `public`.
    pub public_read: bool,
    /// The table.
    pub callers: &'a [CallerConfig],
    /// The issuers of JSON web tokens.
    pub jwt_issuers: &'a [JwtIssuerConfig],
}

impl AccessConfig<'_> {
    /// Checks everything that can be wrong without reading a file.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn validate(&self) -> Result<(), SettingError> {
        self.table().map(|_| ())
    }

    fn table(&self) -> Result<Table, SettingError> {
        check_issuers(self.jwt_issuers)?;
        Table::new(self.callers, self.jwt_issuers)
    }
}

/// Who may call this node. It is shared, and its files can be read again while it is used.
#[derive(Debug)]
pub struct Access {
    plain_http: bool,
    public: Caller,
    table: Table,
    files: RwLock<Arc<Files>>,
}

/// What the files hold that the table names.
#[derive(Debug, Clone, Default)]
struct Files {
    /// The digests in each file of tokens, in the order of the table.
    listed: Vec<Vec<TokenDigest>>,
    /// Whose token it is. A token that two files list is nobody's, because it is not known whose it is.
    tokens: BTreeMap<TokenDigest, Arc<Grant>>,
    issuers: Issuers,
    /// What was wrong with each file when it was last read, by the field that names it.
    problems: BTreeMap<String, String>,
}

impl Access {
    /// Checks the settings and reads the files that they name.
    ///
    /// # Errors
    /// The first setting or file that cannot be used.
    pub fn read(config: &AccessConfig<'_>) -> Result<Self, SettingError> {
        let table = config.table()?;
        let mut files = Files::default();
        for file in &table.token_files {
            let listed = read_tokens(&file.path);
            files.listed.push(listed.map_err(|problem| SettingError::new(&file.field, problem))?);
        }
        let mut issuers = Vec::new();
        for (place, config) in config.jwt_issuers.iter().enumerate() {
            let keys = read_keys(&config.jwks);
            let keys =
                keys.map_err(|problem| SettingError::new(format!("jwt_issuers[{place}].jwks"), problem))?;
            issuers.push(Issuer { config: config.clone(), keys });
        }
        files.issuers = Issuers::new(issuers);
        files.index(&table);
        // A problem with one file was returned already, so one that is left concerns two of them.
        if let Some((field, problem)) = files.problems.pop_first() {
            return Err(SettingError::new(field, problem));
        }
        let public =
            if config.public_read { Caller::public() } else { Caller::unknown(Unknown::NothingShown) };
        Ok(Self { plain_http: config.plain_http, public, table, files: RwLock::new(Arc::new(files)) })
    }

    /// Whether the table names files, which may change.
    pub fn has_files(&self) -> bool {
        !self.table.token_files.is_empty() || read(&self.files).issuers.files().next().is_some()
    }

    /// Reads the files again. A file that cannot be used leaves what was read from it before in force, and that is
    /// logged once. This blocks the thread.
    pub fn reload(&self) {
        let before = read(&self.files).clone();
        let mut files = Files { problems: BTreeMap::new(), ..(*before).clone() };
        for (file, listed) in self.table.token_files.iter().zip(&mut files.listed) {
            match read_tokens(&file.path) {
                Ok(read) => *listed = read,
                Err(problem) => _ = files.problems.insert(file.field.clone(), problem),
            }
        }
        for (path, issuer) in before.issuers.files() {
            match read_keys(path) {
                Ok(keys) => files.issuers.set_keys(issuer, keys),
                Err(problem) => _ = files.problems.insert(format!("jwks of `{issuer}`"), problem),
            }
        }
        files.index(&self.table);
        for (field, problem) in &files.problems {
            if before.problems.get(field) != Some(problem) {
                tracing::warn!(%field, %problem, "a file of callers cannot be used; what it held before stays in force");
            }
        }
        for field in before.problems.keys().filter(|field| !files.problems.contains_key(*field)) {
            tracing::info!(%field, "a file of callers can be used again");
        }
        *write(&self.files) = Arc::new(files);
    }

    /// The caller who has shown this. A node that is not sure of its clock passes no `now`, and then no JSON web token
    /// is accepted.
    ///
    /// A bearer token is decisive if there is one, because a caller shows it with each request. A certificate beside
    /// it counts for nothing, so that a token can never be shown without being judged.
    ///
    /// Before the signature of a JSON web token is verified, `may_verify` is asked once. If it says no, the caller is
    /// unknown. It is asked only for a token that is good in everything else, and that the node does not remember as
    /// accepted or as wrongly signed.
    pub fn identify(&self, shown: Shown<'_>, now: Option<Millis>, may_verify: &dyn Fn() -> bool) -> Caller {
        if self.plain_http {
            return Caller::local().clone();
        }
        match (shown.bearer, shown.certificate) {
            (Some(bearer), _) => self.by_bearer(bearer, now, may_verify),
            (None, Some(id)) => match self.table.certificates.get(&id) {
                Some(grant) => grant.to_caller(Credential::Certificate),
                None => {
                    Caller::unknown(Unknown::CertificateNotListed).showing(ShownIdentity::of_certificate(&id))
                }
            },
            (None, None) => self.public.clone(),
        }
    }

    fn by_bearer(&self, bearer: &str, now: Option<Millis>, may_verify: &dyn Fn() -> bool) -> Caller {
        let files = read(&self.files).clone();
        if bearer.starts_with(TOKEN_PREFIX) {
            let Some(digest) = TokenDigest::of_shown(bearer) else {
                return Caller::unknown(Unknown::BearerMalformed);
            };
            return match files.tokens.get(&digest) {
                Some(grant) => grant.to_caller(Credential::Token),
                None => Caller::unknown(Unknown::TokenNotListed),
            };
        }
        if !bearer.contains('.') {
            return Caller::unknown(Unknown::BearerMalformed);
        }
        match files.issuers.verify(bearer, now, |identity| self.table.subjects.get(identity), may_verify) {
            Ok(grant) => grant.to_caller(Credential::Jwt),
            Err(refused) => {
                let caller = Caller::unknown(Unknown::Jwt(refused.why));
                match &refused.claimed {
                    Some(claimed) => caller.showing(ShownIdentity::of_claims(claimed)),
                    None => caller,
                }
            }
        }
    }
}

impl Files {
    /// Works out anew whose each token is.
    fn index(&mut self, table: &Table) {
        let mut owners: BTreeMap<TokenDigest, Vec<usize>> = BTreeMap::new();
        for (place, listed) in self.listed.iter().enumerate() {
            for digest in listed {
                owners.entry(*digest).or_default().push(place);
            }
        }
        self.tokens = BTreeMap::new();
        for (digest, places) in owners {
            match places.as_slice() {
                [place] => {
                    if let Some(file) = table.token_files.get(*place) {
                        self.tokens.insert(digest, file.grant.clone());
                    }
                }
                several => {
                    let mut files = several.iter().filter_map(|place| table.token_files.get(*place));
                    let (Some(first), Some(last)) = (files.next(), files.next_back()) else { continue };
                    let problem = listed_twice(&digest, first, last);
                    self.problems.entry(last.field.clone()).or_insert(problem);
                }
            }
        }
    }
}

/// What is wrong with a token that two files list.
fn listed_twice(digest: &TokenDigest, first: &TokenFile, last: &TokenFile) -> String {
    format!(
        "`{}` of caller `{}` and `{}` of caller `{}` (`{}`) both list the token whose SHA-256 is `{digest}`, so the node \
         cannot tell which entry of `callers` it belongs to, and refuses it: remove the line from one of the two files; if \
         both need a token, make a new one for one of them with `assent cert token`",
        last.path.display(),
        last.grant.name,
        first.path.display(),
        first.grant.name,
        first.field,
    )
}

fn read_tokens(path: &Path) -> Result<Vec<TokenDigest>, String> {
    let text = read_file(path, TOKEN_FILE_BYTES)?;
    parse_tokens(&text).map_err(|problem| format!("`{}`: {problem}", path.display()))
}

fn read_keys(path: &Path) -> Result<KeySet, String> {
    let text = read_file(path, JWKS_BYTES)?;
    KeySet::parse(&text).map_err(|problem| format!("`{}`: {problem}", path.display()))
}
