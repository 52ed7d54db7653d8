//! `revoke`: end an authority.

use std::path::PathBuf;

use assent_proof::{
    Claims, EvidenceKind, LineageName, PublicKey, RevocationReason, Seconds, SigningKey, Statement,
};
use clap::Args as ClapArgs;

use crate::args::{DomainArg, OriginArg};
use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{deliver, draft, edge, keys};

/// Revoke an authority's key, for good. When this returns, no node allows anything on it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent revoke --authority ed25519:… --reason keyCompromise --invalid-since 2026-11-22T19:00:00Z --key governance.pem")]
pub(crate) struct Args {
    /// The key to revoke
    #[arg(long, value_name = "ed25519:HEX")]
    authority: PublicKey,
    /// Why: keyCompromise, superseded, cessation or unspecified
    #[arg(long)]
    reason: RevocationReason,
    /// What the registry accepted of that key from then on is void
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ")]
    invalid_since: Option<Seconds>,
    /// The key that signs: governance, or the authority itself (repeatable)
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    origin: OriginArg,
    #[command(flatten)]
    domain: DomainArg,
    /// Keep the signed bytes in this directory before they are sent
    #[arg(long, value_name = "DIR")]
    outbox: Option<PathBuf>,
    /// Print the signed envelope instead of submitting it, to keep it in a safe
    #[arg(long, conflicts_with = "outbox")]
    print: bool,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let signers = keys::read_all_signing(&args.keys)?;
    let statement = args.statement(&signers)?;
    draft::check(&statement)?;
    let mut envelope = draft::envelope(&statement);
    for key in &signers {
        envelope.sign_with(key);
    }
    let bytes = envelope.to_vec();
    if args.print {
        output.line(&String::from_utf8_lossy(&bytes))?;
    } else {
        deliver::fresh(&args.endpoints.client()?, &bytes, args.outbox.as_deref(), output).await?;
    }
    Ok(Exit::Ok)
}

impl Args {
    fn statement(&self, signers: &[SigningKey]) -> Result<Statement, CliError> {
        let (registry, domain) = (self.origin.required()?, self.domain.required()?);
        let (authority, reason, invalid_since) = (self.authority, self.reason, self.invalid_since);
        let claims = Claims::Revocation { authority, reason, invalid_since }.to_json();
        let kind = EvidenceKind::Revocation;
        let subject = draft::governance_subject(kind, &registry, &domain, &claims)
            .ok_or_else(|| CliError::usage("a revocation names an authority"))?;
        Ok(Statement {
            subject_name: None,
            subject,
            kind,
            registry,
            domain,
            lineage: LineageName::governance(),
            issuers: signers.iter().map(SigningKey::public).collect(),
            sequence: None,
            parent: None,
            references: Vec::new(),
            issued_at: edge::now_seconds(),
            expires_at: None,
            claims,
        })
    }
}
