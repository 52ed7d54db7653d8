//! `watch`: run a command for as long as it may execute, and stop it when it no longer may.

use std::time::Duration;

use assent_client::{Client, PermitError};
use assent_proof::AuthorizeRequest;
use clap::Args as ClapArgs;

use super::authorize::{QuestionArgs, still_allowed};
use super::permit;
use crate::edge;
use crate::exit::{CliError, Exit, unanswered};
use crate::log;
use crate::output::Output;
use crate::watch::{
    Asking, End, Execution, GracePeriods, LastAllow, LedgerListener, Signals, Watch, become_child, guard,
};

/// Run a command for as long as it may execute. `watch` asks as `authorize` does, and starts the command on an allow.
/// It asks again before the decision runs out, and whenever something enters the ledger that could change the
/// decision.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent watch --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem -- python3 job.py

If a node denies, or if no new allow has come when the last one ends, `watch` stops the command
and everything that it has started: with SIGTERM, and with SIGKILL after --grace. SIGINT,
SIGTERM and SIGHUP are passed on to the command, and end it in the same way. Processes that the
command leaves behind are stopped too. On Linux these are all processes that descend from the
command, in any session or process group, except those of a user whose processes this one may
not signal. On other systems they are the command's process group; a process that leaves the
group is not stopped. The command has no terminal to read from.

If `watch` is killed, its guard, which is a child process, kills all of these processes at
once. If `watch` is stopped (SIGSTOP) or hangs, it does not learn of a deny, and the guard
stops the command once the last allow and --unknown-grace are over. If both are killed or
stopped together (`killall -9 assent`), neither stops the command. A control group, as systemd
has one for each service, ends everything in any case.

If the registry continues in another history, for example after a recovery, `watch` asks again
at once, and follows the events of the new history. With --history, the answer is then a deny,
which ends the command.

The time of an allow counts from before `watch` asked for it, on a clock that continues while
the host sleeps. After such a sleep, a command whose allow is over is stopped within a second.
The wall clock can only end an allow earlier.

Exit codes: the command's own, or 128 plus the signal's number if a signal ended the command.
If the command was not started: 10 for a deny, 11 if the cluster cannot know. 12 if a deny
stopped the command. 13 if the command was stopped because no node said in time that it may go
on.")]
pub(crate) struct Args {
    #[command(flatten)]
    question: QuestionArgs,
    /// Ask for a permit, and keep asking for the same permit
    #[arg(long)]
    permit: bool,
    /// How long the command may take to end after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    grace: u64,
    /// How long the command may go on beyond the last allow while no node says whether it may, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    unknown_grace: u64,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    // The command writes to the same stderr. Even if nothing reads it, the command must be stopped in time.
    log::start_talk();
    let question = args.question;
    let Some((program, arguments)) = question.command() else {
        return Err(CliError::usage("give the command to run after `--`"));
    };
    let (client, request) = (question.client()?, question.request()?);
    if request.lineage.is_none() {
        return Err(CliError::usage("give `--lineage`: `watch` needs the name of the execution's lineage"));
    }
    let question_of = Question {
        client: client.clone(),
        request: request.clone(),
        permit: args.permit,
        fresh_nonce: !args.permit && !question.names_a_nonce(),
    };
    let grace_periods = GracePeriods {
        grace: Duration::from_secs(args.grace),
        unknown_grace: Duration::from_secs(args.unknown_grace),
    };
    let mut caught = None;
    let (decided, recorded) = match args.permit {
        true => {
            permit::must_be_found(program)?;
            permit::ask(&client, &request, caught.insert(Signals::catch()?)).await
        }
        false => (question_of.ask().await.map_err(unanswered), None),
    };
    let nonce = recorded.as_deref();
    let decision = decided.map_err(|error| permit::in_vain(error, nonce))?;
    let Some(last_allow) = LastAllow::of(&decision, grace_periods) else {
        let exit = match args.permit {
            true => question.conclude_permit(&decision, output)?,
            false => question.conclude(&decision, output)?,
        };
        permit::say_nonce(nonce, output);
        return Ok(exit);
    };
    let signals = match caught {
        Some(signals) => signals,
        None => Signals::catch()?,
    };
    let watch = Watch {
        ask: move || question_of.ask(),
        ledger_listener: LedgerListener::start(&client, &request, last_allow.decided_at, output),
        signals,
        grace_periods,
        output,
    };
    still_allowed(&last_allow.allowed).map_err(|error| permit::in_vain(error, nonce))?;
    let end = End::now().plus(last_allow.left());
    let started = Execution::start(program, arguments, end, grace_periods.grace, output).await;
    let execution = started.map_err(|error| permit::in_vain(error, nonce))?;
    watch.run(last_allow, execution).await
}

/// The question that is asked again and again. Its subject is the one at the start, even if the subject's file
/// changes.
struct Question {
    client: Client,
    request: AuthorizeRequest,
    permit: bool,
    /// Whether each question has a nonce of its own, so that no allow can be passed off as the answer to another
    /// question.
    fresh_nonce: bool,
}

impl Question {
    fn ask(&self) -> Asking {
        let (client, mut request, permit) = (self.client.clone(), self.request.clone(), self.permit);
        if self.fresh_nonce
            && let Ok(nonce) = edge::random::<16>()
        {
            request.nonce = Some(hex::encode(nonce));
        }
        Box::pin(async move {
            match permit {
                true => client.permit(&request).await.or_else(PermitError::into_end),
                false => client.authorize(&request).await,
            }
        })
    }
}

/// The arguments of the hidden subcommand that becomes the watched command.
#[derive(Debug, ClapArgs)]
pub(crate) struct ChildArgs {
    /// The process that watches
    #[arg(long)]
    parent: u32,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Replaces this process by the command.
pub(crate) fn run_child(args: &ChildArgs) -> Result<Exit, CliError> {
    match args.command.split_first() {
        Some((program, arguments)) => Err(become_child(args.parent, program, arguments)),
        None => Err(CliError::usage("give the command behind `--`")),
    }
}

/// The arguments of the hidden subcommand that runs the guard, between the process that watches and the command.
#[derive(Debug, ClapArgs)]
pub(crate) struct GuardArgs {
    /// The process that watches
    #[arg(long)]
    parent: u32,
    /// How long the command may take to end after it was told to end, in milliseconds
    #[arg(long)]
    grace_ms: u64,
    /// The open file through which the process that watches renews the time until which the command may run
    #[arg(long, value_parser = clap::value_parser!(i32).range(3..))]
    lifeline: i32,
    /// The time until which the command may run at first
    #[arg(long)]
    end: u64,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Guards a watched command.
pub(crate) async fn run_guard(args: &GuardArgs, output: Output) -> Result<Exit, CliError> {
    // As in the process that watches, stderr may have no reader.
    log::start_talk();
    match args.command.split_first() {
        Some((program, arguments)) => {
            let grace = Duration::from_millis(args.grace_ms);
            let lifeline = (args.lifeline, End::of_number(args.end));
            guard(args.parent, grace, lifeline, (program.as_str(), arguments), output).await
        }
        None => Err(CliError::usage("give the command behind `--`")),
    }
}
