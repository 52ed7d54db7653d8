//! `permit`: ask for an allow that is recorded, and run a command only with it.

use assent_client::ClientError;
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
    let decided = client.permit(&request).await;
    let in_vain = match &decided {
        Ok(decision) => {
            decision.is_cannot_know() || decision.allowed().is_some_and(|allowed| allowed.is_over())
        }
        Err(ClientError::DenyNotUnderstood(_)) => false,
        Err(_) => true,
    };
    if in_vain
        && !question.names_a_nonce()
        && let Some(nonce) = &request.nonce
    {
        output.say(&format!(
            "a permit may have been recorded: ask again with `--nonce {nonce}`, which takes no further use"
        ));
    }
    question.conclude(&decided.map_err(unanswered)?, output)
}
