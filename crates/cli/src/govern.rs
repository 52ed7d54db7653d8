//! Signs one governance statement or restriction with the given keys, and sends it.

use std::path::PathBuf;

use assent_proof::{Claims, DomainName, LineageName, SigningKey, Statement};
use clap::Args as ClapArgs;

use crate::args::{DomainArg, OriginArg};
use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::slotted::{Delivery, says_the_same};
use crate::unsettled::{Chain, Unsettled};
use crate::{deliver, draft, edge, keys};

/// The keys that sign, the registry and domain that the statement is for, and how the statement is sent.
#[derive(Debug, ClapArgs)]
pub(crate) struct GovernArgs {
    /// A private key to sign with (repeatable)
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    origin: OriginArg,
    #[command(flatten)]
    domain: DomainArg,
    /// Keep the signed bytes in this directory before they are sent; a statement that takes a slot is kept beside the
    /// keys too, even without this option
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

    /// Whether the envelope is printed and not sent.
    pub(crate) fn is_only_printed(&self) -> bool {
        self.print
    }

    /// Makes the statement of these claims, signs it and sends it. A statement that needs a slot takes the next free
    /// one. If an earlier run has signed the same statement and its outcome is unknown, that earlier statement is sent
    /// instead.
    pub(crate) async fn send(&self, claims: &Claims, output: Output) -> Result<Exit, CliError> {
        let signers = keys::read_all_signing(&self.keys)?;
        let mut statement = drafted(claims, &signers, self.origin.required()?, self.domain.required()?)?;
        if claims.kind().is_restriction() {
            let bytes = signed(&statement, &signers)?;
            if self.print {
                output.product_json(&bytes)?;
            } else {
                let client = self.endpoints.client()?;
                deliver::restriction(&client, &bytes, self.outbox.as_deref(), output).await?;
            }
            return Ok(Exit::Ok);
        }
        let (client, chain) = (self.endpoints.client()?, Chain::of(&statement));
        if self.print {
            Unsettled::beside(&self.keys).must_be_none_of(&chain)?;
            draft::take_next_slot(&client, &mut statement).await?;
            output.product_json(&signed(&statement, &signers)?)?;
            return Ok(Exit::Ok);
        }
        let mut delivery = Delivery::open(&client, self.outbox.as_deref(), &self.keys, output).await?;
        if !delivery.settle(&chain, |kept| says_the_same(kept, &statement)).await? {
            draft::take_next_slot(&client, &mut statement).await?;
            delivery.send(&signed(&statement, &signers)?).await?;
        }
        Ok(Exit::Ok)
    }
}

/// Makes the statement of these claims now, without a slot.
pub(crate) fn drafted(
    claims: &Claims,
    signers: &[SigningKey],
    registry: String,
    domain: DomainName,
) -> Result<Statement, CliError> {
    let (kind, claims) = (claims.kind(), claims.to_json());
    let subject = draft::governance_subject(kind, &registry, &domain, &claims)
        .ok_or_else(|| CliError::usage(format!("a `{kind}` names its target")))?;
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

/// The envelope of a statement, signed with these keys.
///
/// # Errors
/// The refusal of a statement that the registry would refuse for its form alone.
pub(crate) fn signed(statement: &Statement, signers: &[SigningKey]) -> Result<Vec<u8>, CliError> {
    draft::check(statement)?;
    let mut envelope = draft::envelope(statement);
    for key in signers {
        envelope.sign_with(key);
    }
    Ok(envelope.to_vec())
}
