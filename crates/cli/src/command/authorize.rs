//! `authorize`: ask whether something may execute, and run a command only if it may.
//!
//! It owns the arguments of the question, which `permit` and `watch` share, and the text of a decision. It never
//! decides anything itself, and never runs a command without an allow that still holds.

use std::os::unix::process::CommandExt;
use std::process::Command;

use assent_api::{DecisionBody, ReasonBody};
use assent_client::{Allowed, Client, Decision};
use assent_proof::text::one_line;
use assent_proof::{AuthorizeRequest, Code, EvidenceId, History, LineageName, Token};
use clap::Args as ClapArgs;

use crate::args::{DomainArg, SubjectArg, TrustArgs};
use crate::connect::{Endpoints, TOKEN_VARIABLE};
use crate::edge;
use crate::exit::{CliError, Exit, unanswered};
use crate::output::Output;

/// Ask whether something may execute now. Exit codes: 0 allow, 10 deny, 11 the cluster cannot know, 64 wrong usage.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  assent authorize --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem
  assent authorize --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem -- python3 job.py
  assent authorize --lineage job-1 --action run --subject-file job.py \\
    --trust node-keys.pem \\
    --min-revision 120 --history blake3:…/e1

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
    let decision = client.authorize(&request).await.map_err(unanswered)?;
    question.conclude(&decision, output)
}

/// The question, the nodes to ask, and the command to run on an allow.
#[derive(Debug, ClapArgs)]
pub(crate) struct QuestionArgs {
    #[command(flatten)]
    domain: DomainArg,
    /// The execution's lineage; by default the subject's only open lineage
    #[arg(long)]
    lineage: Option<LineageName>,
    /// The lineage of the host or enclave that is to run the execution
    #[arg(long, value_name = "LINEAGE")]
    runtime: Option<LineageName>,
    /// The action to ask about, such as `run`
    #[arg(long)]
    action: Token,
    #[command(flatten)]
    subject: SubjectArg,
    /// The audience for which the action is executed
    #[arg(long)]
    audience: Option<Token>,
    /// The environment in which the action is executed
    #[arg(long)]
    environment: Option<Token>,
    /// A value that ties the decision to this request; by default a random one
    #[arg(long)]
    nonce: Option<Token>,
    /// Deny unless this is the lineage's head; needs --history
    #[arg(long, value_name = "EVIDENCE-ID", requires = "history")]
    expected_head: Option<EvidenceId>,
    /// Do not answer from a state older than this revision; needs --history
    #[arg(long, value_name = "REVISION", requires = "history")]
    min_revision: Option<u64>,
    /// Deny unless this history is in force: the one in which the head or the revision was read. Receipts, decisions,
    /// events and `assent status` name their history
    #[arg(long, value_name = "HISTORY")]
    history: Option<History>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    endpoints: Endpoints,
    /// The command to run on an allow
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl QuestionArgs {
    /// A client that believes the allows that `--trust` or `--unverified` says to believe.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.endpoints.client_trusting(self.trust.required()?)
    }

    /// Shows the decision. If it allows and a command is given, this process becomes the command instead.
    pub(crate) fn conclude(&self, decision: &Decision, output: Output) -> Result<Exit, CliError> {
        self.conclude_by(Wanted::Allow, decision, output)
    }

    /// Concludes the answer to a request for a permit like [`conclude`](Self::conclude), but fails if no reader gets
    /// an allow: a permit is recorded once.
    ///
    /// # Errors
    /// Also `io_failed` for an allow that no reader takes.
    pub(crate) fn conclude_permit(&self, decision: &Decision, output: Output) -> Result<Exit, CliError> {
        self.conclude_by(Wanted::Permit, decision, output)
    }

    fn conclude_by(&self, wanted: Wanted, decision: &Decision, output: Output) -> Result<Exit, CliError> {
        if let Some(allowed) = decision.allowed() {
            still_allowed(allowed)?;
        }
        match self.command.split_first() {
            None => show(decision, wanted, output)?,
            Some((program, arguments)) if decision.is_allow() => return Err(replace_by(program, arguments)),
            // Stdout is reserved for the command, and the command does not run.
            Some(_) => output.say(&text(decision, wanted)),
        }
        Ok(match (decision.is_allow(), decision.is_cannot_know()) {
            (true, _) => Exit::Ok,
            (false, true) => Exit::CannotKnow,
            (false, false) => Exit::Deny,
        })
    }

    /// The command after `--` and its arguments, if there is one.
    pub(crate) fn command(&self) -> Option<(&String, &[String])> {
        self.command.split_first()
    }

    /// Whether the caller chose the nonce, and so can ask again with the same one.
    pub(crate) fn names_a_nonce(&self) -> bool {
        self.nonce.is_some()
    }

    /// The request.
    pub(crate) fn request(&self) -> Result<AuthorizeRequest, CliError> {
        let nonce = match &self.nonce {
            Some(nonce) => nonce.to_string(),
            // It ties a signed allow to this request: an earlier allow cannot be passed off as the answer.
            None => hex::encode(edge::random::<16>()?),
        };
        let text = |token: &Option<Token>| token.as_ref().map(ToString::to_string);
        let request = AuthorizeRequest {
            domain: self.domain.required()?,
            lineage: self.lineage.clone(),
            runtime: self.runtime.clone(),
            action: self.action.to_string(),
            subject: self.subject.required()?,
            audience: text(&self.audience),
            environment: text(&self.environment),
            nonce: Some(nonce),
            expected_head: self.expected_head,
            min_revision: self.min_revision,
            history: self.history,
        };
        // This is the parser that the node uses, so what a node would refuse is wrong usage here.
        AuthorizeRequest::parse(&request.to_json().to_vec())
            .map_err(|refusal| CliError { exit: Exit::Usage, ..refusal.into() })
    }
}

/// Refuses an allow that has run out: the host may have slept since the answer came.
///
/// # Errors
/// `allow_over`, exit code 11: asking again may bring a new one.
pub(crate) fn still_allowed(allowed: &Allowed) -> Result<(), CliError> {
    if !allowed.is_over() {
        return Ok(());
    }
    let detail = "the allow ran out before it was acted on";
    Err(CliError { exit: Exit::CannotKnow, ..CliError::new("allow_over", detail, "ask again") })
}

/// Replaces this process by the command. Returns only if that fails.
fn replace_by(program: &str, arguments: &[String]) -> CliError {
    let error = Command::new(program).args(arguments).env_remove(TOKEN_VARIABLE).exec();
    let detail = format!("allowed, but `{program}` could not be started: {error}");
    CliError::new("command_failed", detail, "check the command after `--`")
}

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// An allow.
    Allow,
    /// An allow that is recorded.
    Permit,
}

/// Shows a decision. Fails if no reader takes an allow that is recorded.
fn show(decision: &Decision, wanted: Wanted, output: Output) -> Result<(), CliError> {
    let is_made = wanted == Wanted::Permit && decision.is_allow();
    match (output, is_made) {
        // This is the node's own document. Escapes that are added to its JSON here change nothing that its receipt
        // proves.
        (Output::Json, false) => output.json(decision.bytes()),
        (Output::Json, true) => output.product_json(decision.bytes()),
        (Output::Text, false) => output.line(&text(decision, wanted)),
        (Output::Text, true) => output.product_line(&text(decision, wanted)),
    }
}

/// What is shown of the reasons of a deny: each with its remedy.
///
/// A permit is recorded only for a request that nothing else denies. So a node that denies a request for a permit adds
/// that no permit is recorded (`permit_required`), which is no reason to this caller: it has asked for one.
fn shown_reasons(body: &DecisionBody, wanted: Wanted) -> impl Iterator<Item = (&ReasonBody, &str)> {
    let is_unrecorded =
        move |reason: &ReasonBody| wanted == Wanted::Permit && reason.code == Code::PermitRequired;
    let is_denied_otherwise = !body.reasons.iter().all(is_unrecorded);
    body.reasons.iter().filter_map(move |reason| match is_unrecorded(reason) {
        true if is_denied_otherwise => None,
        true => Some((reason, "ask again with the same nonce")),
        false => Some((reason, reason.remedy.as_str())),
    })
}

/// Why a decision denies, in one line.
pub(crate) fn explain(decision: &Decision) -> String {
    let body = decision.body();
    let reasons = body.reasons.iter().map(|reason| format!("{}: {}", reason.code, one_line(&reason.detail)));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    format!("{reasons} (at revision {} of history {})", body.revision, body.history)
}

fn text(decision: &Decision, wanted: Wanted) -> String {
    let body = decision.body();
    let by = decision.signer().map(|key| format!(", signed by {key}")).unwrap_or_default();
    if let Some(allowed) = decision.allowed() {
        let (until, left) = (body.valid_until.to_seconds(), allowed.left().as_millis());
        let mut text =
            format!("allow, until {until} and for `{left}` ms at most, at revision {}{by}", body.revision);
        if let Some(permit) = &body.permit {
            text.push_str(&format!("\n  permit: {}", permit.evidence_id));
        }
        for unchecked in body.policy.iter().flat_map(|policy| &policy.unchecked) {
            text.push_str(&format!("\n  not checked: {}", one_line(unchecked)));
        }
        return text;
    }
    let known = if decision.is_cannot_know() { "deny, cannot know" } else { "deny" };
    let mut text = format!("{known}, at revision {}{by}", body.revision);
    for (reason, remedy) in shown_reasons(body, wanted) {
        text.push_str(&format!("\n  {}: {}", reason.code, one_line(&reason.detail)));
        text.push_str(&reason.evidence.map(|id| format!("\n    evidence: {id}")).unwrap_or_default());
        text.push_str(&format!("\n    remedy: {} ({})", one_line(remedy), one_line(&reason.clause)));
    }
    if body.more_reasons > 0 {
        text.push_str(&format!("\n  and {} more", body.more_reasons));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{self, FakeClock};
    use clap::Parser;

    /// The arguments alone.
    #[derive(Debug, Parser)]
    struct Asked {
        #[command(flatten)]
        question: QuestionArgs,
    }

    #[tokio::test]
    async fn an_allow_that_is_over_starts_no_command() {
        let clock = FakeClock::an_hour_slow();
        let decision = fake::allow(&clock).await;
        let allowed = decision.allowed().unwrap();
        assert!(still_allowed(allowed).is_ok());
        clock.suspend(fake::LASTS);
        let words = ["authorize", "--action", "run", "--unverified"];
        for command in [&[][..], &["--", "/no/such/program"]] {
            let question = Asked::try_parse_from(words.iter().chain(command).copied()).unwrap().question;
            let error = question.conclude(&decision, Output::Text).unwrap_err();
            assert_eq!((error.code.as_str(), error.exit), ("allow_over", Exit::CannotKnow));
        }
    }
}
