//! Each request in the audit trail, and the refused callers in the metrics.
//!
//! A route says what it knows of its request in the extensions of its answer. What is here puts that into the trail. It
//! reads no body and no header.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use assent_api::Call;
use assent_proof::Code;

use super::caller::RemoteAddr;
use crate::access::{Caller, RefusedCaller};
use crate::audit::{AuditClass, Entry, Facts, Open, Party};
use crate::usecase::Service;

/// A request that is under way.
pub(super) struct Audited {
    service: Service,
    open: Open,
    caller: Caller,
    /// The class of the call, if it is permitted.
    class: AuditClass,
    /// Whether the caller lacks the role.
    denied: bool,
}

/// The answer, with what its route knows of the request.
pub(super) fn with(mut answer: Response, facts: Facts) -> Response {
    let known = answer.extensions_mut().remove::<Facts>().unwrap_or_default();
    answer.extensions_mut().insert(facts.or(known));
    answer
}

/// What a path says, where it has the form that its place in the template asks for.
fn of_path(template: &str, path: &str) -> Facts {
    let mut facts = Facts::default();
    for (place, text) in template.split('/').zip(path.split('/')) {
        // The one character of these forms that some clients encode.
        let text = text.replace("%3A", ":").replace("%3a", ":");
        match place {
            "{domain}" => facts.domain = text.parse().ok(),
            "{lineage}" => facts.lineage = text.parse().ok(),
            "{evidence_id}" => facts.evidence = text.parse().ok(),
            "{id}" => facts.member = text.parse().ok(),
            _ => {}
        }
    }
    facts
}

impl Audited {
    /// The request of this caller for a row of the table of routes.
    pub(super) fn begin(
        service: &Service,
        (method, route, call): (&'static str, &'static str, Call),
        caller: &Caller,
        denied: bool,
        request: &Request,
    ) -> Self {
        let trail = &service.parts().trail;
        let class = AuditClass::of(call);
        let entry = Entry {
            class: if denied { AuditClass::Refused } else { class },
            request: caller.request().cloned().unwrap_or_else(|| trail.new_request()),
            who: Party::of(caller),
            from: request.extensions().get::<RemoteAddr>().map(|RemoteAddr(remote)| remote.clone()),
            method,
            route,
            forwarded_from: None,
            forwarded_to: None,
            facts: of_path(route, request.uri().path()),
        };
        let open = trail.begin(entry);
        Self { service: service.clone(), open, caller: caller.clone(), class, denied }
    }

    /// Puts a permitted change of the cluster into the trail before it is made. Other calls do not wait.
    ///
    /// # Errors
    /// The trail does not have it, so the change must not be made.
    pub(super) async fn asked(&self) -> Result<(), String> {
        match self.class {
            AuditClass::Admin if !self.denied => self.open.ask().await,
            AuditClass::Admin
            | AuditClass::Decision
            | AuditClass::Submission
            | AuditClass::Read
            | AuditClass::Refused => Ok(()),
        }
    }

    /// The answer, once it is in the trail.
    pub(super) fn answered(self, mut answer: Response) -> Response {
        let mut facts = answer.extensions_mut().remove::<Facts>().unwrap_or_default();
        let status = answer.status();
        facts.status = Some(status.as_u16());
        facts.decision.get_or_insert(if status.is_success() { "done" } else { "refused" });
        let refused = if self.denied {
            Some(RefusedCaller::by_role(&self.caller))
        } else if facts.refused.is_some() {
            facts.refused
        } else if facts.codes.contains(&Code::CallerNotPermitted) {
            Some(RefusedCaller::by_what_it_asks(&self.caller))
        } else {
            None
        };
        facts.refused = refused;
        let class = match refused {
            Some(why) => {
                self.service.parts().metrics.caller_refused(why);
                AuditClass::Refused
            }
            None => self.class,
        };
        self.open.close(class, facts);
        answer
    }
}

/// Notes that there is no TLS connection with a caller. The process's log says why.
pub(super) fn handshake_refused(service: &Service, remote: &str) {
    connection_refused(service, remote, RefusedCaller::Handshake, ("TLS", "handshake"), Facts::default());
}

/// Notes that a request is refused because its address has too many connections. Nobody looks who makes it.
pub(super) fn beyond_address(service: &Service, remote: &str, status: u16) {
    let facts = Facts { codes: vec![Code::Overloaded], status: Some(status), ..Facts::default() };
    connection_refused(service, remote, RefusedCaller::Connections, ("HTTP", "connection"), facts);
}

fn connection_refused(
    service: &Service,
    remote: &str,
    why: RefusedCaller,
    (method, route): (&'static str, &'static str),
    facts: Facts,
) {
    let parts = service.parts();
    parts.metrics.caller_refused(why);
    if !parts.trail.is_on() {
        return;
    }
    parts.trail.add(&Entry {
        class: AuditClass::Refused,
        request: parts.trail.new_request(),
        who: Party::unknown(why.as_str()),
        from: Some(Arc::from(remote)),
        method,
        route,
        forwarded_from: None,
        forwarded_to: None,
        facts: Facts { decision: Some("refused"), refused: Some(why), ..facts },
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if text of the caller's own gets into the trail by way of a path.
    #[test]
    fn only_what_has_the_form_of_a_name_is_taken_from_a_path() {
        let facts = of_path("/v1/lineages/{domain}/{lineage}", "/v1/lineages/prod.eu/run%20secret!");
        assert_eq!((facts.domain, facts.lineage), ("prod.eu".parse().ok(), None));
        let facts = of_path("/v1/cluster/members/{id}/promote", "/v1/cluster/members/3/promote");
        assert_eq!(facts.member, Some(3));
        let id = format!("blake3:{}", "ab".repeat(32));
        let encoded = id.replace(':', "%3A");
        for path in [&id, &encoded] {
            let facts = of_path("/v1/envelopes/{evidence_id}", &format!("/v1/envelopes/{path}"));
            assert_eq!(facts.evidence, id.parse().ok());
        }
    }
}
