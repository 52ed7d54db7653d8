//! `revoke`: end an authority.

use assent_proof::{Claims, PublicKey, RevocationReason, Seconds};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::govern::GovernArgs;
use crate::output::Output;

/// Revoke an authority's key, for good. When this returns, no node allows anything on it. Governance signs, or the
/// authority itself; with `--print` the envelope can be kept in a safe until it is needed.
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
    #[command(flatten)]
    govern: GovernArgs,
}

/// Says which members of the cluster the key is of, and what they lost with it: that may be more than one.
async fn say_whose_key(authority: &PublicKey, govern: &GovernArgs, output: Output) {
    if govern.is_only_printed() {
        return;
    }
    let Ok(client) = govern.endpoints.client() else { return };
    let Ok(members) = client.members().await else { return };
    for member in members.members.iter().filter(|member| member.key.as_ref() == Some(authority)) {
        output.say(&format!(
            "this is the key of node {}, a member of the cluster, which speaks for nobody any more: replace it",
            member.id
        ));
    }
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let Args { authority, reason, invalid_since, govern } = args;
    let exit = govern.send(&Claims::Revocation { authority, reason, invalid_since }, output).await?;
    // Afterwards: a revocation waits for nothing.
    say_whose_key(&authority, &govern, output).await;
    Ok(exit)
}
