//! What a command prints that asks each node for itself, such as `status`, if nodes do not give what they are asked for.
//!
//! A node that refuses the caller has answered. If no node gives what it is asked for, the error with which the command
//! ends says why they refuse, and a row does not repeat that.

use assent_client::{ClientError, Refusing};

use crate::exit::CliError;

/// How a command ends if no node gave what it was asked for.
pub(crate) struct NoneGave {
    /// The refusal that the error tells, if a node refused.
    told: Option<CliError>,
    /// The error with which the command ends.
    pub(crate) error: CliError,
}

impl NoneGave {
    /// The end of a command to which these are the results of the nodes; `None` if a node gave what it was asked for.
    pub(crate) fn of<'a, T: 'a>(results: impl Iterator<Item = &'a Result<T, ClientError>>) -> Option<Self> {
        let mut refusals = Vec::new();
        let mut asked = 0_usize;
        for result in results {
            asked = asked.saturating_add(1);
            refusals.extend(refusal(result.as_ref().err()?));
        }
        let Some(first) = refusals.first().cloned() else {
            return Some(NoneGave { told: None, error: CliError::nobody_answered() });
        };
        let who = match refusals.len() {
            1 if asked == 1 => "the node answered and refused".to_owned(),
            answered if answered == asked => format!("each of the {asked} nodes answered and refused"),
            answered => {
                format!("of {asked} nodes, {answered} answered and refused, and the others gave no answer")
            }
        };
        let is_another = |refusal: &CliError| !is_same(refusal, &first);
        let others = if refusals.iter().any(is_another) {
            "; not every node gives this reason: see the rows"
        } else {
            ""
        };
        let error = CliError { detail: format!("{who}: {}{others}", first.detail), ..first.clone() };
        Some(NoneGave { told: Some(first), error })
    }

    /// Whether the error tells why this refusal was given.
    fn tells(&self, refusal: &CliError) -> bool {
        self.told.as_ref().is_some_and(|told| is_same(told, refusal))
    }
}

/// What stands in the row of a node that did not give what it was asked for. `end` is how the command ends, if no node
/// gave it.
pub(crate) fn row(error: &ClientError, end: Option<&NoneGave>) -> String {
    match refusal(error) {
        Some(refusal) if end.is_some_and(|end| end.tells(&refusal)) => format!("refused: {}", refusal.code),
        Some(CliError { code, detail, .. }) => format!("refused: {code}: {detail}"),
        None => {
            let CliError { code, detail, .. } = CliError::from(error.clone());
            format!("{code}: {detail}")
        }
    }
}

/// The refusal of a node that answered; `None` if there is no answer of a node.
fn refusal(error: &ClientError) -> Option<CliError> {
    let told = CliError::from(error.clone());
    match (error, error.problem()) {
        (ClientError::Tls(failure), _) if failure.refusing == Refusing::Node => {
            Some(CliError { detail: without_endpoint(&told.detail).to_owned(), ..told })
        }
        (ClientError::RefusalNotUnderstood(_), _) => Some(told),
        (_, Some(problem)) => Some(CliError { exit: told.exit, ..CliError::problem(problem) }),
        (_, None) => None,
    }
}

/// The text behind the endpoint that it names, as in `` what failed: `127.0.0.1:7400`: why ``. The row has the endpoint.
fn without_endpoint(detail: &str) -> &str {
    detail.split_once("`: ").map_or(detail, |(_, why)| why)
}

fn is_same(one: &CliError, other: &CliError) -> bool {
    one.code == other.code && one.detail == other.detail
}

#[cfg(test)]
mod tests {
    use assent_api::Problem;
    use assent_client::TlsFailure;
    use assent_proof::Code;

    use super::*;

    fn refused(detail: &str) -> Result<(), ClientError> {
        Err(ClientError::Refused(Box::new(Problem::new(Code::CallerNotPermitted, 403, detail))))
    }

    fn silent() -> Result<(), ClientError> {
        Err(ClientError::Unavailable { detail: "`a:1`: connection refused".to_owned(), problem: None })
    }

    fn rejected(endpoint: &str) -> Result<(), ClientError> {
        Err(ClientError::Tls(Box::new(TlsFailure {
            refusing: Refusing::Node,
            detail: format!("`{endpoint}`: the node refused this caller's certificate: it is revoked"),
            remedy: "have a new certificate issued".to_owned(),
        })))
    }

    #[test]
    fn nodes_that_refuse_the_caller_have_answered_and_the_reason_is_told_once() {
        for (results, says) in [
            (vec![refused("no role")], "the node answered and refused: no role"),
            (
                vec![refused("no role"), refused("no role")],
                "each of the 2 nodes answered and refused: no role",
            ),
            (
                vec![silent(), refused("no role")],
                "of 2 nodes, 1 answered and refused, and the others gave no answer: no role",
            ),
            (
                vec![refused("no role"), refused("no token")],
                "each of the 2 nodes answered and refused: no role; not every node gives this reason: see the rows",
            ),
            (
                vec![rejected("a:1"), rejected("b:1")],
                "each of the 2 nodes answered and refused: the node refused this caller's certificate: it is revoked",
            ),
        ] {
            let end = NoneGave::of(results.iter()).unwrap();
            assert_eq!(end.error.detail, says);
            assert_ne!(end.error.code, "unavailable");
            let rows: Vec<String> =
                results.iter().map(|result| row(result.as_ref().unwrap_err(), Some(&end))).collect();
            assert!(rows.iter().all(|row| !row.contains("no role") && !row.contains("revoked")), "{rows:?}");
        }
        let end = NoneGave::of([silent(), silent()].iter()).unwrap();
        assert_eq!((end.error.code.as_str(), end.error.exit.number()), ("unavailable", 11));
        assert!(NoneGave::of([refused("no role"), Ok(())].iter()).is_none());
    }

    #[test]
    fn a_row_has_its_code_once() {
        for error in [refused("no role"), silent(), rejected("a:1")] {
            let error = error.unwrap_err();
            let row = row(&error, None);
            assert_eq!(row.matches(error.code()).count(), 1, "{row}");
        }
    }
}
