//! `cert`: a small certificate authority, for operators who have none, and bearer tokens.

use std::path::{Path, PathBuf};

use assent_api::parse_node_id;
use assent_registry::GenesisFile;
use assent_tls::ca::{Ca, CertificateRequest, IssuedCertificate, NewCertificate, WrittenCrl};
use assent_tls::{NodeName, SpiffeId, TrustDomain};
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use crate::certificates::{Files, serial_in, serial_named, time, word};
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::table::{self, Column};
use crate::tokens::DigestFile;
use crate::{certificates, edge, files, tokens};

const EXAMPLE: &str = "\
Example:
  assent cert init --dir ca --trust-domain prod.example
  assent cert node --dir ca --genesis genesis.json --id 1 --host 10.0.0.11 \\
    --out node-1
  assent cert caller --dir ca --path /slurm/ctl --out slurm
  assent cert renew node-1/cert.pem --dir ca --out node-1
  assent cert revoke node-1/cert.pem --dir ca
  assent cert crl --dir ca
  assent cert list --dir ca
  assent cert token --out ci.token --hash-out ci.tokens";

/// Run a small certificate authority: make it, and issue, renew, revoke and list certificates of nodes and callers. Make
/// bearer tokens.
///
/// The authority is a folder. A person who can read its private key `ca.key` can pose as every node and caller: keep the
/// folder on a machine that runs no node, with a copy.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: CertCommand,
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    Init(Init),
    Node(Node),
    Caller(Caller),
    Renew(Renew),
    Revoke(Revoke),
    Crl(Crl),
    List(List),
    Token(Token),
}

/// The folder of an authority.
#[derive(Debug, ClapArgs)]
struct Authority {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Make an authority: its key (mode 0600), its certificate of ten years, and an empty list of revoked certificates.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent cert init --dir ca --trust-domain prod.example")]
struct Init {
    #[command(flatten)]
    authority: Authority,
    /// The trust domain, with which every id in a certificate begins: `a-z`, `0-9`, `.`, `-` and `_`
    #[arg(long, value_name = "NAME")]
    trust_domain: TrustDomain,
}

/// Issue the certificate of a node for 90 days. It binds the node id and the cluster, and names the node's hosts.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent cert node --dir ca --genesis genesis.json --id 1 --host 10.0.0.11 \\
    --host n1.prod.example --out node-1

The folder gets `cert.pem`, `key.pem` and copies of the authority's `ca.pem` and `ca.crl`. A certificate or key that is there is never overwritten.")]
struct Node {
    #[command(flatten)]
    authority: Authority,
    /// The cluster's genesis file, whose digest is the cluster's id
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The node id
    #[arg(long, value_name = "N", value_parser = parse_node_id)]
    id: u64,
    /// A DNS name or IP address at which clients reach the node, without a port (repeatable)
    #[arg(long = "host", value_name = "NAME-OR-IP", required = true)]
    hosts: Vec<String>,
    /// The folder for the certificate and its key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Issue the certificate of a caller for 90 days.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent cert caller --dir ca --path /slurm/ctl --out slurm
  assent cert caller --dir ca --id spiffe://prod.example/auditor --out auditor

The folder gets `cert.pem`, `key.pem` and copies of the authority's `ca.pem` and `ca.crl`. What a caller may do is in the nodes' configuration, never in its certificate.")]
struct Caller {
    #[command(flatten)]
    authority: Authority,
    /// The caller's SPIFFE id
    #[arg(long, value_name = "SPIFFE-ID", required_unless_present = "path", conflicts_with = "path")]
    id: Option<SpiffeId>,
    /// The path of the caller's SPIFFE id in the authority's trust domain
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The folder for the certificate and its key
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Issue a certificate with the names of an earlier one, for a new key, and replace the files while they are in use.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent cert renew node-1/cert.pem --dir ca --out node-1

The earlier certificate stays valid up to its end. Key and certificate are replaced one right after the other. A node that reads the new key with the old certificate keeps the pair that it has and reads the files again. If the command is killed between the two, run it again before you restart the node. `ca.pem` and `ca.crl` stay as they are.")]
struct Renew {
    /// The file with the earlier certificate
    #[arg(value_name = "CERT")]
    certificate: PathBuf,
    #[command(flatten)]
    authority: Authority,
    /// The folder whose `cert.pem` and `key.pem` are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Revoke a certificate, and write the authority's list `ca.crl` with it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent cert revoke node-1/cert.pem --dir ca
  assent cert revoke 5b0e1f5c1b7f4f0a9f6f3f2d8e9a7c11 --dir ca

Then give the list to every node: a node refuses the certificate from the moment at which it has the list.")]
struct Revoke {
    /// The file with the certificate, or its serial number. For a file whose name is a serial number, write `./NAME`
    #[arg(value_name = "CERT-OR-SERIAL")]
    certificate: String,
    #[command(flatten)]
    authority: Authority,
}

/// Write the list of revoked certificates anew. A list ends after 30 days, and a node with a list that has ended refuses
/// every certificate of the authority: run this once a week, and give the list to every node.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent cert crl --dir ca")]
struct Crl {
    #[command(flatten)]
    authority: Authority,
}

/// List the certificates that the authority issued, except those that ended over a year ago.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  assent cert list --dir ca --output json")]
struct List {
    #[command(flatten)]
    authority: Authority,
}

/// Make a bearer token for a caller that has no certificate: 256 random bits, in a file that only its owner may read.
///
/// The command prints the token's SHA-256 and never the token. A node knows the token once a file that `tokens` of an
/// entry of `callers` names has that line.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent cert token --out ci.token --hash-out ci.tokens
  assent status --endpoint https://node-1:7400 --ca ca.pem --token-file ci.token

Give `ci.tokens` to every node, and `ci.token` to the caller alone. To rotate a token, make a new one with the same `--hash-out`, and remove the line of the old one once the caller has the new one.")]
struct Token {
    /// The file for the token. A file that is there is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The file of digests for the nodes, which gets a line with the token's digest. It is made if it is missing
    #[arg(long, value_name = "FILE")]
    hash_out: Option<PathBuf>,
}

const COLUMNS: [Column; 5] = [
    Column::left("serial", 32),
    Column::left("use", 6),
    Column::left("valid until", 20),
    Column::left("state", 8),
    Column::left("id", 0),
];

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    match args.command {
        CertCommand::Init(args) => init(&args, output),
        CertCommand::Node(args) => node(&args, output),
        CertCommand::Caller(args) => caller(&args, output),
        CertCommand::Renew(args) => renew(&args, output),
        CertCommand::Revoke(args) => revoke(&args, output),
        CertCommand::Crl(args) => crl(&args, output),
        CertCommand::List(args) => list(&args, output),
        CertCommand::Token(args) => token(&args, output),
    }
}

/// The time of this command, in unix milliseconds.
fn now_ms() -> i64 {
    edge::now().0
}

fn init(args: &Init, output: Output) -> Result<Exit, CliError> {
    let ca = Ca::create(&args.authority.dir, &args.trust_domain, now_ms(), edge::random()?)?;
    let (certificate, not_after) = (ca.certificate_path().display().to_string(), time(ca.not_after_ms()));
    let value = json!({
        "trustDomain": ca.trust_domain().as_str(), "notAfter": not_after, "ca": certificate,
        "crl": ca.crl_path().display().to_string(),
    });
    output.result(&value, || {
        format!("authority for {}, valid until {not_after}\ncertificate {certificate}", ca.trust_domain())
    })?;
    Ok(Exit::Ok)
}

fn node(args: &Node, output: Output) -> Result<Exit, CliError> {
    let genesis = GenesisFile::parse(&files::read(&args.genesis)?)
        .map_err(|refusal| CliError::from(refusal).in_file(&args.genesis))?;
    let ca = Ca::open(&args.authority.dir)?;
    let (trust_domain, cluster_id) = (ca.trust_domain().clone(), genesis.cluster_id().0);
    let name = NodeName { trust_domain, cluster_id, node_id: args.id };
    issue(ca, &CertificateRequest::node(&name, &args.hosts)?, &args.out, output)
}

fn caller(args: &Caller, output: Output) -> Result<Exit, CliError> {
    let ca = Ca::open(&args.authority.dir)?;
    let id = match (&args.id, &args.path) {
        (Some(id), _) => id.clone(),
        (None, Some(path)) if path.starts_with('/') => {
            let text = format!("spiffe://{}{path}", ca.trust_domain());
            SpiffeId::parse(&text).map_err(|error| CliError::usage(format!("`--path`: {error}")))?
        }
        (None, Some(_)) => return Err(CliError::usage("`--path` begins with `/`")),
        (None, None) => return Err(CliError::usage("give `--id` or `--path`")),
    };
    issue(ca, &CertificateRequest::caller(id)?, &args.out, output)
}

/// Issues a certificate into a folder.
fn issue(mut ca: Ca, request: &CertificateRequest, out: &Path, output: Output) -> Result<Exit, CliError> {
    let files = Files::of(out);
    files.must_be_new()?;
    let new = ca.issue(request, now_ms(), edge::random()?)?;
    files.install(out, &ca, &new)?;
    report(&new, &files, output)
}

fn renew(args: &Renew, output: Output) -> Result<Exit, CliError> {
    let serial = serial_in(&args.certificate)?;
    let mut ca = Ca::open(&args.authority.dir)?;
    let files = Files::of(&args.out);
    files.must_be_of(&ca, &serial)?;
    let new = ca.renew(&serial, now_ms(), edge::random()?)?;
    files.replace(&args.out, &new)?;
    report(&new, &files, output)
}

/// Prints what was issued, and where it is.
fn report(new: &NewCertificate, files: &Files, output: Output) -> Result<Exit, CliError> {
    let certificate = &new.certificate;
    let mut value = certificates::json(certificate);
    if let Value::Object(fields) = &mut value {
        let paths = json!({
            "cert": files.certificate.display().to_string(), "key": files.key.display().to_string(),
            "ca": files.authority.display().to_string(), "crl": files.crl.display().to_string(),
        });
        fields.insert("files".to_owned(), paths);
    }
    output.result(&value, || {
        let (id, serial, until) = (&certificate.id, &certificate.serial, time(certificate.not_after_ms));
        let (cert, key) = (files.certificate.display(), files.key.display());
        format!("id           {id}\nserial       {serial}\nvalid until  {until}\ncertificate  {cert}\nkey          {key}")
    })?;
    Ok(Exit::Ok)
}

fn revoke(args: &Revoke, output: Output) -> Result<Exit, CliError> {
    let serial = serial_named(&args.certificate)?;
    let mut ca = Ca::open(&args.authority.dir)?;
    let (revoked, crl) = ca.revoke(&serial, now_ms())?;
    let mut value = list_json(&crl);
    if let Value::Object(fields) = &mut value {
        fields.insert("certificate".to_owned(), certificates::json(&revoked));
    }
    output.result(&value, || {
        let when = revoked.revoked_at_ms.map(time).unwrap_or_default();
        let (id, told) = (&revoked.id, told(&crl));
        format!("revoked {serial} of {id} at {when}\n{told}\ngive this list to every node")
    })?;
    Ok(Exit::Ok)
}

fn crl(args: &Crl, output: Output) -> Result<Exit, CliError> {
    let crl = Ca::open(&args.authority.dir)?.write_crl(now_ms())?;
    output.result(&list_json(&crl), || told(&crl))?;
    Ok(Exit::Ok)
}

/// A list that was written, as JSON.
fn list_json(crl: &WrittenCrl) -> Value {
    json!({
        "crl": crl.path.display().to_string(), "number": crl.number, "revoked": crl.revoked,
        "nextUpdate": time(crl.next_update_ms),
    })
}

/// A list that was written, in one line.
fn told(crl: &WrittenCrl) -> String {
    let (path, number, revoked, until) =
        (crl.path.display(), crl.number, crl.revoked, time(crl.next_update_ms));
    format!("list {number} in {path}: {revoked} revoked, valid until {until}")
}

fn list(args: &List, output: Output) -> Result<Exit, CliError> {
    let ca = Ca::open(&args.authority.dir)?;
    let now_ms = now_ms();
    let certificates: Vec<Value> = ca.certificates().iter().map(certificates::json).collect();
    let value = json!({
        "trustDomain": ca.trust_domain().as_str(), "notAfter": time(ca.not_after_ms()),
        "certificates": certificates,
    });
    output.result(&value, || {
        let rows = ca.certificates().iter().map(|one| row(one, now_ms));
        [table::heads(&COLUMNS)].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Ok)
}

fn token(args: &Token, output: Output) -> Result<Exit, CliError> {
    let paths = [Some(&args.out), args.hash_out.as_ref()];
    if paths.into_iter().flatten().any(|path| files::is_stdio(path)) {
        return Err(CliError::usage("`cert token` writes files, and nothing to stdout but the digest"));
    }
    // Before the token is made, so that none is made in vain.
    let digests = args.hash_out.as_deref().map(DigestFile::open).transpose()?;
    let digest = tokens::create(&args.out)?;
    if let Some(digests) = digests {
        digests.add(&digest).map_err(|error| {
            let token = args.out.display();
            let remedy = format!("the token is in `{token}`: add the line `{digest}` to the file yourself");
            CliError { remedy, ..error }
        })?;
    }
    let value = json!({
        "sha256": digest.to_string(), "token": args.out.display().to_string(),
        "hashes": args.hash_out.as_ref().map(|path| path.display().to_string()),
    });
    output.result(&value, || digest.to_string())?;
    Ok(Exit::Ok)
}

fn row(one: &IssuedCertificate, now_ms: i64) -> String {
    let state = match one.revoked_at_ms {
        Some(_) => "revoked",
        None if one.not_after_ms < now_ms => "expired",
        None => "valid",
    };
    let cells = [
        one.serial.to_string(),
        word(one.usage).to_owned(),
        time(one.not_after_ms),
        state.to_owned(),
        one.id.to_string(),
    ];
    table::row(&COLUMNS, cells)
}
