//! The command line.

use assent_client::{BearerToken, CertificateFiles, ClientError, ClientTls, TokenSource};
use clap::builder::RangedU64ValueParser;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
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
  cargo run --release -p assent-benches -- --tls --clients 64,256
      the same authorizes against a cluster without TLS and one with it, in turn, and the ratio
  cargo run --release -p assent-benches -- flood
      a well-behaved scheduler and revocations while another caller floods the nodes in one way after the other
  cargo run --release -p assent-benches -- idle
      authorizes while 10000 connections from a thousand addresses do nothing
  cargo run --release -p assent-benches -- --dev-json ./dev-data/dev.json --output json > load.json
      a cluster that `assent dev` runs already; it gains many lineages
";

const FLOOD_EXAMPLES: &str = "\
Examples:
  cargo build --release && cargo run --release -p assent-benches -- flood
      every kind of flood, about four minutes
  cargo run --release -p assent-benches -- flood --only authorize-batches,permits --seconds 30 --output json
";

const IDLE_EXAMPLES: &str = "\
Examples:
  cargo build --release && cargo run --release -p assent-benches -- idle
      10000 connections with TLS; this program and the node that holds them need 10000 open files each
  cargo run --release -p assent-benches -- idle --connections 20000 --per-address 50 --plain
";

/// Measures authorize and submit on a real cluster.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "cluster-load",
    version,
    about,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Args {
    /// A measurement of another kind.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Numbers of clients, run one after the other; each client has one connection and one request in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256], value_parser = clients())]
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
    /// Run authorize against two clusters in turn, one without TLS and one with it, and print the ratio of their rates.
    #[arg(long, conflicts_with_all = ["dev_json", "only"])]
    pub(crate) tls: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Attach to the cluster of this `dev.json` instead of starting one.
    #[arg(long, conflicts_with_all = ["nodes", "data", "assent"])]
    pub(crate) dev_json: Option<PathBuf>,
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

/// The cluster that is started.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct PlaceArgs {
    /// Nodes of the cluster that is started.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=5))]
    pub(crate) nodes: u16,
    /// Where the started cluster keeps its data, which is removed afterwards. Use a real disk, not a tmpfs. Default: a
    /// new directory beside the program.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// The `assent` program. Default: the one beside this program.
    #[arg(long)]
    pub(crate) assent: Option<PathBuf>,
}

/// The measurements that have arguments of their own.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Measures what a well-behaved scheduler and revocations notice of another caller's flood.
    ///
    /// It starts a cluster with TLS. For each kind of flood, a scheduler asks on one connection, first while nothing
    /// else happens and then while another caller sends calls of that kind on many connections without a pause.
    /// During the flood a revocation is submitted on each node. Before and after each part, the metrics of every node
    /// are read.
    Flood(FloodArgs),
    /// Measures authorizes while very many connections are idle.
    ///
    /// It starts a cluster whose caps are high enough, makes the connections to its first node from many loopback
    /// addresses, one request on each, and leaves them open. Then it asks every node for decisions.
    Idle(IdleArgs),
}

/// The arguments of `flood`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = FLOOD_EXAMPLES)]
pub(crate) struct FloodArgs {
    /// Connections of the caller that floods.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// The kinds of flood, one after the other.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = FloodKind::ALL)]
    pub(crate) only: Vec<FloodKind>,
    /// How long each part measures, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// How long each part warms up before that, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(crate) warm_up: u64,
    /// How many lineages that allow are asked about.
    #[arg(long, default_value_t = 1000)]
    pub(crate) lineages: usize,
    /// How many different bodies of each kind are made beforehand for each connection. They are sent again if they do
    /// not suffice. Batches of forged envelopes are made for one connection in eight. Of valid envelopes there are at
    /// most 2000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) bodies: u16,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// How to print the results.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(crate) output: OutputFormat,
}

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FloodKind {
    /// `POST /v1/authorize`.
    Authorizes,
    /// `POST /v1/authorize:batch` with 1000 requests each.
    AuthorizeBatches,
    /// `POST /v1/envelopes:batch` with as many forged envelopes as fit, each of which costs 96 signature checks.
    SignatureBatches,
    /// `POST /v1/envelopes` with one forged envelope.
    InvalidEnvelopes,
    /// `POST /v1/envelopes:batch` with 20 valid envelopes, most of which were accepted before.
    EnvelopeBatches,
    /// `POST /v1/envelopes` with one valid envelope, which mostly was accepted before.
    Envelopes,
    /// `POST /v1/permits`.
    Permits,
    /// `GET` of lineages, envelopes and pages of authorities.
    Reads,
    /// `GET /v1/events`: long polls and pages that are answered at once.
    Feeds,
}

impl FloodKind {
    /// Every kind, in the order in which they are run.
    pub(crate) const ALL: [FloodKind; 9] = [
        FloodKind::Authorizes,
        FloodKind::AuthorizeBatches,
        FloodKind::SignatureBatches,
        FloodKind::InvalidEnvelopes,
        FloodKind::EnvelopeBatches,
        FloodKind::Envelopes,
        FloodKind::Permits,
        FloodKind::Reads,
        FloodKind::Feeds,
    ];

    /// The kind's name in the results.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            FloodKind::Authorizes => "authorizes",
            FloodKind::AuthorizeBatches => "authorize-batches",
            FloodKind::SignatureBatches => "signature-batches",
            FloodKind::InvalidEnvelopes => "invalid-envelopes",
            FloodKind::EnvelopeBatches => "envelope-batches",
            FloodKind::Envelopes => "envelopes",
            FloodKind::Permits => "permits",
            FloodKind::Reads => "reads",
            FloodKind::Feeds => "feeds",
        }
    }
}

/// The arguments of `idle`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = IDLE_EXAMPLES)]
pub(crate) struct IdleArgs {
    /// Idle connections.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// How many of them come from the same loopback address.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) per_address: u32,
    /// Use plain HTTP. Otherwise the connections have TLS.
    #[arg(long)]
    pub(crate) plain: bool,
    /// Clients that ask for decisions, each on one connection, spread evenly over the nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) clients: u16,
    /// How long each part measures, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// How long each part warms up before that, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub(crate) warm_up: u64,
    /// How many lineages that allow are asked about.
    #[arg(long, default_value_t = 1000)]
    pub(crate) lineages: usize,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
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
    pub(crate) fn credentials(&self) -> Result<Option<ClientTls>, ClientError> {
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

/// As many clients as one run of the load can have.
fn clients() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=4096)
}

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
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Reads a command line whose words have no spaces.
    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("cluster-load").chain(line.split_whitespace()))
    }

    fn parsed(line: &str) -> Args {
        parse(line).unwrap_or_else(|error| panic!("`{line}`: {error}"))
    }

    fn flood(line: &str) -> FloodArgs {
        match parsed(line).command {
            Some(Command::Flood(args)) => args,
            other => panic!("`{line}`: {other:?}"),
        }
    }

    fn idle(line: &str) -> IdleArgs {
        match parsed(line).command {
            Some(Command::Idle(args)) => args,
            other => panic!("`{line}`: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_its_help_has_examples() {
        Args::command().debug_assert();
        assert!(Args::command().render_long_help().to_string().contains("Examples:"));
    }

    #[test]
    fn each_measurement_of_another_kind_has_examples_and_takes_no_arguments_of_the_load() {
        for name in ["flood", "idle"] {
            let mut command = Args::command();
            let help = command.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{help}");
            assert!(parse(&format!("--only submit {name}")).is_err());
        }
    }

    #[test]
    fn without_flags_the_load_is_as_its_help_says() {
        let args = parsed("");
        assert!(args.command.is_none() && !args.tls && args.dev_json.is_none());
        assert_eq!(args.clients, [1, 64, 256]);
        assert_eq!((args.seconds, args.warm_up), (10, 2));
        assert_eq!(args.only, [Scenario::Livez, Scenario::Authorize, Scenario::Submit]);
        assert_eq!((args.lineages, args.chain, args.sign_rate), (1000, 20, None));
        assert_eq!((args.place.nodes, args.place.data, args.place.assent), (3, None, None));
        assert_eq!(args.output, OutputFormat::Text);
    }

    #[test]
    fn each_flag_of_the_load_is_read() {
        let args = parsed(
            "--clients 1,4096 --seconds 3 --warm-up 0 --only beside,livez --lineages 7 --chain 5 --sign-rate 90 \
             --nodes 5 --data /data --assent /bin/assent --output json",
        );
        assert_eq!(args.clients, [1, 4096]);
        assert_eq!((args.duration(), args.warm_up()), (Duration::from_secs(3), Duration::ZERO));
        assert_eq!(args.only, [Scenario::Beside, Scenario::Livez]);
        assert_eq!((args.lineages, args.chain, args.sign_rate), (7, 5, Some(90)));
        assert_eq!(args.place.nodes, 5);
        assert_eq!(args.place.data.as_deref(), Some(Path::new("/data")));
        assert_eq!(args.place.assent.as_deref(), Some(Path::new("/bin/assent")));
        assert_eq!(args.output, OutputFormat::Json);
        assert!(parsed("--tls --clients 2").tls);
    }

    #[test]
    fn the_cluster_to_attach_to_and_what_is_shown_to_it_are_read() {
        let args = parsed("--dev-json d/dev.json --ca ca.pem --cert c.pem --cert-key k.pem --token-file t");
        assert_eq!(args.dev_json.as_deref(), Some(Path::new("d/dev.json")));
        let shown = args.credentials().unwrap().unwrap();
        assert_eq!(shown.ca.as_deref(), Some(Path::new("ca.pem")));
        let certificate = CertificateFiles { cert: "c.pem".into(), key: "k.pem".into() };
        assert_eq!(shown.certificate, Some(certificate));
        assert!(matches!(shown.token, Some(TokenSource::File(file)) if file == Path::new("t")));
        let shown = parsed("--dev-json dev.json --token abc").credentials().unwrap().unwrap();
        assert!(matches!(shown.token, Some(TokenSource::Value(_))));
    }

    #[test]
    fn a_text_that_is_no_token_is_refused_and_not_repeated() {
        let args = Args::try_parse_from(["cluster-load", "--token", "my secret"]).unwrap();
        let error = args.credentials().unwrap_err().to_string();
        assert!(error.contains("token") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn each_flag_of_a_flood_is_read_and_each_kind_is_known_by_its_name() {
        let args = flood("flood");
        assert_eq!((args.connections, args.seconds, args.warm_up, args.bodies), (200, 10, 2, 100));
        assert_eq!(args.only, FloodKind::ALL);
        let names: BTreeSet<&str> = FloodKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), FloodKind::value_variants().len());
        for kind in FloodKind::value_variants() {
            assert_eq!(flood(&format!("flood --only {}", kind.as_str())).only, [*kind]);
        }
        let args = flood(
            "flood --connections 4096 --only reads,feeds --seconds 600 --warm-up 60 --lineages 9 --bodies 1000 \
             --nodes 5 --data d --assent a --output json",
        );
        assert_eq!((args.connections, args.seconds, args.warm_up, args.bodies), (4096, 600, 60, 1000));
        assert_eq!(args.only, [FloodKind::Reads, FloodKind::Feeds]);
        assert_eq!((args.lineages, args.place.nodes, args.output), (9, 5, OutputFormat::Json));
        assert_eq!(args.place.data.as_deref(), Some(Path::new("d")));
        assert_eq!(args.place.assent.as_deref(), Some(Path::new("a")));
    }

    #[test]
    fn each_flag_of_idle_is_read() {
        let args = idle("idle");
        assert_eq!((args.connections, args.per_address, args.clients, args.plain), (10_000, 10, 3, false));
        assert_eq!((args.seconds, args.warm_up, args.lineages), (10, 2, 1000));
        let args = idle(
            "idle --connections 60 --per-address 5 --plain --clients 2 --seconds 1 --warm-up 0 --lineages 4 \
             --nodes 1 --data d --assent a --output json",
        );
        assert_eq!((args.connections, args.per_address, args.clients, args.plain), (60, 5, 2, true));
        assert_eq!((args.seconds, args.warm_up, args.lineages), (1, 0, 4));
        assert_eq!((args.place.nodes, args.output), (1, OutputFormat::Json));
        assert_eq!(args.place.data.as_deref(), Some(Path::new("d")));
        assert_eq!(args.place.assent.as_deref(), Some(Path::new("a")));
    }

    #[test]
    fn a_wrong_flag_is_refused_with_its_name_and_what_is_wrong() {
        for (line, told) in [
            ("--clients 0", ["--clients", "0 is not in 1..=4096"]),
            ("--clients 1,4097", ["--clients", "4097 is not in 1..=4096"]),
            ("--clients many", ["--clients", "'many'"]),
            ("--clients", ["--clients", "a value is required"]),
            ("--seconds soon", ["--seconds", "'soon'"]),
            ("--warm-up 0.5", ["--warm-up", "'0.5'"]),
            ("--only permits", ["--only", "possible values: livez, authorize, submit, beside"]),
            ("--lineages few", ["--lineages", "'few'"]),
            ("--chain x", ["--chain", "'x'"]),
            ("--sign-rate x", ["--sign-rate", "'x'"]),
            ("--nodes 0", ["--nodes", "0 is not in 1..=5"]),
            ("--nodes 6", ["--nodes", "6 is not in 1..=5"]),
            ("--output xml", ["--output", "possible values: text, json"]),
            ("--dev-json", ["--dev-json", "a value is required"]),
            ("--dev-json d --nodes 3", ["--dev-json", "--nodes"]),
            ("--dev-json d --data e", ["--dev-json", "--data"]),
            ("--dev-json d --assent a", ["--dev-json", "--assent"]),
            ("--tls --dev-json d", ["--tls", "--dev-json"]),
            ("--tls --only submit", ["--tls", "--only"]),
            ("--cert c", ["required", "--cert-key"]),
            ("--cert-key k", ["required", "--cert <CERT>"]),
            ("--token a --token-file t", ["--token", "--token-file"]),
            ("--dev d", ["unexpected argument", "'--dev'"]),
            ("flod", ["unrecognized subcommand", "flod"]),
            ("flood --connections 0", ["--connections", "0 is not in 1..=4096"]),
            ("flood --connections 4097", ["--connections", "4097 is not in 1..=4096"]),
            ("flood --only livez", ["--only", "possible values: authorizes, authorize-batches"]),
            ("flood --seconds 0", ["--seconds", "0 is not in 1..=600"]),
            ("flood --warm-up 61", ["--warm-up", "61 is not in 0..=60"]),
            ("flood --bodies 1001", ["--bodies", "1001 is not in 1..=1000"]),
            ("flood --nodes 6", ["--nodes", "6 is not in 1..=5"]),
            ("flood --dev-json d", ["unexpected argument", "'--dev-json'"]),
            ("idle --connections 0", ["--connections", "0 is not in 1..=1000000"]),
            ("idle --per-address 10001", ["--per-address", "10001 is not in 1..=10000"]),
            ("idle --clients 0", ["--clients", "0 is not in 1..=4096"]),
            ("idle --seconds 601", ["--seconds", "601 is not in 1..=600"]),
            ("idle --tls", ["unexpected argument", "'--tls'"]),
        ] {
            let error = parse(line).expect_err(line).to_string();
            for told in told {
                assert!(error.contains(told), "`{line}`: {error}");
            }
        }
    }
}
