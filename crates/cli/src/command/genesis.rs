//! `genesis create`: the file that founds a cluster.
//!
//! A cluster is founded from the file in memory before the file is written. So the command never makes a file that a
//! node would refuse.

use std::collections::BTreeSet;
use std::path::PathBuf;

use assent_proof::{
    Claims, DomainName, Envelope, EvidenceId, LineageName, Role, Seconds, SigningKey, Statement,
};
use assent_registry::{GenesisError, GenesisFile, MemoryRows, bootstrap};
use clap::{Args as ClapArgs, Subcommand};

use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{draft, edge, files, keys};

const EXAMPLE: &str = "\
Example:
  assent genesis create --out genesis.json --origin registry.example/eu-1 \\
    --root root-1.pem --root root-2.pem --root root-3.pem --threshold 2 \\
    --registry-key registry.pem \\
    --node-key node-1.pem --node-key node-2.pem --node-key node-3.pem

Every node of the cluster gets the same file; its digest is the cluster's id.";

/// The seconds of a day.
const DAY: i64 = 24 * 60 * 60;

/// Found a cluster.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: GenesisCommand,
}

#[derive(Debug, Subcommand)]
enum GenesisCommand {
    Create(Create),
}

/// Make the genesis file with the root, the grants of the node keys and the given envelopes, and print the cluster's
/// id.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Create {
    /// The file to make. With `-` the file goes to stdout, and the id to stderr
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The registry's origin, which all evidence for the registry names
    #[arg(long)]
    origin: String,
    /// A private root key (repeatable)
    #[arg(long = "root", value_name = "PEM", required = true)]
    roots: Vec<PathBuf>,
    /// The number of root keys that must sign together
    #[arg(long)]
    threshold: u32,
    /// The private key that signs the registry's checkpoints; it also signs the root statement, which admits it
    #[arg(long, value_name = "PEM")]
    registry_key: PathBuf,
    /// A node's private key; it also signs the grant that admits it (repeatable, in the order of the nodes)
    #[arg(long = "node-key", value_name = "PEM", required = true)]
    node_keys: Vec<PathBuf>,
    /// The number of days for which the node keys are valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u16).range(1..))]
    node_key_days: u16,
    /// Another envelope to accept at genesis, after the grants (repeatable, in order)
    #[arg(long = "envelope", value_name = "FILE")]
    envelopes: Vec<PathBuf>,
    /// The time at which the root statement and the grants were made; by default now
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ")]
    issued_at: Option<Seconds>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let GenesisCommand::Create(args) = args.command;
    let to_stdout = files::is_stdio(&args.out);
    if !to_stdout && args.out.exists() {
        let detail = format!("`{}` is there already", args.out.display());
        return Err(CliError::new("file_exists", detail, "choose another path: a cluster is founded once"));
    }
    let mut chain = Chain::begin(&args)?;
    chain.root(args.threshold, &keys::read_signing(&args.registry_key)?)?;
    let mut node_keys = BTreeSet::new();
    for (path, number) in args.node_keys.iter().zip(1_u32..) {
        let key = keys::read_signing(path)?;
        if !node_keys.insert(key.public()) {
            let detail = format!("`{}` is the key of an earlier node too", path.display());
            let remedy = "give each node a key of its own: two founders with one key found no cluster";
            return Err(CliError::new("member_exists", detail, remedy));
        }
        chain.node(&key, number, args.node_key_days)?;
    }
    for path in &args.envelopes {
        let envelope =
            Envelope::parse(&files::read(path)?).map_err(|refusal| CliError::from(refusal).in_file(path))?;
        chain.envelopes.push(envelope);
    }
    let bytes = GenesisFile::format(&chain.envelopes)?;
    let genesis = GenesisFile::parse(&bytes)?;
    bootstrap(&mut MemoryRows::default(), &genesis).map_err(|error| match error {
        GenesisError::Refused(refusal) => refusal.into(),
        GenesisError::Rows(error) => {
            CliError::new("genesis_failed", error.to_string(), "report this as a bug")
        }
    })?;
    files::hand_out(&args.out, &[], &bytes, output)?;
    let id = genesis.cluster_id().to_string();
    if to_stdout {
        output.say(&id);
        return Ok(Exit::Ok);
    }
    let value = serde_json::json!({
        "clusterId": id, "origin": genesis.origin(), "file": args.out.display().to_string(),
        "envelopes": genesis.envelopes().len(),
    });
    output.result(&value, || id.clone())?;
    Ok(Exit::Ok)
}

/// The growing chain of the lineage `_governance` in the domain `_root`.
struct Chain {
    origin: String,
    roots: Vec<SigningKey>,
    issued_at: Seconds,
    next: draft::Slot,
    envelopes: Vec<Envelope>,
}

impl Chain {
    fn begin(args: &Create) -> Result<Self, CliError> {
        Ok(Chain {
            origin: args.origin.clone(),
            roots: keys::read_all_signing(&args.roots)?,
            issued_at: args.issued_at.unwrap_or_else(edge::now_seconds),
            next: draft::Slot::FIRST,
            envelopes: Vec::new(),
        })
    }

    fn root(&mut self, threshold: u32, registry_key: &SigningKey) -> Result<(), CliError> {
        let keys = self.roots.iter().map(SigningKey::public).collect();
        let claims = Claims::Root { keys, threshold, registry_key: registry_key.public() };
        self.add(&claims, registry_key)
    }

    fn node(&mut self, key: &SigningKey, number: u32, days: u16) -> Result<(), CliError> {
        let claims = Claims::AuthorityGrant {
            authority: key.public(),
            name: format!("node-{number}"),
            role: Role::Registry,
            not_before: self.issued_at,
            not_after: self.issued_at.saturating_add(i64::from(days).saturating_mul(DAY)),
        };
        self.add(&claims, key)
    }

    /// Adds a statement signed by every root key, and by the key that it admits.
    fn add(&mut self, claims: &Claims, admitted: &SigningKey) -> Result<(), CliError> {
        let (kind, domain, json) = (claims.kind(), DomainName::root(), claims.to_json());
        let signers: Vec<&SigningKey> = self.roots.iter().chain([admitted]).collect();
        let subject = draft::governance_subject(kind, &self.origin, &domain, &json)
            .ok_or_else(|| CliError::usage("a genesis statement has a target"))?;
        let statement = Statement {
            subject_name: None,
            subject,
            kind,
            registry: self.origin.clone(),
            domain,
            lineage: LineageName::governance(),
            issuers: signers.iter().map(|key| key.public()).collect(),
            sequence: Some(self.next.sequence),
            parent: self.next.parent,
            references: Vec::new(),
            issued_at: self.issued_at,
            expires_at: None,
            claims: json,
        };
        draft::check(&statement)?;
        let mut envelope = draft::envelope(&statement);
        signers.iter().for_each(|key| envelope.sign_with(key));
        let id: EvidenceId = envelope.id();
        self.next = draft::Slot::after(self.next.sequence, id);
        self.envelopes.push(envelope);
        Ok(())
    }
}
