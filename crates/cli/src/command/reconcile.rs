//! `reconcile`: decide which half of an equivocation stands.

use assent_proof::{Claims, EvidenceId};
use clap::Args as ClapArgs;

use crate::exit::{CliError, Exit};
use crate::govern::GovernArgs;
use crate::output::Output;

/// Decide which of two statements that one issuer signed for one slot stands. The other one becomes void. Governance
/// must sign at its threshold.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent reconcile --canonical blake3:… --rejected blake3:… \\
    --domain prod.eu --key governance.pem")]
pub(crate) struct Args {
    /// The statement that stands
    #[arg(long, value_name = "blake3:HEX")]
    canonical: EvidenceId,
    /// The statement that becomes void
    #[arg(long, value_name = "blake3:HEX")]
    rejected: EvidenceId,
    #[command(flatten)]
    govern: GovernArgs,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let Args { canonical, rejected, govern } = args;
    if canonical == rejected {
        return Err(CliError::usage("`--canonical` and `--rejected` are the same statement"));
    }
    govern.send(&Claims::Reconciliation { conflict: [canonical, rejected], canonical }, output).await
}
