//! What a command prints that asks each node for itself, such as `status`, if nodes do not give what they are asked for.
//!
//! A node that refuses the caller has answered. If no node gives what it is asked for, the error with which the command
//! ends says why they refuse, and a row does not repeat that. If no node answers, and TLS failed with one, the error
//! says why.

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
        let mut tls_failed: Option<&ClientError> = None;
        for result in results {
            asked = asked.saturating_add(1);
            let error = result.as_ref().err()?;
            refusals.extend(refusal(error));
            if matches!(error, ClientError::Tls(_)) {
                tls_failed.get_or_insert(error);
            }
        }
        let Some(first) = refusals.first().cloned() else {
            let error =
                tls_failed.map_or_else(CliError::nobody_answered, |error| CliError::from(error.clone()));
            return Some(NoneGave { told: None, error });
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
            let names_endpoint = matches!(error, ClientError::Tls(_) | ClientError::Unavailable { .. });
            let why = if names_endpoint { without_endpoint(&detail) } else { detail.as_str() };
            format!("{code}: {why}")
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
/// A text that names no endpoint in this way stays whole.
fn without_endpoint(detail: &str) -> &str {
    let Some((before, why)) = detail.split_once("`: ") else { return detail };
    let is_endpoint = |name: &str| name.contains(':') && !name.contains(' ');
    if before.rsplit_once('`').is_some_and(|(_, name)| is_endpoint(name)) { why } else { detail }
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

    fn speaks_tls(endpoint: &str) -> Result<(), ClientError> {
        Err(ClientError::Tls(Box::new(TlsFailure {
            refusing: Refusing::Neither,
            detail: format!("`{endpoint}`: this port speaks TLS"),
            remedy: "write `https://`".to_owned(),
        })))
    }

    #[test]
    fn if_no_node_answers_and_tls_failed_with_one_the_error_says_why() {
        let end = NoneGave::of([silent(), speaks_tls("b:1"), speaks_tls("c:1")].iter()).unwrap();
        assert_eq!((end.error.code.as_str(), end.error.exit.number()), ("tls_failed", 11));
        assert!(end.error.detail.ends_with("`b:1`: this port speaks TLS"), "{}", end.error);
        assert_eq!(end.error.remedy, "write `https://`");
        // A node that refuses has answered.
        let end = NoneGave::of([speaks_tls("b:1"), refused("no role")].iter()).unwrap();
        assert_eq!(end.error.code, "caller_not_permitted");
        assert!(NoneGave::of([speaks_tls("b:1"), Ok(())].iter()).is_none());
    }

    #[test]
    fn a_row_does_not_name_its_endpoint_again() {
        for (error, says) in [
            (silent(), "unavailable: connection refused"),
            (speaks_tls("b:1"), "tls_failed: this port speaks TLS"),
        ] {
            assert_eq!(row(&error.unwrap_err(), None), says);
        }
        for whole in ["the deadline has passed", "status 503, `moon_wrong`: as told"] {
            assert_eq!(without_endpoint(whole), whole);
        }
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
