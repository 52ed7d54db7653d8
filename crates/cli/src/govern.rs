//! Signing one governance statement or restriction with the keys at hand, and sending it.

use std::path::PathBuf;

use assent_proof::{Claims, LineageName, SigningKey, Statement};
use clap::Args as ClapArgs;

use crate::args::{DomainArg, OriginArg};
use crate::connect::Endpoints;
use crate::draft::Slot;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{deliver, draft, edge, keys};

/// Who signs, for where, and how it is sent.
#[derive(Debug, ClapArgs)]
pub(crate) struct GovernArgs {
    /// A key that signs (repeatable)
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    origin: OriginArg,
    #[command(flatten)]
    domain: DomainArg,
    /// Keep the signed bytes in this directory before they are sent
    #[arg(long, value_name = "DIR")]
    outbox: Option<PathBuf>,
    /// Print the signed envelope instead of submitting it
    #[arg(long, conflicts_with = "outbox")]
    print: bool,
    #[command(flatten)]
    pub(crate) endpoints: Endpoints,
}

impl GovernArgs {
    /// The domain that is governed.
    pub(crate) fn domain(&self) -> Result<assent_proof::DomainName, CliError> {
        self.domain.required()
    }

    /// Makes the statement of these claims, signs it and sends it. What needs a slot takes the next free one.
    pub(crate) async fn send(&self, claims: &Claims, output: Output) -> Result<Exit, CliError> {
        let signers = keys::read_all_signing(&self.keys)?;
        let statement = self.statement(claims, &signers).await?;
        draft::check(&statement)?;
        let mut envelope = draft::envelope(&statement);
        for key in &signers {
            envelope.sign_with(key);
        }
        let bytes = envelope.to_vec();
        if self.print {
            output.line(&String::from_utf8_lossy(&bytes))?;
        } else {
            deliver::fresh(&self.endpoints.client()?, &bytes, self.outbox.as_deref(), output).await?;
        }
        Ok(Exit::Ok)
    }

    async fn statement(&self, claims: &Claims, signers: &[SigningKey]) -> Result<Statement, CliError> {
        let (registry, domain) = (self.origin.required()?, self.domain.required()?);
        let (kind, claims, lineage) = (claims.kind(), claims.to_json(), LineageName::governance());
        let subject = draft::governance_subject(kind, &registry, &domain, &claims)
            .ok_or_else(|| CliError::usage(format!("a `{kind}` names its target")))?;
        let slot = match kind.is_restriction() {
            true => None,
            false => Some(draft::next_slot(&self.endpoints.client()?, kind, &domain, &lineage, None).await?),
        };
        Ok(Statement {
            subject_name: None,
            subject,
            kind,
            registry,
            domain,
            lineage,
            issuers: signers.iter().map(SigningKey::public).collect(),
            sequence: slot.as_ref().map(|slot: &Slot| slot.sequence),
            parent: slot.and_then(|slot| slot.parent),
            references: Vec::new(),
            issued_at: edge::now_seconds(),
            expires_at: None,
            claims,
        })
    }
}
