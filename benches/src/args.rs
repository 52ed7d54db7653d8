//! The command line.

use assent_client::{BearerToken, CertificateFiles, ClientError, ClientTls, TokenSource};
use clap::{Parser, ValueEnum};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  cargo build --release && cargo run --release -p assent-benches
      three nodes on this machine, everything, about two minutes
  cargo run --release -p assent-benches -- --only authorize --clients 64 --seconds 30
  cargo run --release -p assent-benches -- --only beside --clients 32
      one caller of single authorizes, alone and then beside 32 connections that post batches of 1000
  cargo run --release -p assent-benches -- --dev-json ./dev-data/dev.json --output json > load.json
      a cluster that `assent dev` runs already; it gains many lineages
";

/// Measures authorize and submit on a real cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "cluster-load", version, about, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Numbers of clients, run one after the other; each client has one connection and one request in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    pub(crate) clients: Vec<usize>,
    /// How long each run measures, in seconds.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How long each run warms up before that, in seconds.
    #[arg(long, default_value_t = 2)]
    pub(crate) warm_up: u64,
    /// What to run. `beside` runs only if it is named; its `clients` are the clients that post batches.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Scenario::Livez, Scenario::Authorize, Scenario::Submit])]
    pub(crate) only: Vec<Scenario>,
    /// How many lineages that allow are asked about.
    #[arg(long, default_value_t = 1000)]
    pub(crate) lineages: usize,
    /// Statements of one lineage before a client of `submit` starts a new one.
    #[arg(long, default_value_t = 20)]
    pub(crate) chain: usize,
    /// Envelopes signed beforehand for each second of a `submit` run. A run that uses them up ends early and is still
    /// valid. Default: 4000 for one client, 16000 for more.
    #[arg(long)]
    pub(crate) sign_rate: Option<usize>,
    /// Nodes of the cluster that is started.
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: u16,
    /// Where the started cluster keeps its data, which is removed afterwards. Use a real disk, not a tmpfs. Default: a
    /// new directory beside the program.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Attach to the cluster of this `dev.json` instead of starting one.
    #[arg(long, conflicts_with_all = ["nodes", "data", "assent"])]
    pub(crate) dev_json: Option<PathBuf>,
    /// The `assent` program. Default: the one beside this program.
    #[arg(long)]
    pub(crate) assent: Option<PathBuf>,
    /// The certificate of the CA that issued the certificates of the nodes of `--dev-json` (PEM). Every `https` endpoint
    /// needs it. If no credential is given at all, `dev.json` has the CA and the caller `developer`.
    #[arg(long, env = "ASSENT_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The caller's certificate (PEM).
    #[arg(long, env = "ASSENT_CERT", requires = "cert_key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of `--cert` (PEM).
    #[arg(long, env = "ASSENT_CERT_KEY", requires = "cert")]
    pub(crate) cert_key: Option<PathBuf>,
    /// A file with the caller's bearer token.
    #[arg(long, env = "ASSENT_TOKEN_FILE", conflicts_with = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// The caller's bearer token. Every user of the machine can see it: better use `--token-file`.
    #[arg(long, env = "ASSENT_TOKEN", hide_env_values = true, value_parser = token)]
    token: Option<TokenArg>,
    /// How to print the results.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) output: OutputFormat,
}

impl Args {
    /// How long each run measures.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.max(1))
    }

    /// What the clients show to the nodes, and how they know them.
    pub(crate) fn tls(&self) -> Result<Option<ClientTls>, ClientError> {
        let certificate = self.cert.clone().zip(self.cert_key.clone());
        let certificate = certificate.map(|(cert, key)| CertificateFiles { cert, key });
        let token = match (&self.token_file, &self.token) {
            (Some(file), _) => Some(TokenSource::File(file.clone())),
            (None, Some(TokenArg(token))) => Some(TokenSource::Value(token.clone()?)),
            (None, None) => None,
        };
        let is_given = self.ca.is_some() || certificate.is_some() || token.is_some();
        Ok(is_given.then(|| ClientTls { ca: self.ca.clone(), certificate, token }))
    }

    /// How long each run warms up.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up)
    }
}

/// A bearer token as it was given. Clap repeats a value that it refuses, so this takes every text.
#[derive(Clone, Debug)]
struct TokenArg(Result<BearerToken, ClientError>);

fn token(text: &str) -> Result<TokenArg, Infallible> {
    Ok(TokenArg(BearerToken::new(text)))
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// `GET /livez`: bare HTTP on the same nodes.
    Livez,
    /// `POST /v1/authorize`: a linearizable decision, signed.
    Authorize,
    /// `POST /v1/envelopes`: one signed envelope, durable on a majority.
    Submit,
    /// `POST /v1/authorize` by one client, first alone and then beside others that post batches of 1000.
    Beside,
}

impl Scenario {
    /// The scenario's name in the results.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scenario::Livez => "livez",
            Scenario::Authorize => "authorize",
            Scenario::Submit => "submit",
            Scenario::Beside => "beside",
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_its_help_has_examples() {
        Args::command().debug_assert();
        assert!(Args::command().render_long_help().to_string().contains("Examples:"));
        let args = Args::parse_from(["cluster-load", "--only", "authorize,submit", "--clients", "1,2"]);
        assert_eq!((args.only, args.clients), (vec![Scenario::Authorize, Scenario::Submit], vec![1, 2]));
    }
}
