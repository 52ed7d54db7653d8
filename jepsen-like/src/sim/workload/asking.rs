//! The callers' questions: authorizes, permits, events.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::super::http::{Answer, NoAnswer};
use super::book::{DomainBook, Lineage};
use super::client::Client;
use crate::history::{Op, Outcome};
use crate::reading::page;

/// The deadline of an answer: more than a node's own deadline, so that a late answer is seen.
const WITHIN: Duration = Duration::from_millis(1_500);
/// The largest number of events on one page.
const PAGE: u64 = 50;

impl Client {
    /// Asks whether something may execute.
    pub(super) async fn authorize(&mut self) {
        let domain = self.any_domain();
        let Some(mut request) = self.request(domain) else { return };
        if self.dice.chance(1, 30) {
            set(&mut request, "action", "destroy");
        }
        if request.get("runtime").is_some() && self.dice.chance(1, 4) {
            // Its authorization is bound to that runtime.
            remove(&mut request, "runtime");
        }
        let node = self.any_node();
        self.ask(Op::Authorize, domain, node, request, "/v1/authorize").await;
    }

    /// Takes a permit, or asks again for one that was taken before, sometimes twice at once through two nodes.
    pub(super) async fn permit(&mut self) {
        let domain = self.any_domain();
        let repeated = {
            let permits =
                self.book().domains.get(domain).map(|domain| domain.permits.clone()).unwrap_or_default();
            if self.dice.chance(2, 5) { self.dice.pick(&permits).cloned() } else { None }
        };
        let request = match repeated {
            Some(request) => request,
            None => {
                let Some(mut request) = self.request(domain) else { return };
                let nonce = self.book().name("nonce");
                set(&mut request, "nonce", &nonce);
                if let Some(domain) = self.book().domains.get_mut(domain) {
                    domain.permits.push(request.clone());
                }
                request
            }
        };
        let node = self.any_node();
        self.ask(Op::Permit, domain, node, request, "/v1/permits").await;
    }

    /// Lets a new execution be authorized, and takes a permit for it.
    pub(super) async fn execute(&mut self) {
        let Some((domain, lineage)) = self.new_lineage().await else { return };
        let Some(mut request) = self.book().domains.get(domain).map(|domain| about(domain, &lineage)) else {
            return;
        };
        let nonce = self.book().name("nonce");
        set(&mut request, "nonce", &nonce);
        let node = self.any_node();
        self.ask(Op::Permit, domain, node, request, "/v1/permits").await;
    }

    /// Asks any node whether an execution may continue.
    pub(super) async fn ask_about(&mut self, domain: usize, lineage: &Lineage) {
        let Some(request) = self.book().domains.get(domain).map(|domain| about(domain, lineage)) else {
            return;
        };
        let node = self.any_node();
        self.ask(Op::Authorize, domain, node, request, "/v1/authorize").await;
    }

    /// A request about an execution of the domain; newer executions are asked about more often.
    pub(super) fn request(&mut self, domain: usize) -> Option<Value> {
        let count = self.book().domains.get(domain)?.lineages.len();
        let recent = u64::try_from(count).ok()?.min(if self.dice.chance(3, 4) { 4 } else { u64::MAX });
        let back = usize::try_from(self.dice.below(recent)).ok()?;
        let book = self.book();
        let domain = book.domains.get(domain)?;
        Some(match domain.lineages.iter().rev().nth(back) {
            Some(lineage) => about(domain, lineage),
            None => json!({"domain": domain.name.to_string(), "lineage": "nothing", "action": "run",
                "subject": {"digest": {"sha256": "00".repeat(32)}}}),
        })
    }

    pub(super) async fn ask(&mut self, op: Op, domain: usize, node: u64, request: Value, path: &str) {
        let key = self.book().domains.get(domain).map(|domain| domain.name.to_string()).unwrap_or_default();
        let begun = self.shared.recorder.begin(op, self.id, node, &key, request.clone());
        self.asked = self.asked.saturating_add(1);
        match self.http.ask(node, Method::POST, path, request.to_string().into_bytes(), WITHIN).await {
            Ok(Answer { status, body, .. }) => match Outcome::of_question(status, &body) {
                Outcome::Unknown => begun.unknown(body),
                Outcome::Deny => begun.end(Outcome::Deny, body),
                Outcome::Ok => {
                    begun.end(Outcome::Ok, body);
                    self.allowed = self.allowed.saturating_add(1);
                    if op == Op::Authorize {
                        self.book().was_allowed(domain, &request);
                    }
                }
            },
            Err(NoAnswer::NotSent) => begun.forget(),
            Err(NoAnswer::MaybeSent) => begun.unknown(Value::Null),
        }
    }

    /// Reads a page of the feed.
    pub(super) async fn follow_events(&mut self) {
        let node = self.any_node();
        let drawn = self.dice.below(200);
        // Only a page names the history in which a revision has a meaning. Before the first page the caller reads from
        // the beginning.
        let (after, history) = match &self.history {
            Some(history) => (drawn, format!("&history={history}&after={drawn}")),
            None => (0, String::new()),
        };
        let begun = self.shared.recorder.begin(Op::Events, self.id, node, "", json!({"after": after}));
        let path = format!("/v1/events?limit={PAGE}&confirmed=true{history}");
        match self.http.ask(node, Method::GET, &path, Vec::new(), WITHIN).await {
            Ok(answer) if answer.status == 200 => match page(&answer.text) {
                Some(page) => {
                    self.history = page.get("history").and_then(Value::as_str).map(str::to_owned);
                    begun.end(Outcome::Ok, page);
                }
                None => begun.unknown(Value::Null),
            },
            Ok(answer) => begun.end(Outcome::Deny, answer.body),
            Err(_) => begun.unknown(Value::Null),
        }
    }
}

/// A request about an execution, on the runtime to which it is bound.
fn about(domain: &DomainBook, lineage: &Lineage) -> Value {
    let mut request = json!({"domain": domain.name.to_string(), "lineage": lineage.name,
        "action": lineage.action, "subject": {"digest": {"sha256": lineage.subject.to_string()}}});
    if let Some(runtime) = &lineage.runtime {
        set(&mut request, "runtime", runtime.as_ref());
    }
    request
}

fn set(request: &mut Value, field: &str, to: &str) {
    if let Some(fields) = request.as_object_mut() {
        fields.insert(field.to_owned(), json!(to));
    }
}

fn remove(request: &mut Value, field: &str) {
    if let Some(fields) = request.as_object_mut() {
        fields.remove(field);
    }
}

pub(super) fn said(body: &Value) -> Option<&str> {
    body.get("decision").and_then(Value::as_str)
}
