//! `release`: lift one quarantine or isolation.

use assent_proof::{Claims, EvidenceId};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::govern::GovernArgs;
use crate::output::Output;

/// Lift one quarantine or isolation, or a negative statement whose issuer is revoked. Governance must sign at its
/// threshold. Revocations and invalidations are final.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent release blake3:… --domain prod.eu \\
    --key governance-1.pem --key governance-2.pem")]
pub(crate) struct Args {
    /// The id of the statement to lift, as `lineage show`, `domain list` or a decision's reason shows it
    #[arg(value_name = "blake3:HEX")]
    id: EvidenceId,
    #[command(flatten)]
    govern: GovernArgs,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    args.govern.send(&Claims::Release { containment: args.id }, output).await
}
