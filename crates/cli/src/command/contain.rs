//! `contain`: quarantine a lineage, isolate a domain, invalidate a piece of evidence.

use assent_proof::{Claims, Containment, EvidenceId, LineageName};
use clap::{Args as ClapArgs, Subcommand};

use crate::exit::{CliError, Exit};
use crate::govern::GovernArgs;
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent contain quarantine job-1 --domain prod.eu --key audit.pem
  assent contain isolate --domain prod.eu --key audit.pem
  assent contain invalidate blake3:… --domain prod.eu --key governance.pem";

/// Stop something from executing. When the command returns, no node allows anything that the containment concerns. A
/// governance or audit key must sign it.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ContainCommand,
}

#[derive(Debug, Subcommand)]
enum ContainCommand {
    Quarantine(Quarantine),
    Isolate(Isolate),
    Invalidate(Invalidate),
}

/// Deny everything in a lineage until the lineage is released. The lineage still accepts evidence.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Quarantine {
    /// The lineage to quarantine
    name: LineageName,
    #[command(flatten)]
    govern: GovernArgs,
}

/// Deny everything in a domain, and refuse its execution evidence, until the domain is released.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Isolate {
    #[command(flatten)]
    govern: GovernArgs,
}

/// Make a piece of execution evidence void permanently, together with everything that rests on it.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Invalidate {
    /// The id of the evidence to invalidate
    #[arg(value_name = "blake3:HEX")]
    id: EvidenceId,
    #[command(flatten)]
    govern: GovernArgs,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let (govern, containment) = match args.command {
        ContainCommand::Quarantine(args) => (args.govern, Containment::Quarantine(args.name)),
        ContainCommand::Isolate(args) => {
            let domain = args.govern.domain()?;
            (args.govern, Containment::Isolate(domain))
        }
        ContainCommand::Invalidate(args) => (args.govern, Containment::Invalidate(args.id)),
    };
    govern.send(&Claims::Containment(containment), output).await
}
