//! Signing one governance statement or restriction with the keys at hand, and sending it.

use std::path::PathBuf;

use assent_client::Client;
use assent_proof::{Claims, DomainName, LineageName, SigningKey, Statement};
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

    /// Whether the envelope is not sent, but printed.
    pub(crate) fn is_only_printed(&self) -> bool {
        self.print
    }

    /// Makes the statement of these claims, signs it and sends it. What needs a slot takes the next free one.
    pub(crate) async fn send(&self, claims: &Claims, output: Output) -> Result<Exit, CliError> {
        let signers = keys::read_all_signing(&self.keys)?;
        let (registry, domain) = (self.origin.required()?, self.domain.required()?);
        let client = if claims.kind().is_restriction() { None } else { Some(self.endpoints.client()?) };
        let bytes = signed(claims, &signers, registry, domain, client.as_ref()).await?;
        if self.print {
            output.product_json(&bytes)?;
        } else {
            deliver::fresh(&self.endpoints.client()?, &bytes, self.outbox.as_deref(), output).await?;
        }
        Ok(Exit::Ok)
    }
}

/// The signed envelope of these claims. What needs a slot takes the next free one, which `client` looks up.
pub(crate) async fn signed(
    claims: &Claims,
    signers: &[SigningKey],
    registry: String,
    domain: DomainName,
    client: Option<&Client>,
) -> Result<Vec<u8>, CliError> {
    let (kind, claims, lineage) = (claims.kind(), claims.to_json(), LineageName::governance());
    let subject = draft::governance_subject(kind, &registry, &domain, &claims)
        .ok_or_else(|| CliError::usage(format!("a `{kind}` names its target")))?;
    let slot = match client {
        None => None,
        Some(client) => Some(draft::next_slot(client, kind, &domain, &lineage, None).await?),
    };
    let statement = Statement {
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
    };
    draft::check(&statement)?;
    let mut envelope = draft::envelope(&statement);
    for key in signers {
        envelope.sign_with(key);
    }
    Ok(envelope.to_vec())
}
