//! `submit`: send signed envelopes.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{deliver, files};

/// Submit signed envelopes, in order, and print their receipts.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent submit envelope.json
  assent submit --outbox ./outbox a.json b.json   # kept on disk until each has a definite answer
  assent submit --outbox ./outbox                 # send again what is pending there

The same bytes can be submitted any number of times: the answer is the first receipt.")]
pub(crate) struct Args {
    /// Envelopes; `-` is stdin
    #[arg(required_unless_present = "outbox")]
    files: Vec<PathBuf>,
    /// Keep the envelopes in this directory before they are sent, and what is pending there with them
    #[arg(long, value_name = "DIR")]
    outbox: Option<PathBuf>,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let client = args.endpoints.client()?;
    let envelopes = args.files.iter().map(|file| files::read(file)).collect::<Result<Vec<_>, _>>()?;
    if let Some(dir) = &args.outbox {
        deliver::through_outbox(&client, &envelopes, dir, output).await?;
        return Ok(Exit::Ok);
    }
    for (file, envelope) in args.files.iter().zip(envelopes) {
        let sent = client.submit(envelope).await;
        deliver::receipt(&sent.map_err(|error| deliver::refused(error).in_file(file))?, output)?;
    }
    Ok(Exit::Ok)
}
