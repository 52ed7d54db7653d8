//! `permit`: ask for an allow that is recorded, and run a command only with it.

use assent_client::{ClientError, Decision};
use clap::Args as ClapArgs;

use super::authorize::{QuestionArgs, unanswered};
use crate::exit::{CliError, Exit};
use crate::output::Output;

/// Ask for a permit: an allow that is recorded in the ledger, and that takes one use of an authorization whose uses are
/// counted. Exit codes as of `authorize`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent permit --lineage job-1 --action run --subject-file job.py --trust node-keys.pem --nonce run-17
  assent permit --lineage job-1 --action run --subject-file job.py --trust node-keys.pem -- python3 job.py

Asked again with the same request and nonce, it takes no further use. With a command behind `--`, it runs only on allow, in this
program's place: its exit code is the exit code.")]
pub(crate) struct Args {
    #[command(flatten)]
    question: QuestionArgs,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let question = args.question;
    let (client, request) = (question.client()?, question.request()?);
    if question.command().is_none() {
        // It is recorded once asked for, and takes a use: not for nobody.
        output.must_have_a_reader()?;
    }
    let decided = client.permit(&request).await;
    let is_allow = decided.as_ref().is_ok_and(Decision::is_allow);
    let is_unknown = match &decided {
        Ok(decision) => decision.is_cannot_know(),
        Err(ClientError::DenyNotUnderstood(_)) => false,
        Err(_) => true,
    };
    let decided = decided.map_err(unanswered);
    let concluded = decided.and_then(|decision| question.conclude_permit(&decision, output));
    // An allow is in vain that was over, that nobody has read, or whose command could not be started.
    let in_vain = is_unknown || (is_allow && concluded.is_err());
    if in_vain
        && !question.names_a_nonce()
        && let Some(nonce) = &request.nonce
    {
        output.say(&format!(
            "a permit may have been recorded: ask again with `--nonce {nonce}`, which takes no further use"
        ));
    }
    concluded
}
