//! The endpoints that only read.

use std::collections::BTreeSet;
use std::str::FromStr;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use assent_api::{
    AuthoritiesBody, AuthorityBody, Call, ConflictBody, DEFAULT_PAGE, DomainBody, DomainsBody, IssuerBody,
    JSON_CONTENT_TYPE, JudgedByBody, LineageBody, LineageEntryBody, MAX_PAGE, PolicyBodyView,
};
use assent_proof::{
    Code, Cursor, DomainName, Envelope, EvidenceId, History, LineageName, PublicKey, Refusal, Statement,
};
use assent_registry::{RowError, Rows, query};

use super::audited::with;
use super::judged::Judged;
use super::reply::{fault, json, not_found, problem_body, refusal, reply};
use crate::access::{Caller, RefusedCaller};
use crate::audit::Facts;
use crate::metrics::Format;
use crate::usecase::Service;

pub(super) type Parameters = Query<Vec<(String, String)>>;

/// A value of a path or query, or the 400 that names it.
#[expect(clippy::result_large_err, reason = "the error is the finished answer")]
fn parse<T: FromStr>(name: &str, value: &str) -> Result<T, Response> {
    value.parse().map_err(|_| {
        let why = Refusal::at(Code::Malformed, name, format!("`{value}` is not a valid value"));
        refusal(&why, Call::Read)
    })
}

/// A parameter of the query.
fn value<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// Reads `after` and `limit`, and refuses every other parameter that `others` does not name. Names and keys mean the
/// same in every history. If `after` is a ledger index, the query must also have `history`.
#[expect(clippy::result_large_err, reason = "the error is the finished answer")]
fn page<T: FromStr>(parameters: &Parameters, others: &[&str]) -> Result<(Option<T>, usize), Response> {
    let mut seen = BTreeSet::new();
    for (name, _) in &parameters.0 {
        let known = name == "after" || name == "limit" || others.contains(&name.as_str());
        if !known || !seen.insert(name) {
            let problem = if known { "is given twice" } else { "there is no such parameter" };
            return Err(refusal(&Refusal::at(Code::Malformed, name.clone(), problem), Call::Read));
        }
    }
    let after = value(parameters, "after").map(|after| parse("after", after)).transpose()?;
    let limit = match value(parameters, "limit") {
        None => DEFAULT_PAGE,
        Some(limit) => parse::<usize>("limit", limit)?,
    };
    if limit == 0 || limit > MAX_PAGE {
        let why = Refusal::at(Code::Malformed, "limit", format!("must be from 1 to {MAX_PAGE}"));
        return Err(refusal(&why, Call::Read));
    }
    Ok((after, limit))
}

/// Unwraps the value, or returns the answer.
macro_rules! given {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err(answer) => return answer,
        }
    };
}

/// An envelope's bytes, as they were submitted.
pub(super) async fn envelope(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path(id): Path<String>,
) -> Response {
    let id: EvidenceId = given!(parse("evidenceId", &id));
    match service.read(&by.caller, move |rows, _| query::envelope(rows, &id)).await {
        Ok(Some(bytes)) => {
            if by.caller.narrowed().is_some() {
                // What was stored was parsed when it was accepted, and is parsed in the same way here.
                let statement =
                    Envelope::parse(&bytes).and_then(|envelope| Statement::parse_stored(&envelope.payload));
                let statement = given!(statement.map_err(|why| fault(&why.to_string())));
                if by.caller.permitted_in(&statement.domain).is_err() {
                    return hidden(no_evidence(&by.caller, &id));
                }
            }
            reply(200, JSON_CONTENT_TYPE, bytes)
        }
        Ok(None) => no_evidence(&by.caller, &id),
        Err(why) => problem_body(&why),
    }
}

fn no_evidence(caller: &Caller, id: &EvidenceId) -> Response {
    not_found(Code::EvidenceMissing, format!("there is no evidence `{id}`{}", among(caller)))
}

/// Where a thing was looked for, at the end of a sentence: a narrowed caller sees its own domains alone.
fn among(caller: &Caller) -> &'static str {
    if caller.narrowed().is_some() { " in the domains in which this caller may act" } else { "" }
}

/// The answer about a thing in a domain in which the caller may not act. It is the answer about a thing that does not exist,
/// so it tells neither the domain nor that there is such a thing. The audit trail says that the caller was refused.
fn hidden(absent: Response) -> Response {
    with(absent, Facts { refused: Some(RefusedCaller::Domain), ..Facts::default() })
}

/// A lineage with a page of its entries.
pub(super) async fn lineage(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path((domain, lineage)): Path<(String, String)>,
    parameters: Parameters,
) -> Response {
    let domain: DomainName = given!(parse("domain", &domain));
    given!(by.permitted_in(&domain));
    let lineage: LineageName = given!(parse("lineage", &lineage));
    let (after, limit) = given!(page::<u64>(&parameters, &["history"]));
    let history: Option<History> = match value(&parameters, "history") {
        Some(history) => Some(given!(parse("history", history))),
        None => None,
    };
    if after.is_some() && history.is_none() {
        let problem =
            "is missing: `after` is a ledger index of one history, which the page that it is from names";
        return refusal(&Refusal::at(Code::Malformed, "history", problem), Call::Read);
    }
    // The page before ends with the leaf at that index, so its caller has seen the next revision.
    let seen = after.map_or(0, |after| after.saturating_add(1));
    let cursor = history.map(|history| Cursor { history, revision: seen });
    let (d, l) = (domain.clone(), lineage.clone());
    let found =
        service.read_on(&by.caller, cursor, move |rows, _| query::lineage(rows, &d, &l, after, limit)).await;
    match found {
        Ok(Some(found)) => json(200, &lineage_body(domain, lineage, found)),
        Ok(None) => {
            let detail = format!("there is no lineage `{lineage}` in domain `{domain}`");
            not_found(Code::LineageUnknown, detail)
        }
        Err(why) => problem_body(&why),
    }
}

fn lineage_body(domain: DomainName, lineage: LineageName, found: query::LineagePage) -> LineageBody {
    let several = found.subjects.len() > 1;
    LineageBody {
        domain,
        lineage,
        history: found.history,
        status: found.status,
        subject: found.subjects.first().copied(),
        subjects: if several { found.subjects } else { Vec::new() },
        head: found.head,
        sequence: found.sequence,
        quarantined_by: found.quarantined_by,
        conflicts: found
            .conflicts
            .into_iter()
            .map(|conflict| ConflictBody {
                issuer: conflict.issuer,
                sequence: conflict.sequence,
                canonical: conflict.canonical,
            })
            .collect(),
        issuers: found
            .issuers
            .into_iter()
            .map(|chain| IssuerBody { issuer: chain.issuer, sequence: chain.sequence, head: chain.head })
            .collect(),
        entries: found
            .entries
            .into_iter()
            .map(|entry| LineageEntryBody {
                ledger_index: entry.ledger_index,
                evidence_id: entry.evidence_id,
                kind: entry.kind,
                issuers: entry.issuers,
                sequence: entry.sequence,
                accepted_at: entry.accepted_at,
                void: entry.void,
                equivocation: entry.equivocation,
            })
            .collect(),
        next: found.next,
    }
}

/// The domains, by name.
pub(super) async fn domains(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    parameters: Parameters,
) -> Response {
    let (after, limit) = given!(page::<DomainName>(&parameters, &[]));
    let caller = by.caller.clone();
    let found = service.read(&by.caller, move |rows, _| domains_of(&caller, rows, after, limit)).await;
    match found {
        Ok((found, more)) => {
            let next = found.last().filter(|_| more).map(|last| last.domain.clone());
            let domains = found
                .into_iter()
                .map(|entry| DomainBody {
                    domain: entry.domain,
                    governance: entry.governance,
                    threshold: entry.threshold,
                    isolated: !entry.isolated_by.is_empty(),
                    isolated_by: entry.isolated_by,
                    policy: entry
                        .policy
                        .map(|policy| JudgedByBody::new(policy.evidence_id, &policy.unchecked)),
                })
                .collect();
            json(200, &DomainsBody { domains, next })
        }
        Err(why) => problem_body(&why),
    }
}

/// A page of the domains in which the caller may act, and whether there may be more. The other domains are passed over,
/// so a narrowed caller learns no name of theirs. A registry has as many domains as its root keys have made, so this
/// ends soon.
fn domains_of(
    caller: &Caller,
    rows: &dyn Rows,
    mut after: Option<DomainName>,
    limit: usize,
) -> Result<(Vec<query::DomainEntry>, bool), RowError> {
    let mut found = Vec::new();
    loop {
        let (page, more) = query::domains(rows, after.as_ref(), limit)?;
        after = page.last().map(|last| last.domain.clone());
        for entry in page {
            if caller.permitted_in(&entry.domain).is_ok() {
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(entry);
            }
        }
        if !more || after.is_none() {
            return Ok((found, false));
        }
        if found.len() == limit && caller.narrowed().is_none() {
            return Ok((found, true));
        }
    }
}

/// The authorities of a domain, by key.
pub(super) async fn authorities(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    parameters: Parameters,
) -> Response {
    let (after, limit) = given!(page::<PublicKey>(&parameters, &["domain"]));
    let Some(domain) = value(&parameters, "domain") else {
        let why = Refusal::at(Code::Malformed, "domain", "the query must name a domain");
        return refusal(&why, Call::Read);
    };
    let domain: DomainName = given!(parse("domain", domain));
    given!(by.permitted_in(&domain));
    let found = service
        .read(&by.caller, move |rows, now| query::authorities(rows, &domain, after.as_ref(), limit, now))
        .await;
    match found {
        Ok((found, more)) => {
            let next = found.last().filter(|_| more).map(|last| last.key);
            json(200, &AuthoritiesBody { authorities: found.into_iter().map(authority_body).collect(), next })
        }
        Err(why) => problem_body(&why),
    }
}

/// One authority.
pub(super) async fn authority(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path(id): Path<String>,
) -> Response {
    let key: PublicKey = given!(parse("id", &id));
    match service.read(&by.caller, move |rows, now| query::authority(rows, &key, now)).await {
        Ok(Some(found)) if by.caller.permitted_in(&found.domain).is_err() => {
            hidden(no_authority(&by.caller, &key))
        }
        Ok(Some(found)) => json(200, &authority_body(found)),
        Ok(None) => no_authority(&by.caller, &key),
        Err(why) => problem_body(&why),
    }
}

fn no_authority(caller: &Caller, key: &PublicKey) -> Response {
    not_found(Code::AuthorityUnknown, format!("there is no authority `{key}`{}", among(caller)))
}

fn authority_body(entry: query::AuthorityEntry) -> AuthorityBody {
    AuthorityBody {
        id: entry.key,
        name: entry.name,
        role: entry.role,
        domain: entry.domain,
        not_before: entry.not_before,
        not_after: entry.not_after,
        status: entry.status,
        grant: entry.admitted_by,
        revoked_by: entry.revoked_by,
        invalid_since: entry.invalid_since,
    }
}

/// A domain's policy.
pub(super) async fn policy(
    State(service): State<Service>,
    Extension(by): Extension<Judged>,
    Path(domain): Path<String>,
) -> Response {
    let domain: DomainName = given!(parse("domain", &domain));
    given!(by.permitted_in(&domain));
    let asked = domain.clone();
    match service.read(&by.caller, move |rows, _| query::policy(rows, &asked)).await {
        Ok(Some((evidence_id, policy))) => {
            let unchecked = JudgedByBody::new(evidence_id, &policy.unchecked()).unchecked;
            json(200, &PolicyBodyView { domain, evidence_id, policy: policy.to_json(), unchecked })
        }
        Ok(None) => not_found(Code::PolicyMissing, format!("domain `{domain}` has no policy")),
        Err(why) => problem_body(&why),
    }
}

/// How this node sees the cluster.
pub(super) async fn status(State(service): State<Service>, Extension(by): Extension<Judged>) -> Response {
    json(200, &service.status(&by.caller))
}

/// A digest of all that this node has applied.
pub(super) async fn digest(State(service): State<Service>, Extension(by): Extension<Judged>) -> Response {
    match service.digest(&by.caller).await {
        Ok(digest) => json(200, &digest),
        Err(why) => problem_body(&why),
    }
}

/// Whether the process should continue: the node can go on, and all of its tasks run.
pub(super) async fn livez(State(service): State<Service>) -> Response {
    match service.alive() {
        Ok(()) => reply(200, "text/plain; charset=utf-8", "ok\n"),
        Err(why) => problem_body(&why),
    }
}

/// Whether a quorum read succeeds.
pub(super) async fn readyz(State(service): State<Service>) -> Response {
    match service.ready().await {
        Ok(()) => reply(200, "text/plain; charset=utf-8", "ok\n"),
        Err(why) => problem_body(&why),
    }
}

/// The metrics, in the format that the caller prefers.
pub(super) async fn metrics(State(service): State<Service>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::preferred(&accept.collect::<Vec<&str>>());
    let mut page = reply(200, format.content_type(), service.metrics_page(format).await);
    page.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    page
}
