//! `permit`: ask for an allow that is recorded, and run a command only with it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use assent_client::{Client, Decision, PermitError};
use assent_proof::AuthorizeRequest;
use clap::Args as ClapArgs;
use nix::unistd::{AccessFlags, access};

use super::authorize::QuestionArgs;
use crate::exit::{CliError, Exit, unanswered};
use crate::output::Output;
use crate::watch::Signals;

/// Ask for a permit: an allow that is recorded in the ledger. If the authorization's uses are counted, the permit
/// takes one use. Exit codes: 0 allow, 10 deny, 11 the cluster cannot know, 64 wrong usage.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent permit --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem --nonce run-17
  assent permit --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem -- python3 job.py

Asked again with the same request and nonce, it takes no further use.

With a command after `--`, the command runs only on an allow, in place of this program, so the
exit code is that of the command. It does not start once the allow is over. Use `watch` for a
command that runs longer.")]
pub(crate) struct Args {
    #[command(flatten)]
    question: QuestionArgs,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let question = args.question;
    let (client, request) = (question.client()?, question.request()?);
    // A permit is recorded and takes a use as soon as it is asked for, so there must be a command to run or a reader to
    // get it.
    match question.command() {
        Some((program, _)) => must_be_found(program)?,
        None => output.must_have_a_reader()?,
    }
    let mut signals = Signals::catch_except_hang_up()?;
    let (decided, recorded) = ask(&client, &request, &mut signals).await;
    let nonce = recorded.as_deref();
    // An allow is in vain if it has run out, if no reader took it, or if its command could not be started.
    let concluded = decided.and_then(|decision| question.conclude_permit(&decision, output));
    let exit = concluded.map_err(|error| in_vain(error, nonce))?;
    if exit != Exit::Ok {
        say_nonce(nonce, output);
    }
    Ok(exit)
}

/// The most bytes of a script that are read for its interpreter. Linux reads no more either.
const FIRST_LINE_BYTES_MAX: u64 = 256;

/// Refuses a command that cannot be found or executed, before a permit is recorded for it.
///
/// # Errors
/// `command_failed` if there is no such program, or if it is a script whose interpreter is not there.
pub(crate) fn must_be_found(program: &str) -> Result<(), CliError> {
    let is_executable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    let is_program = |path: &Path| {
        is_executable(path) && interpreter(path).is_none_or(|interpreter| is_executable(&interpreter))
    };
    let found = match (program.contains('/'), std::env::var_os("PATH")) {
        (true, _) => is_program(Path::new(program)),
        (false, Some(folders)) => {
            std::env::split_paths(&folders).any(|folder| is_program(&folder.join(program)))
        }
        // The system then looks in folders of its own.
        (false, None) => true,
    };
    if found {
        return Ok(());
    }
    let detail = format!("`{program}` is not a program that can be started; no permit was asked for");
    let remedy = "check the command after `--`: it must be a file that this user may execute, and the interpreter that a \
                  script names in its first line must be there";
    Err(CliError::new("command_failed", detail, remedy))
}

/// The interpreter that a script names in its first line; `None` if the file names none, or cannot be read.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    File::open(program).ok()?.take(FIRST_LINE_BYTES_MAX).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let name = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|name| !name.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

/// Asks for a permit, until a signal tells this program to end. Beside the decision it returns the nonce for which a
/// permit is recorded, or may be recorded although the decision is not an allow.
pub(crate) async fn ask(
    client: &Client,
    request: &AuthorizeRequest,
    signals: &mut Signals,
) -> (Result<Decision, CliError>, Option<String>) {
    let decided = tokio::select! {
        // Nothing is begun with an allow that comes together with a signal.
        biased;
        signal = signals.next() => {
            let (detail, remedy) = (format!("{signal} came before the answer"), "only this nonce finds that permit");
            let unknown = CliError { exit: Exit::CannotKnow, ..CliError::new("outcome_unknown", detail, remedy) };
            return (Err(unknown), request.nonce.clone());
        }
        decided = client.permit(request) => decided,
    };
    let recorded = match &decided {
        Ok(decision) if decision.is_allow() => request.nonce.clone(),
        Ok(_) => None,
        Err(error) => error.nonce().map(str::to_owned),
    };
    (decided.or_else(PermitError::into_end).map_err(unanswered), recorded)
}

/// The error if the caller does not get the permit, or cannot act on it. The error names the nonce for which a permit
/// may have been recorded.
pub(crate) fn in_vain(error: CliError, nonce: Option<&str>) -> CliError {
    let Some(nonce) = nonce else { return error };
    let detail = format!("{}; a permit may have been recorded", error.detail);
    let remedy = format!("{}; {}", ask_again(nonce), error.remedy);
    CliError { detail, remedy, ..error }
}

/// Prints on stderr, after a deny, the nonce for which a permit may have been recorded, if there is one.
pub(crate) fn say_nonce(nonce: Option<&str>, output: Output) {
    if let Some(nonce) = nonce {
        output.say(&format!("a permit may have been recorded: {}", ask_again(nonce)));
    }
}

fn ask_again(nonce: &str) -> String {
    format!("ask again with `--nonce {nonce}`, which takes no further use")
}
