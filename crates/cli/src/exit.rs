//! How the program ends: exit codes that scripts can rely on, and errors that say what to do.

use std::fmt::{self, Display, Formatter};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use assent_api::Problem;
use assent_client::{ClientError, OutboxError, SubmitError};
use assent_proof::text::one_line;
use assent_proof::{Code, Refusal};

/// How the program ends. The numbers are part of the command's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, or allowed.
    Ok,
    /// 1: the command failed; the error says why.
    Failed,
    /// 10: denied.
    Deny,
    /// 11: denied because the cluster cannot know. If the caller asks again later, the answer may be an allow.
    CannotKnow,
    /// 12: a watched command was stopped by a deny.
    Stopped,
    /// 13: a watched command was stopped because no node said in time that it may go on.
    StoppedUnknown,
    /// 14: what the caller has read or delivered belongs, or may belong, to another history than the one in force, or
    /// lies beyond the ledger of the history in force.
    OtherHistory,
    /// 64: the command line is wrong.
    Usage,
    /// The exit code of a watched command.
    Command(u8),
}

impl Exit {
    /// The exit code as a number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Deny => 10,
            Exit::CannotKnow => 11,
            Exit::Stopped => 12,
            Exit::StoppedUnknown => 13,
            Exit::OtherHistory => 14,
            Exit::Usage => 64,
            Exit::Command(number) => number,
        }
    }

    /// How a watched command ended: its exit code, or 128 and the number of the signal that ended it.
    pub(crate) fn of_command(status: ExitStatus) -> Self {
        let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
        Exit::Command(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
    }
}

/// What was asked of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    /// Whether something may execute. Without a decision the answer is unknown, however the calls failed.
    Question,
    /// Anything else.
    Other,
}

impl Exit {
    /// The exit code for an error of the client. Every error of the client is mapped here and nowhere else.
    fn of_client(error: &ClientError, called: Called) -> Self {
        let unknown_to_a_question = |otherwise: Exit| match called {
            Called::Question => Exit::CannotKnow,
            Called::Other => otherwise,
        };
        match error {
            ClientError::Config { .. } => Exit::Usage,
            // It is a deny, even if this build does not know its code.
            ClientError::DenyNotUnderstood(_) => Exit::Deny,
            // Nothing was refused, so asking again may bring another answer.
            ClientError::Unavailable { .. } | ClientError::Tls(_) | ClientError::OutcomeUnknown { .. } => {
                Exit::CannotKnow
            }
            ClientError::Refused(problem) => match called {
                Called::Question => Exit::Failed,
                Called::Other if matches!(problem.status, 429 | 503 | 504) => Exit::CannotKnow,
                Called::Other if problem.code == Code::HistoryMismatch => Exit::OtherHistory,
                Called::Other => Exit::Failed,
            },
            ClientError::RefusalNotUnderstood(_) => Exit::Failed,
            ClientError::HistoryChanged(_) | ClientError::BeyondLedger { .. } => {
                unknown_to_a_question(Exit::OtherHistory)
            }
            ClientError::Answer { .. } | ClientError::Untrusted { .. } => unknown_to_a_question(Exit::Failed),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.number())
    }
}

/// Why a command did not do what was asked, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    /// The stable code: one of the registry, of the client, or of this program.
    pub(crate) code: String,
    /// What is wrong here: lower case, no full stop.
    pub(crate) detail: String,
    /// What to do about it, in one line.
    pub(crate) remedy: String,
    /// How the program ends.
    pub(crate) exit: Exit,
}

impl CliError {
    /// An error that ends the program with exit code 1.
    pub(crate) fn new(code: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        CliError { code: code.into(), detail: detail.into(), remedy: remedy.into(), exit: Exit::Failed }
    }

    /// The error of a wrong command line: exit code 64.
    pub(crate) fn usage(detail: impl Into<String>) -> Self {
        let remedy = "see the command's `--help`, which has an example";
        CliError { exit: Exit::Usage, ..CliError::new("usage", detail, remedy) }
    }

    /// The error if none of the asked nodes has answered: exit code 11.
    pub(crate) fn nobody_answered() -> Self {
        let remedy = "check the endpoints, and check that the nodes run";
        CliError { exit: Exit::CannotKnow, ..CliError::new("unavailable", "no node answered", remedy) }
    }

    /// The error of a file that cannot be read, written or made.
    pub(crate) fn file(step: &str, path: &Path, error: &std::io::Error) -> Self {
        let detail = format!("could not {step} `{}`: {error}", path.display());
        CliError::new("io_failed", detail, "check the path and its permissions")
    }

    /// The error that a node's problem document describes. A server wrote the texts, so each is put on one line: none
    /// of it can look like a line of this program.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let field = problem.field.as_deref().map(|field| format!("`{field}` ")).unwrap_or_default();
        let detail = format!("{field}{}", problem.detail);
        let mut remedy = one_line(&problem.remedy).into_owned();
        // The registry's own words name no option of this program.
        if problem.code == Code::CallerNotPermitted && problem.remedy == problem.code.remedy() {
            remedy.push_str(" (`--cert` and `--cert-key`, or `--token-file`)");
        }
        CliError::new(problem.code.as_str(), one_line(&detail), remedy)
    }

    /// The same error, found in this file.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        CliError { detail: format!("`{}`: {}", path.display(), self.detail), ..self }
    }

    /// The error as JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "code": self.code, "detail": self.detail, "remedy": self.remedy })
    }
}

impl Display for CliError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}: {}\nremedy: {}", self.code, self.detail, self.remedy)
    }
}

impl std::error::Error for CliError {}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let field = refusal.field.map(|field| format!("`{field}` ")).unwrap_or_default();
        CliError::new(refusal.code.as_str(), format!("{field}{}", refusal.detail), refusal.code.remedy())
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let exit = Exit::of_client(&error, Called::Other);
        if let ClientError::Refused(problem) = &error {
            return CliError { exit, ..CliError::problem(problem) };
        }
        // The texts may contain what a server said, so each is put on one line.
        let (detail, remedy) = (error.to_string(), error.remedy());
        CliError { exit, ..CliError::new(error.code(), one_line(&detail), one_line(&remedy)) }
    }
}

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> Self {
        ClientError::from(error).into()
    }
}

/// The error of a question without a decision. The answer is unknown, unless the question itself is at fault or a node
/// denied with words that this build does not know.
pub(crate) fn unanswered(error: ClientError) -> CliError {
    CliError { exit: Exit::of_client(&error, Called::Question), ..error.into() }
}

impl From<OutboxError> for CliError {
    fn from(error: OutboxError) -> Self {
        if let OutboxError::Refused(refusal) = error {
            return refusal.into();
        }
        let (code, exit) = match &error {
            OutboxError::HistoryChanged { .. }
            | OutboxError::HistoryNotInForce { .. }
            | OutboxError::HistoryUnnoted { .. } => (error.code(), Exit::OtherHistory),
            OutboxError::Refused(_)
            | OutboxError::Io { .. }
            | OutboxError::InUse { .. }
            | OutboxError::Full { .. }
            | OutboxError::HistoryUnknown { .. }
            | OutboxError::Mutated { .. } => ("outbox_failed", Exit::Failed),
        };
        CliError { exit, ..CliError::new(code, error.to_string(), error.remedy()) }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        CliError::new("io_failed", error.to_string(), "check the files, addresses and permissions involved")
    }
}

#[cfg(test)]
mod tests {
    use assent_client::HistoryChange;
    use assent_proof::{Cursor, History};

    use super::*;

    #[test]
    fn another_history_has_an_exit_code_of_its_own_and_says_from_where_to_go_on() {
        let history = |epoch| History::new([7; 32], epoch).unwrap();
        let cursor = Cursor { history: history(1), revision: 9 };
        for (shared_revision, says) in
            [(Some(9), "go on after"), (Some(4), "read again after"), (None, "ask the nodes")]
        {
            let change = HistoryChange { cursor, in_force: history(2), shared_revision };
            let error = CliError::from(ClientError::HistoryChanged(Box::new(change)));
            assert_eq!((error.code.as_str(), error.exit.number()), ("history_mismatch", 14));
            assert!(error.remedy.contains(says), "{error}");
            assert!(error.detail.contains("/e1:9") && error.detail.contains("/e2"), "{error}");
        }
        let (dir, named) = (std::path::PathBuf::from("outbox"), history(1));
        for error in [
            OutboxError::HistoryChanged { dir: dir.clone(), delivered_in: named, in_force: history(2) },
            OutboxError::HistoryNotInForce { dir, named, in_force: history(2) },
        ] {
            let error = CliError::from(error);
            assert_eq!((error.code.as_str(), error.exit.number()), ("history_mismatch", 14));
            assert!(error.remedy.contains("--resend-in") && error.remedy.contains("/e2"), "{error}");
        }
        let error = CliError::from(ClientError::BeyondLedger { cursor, ledger_revision: 8 });
        assert_eq!((error.code.as_str(), error.exit.number()), ("cursor_beyond_ledger", 14));
    }

    #[test]
    fn a_servers_words_stay_on_their_line() {
        let detail = "no\nremedy: pay\u{1b}[2J\u{202e}";
        let problem = Problem::new(Code::Malformed, 400, detail);
        let error = CliError::problem(&problem);
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
        assert_eq!(error.detail, "no\\nremedy: pay\\u{1b}[2J\\u{202e}");
        let error = CliError::from(ClientError::Refused(Box::new(problem)));
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
    }

    #[test]
    fn a_caller_who_is_not_permitted_is_told_by_which_options_it_shows_who_it_is() {
        let problem = Problem::new(Code::CallerNotPermitted, 403, "no role");
        for error in
            [CliError::problem(&problem), CliError::from(ClientError::Refused(Box::new(problem.clone())))]
        {
            assert!(error.remedy.ends_with("(`--cert` and `--cert-key`, or `--token-file`)"), "{error}");
        }
        let other = Problem { remedy: "ask the operator".to_owned(), ..problem };
        assert_eq!(CliError::problem(&other).remedy, "ask the operator");
    }

    #[test]
    fn an_error_prints_code_detail_and_remedy() {
        let text = CliError::new("head_moved", "the slot is taken", "sign again").to_string();
        assert_eq!(text, "error: head_moved: the slot is taken\nremedy: sign again");
    }
}
