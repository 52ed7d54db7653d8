//! `statement new`: make a statement, sign it, and submit it.

use std::path::PathBuf;

use assent_proof::{
    DomainName, EvidenceId, EvidenceKind, Json, LineageName, PublicKey, Seconds, Sha256, SigningKey,
    Statement, json,
};
use clap::{Args as ClapArgs, Subcommand};

use crate::args::{DomainArg, OriginArg, SubjectArg};
use crate::connect::Endpoints;
use crate::draft::{self, Slot};
use crate::exit::{CliError, Exit};
use crate::govern::signed;
use crate::output::Output;
use crate::slotted::{Delivery, says_the_same};
use crate::unsettled::{Chain, Unsettled};
use crate::{deliver, edge, keys};

const EXAMPLE: &str = "\
Example:
  assent statement new runtime-attestation --lineage job-1 \\
    --subject-file job.py --claim verifier=v1 --claim status=affirming \\
    --claim measurement=none --key verifier.pem --submit

  Offline, the slot is yours to say:
  assent statement new audit-lineage --offline --sequence 1 --parent blake3:… \\
    --origin registry.example/eu-1 --domain prod.eu --lineage job-1 \\
    --subject sha256:… --reference blake3:… \\
    --claim event=completed --key audit.pem > envelope.json

One issuer must never sign two different statements for one slot: that quarantines the lineage. So don't run two
`statement new` of one key for one lineage at the same time.";

/// Make and sign statements.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: StatementCommand,
}

#[derive(Debug, Subcommand)]
enum StatementCommand {
    New(Box<New>),
}

/// Make a statement and sign it. Print the envelope, or submit it and print the receipt.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct New {
    /// The kind of evidence, such as `runtime-attestation` or `authority-grant`
    kind: EvidenceKind,
    /// A claim (repeatable); a value that is valid JSON is JSON, and any other value is text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Json)>,
    #[command(flatten)]
    origin: OriginArg,
    #[command(flatten)]
    domain: DomainArg,
    /// The lineage of the statement; governance kinds and restrictions are always in `_governance`
    #[arg(long)]
    lineage: Option<LineageName>,
    #[command(flatten)]
    subject: SubjectArg,
    /// Evidence on which the statement rests (repeatable)
    #[arg(long = "reference", value_name = "EVIDENCE-ID")]
    references: Vec<EvidenceId>,
    /// The time at which the statement is made; by default now
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ")]
    issued_at: Option<Seconds>,
    /// The time from which the statement no longer counts
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ", conflicts_with = "expires_in")]
    expires_at: Option<Seconds>,
    /// How long the statement counts, from the time at which it is made
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    expires_in: Option<i64>,
    /// A private key to sign with (repeatable); these keys are the issuers, in this order
    #[arg(long = "key", value_name = "PEM")]
    keys: Vec<PathBuf>,
    /// An issuer who signs later with `assent sign` (repeatable); these issuers come after the keys
    #[arg(long = "issuer", value_name = "ed25519:HEX")]
    issuers: Vec<PublicKey>,
    /// The statement's slot in the chain; by default the next free one, which is looked up
    #[arg(long)]
    sequence: Option<u64>,
    /// The evidence before the statement in the chain; required with a sequence over 0
    #[arg(long, value_name = "EVIDENCE-ID", requires = "sequence")]
    parent: Option<EvidenceId>,
    /// Ask no node: take the given slot, by default the first of the chain
    #[arg(long, conflicts_with = "submit")]
    offline: bool,
    /// Submit the statement and print the receipt
    #[arg(long)]
    submit: bool,
    /// With --submit: keep the signed bytes in this directory before they are sent; a statement that takes a slot is
    /// kept beside the keys too, even without this option
    #[arg(long, value_name = "DIR", requires = "submit")]
    outbox: Option<PathBuf>,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    match args.command {
        StatementCommand::New(args) => new(&args, output).await,
    }
}

async fn new(args: &New, output: Output) -> Result<Exit, CliError> {
    let signers = keys::read_all_signing(&args.keys)?;
    let mut statement = args.statement(&signers)?;
    let unsigned = args.issuers.iter().find(|issuer| signers.iter().all(|key| key.public() != **issuer));
    if let (true, Some(issuer)) = (args.submit, unsigned) {
        return Err(CliError::usage(format!(
            "`--submit` needs every signature, and `{issuer}` has not signed"
        )));
    }
    if !args.submit {
        if !args.kind.is_restriction() {
            Unsettled::beside(&args.keys).must_be_none_of(&Chain::of(&statement))?;
        }
        args.take_slot(&mut statement).await?;
        output.product_json(&signed(&statement, &signers)?)?;
        return Ok(Exit::Ok);
    }
    let client = args.endpoints.client()?;
    if args.kind.is_restriction() {
        args.take_slot(&mut statement).await?;
        let bytes = signed(&statement, &signers)?;
        deliver::restriction(&client, &bytes, args.outbox.as_deref(), output).await?;
        return Ok(Exit::Ok);
    }
    let mut delivery = Delivery::open(&client, args.outbox.as_deref(), &args.keys, output).await?;
    let is_wanted = |kept: &Statement| args.is_wanted(kept, &statement);
    if !delivery.settle(&Chain::of(&statement), is_wanted).await? {
        args.take_slot(&mut statement).await?;
        delivery.send(&signed(&statement, &signers)?).await?;
    }
    Ok(Exit::Ok)
}

impl New {
    /// The statement without its slot.
    fn statement(&self, signers: &[SigningKey]) -> Result<Statement, CliError> {
        let claims = self.claims()?;
        let registry = self.origin.required()?;
        let domain = match draft::fixed_domain(self.kind) {
            Some(domain) => domain,
            None => self.domain.required()?,
        };
        let lineage = self.lineage()?;
        let issuers = self.issuers(signers)?;
        let subject = self.subject_digest(&registry, &domain, &claims)?;
        let issued_at = self.issued_at.unwrap_or_else(edge::now_seconds);
        Ok(Statement {
            subject_name: self.subject.name(),
            subject,
            kind: self.kind,
            registry,
            domain,
            lineage,
            issuers,
            sequence: None,
            parent: None,
            references: self.references.clone(),
            issued_at,
            expires_at: self.expires_at.or_else(|| Some(issued_at.saturating_add(self.expires_in?))),
            claims,
        })
    }

    /// Whether the statement that an earlier run signed is the one that the caller wants now: it equals `statement`,
    /// except for what the caller has left open.
    fn is_wanted(&self, kept: &Statement, statement: &Statement) -> bool {
        says_the_same(kept, statement)
            && self.issued_at.is_none_or(|at| at == kept.issued_at)
            && self.sequence.is_none_or(|sequence| Some(sequence) == kept.sequence)
            && self.parent.is_none_or(|parent| Some(parent) == kept.parent)
    }

    fn claims(&self) -> Result<Json, CliError> {
        for (i, (name, _)) in self.claims.iter().enumerate() {
            if self.claims.iter().take(i).any(|(other, _)| other == name) {
                return Err(CliError::usage(format!("claim `{name}` is given twice")));
            }
        }
        Ok(Json::Object(self.claims.clone()))
    }

    fn lineage(&self) -> Result<LineageName, CliError> {
        match &self.lineage {
            Some(lineage) if self.kind.is_execution() => Ok(lineage.clone()),
            None if self.kind.is_execution() => {
                Err(CliError::usage(format!("`{}` needs `--lineage`", self.kind)))
            }
            Some(lineage) if !lineage.is_system() => {
                Err(CliError::usage(format!("`{}` is always in lineage `_governance`", self.kind)))
            }
            _ => Ok(LineageName::governance()),
        }
    }

    fn issuers(&self, signers: &[SigningKey]) -> Result<Vec<PublicKey>, CliError> {
        let mut issuers: Vec<PublicKey> = signers.iter().map(SigningKey::public).collect();
        for issuer in &self.issuers {
            if !issuers.contains(issuer) {
                issuers.push(*issuer);
            }
        }
        if issuers.is_empty() {
            return Err(CliError::usage("give `--key PEM`, or `--issuer ID` for a key that signs later"));
        }
        Ok(issuers)
    }

    /// The subject that the kind prescribes, or otherwise the one that the caller names.
    fn subject_digest(&self, origin: &str, domain: &DomainName, claims: &Json) -> Result<Sha256, CliError> {
        let given = self.subject.digest()?;
        match draft::governance_subject(self.kind, origin, domain, claims) {
            Some(subject) if given.is_none_or(|given| given == subject) => Ok(subject),
            Some(subject) => {
                let detail =
                    format!("the subject of `{}` is always its target, here `sha256:{subject}`", self.kind);
                Err(CliError::usage(detail))
            }
            None => self.subject.required(),
        }
    }

    /// Gives the statement the slot that the caller names, or otherwise the next free one of the cluster. Restrictions
    /// take no slot.
    async fn take_slot(&self, statement: &mut Statement) -> Result<(), CliError> {
        if self.kind.is_restriction() {
            return match self.sequence {
                Some(_) => Err(CliError::usage(format!("`{}` takes no slot", self.kind))),
                None => Ok(()),
            };
        }
        let slot = match (self.sequence, self.parent) {
            (Some(0), Some(_)) => return Err(CliError::usage("slot 0 has no parent")),
            (Some(sequence), None) if sequence > 0 => {
                return Err(CliError::usage(format!("slot {sequence} needs `--parent`")));
            }
            (Some(sequence), parent) => Slot { sequence, parent },
            (None, _) if self.offline => Slot::FIRST,
            (None, _) => return draft::take_next_slot(&self.endpoints.client()?, statement).await,
        };
        (statement.sequence, statement.parent) = (Some(slot.sequence), slot.parent);
        Ok(())
    }
}

/// Reads `name=value`.
fn claim(text: &str) -> Result<(String, Json), String> {
    let (name, value) = text.split_once('=').ok_or("must be `name=value`")?;
    if name.is_empty() {
        return Err("the name before `=` is missing".to_owned());
    }
    let value = json::parse(value.as_bytes()).unwrap_or_else(|_| Json::text(value));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_json_where_it_is_json_and_text_otherwise() {
        assert_eq!(claim("status=affirming").unwrap(), ("status".into(), Json::text("affirming")));
        assert_eq!(claim("uses=3").unwrap(), ("uses".into(), Json::Int(3)));
        assert_eq!(claim("actions=[\"run\"]").unwrap().1, Json::Array(vec![Json::text("run")]));
        assert_eq!(claim("name=\"3\"").unwrap().1, Json::text("3"));
        assert_eq!(claim("detail=a=b").unwrap().1, Json::text("a=b"));
        assert!(claim("x").is_err() && claim("=x").is_err());
    }
}
