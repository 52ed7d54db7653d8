//! Who makes the requests of one connection: what the connection has shown, and what each request shows.

use std::cell::Cell;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use assent_tls::SpiffeId;

use super::verifications::Verifications;
use crate::access::{Account, Caller, Role, RoleSet, Shown, Source, Unknown, Who};
use crate::usecase::Service;

/// The remote address of a request's connection, for people.
#[derive(Debug, Clone)]
pub(super) struct RemoteAddr(pub(super) Arc<str>);

/// The account for which a request is counted. A request without one is not counted.
#[derive(Debug, Clone)]
pub(super) struct CountedFor(pub(super) Account);

/// The callers that change the cluster.
pub(super) const OPERATORS: RoleSet = RoleSet::NONE.with(Role::Operator);

/// The paths of the calls that are open to everyone: there a bearer token is not looked at. To verify one costs a
/// signature, and these calls have no quota that would bound it.
pub(super) const OPEN_TO_EVERYONE: [&str; 2] = ["/livez", "/readyz"];

/// Which credentials count on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    /// A bearer token or, without one, the certificate.
    Any,
    /// The same, but the certificate must be that of an operator, whatever the token says. A token alone opens nothing
    /// there, because tokens are copied more easily than keys.
    OperatorsCertificate,
    /// Nothing. Callers are not told apart.
    Nothing,
}

/// The caller's side of one connection.
#[derive(Clone)]
pub(super) struct Visitor {
    /// It says who a caller is.
    pub(super) service: Service,
    pub(super) remote: Arc<str>,
    /// Where it calls from.
    pub(super) source: Source,
    /// The SPIFFE id of the certificate that was shown.
    pub(super) certificate: Option<SpiffeId>,
    pub(super) counts: Counts,
    /// What bounds how many signatures of tokens are verified for its address.
    pub(super) verifications: Arc<Verifications>,
}

impl Visitor {
    /// The caller of a request for this path with these headers. The bearer token is taken out of them, so that
    /// nothing behind this can print it.
    pub(super) fn identify(&self, path: &str, headers: &mut HeaderMap) -> Caller {
        let charged = Cell::new(None);
        let may_verify = || {
            charged.set(self.verifications.take(&self.source));
            charged.get().is_some()
        };
        let caller = self.judge(bearer(path, headers), &may_verify);
        // Only tokens with a wrong signature use up what the address may have.
        if let (Some(charged), Who::Named { .. }) = (charged.get(), caller.who()) {
            self.verifications.give_back(&self.source, charged);
        }
        headers.remove(AUTHORIZATION);
        caller
    }

    /// Whether no request of this connection is permitted, whatever it shows.
    pub(super) fn is_refused(&self) -> bool {
        match self.counts {
            Counts::OperatorsCertificate => self.by(None, &|| false).permitted(OPERATORS).is_err(),
            Counts::Any | Counts::Nothing => false,
        }
    }

    /// What a request with these headers shows, for a call that goes on for longer than it is judged for.
    pub(super) fn keep(&self, path: &str, headers: &HeaderMap) -> Kept {
        let bearer = bearer(path, headers).map(|bearer| Zeroizing::new(bearer.to_owned()));
        Kept(Arc::new((self.clone(), bearer)))
    }

    fn judge(&self, bearer: Option<&str>, may_verify: &dyn Fn() -> bool) -> Caller {
        match self.counts {
            Counts::Any => self.by(bearer, may_verify),
            Counts::OperatorsCertificate => self.by_certificate_first(bearer, may_verify),
            // The credentials are not looked at, since that would cost something.
            Counts::Nothing => Caller::unknown(Unknown::NothingShown),
        }
    }

    fn by(&self, bearer: Option<&str>, may_verify: &dyn Fn() -> bool) -> Caller {
        self.service.identify(Shown { certificate: self.certificate.clone(), bearer }, may_verify)
    }

    /// The caller by its certificate and, if that is an operator's, by its token. So a token can only take rights away.
    fn by_certificate_first(&self, bearer: Option<&str>, may_verify: &dyn Fn() -> bool) -> Caller {
        let by_certificate = self.by(None, &|| false);
        if bearer.is_some() && by_certificate.permitted(OPERATORS).is_ok() {
            return self.by(bearer, may_verify);
        }
        by_certificate
    }
}

/// What a request has shown. Its memory is overwritten when the last copy is dropped, and it cannot be printed.
#[derive(Clone)]
pub(super) struct Kept(Arc<(Visitor, Option<Zeroizing<String>>)>);

impl Kept {
    /// The caller who shows this now.
    pub(super) fn identify(&self) -> Caller {
        let (visitor, bearer) = &*self.0;
        // It was good when the call began. Its signature is verified again only if the keys have changed since, or if the
        // node has forgotten the token because it has accepted many others. The places of such calls bound how many
        // signatures that are.
        visitor.judge(bearer.as_ref().map(|bearer| bearer.as_str()), &|| true)
    }
}

/// The bearer token, if it says anything at this path. If there are several, or one that is no text, the result is a
/// token that nobody has, so that what was shown is never overlooked.
fn bearer<'a>(path: &str, headers: &'a HeaderMap) -> Option<&'a str> {
    if OPEN_TO_EVERYONE.contains(&path) {
        return None;
    }
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let first = all.next()?;
    match (first.to_str(), all.next()) {
        (Ok(text), None) => Shown::bearer_of(text),
        (Ok(_), Some(_)) | (Err(_), _) => Some(""),
    }
}

#[cfg(test)]
mod tests;
