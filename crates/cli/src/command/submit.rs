//! `submit`: send signed envelopes.

use std::path::PathBuf;

use assent_proof::History;
use clap::Args as ClapArgs;

use crate::connect::Endpoints;
use crate::exit::{CliError, Exit};
use crate::output::Output;
use crate::{deliver, files};

/// Submit signed envelopes in order, and print their receipts.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent submit envelope.json
  assent submit --outbox ./outbox a.json b.json  # kept until each is answered
  assent submit --outbox ./outbox                # send again what is pending
  assent submit --outbox ./outbox --resend-in blake3:…/e2

The same bytes can be submitted any number of times: the answer is the first receipt. A receipt
counts in the history that it names. If the cluster was recovered, or is another one, an outbox
says so and ends with exit code 14, also if nothing is pending in it: then it asks the
registry. With --resend-in it sends everything again that it had delivered before, if the
registry confirms that it is in that history. So does an outbox in which an earlier version has
delivered envelopes without noting in which history.")]
pub(crate) struct Args {
    /// The files of the envelopes; `-` is stdin
    #[arg(required_unless_present = "outbox")]
    files: Vec<PathBuf>,
    /// Keep the envelopes in this directory before they are sent, and also send what is pending there
    #[arg(long, value_name = "DIR")]
    outbox: Option<PathBuf>,
    /// With --outbox: send again, in this history, what was delivered in another history. The registry must be in this
    /// one
    #[arg(long, value_name = "HISTORY", requires = "outbox")]
    resend_in: Option<History>,
    #[command(flatten)]
    endpoints: Endpoints,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let client = args.endpoints.client()?;
    let envelopes = args.files.iter().map(|file| files::read(file)).collect::<Result<Vec<_>, _>>()?;
    if let Some(dir) = &args.outbox {
        deliver::through_outbox(&client, &envelopes, dir, args.resend_in, output).await?;
        return Ok(Exit::Ok);
    }
    for (file, envelope) in args.files.iter().zip(envelopes) {
        let sent = client.submit(envelope).await;
        deliver::receipt(&sent.map_err(|error| deliver::refused(error).in_file(file))?, output)?;
    }
    Ok(Exit::Ok)
}
