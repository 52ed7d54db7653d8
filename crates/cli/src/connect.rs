//! Makes a client from the endpoints, the deadline and the credentials that the caller names.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use assent_client::{
    BearerToken, CertificateFiles, Client, ClientConfig, ClientError, ClientTls, TokenSource, Trust,
};
use clap::Args;

use crate::exit::{CliError, Exit};

/// The cluster's endpoints, and how long a call to them may take.
#[derive(Clone, Debug, Args)]
pub(crate) struct Endpoints {
    /// A node's client address (repeatable, or a list with commas); give several to survive the loss of a node
    #[arg(long = "endpoint", env = "ASSENT_ENDPOINTS", value_name = "URL")]
    endpoints: Vec<String>,
    /// How long a call may take with all its attempts, in milliseconds; by default 10000, and 24000 for a change of
    /// the members or of the leader
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout: Option<u64>,
    #[command(flatten)]
    credentials: Box<Credentials>,
}

/// The cluster's endpoints, and its admin listeners.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminEndpoints {
    #[command(flatten)]
    endpoints: Endpoints,
    /// The address of a node's admin listener, `admin_listen` (repeatable, or a list with commas); by default the
    /// endpoints, which answer this call on nodes with plain HTTP and without an admin listener
    #[arg(long, env = "ASSENT_ADMIN", value_name = "URL")]
    admin: Vec<String>,
}

/// How the client knows the nodes, and how the nodes know the caller.
#[derive(Clone, Debug, Args)]
struct Credentials {
    /// The certificate of the CA that issued the nodes' certificates (PEM). Every `https` endpoint needs it
    #[arg(long, env = "ASSENT_CA", value_name = "FILE", help_heading = HEADING)]
    ca: Option<PathBuf>,
    /// The caller's certificate (PEM), by which the nodes know the caller
    #[arg(long, env = "ASSENT_CERT", value_name = "FILE", help_heading = HEADING)]
    cert: Option<PathBuf>,
    /// The private key of `--cert` (PEM)
    #[arg(long, env = "ASSENT_CERT_KEY", value_name = "FILE", help_heading = HEADING)]
    cert_key: Option<PathBuf>,
    /// A file with the caller's bearer token, which every user of the machine must not be able to read
    #[arg(long, env = "ASSENT_TOKEN_FILE", value_name = "FILE", help_heading = HEADING)]
    token_file: Option<PathBuf>,
    /// The caller's bearer token. Every user of the machine can see the command line: better use `--token-file`
    #[arg(
        long,
        env = TOKEN_VARIABLE,
        hide_env_values = true,
        value_name = "TOKEN",
        value_parser = token,
        help_heading = HEADING
    )]
    token: Option<TokenArg>,
}

/// The variable with the caller's token. A command that this program starts does not get it.
pub(crate) const TOKEN_VARIABLE: &str = "ASSENT_TOKEN";

const HEADING: &str = "TLS and the caller's identity";

/// A bearer token as it was given. Clap repeats a value that it refuses, so this takes every text, and it is refused
/// when it is used.
#[derive(Clone, Debug)]
struct TokenArg(Result<BearerToken, ClientError>);

fn token(text: &str) -> Result<TokenArg, Infallible> {
    Ok(TokenArg(BearerToken::new(text)))
}

impl Credentials {
    /// The client's credentials, if any are given.
    fn tls(&self) -> Result<Option<ClientTls>, CliError> {
        let wrong = |detail: &str, remedy: &str| {
            Err(CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) })
        };
        let certificate = match (&self.cert, &self.cert_key) {
            (Some(cert), Some(key)) => Some(CertificateFiles { cert: cert.clone(), key: key.clone() }),
            (None, None) => None,
            (Some(_), None) => {
                return wrong(
                    "a certificate is given without its key",
                    "give `--cert-key` or set `ASSENT_CERT_KEY`",
                );
            }
            (None, Some(_)) => {
                return wrong("a key is given without its certificate", "give `--cert` or set `ASSENT_CERT`");
            }
        };
        let token = match (&self.token_file, &self.token) {
            (Some(file), None) => Some(TokenSource::File(file.clone())),
            (None, Some(TokenArg(token))) => Some(TokenSource::Value(token.clone()?)),
            (None, None) => None,
            (Some(_), Some(_)) => {
                return wrong(
                    "both a token and a file with a token are given",
                    "leave out `--token` and `ASSENT_TOKEN`, or `--token-file` and `ASSENT_TOKEN_FILE`",
                );
            }
        };
        let is_given = self.ca.is_some() || certificate.is_some() || token.is_some();
        Ok(is_given.then(|| ClientTls { ca: self.ca.clone(), certificate, token }))
    }
}

/// How long a call may take by default.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest time that a node needs for a change of the membership.
const CHANGE_WITHIN: Duration = Duration::from_secs(12);

impl Endpoints {
    /// The addresses, in the order given. Commas and white space separate them, and empty parts are left out.
    pub(crate) fn list(&self) -> Vec<String> {
        listed(&self.endpoints)
    }

    /// A client that submits and reads. It believes no allow.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.client_trusting(Trust::NoAllow)
    }

    /// A client that asks for decisions, and believes the allows that `trust` says to believe.
    pub(crate) fn client_trusting(&self, trust: Trust) -> Result<Client, CliError> {
        Ok(Client::new(self.config(trust, DEADLINE)?)?)
    }

    /// The configuration of a client. A call takes no longer than the caller's limit, or `otherwise` without such a
    /// limit.
    fn config(&self, trust: Trust, otherwise: Duration) -> Result<ClientConfig, CliError> {
        let endpoints = self.list();
        self.config_for(&endpoints, trust, otherwise)
    }

    fn config_for(
        &self,
        endpoints: &[String],
        trust: Trust,
        otherwise: Duration,
    ) -> Result<ClientConfig, CliError> {
        if endpoints.is_empty() {
            let detail = "no endpoint is given";
            let remedy = "give `--endpoint https://host:port` or set `ASSENT_ENDPOINTS`";
            return Err(CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) });
        }
        let deadline = self.timeout.map_or(otherwise, Duration::from_millis);
        let mut config = ClientConfig::new(endpoints, trust);
        config.attempt_timeout = config.attempt_timeout.min(deadline);
        config.connect_timeout = config.connect_timeout.min(deadline);
        config.deadline = deadline;
        config.tls = self.credentials.tls()?;
        Ok(config)
    }
}

impl AdminEndpoints {
    /// A client that reads, lists the members or confirms a clock.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        Ok(Client::new(self.config(DEADLINE)?)?)
    }

    /// A client that changes the membership. A single attempt may take as long as a change does, but no longer than
    /// the caller's limit.
    pub(crate) fn client_for_changes(&self) -> Result<Client, CliError> {
        let mut config = self.config(CHANGE_WITHIN.saturating_mul(2))?;
        config.attempt_timeout = CHANGE_WITHIN.min(config.deadline);
        Ok(Client::new(config)?)
    }

    /// The configuration of a client. If only admin listeners are given, they are its endpoints too.
    fn config(&self, otherwise: Duration) -> Result<ClientConfig, CliError> {
        let (endpoints, admin) = (self.endpoints.list(), listed(&self.admin));
        let asked = if endpoints.is_empty() { &admin } else { &endpoints };
        let config = self.endpoints.config_for(asked, Trust::NoAllow, otherwise)?;
        Ok(ClientConfig { admin, ..config })
    }
}

/// The addresses in what was given, in that order.
fn listed(given: &[String]) -> Vec<String> {
    let given = given.iter().flat_map(|given| given.split([',', ' ', '\t', '\r', '\n']));
    given.filter(|address| !address.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    const SECRET: &str = "assent_c2VjcmV0";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        endpoints: Endpoints,
    }

    fn config(args: &[&str]) -> Result<ClientConfig, CliError> {
        let endpoint = ["assent", "--endpoint", "http://127.0.0.1:1"];
        let line = Line::try_parse_from(endpoint.iter().chain(args)).unwrap();
        assert!(!format!("{line:?}").contains(SECRET));
        line.endpoints.config(Trust::NoAllow, DEADLINE)
    }

    #[derive(Debug, Parser)]
    struct AdminLine {
        #[command(flatten)]
        endpoints: AdminEndpoints,
    }

    #[test]
    fn admin_listeners_are_asked_beside_the_endpoints_or_alone() {
        let config = |args: &[&str]| {
            let line = AdminLine::try_parse_from(["assent"].iter().chain(args)).unwrap();
            line.endpoints.config(DEADLINE)
        };
        let both = config(&["--endpoint", "a:1,b:1", "--admin", "a:2,b:2", "--admin", "c:2"]).unwrap();
        assert_eq!(both.endpoints, ["a:1", "b:1"]);
        assert_eq!(both.admin, ["a:2", "b:2", "c:2"]);
        let alone = config(&["--admin", "a:2"]).unwrap();
        assert_eq!((alone.endpoints, alone.admin), (vec!["a:2".to_owned()], vec!["a:2".to_owned()]));
        let none = config(&["--endpoint", "a:1"]).unwrap();
        assert!(none.admin.is_empty());
        assert_eq!(config(&[]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_certificate_needs_its_key_and_there_is_one_token() {
        assert!(config(&[]).unwrap().tls.is_none());
        let tls = config(&["--ca", "ca", "--cert", "c", "--cert-key", "k", "--token", SECRET]).unwrap();
        let tls = tls.tls.unwrap();
        assert_eq!(tls.ca, Some("ca".into()));
        assert_eq!(tls.certificate, Some(CertificateFiles { cert: "c".into(), key: "k".into() }));
        assert!(matches!(tls.token, Some(TokenSource::Value(_))));
        let file = config(&["--token-file", "t"]).unwrap().tls.unwrap();
        assert!(matches!(file.token, Some(TokenSource::File(path)) if path.as_os_str() == "t"));
        for (bad, says) in [
            (&["--cert", "c"][..], "without its key"),
            (&["--cert-key", "k"], "without its certificate"),
            (&["--token", SECRET, "--token-file", "t"], "both a token and a file"),
            (&["--token", "two words"], "has a character that no token has"),
        ] {
            let error = config(bad).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            assert!(error.detail.contains(says) && !error.detail.contains(SECRET), "{error}");
        }
    }

    #[test]
    fn help_does_not_print_the_token_of_the_environment() {
        let command = Line::command();
        let hidden = command.get_arguments().filter(|arg| arg.is_hide_env_values_set());
        assert_eq!(hidden.map(|arg| arg.get_id().as_str()).collect::<Vec<_>>(), ["token"]);
    }
}
