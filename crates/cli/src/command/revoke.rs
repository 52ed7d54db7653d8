//! `revoke`: revoke an authority's key.

use assent_proof::{Claims, PublicKey, RevocationReason, Seconds};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::govern::GovernArgs;
use crate::output::Output;

/// Revoke an authority's key permanently. When the command returns, no node allows anything that depends on the key.
/// Governance or the authority itself must sign. With `--print` you can keep the signed envelope in a safe until you
/// need it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent revoke --authority ed25519:… --reason keyCompromise \\
    --invalid-since 2026-11-22T19:00:00Z --key governance.pem")]
pub(crate) struct Args {
    /// The key to revoke
    #[arg(long, value_name = "ed25519:HEX")]
    authority: PublicKey,
    /// The reason: keyCompromise, superseded, cessation or unspecified
    #[arg(long)]
    reason: RevocationReason,
    /// What the key signed and the registry accepted at or after this time is void
    #[arg(long, value_name = "YYYY-MM-DDTHH:MM:SSZ")]
    invalid_since: Option<Seconds>,
    #[command(flatten)]
    govern: GovernArgs,
}

/// Prints which members of the cluster use the key, and what each of them has lost.
async fn say_whose_key(authority: &PublicKey, govern: &GovernArgs, output: Output) {
    if govern.is_only_printed() {
        return;
    }
    let Ok(client) = govern.endpoints.client() else { return };
    let Ok(members) = client.members().await else { return };
    for member in members.members.iter().filter(|member| member.key.as_ref() == Some(authority)) {
        output.say(&format!(
            "this is the key of node {}, a member of the cluster, which no longer speaks for the registry: replace it",
            member.id
        ));
    }
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let Args { authority, reason, invalid_since, govern } = args;
    let exit = govern.send(&Claims::Revocation { authority, reason, invalid_since }, output).await?;
    // This comes last: nothing may delay a revocation.
    say_whose_key(&authority, &govern, output).await;
    Ok(exit)
}
