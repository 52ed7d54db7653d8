//! `envelope get`: an accepted envelope, byte for byte.

use std::path::PathBuf;

use assent_proof::EvidenceId;
use clap::{Args as ClapArgs, Subcommand};

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::files;
use crate::output::Output;

const EXAMPLE: &str = "\
Example:
  assent envelope get blake3:… > envelope.json
  assent envelope get blake3:… --out envelope.json";

/// Read accepted envelopes.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: EnvelopeCommand,
}

#[derive(Debug, Subcommand)]
enum EnvelopeCommand {
    Get(Get),
}

/// Print an accepted envelope, exactly as it was submitted.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLE)]
struct Get {
    /// The envelope's evidence id
    #[arg(value_name = "EVIDENCE-ID")]
    id: EvidenceId,
    /// Write the envelope to this file instead of stdout; `-` is stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let EnvelopeCommand::Get(args) = args.command;
    let Some(bytes) = args.endpoints.client()?.envelope(&args.id).await? else {
        let detail = format!("the registry has no envelope `{}`", args.id);
        return Err(CliError::new("evidence_unknown", detail, "check the evidence id and the endpoints"));
    };
    match &args.out {
        Some(file) => files::hand_out(file, &[], &bytes, output)?,
        None => output.product_bytes(&bytes)?,
    }
    Ok(Exit::Ok)
}
