//! Whether a caller that is narrowed to domains may do what it asks for.
//!
//! HTTP judges the roles of a caller before a use case is called. The domains are known only once a request is read,
//! so the use cases judge them: here, and in `authorize.rs` and `permit.rs`, which answer with a deny.

use bytes::Bytes;

use assent_api::{Call, Problem};
use assent_proof::{AuthorizeRequest, Envelope, Statement};
use assent_registry::query::EventFilter;

use super::problem::not_permitted;
use super::{Answered, Caller, Service, Shed};
use crate::access::{Denial, Shown};
use crate::env::blocking;

/// Up to this many bytes of envelopes are read on the async thread. More would take milliseconds, which would hold it
/// up.
const READ_AT_ONCE: usize = 16 * 1024;

impl Service {
    /// The caller who has shown this. The time by which JSON web tokens are judged is this node's, if it is sure of
    /// it. Before the signature of such a token is verified, `may_verify` is asked.
    pub fn identify(&self, shown: Shown<'_>, may_verify: &dyn Fn() -> bool) -> Caller {
        let parts = self.parts();
        // Only such a token has times, and to be sure of the clock costs a look at the peers' readings.
        let has_times = shown.bearer.is_some_and(|bearer| bearer.contains('.'));
        let now = if has_times { parts.judged().ok() } else { None };
        parts.access.identify(shown, now, may_verify)
    }

    /// The caller of a request that has shown nothing.
    pub(crate) fn identify_nothing(&self) -> Caller {
        self.parts().access.identify(Shown::default(), None, &|| false)
    }

    /// Denies a request of a caller that may not ask. The deny has no signature: nothing was evaluated, and refusing
    /// strangers must cost less than answering others.
    pub(crate) fn deny_caller(&self, request: &AuthorizeRequest, denial: &Denial) -> Answered {
        self.parts().not_permitted(request, denial)
    }

    /// Denies a request of a caller that has used up a quota. The deny has no signature either.
    pub(crate) fn deny_shed(&self, request: &AuthorizeRequest, shed: &Shed) -> Answered {
        self.parts().denied_one(request, shed)
    }

    /// Whether the caller may submit these envelopes, by the domains in their statements. An envelope that cannot be
    /// read is not judged here: the check that follows refuses it by the same parser. The envelopes have their places
    /// by then, which bounds how many are read at a time.
    ///
    /// # Errors
    /// The one problem of all of them, which names the first that it may not submit.
    pub(super) async fn permitted_envelopes(
        &self,
        caller: &Caller,
        envelopes: &[Bytes],
    ) -> Result<(), Box<Problem>> {
        if caller.narrowed().is_none() {
            return Ok(());
        }
        let bytes = envelopes.iter().map(Bytes::len).fold(0, usize::saturating_add);
        let judged = if bytes <= READ_AT_ONCE {
            Ok(first_denied(caller, envelopes))
        } else {
            let (caller, envelopes) = (caller.clone(), envelopes.to_vec());
            blocking(&*self.parts().env.blocking, move || first_denied(&caller, &envelopes)).await
        };
        match judged {
            Ok(None) => Ok(()),
            Ok(Some(denial)) => Err(not_permitted(&denial, Call::Submission)),
            Err(lost) => Err(Shed::from(lost).problem(Call::Submission)),
        }
    }
}

/// Why the caller may not submit the first of these envelopes that it may not submit.
fn first_denied(caller: &Caller, envelopes: &[Bytes]) -> Option<Denial> {
    envelopes.iter().enumerate().find_map(|(place, envelope)| {
        let envelope = Envelope::parse(envelope).ok()?;
        let statement = Statement::parse(&envelope.payload).ok()?;
        let denial = caller.permitted_in(&statement.domain).err()?;
        Some(Denial { detail: format!("envelope {place}: {}", denial.detail), ..denial })
    })
}

/// The events that a caller may follow: in its own domains, if it names none.
///
/// # Errors
/// It names a domain in which it may not act.
pub(super) fn permitted_events(
    caller: &Caller,
    mut filter: EventFilter,
) -> Result<EventFilter, Box<Problem>> {
    let Some(domains) = caller.narrowed() else { return Ok(filter) };
    if filter.domains.is_empty() {
        // An empty filter stands for every domain, so a caller without one must not get it.
        if domains.is_empty() {
            let detail = format!("{caller} may not act in any domain");
            return Err(not_permitted(&Denial { unknown: false, detail }, Call::Feed));
        }
        filter.domains = domains.clone();
        return Ok(filter);
    }
    for domain in &filter.domains {
        caller.permitted_in(domain).map_err(|denial| not_permitted(&denial, Call::Feed))?;
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use assent_fixtures::{Place, claims, key};
    use assent_proof::{Code, DomainName, Seconds};

    use super::*;
    use crate::access::{Credential, Domains, RoleSet};

    fn narrowed(domains: &[&str]) -> Caller {
        let domains: BTreeSet<DomainName> = domains.iter().map(|name| name.parse().unwrap()).collect();
        Caller::named("x".into(), Credential::Token, RoleSet::ALL, Domains::Only(Arc::new(domains)))
    }

    fn envelope(domain: &str) -> Bytes {
        let place = Place::new("registry.test/1", domain.parse().unwrap(), Seconds(0));
        place.draft(&claims::integrity("m")).sign(&[&key(1)]).into()
    }

    #[test]
    fn an_envelope_is_judged_by_the_domain_that_its_statement_names() {
        let caller = narrowed(&["prod.eu"]);
        let (own, other) = (envelope("prod.eu"), envelope("prod.us"));
        assert_eq!(first_denied(&caller, &[own.clone(), Bytes::from_static(b"no envelope")]), None);
        let denial = first_denied(&caller, &[own, other.clone()]).unwrap();
        assert!(denial.detail.starts_with("envelope 1: "), "{denial:?}");
        assert!(denial.detail.contains("`prod.us`"), "{denial:?}");
        assert_eq!(first_denied(Caller::local(), &[other]), None);
    }

    #[test]
    fn a_narrowed_caller_follows_its_own_domains_and_no_others() {
        let ask = |domains: &[&str]| EventFilter {
            domains: domains.iter().map(|name| name.parse().unwrap()).collect(),
            ..EventFilter::default()
        };
        let of = |caller: &Caller, domains: &[&str]| {
            permitted_events(caller, ask(domains)).map(|filter| filter.domains).map_err(|why| why.code)
        };
        let caller = narrowed(&["prod.eu", "prod.us"]);
        assert_eq!(of(&caller, &[]), Ok(ask(&["prod.eu", "prod.us"]).domains));
        assert_eq!(of(&caller, &["prod.us"]), Ok(ask(&["prod.us"]).domains));
        assert_eq!(of(&caller, &["prod.us", "_root"]), Err(Code::CallerNotPermitted));
        assert_eq!(of(&narrowed(&[]), &[]), Err(Code::CallerNotPermitted));
        assert_eq!(of(Caller::local(), &[]), Ok(BTreeSet::new()));
    }
}
