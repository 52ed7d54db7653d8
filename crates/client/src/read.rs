//! Reads the registry. Something that does not exist is `None`. A page continues with the `next` of the page before.
//! While an endpoint is silent, a second one is asked too. An answer that is not the API's counts as no answer.

use assent_api::{
    AuthoritiesBody, AuthorityBody, DigestBody, DomainsBody, LineageBody, PolicyBodyView, StatusBody,
};
use assent_proof::{Code, DomainName, Envelope, EvidenceId, History, LineageName, PublicKey};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::fmt::Display;

use crate::answer::{NoAnswer, Unread, json, not_the_api, problem, refused};
use crate::client::Client;
use crate::error::ClientError;
use crate::transport::{Answer, Ask};

/// The answer of a node that is ready.
const READY: &[u8] = b"ok";

impl Client {
    /// An accepted envelope, exactly as it was submitted. The client checks that it is the one that the id names.
    pub async fn envelope(&self, id: &EvidenceId) -> Result<Option<Bytes>, ClientError> {
        let read = |answer: &Answer| match Envelope::parse(&answer.body) {
            Ok(envelope) if envelope.id() == *id => Ok(answer.body.clone()),
            Ok(envelope) => {
                Err(not_the_api(answer, format!("envelope `{}` instead of `{id}`", envelope.id())))
            }
            Err(refusal) => Err(not_the_api(answer, refusal)),
        };
        let ask = Ask::read(format!("/v1/envelopes/{id}"));
        self.ask(&ask, |answer| there_is(answer, Code::EvidenceMissing, read)).await
    }

    /// A lineage with the page of its entries after this ledger index of this history.
    ///
    /// # Errors
    /// `history_mismatch` if another history is in force: the caller must begin with the first page again.
    pub async fn lineage(
        &self,
        domain: &DomainName,
        lineage: &LineageName,
        after: Option<(History, u64)>,
        limit: Option<usize>,
    ) -> Result<Option<LineageBody>, ClientError> {
        let mut path = format!("/v1/lineages/{domain}/{lineage}");
        if let Some((history, _)) = after {
            path.push_str(&format!("?history={history}"));
        }
        let path = paged(path, after.map(|(_, index)| index), limit);
        self.get_json(&path, Code::LineageUnknown).await
    }

    /// A lineage page by page.
    pub fn lineage_pages(&self, domain: &DomainName, lineage: &LineageName) -> LineagePages {
        LineagePages {
            client: self.clone(),
            domain: domain.clone(),
            lineage: lineage.clone(),
            next: Some(None),
        }
    }

    /// The page of domains after `after`, by name.
    pub async fn domains(
        &self,
        after: Option<&DomainName>,
        limit: Option<usize>,
    ) -> Result<DomainsBody, ClientError> {
        self.must_get(&paged("/v1/domains".to_owned(), after, limit)).await
    }

    /// The page of a domain's authorities after `after`, by id.
    pub async fn authorities(
        &self,
        domain: &DomainName,
        after: Option<&PublicKey>,
        limit: Option<usize>,
    ) -> Result<AuthoritiesBody, ClientError> {
        self.must_get(&paged(format!("/v1/authorities?domain={domain}"), after, limit)).await
    }

    /// One authority.
    pub async fn authority(&self, id: &PublicKey) -> Result<Option<AuthorityBody>, ClientError> {
        self.get_json(&format!("/v1/authorities/{id}"), Code::AuthorityUnknown).await
    }

    /// A domain's policy.
    pub async fn policy(&self, domain: &DomainName) -> Result<Option<PolicyBodyView>, ClientError> {
        self.get_json(&format!("/v1/policies/{domain}"), Code::PolicyMissing).await
    }

    /// The cluster as the node that answers sees it.
    pub async fn status(&self) -> Result<StatusBody, ClientError> {
        self.must_get("/v1/cluster/status").await
    }

    /// The cluster as one node sees it. The node need not be among the client's endpoints.
    pub async fn status_at(&self, endpoint: &str) -> Result<StatusBody, ClientError> {
        self.at(endpoint, "/v1/cluster/status", json).await
    }

    /// A digest of everything that one node has applied. The node need not be among the client's endpoints. Only that
    /// node vouches for the digest, and making it takes as long as reading every row.
    ///
    /// # Errors
    /// `overloaded` while the node is making another digest.
    pub async fn digest_at(&self, endpoint: &str) -> Result<DigestBody, ClientError> {
        self.at(endpoint, "/v1/cluster/digest", json).await
    }

    /// Whether some endpoint serves reads through a quorum.
    pub async fn ready(&self) -> bool {
        self.ask(&Ask::read("/readyz"), ok).await.is_ok()
    }

    /// Whether one node serves reads through a quorum.
    pub async fn ready_at(&self, endpoint: &str) -> bool {
        self.at(endpoint, "/readyz", ok).await.is_ok()
    }

    /// Asks one endpoint, once.
    async fn at<T>(
        &self,
        endpoint: &str,
        path: &str,
        read: impl Fn(&Answer) -> Result<T, Unread>,
    ) -> Result<T, ClientError> {
        let endpoint = self.config().endpoint(endpoint)?;
        let share = self.share(self.deadline(), 1);
        match self.attempt(&endpoint, &Ask::read(path), share).await {
            Ok(answer) => read(&answer).map_err(|unread| NoAnswer::only(&answer, unread)),
            Err(failure) => {
                let mut no_answer = NoAnswer::default();
                no_answer.failed(&endpoint, &failure);
                Err(no_answer.into())
            }
        }
    }

    /// Reads a JSON document. `missing` is the code with which a node says that it does not exist.
    async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        missing: Code,
    ) -> Result<Option<T>, ClientError> {
        self.ask(&Ask::read(path), |answer| there_is(answer, missing, json)).await
    }

    async fn must_get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(&Ask::read(path), json).await
    }
}

/// The document in an answer of 200, or `None` if a node says that it does not exist. Only the code `missing` says
/// that. A node that does not have this call says that there is nothing at the path (`target_unknown`).
fn there_is<T>(
    answer: &Answer,
    missing: Code,
    read: impl Fn(&Answer) -> Result<T, Unread>,
) -> Result<Option<T>, Unread> {
    match answer.status {
        200 => read(answer).map(Some),
        404 if problem(&answer.body).is_some_and(|problem| problem.code == missing) => Ok(None),
        _ => Err(refused(answer)),
    }
}

/// Checks that an answer comes from a node that is ready. Anything else that answers 200 at this path is not a node.
fn ok(answer: &Answer) -> Result<(), Unread> {
    match answer.status {
        200 if answer.body.trim_ascii() == READY => Ok(()),
        200 => Err(not_the_api(answer, "whose body is not `ok`")),
        _ => Err(refused(answer)),
    }
}

fn paged(mut path: String, after: Option<impl Display>, limit: Option<usize>) -> String {
    let mut separator = if path.contains('?') { '&' } else { '?' };
    let mut add = |name: &str, value: String| {
        path.push(separator);
        path.push_str(name);
        path.push('=');
        path.push_str(&value);
        separator = '&';
    };
    if let Some(after) = after {
        add("after", after.to_string());
    }
    if let Some(limit) = limit {
        add("limit", limit.to_string());
    }
    path
}

/// A lineage page by page. Each page has the lineage's status and heads at the time at which the page was read.
#[derive(Debug)]
pub struct LineagePages {
    client: Client,
    domain: DomainName,
    lineage: LineageName,
    /// `None` after the last page; otherwise the place after which the next page starts.
    next: Option<Option<(History, u64)>>,
}

impl LineagePages {
    /// The next page; `None` after the last page, or at once if the lineage does not exist. After an error, the next
    /// call asks for the same page again. A page of another history never follows a page before it: that is
    /// `history_mismatch`.
    pub async fn next(&mut self) -> Result<Option<LineageBody>, ClientError> {
        let Some(after) = self.next else { return Ok(None) };
        let page =
            self.client.lineage(&self.domain, &self.lineage, after, Some(assent_api::MAX_PAGE)).await?;
        // A node that always names the same next place must not keep the caller for ever.
        let next = page.as_ref().and_then(|page| Some((page.history, page.next?)));
        let next = next.filter(|(_, next)| after.is_none_or(|(_, after)| *next > after));
        self.next = next.map(Some);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_by_after_and_limit() {
        assert_eq!(paged("/x".into(), None::<u64>, None), "/x");
        assert_eq!(paged("/x".into(), Some(3), Some(10)), "/x?after=3&limit=10");
        assert_eq!(paged("/x?domain=d".into(), None::<u64>, Some(10)), "/x?domain=d&limit=10");
    }
}
