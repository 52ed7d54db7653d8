//! Each request in the audit trail, and the refused callers in the metrics.
//!
//! A route says what it knows of its request in the extensions of its answer. What is here puts that into the trail. It
//! reads no body and no header.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::Method;

use assent_api::Call;
use assent_proof::Code;
use assent_proof::text::cut;

use super::caller::RemoteAddr;
use crate::access::{Caller, RefusedCaller, ShownIdentity, TOKEN_PREFIX};
use crate::audit::{AuditClass, Entry, Facts, Open, Party};
use crate::usecase::Service;

/// The route of a call to a path that does not exist.
pub(super) const NOWHERE: &str = "nowhere";
/// The most characters of a path that an entry shows, and of one of its parts.
const PATH_CHARS_MAX: usize = 128;
const PART_CHARS_MAX: usize = 32;

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

/// Puts a call into the trail that has no route on its listener, and returns its answer.
pub(super) fn unrouted(
    service: &Service,
    caller: &Caller,
    request: &Request,
    (why, route): (RefusedCaller, &'static str),
    mut answer: Response,
) -> Response {
    let facts = answer.extensions_mut().remove::<Facts>().unwrap_or_default();
    // Its caller may be beyond a quota.
    let why = facts.refused.unwrap_or(why);
    let path = request.uri().path();
    let facts = Facts { status: Some(answer.status().as_u16()), ..facts };
    let facts = if route == NOWHERE {
        Facts { path: Some(shown_path(path)), ..facts }
    } else {
        facts.or(of_path(route, path))
    };
    let from = request.extensions().get::<RemoteAddr>().map(|RemoteAddr(remote)| remote.clone());
    refused(service, Party::of(caller), from, why, (known_method(request.method()), route), facts);
    answer
}

/// Notes that there is no TLS connection with a caller, which may have shown a certificate that was refused. The process's
/// log says why.
pub(super) fn handshake_refused(service: &Service, remote: &str, shown: Option<ShownIdentity>) {
    let why = RefusedCaller::Handshake;
    let who = Party::unknown(why.as_str()).showing(shown);
    refused(service, who, Some(Arc::from(remote)), why, ("TLS", "handshake"), Facts::default());
}

/// Notes that a request is refused because its address has too many connections. Nobody looks who makes it.
pub(super) fn beyond_address(service: &Service, remote: &str, status: u16) {
    let facts = Facts { codes: vec![Code::Overloaded], status: Some(status), ..Facts::default() };
    let why = RefusedCaller::Connections;
    let who = Party::unknown(why.as_str());
    refused(service, who, Some(Arc::from(remote)), why, ("HTTP", "connection"), facts);
}

/// Counts a refusal that is over at once, and puts it into the trail.
fn refused(
    service: &Service,
    who: Party,
    from: Option<Arc<str>>,
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
        who,
        from,
        method,
        route,
        forwarded_from: None,
        forwarded_to: None,
        facts: Facts { decision: Some("refused"), refused: Some(why), ..facts },
    });
}

/// The method of a request, in a word of this program.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "CONNECT" => "CONNECT",
        _ => "other",
    }
}

/// What an entry shows of a path that does not exist. The query is no part of a path. A part that is as long as a token or
/// a key may be one, so it is left out, and so is one that begins like a token. A character that no path of this program
/// has becomes `?`.
fn shown_path(path: &str) -> String {
    let mut shown = String::new();
    for (place, part) in path.split('/').enumerate() {
        if place > 0 {
            shown.push('/');
        }
        if part.len() > PART_CHARS_MAX || part.to_ascii_lowercase().contains(TOKEN_PREFIX) {
            shown.push('…');
        } else {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~:*".contains(c);
            shown.extend(part.chars().map(|c| if is_plain(c) { c } else { '?' }));
        }
        if shown.chars().count() > PATH_CHARS_MAX {
            return cut(&shown, PATH_CHARS_MAX).into_owned();
        }
    }
    shown
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

    /// It fails if a secret in a path, or a path of any length, gets into the trail.
    #[test]
    fn of_a_path_that_does_not_exist_only_short_and_plain_parts_are_shown() {
        let token = format!("assent_{}", "A".repeat(43));
        let jwt = format!("{}.{}.x", "e".repeat(20), "y".repeat(20));
        for (path, shown) in [
            ("/", "/"),
            ("*", "*"),
            ("", ""),
            ("/v2/domains", "/v2/domains"),
            ("/v1/envelopes:batches", "/v1/envelopes:batches"),
            ("/%0a<script>", "/?0a?script?"),
            ("/assent_x/Assent_y/z", "/…/…/z"),
            (format!("/{token}/x").as_str(), "/…/x"),
            (format!("/{jwt}").as_str(), "/…"),
        ] {
            assert_eq!(shown_path(path), shown);
        }
        for long in ["/a".repeat(30_000), format!("/{}", "a".repeat(60_000)), "/".repeat(60_000)] {
            assert!(shown_path(&long).chars().count() <= PATH_CHARS_MAX + 1);
        }
        assert_eq!(known_method(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
