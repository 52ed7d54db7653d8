//! Why a caller was refused, as metrics and the audit trail tell it.

use super::caller::{Caller, Unknown, Who};

/// Why a caller was refused. The set is closed, so that no caller can make a new value of a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedCaller {
    /// The node does not know it.
    Unknown(Unknown),
    /// There was no TLS connection with it: one side refused the other, or the handshake took too long.
    Handshake,
    /// The node knows it, and it lacks the role.
    Role,
    /// It has the role, and may not act in the domain.
    Domain,
    /// It has the role, and what it handed in is for no caller to hand in.
    Kind,
    /// It has `limits.caller_requests` requests under way.
    Requests,
    /// It has made as many requests as `limits.caller_rate` and `limits.caller_burst` let it, or its own `rate` and
    /// `burst`.
    Rate,
    /// It had `limits.caller_work` calls of this kind in work, and the turn of this one did not come in time.
    Work,
    /// Its address has `limits.connections_per_address` connections.
    Connections,
    /// The call answers on another listener.
    Listener,
    /// There is no such path.
    Path,
    /// The path does not take the method.
    Method,
}

impl RefusedCaller {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            RefusedCaller::Handshake,
            RefusedCaller::Role,
            RefusedCaller::Domain,
            RefusedCaller::Kind,
            RefusedCaller::Requests,
            RefusedCaller::Rate,
            RefusedCaller::Work,
            RefusedCaller::Connections,
            RefusedCaller::Listener,
            RefusedCaller::Path,
            RefusedCaller::Method,
        ];
        Unknown::all().map(RefusedCaller::Unknown).chain(others)
    }

    /// Why this caller may not make a call that is for other roles.
    pub(crate) fn by_role(caller: &Caller) -> Self {
        match caller.who() {
            Who::Unknown(why) => RefusedCaller::Unknown(*why),
            Who::Local | Who::Named { .. } | Who::Node => RefusedCaller::Role,
        }
    }

    /// Why what this caller asks for is not permitted to it, although the call is for its role.
    pub(crate) fn by_what_it_asks(caller: &Caller) -> Self {
        match (caller.who(), caller.narrowed()) {
            (Who::Unknown(why), _) => RefusedCaller::Unknown(*why),
            (Who::Local | Who::Named { .. } | Who::Node, Some(_)) => RefusedCaller::Domain,
            (Who::Local | Who::Named { .. } | Who::Node, None) => RefusedCaller::Kind,
        }
    }

    /// Whether it asks for too much, and would be answered if it asked for less.
    pub(crate) fn is_of_limit(self) -> bool {
        match self {
            RefusedCaller::Requests
            | RefusedCaller::Rate
            | RefusedCaller::Work
            | RefusedCaller::Connections => true,
            RefusedCaller::Unknown(_)
            | RefusedCaller::Handshake
            | RefusedCaller::Role
            | RefusedCaller::Domain
            | RefusedCaller::Kind
            | RefusedCaller::Listener
            | RefusedCaller::Path
            | RefusedCaller::Method => false,
        }
    }

    /// The stable word for the audit trail and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusedCaller::Unknown(why) => why.as_str(),
            RefusedCaller::Handshake => "handshake",
            RefusedCaller::Role => "role",
            RefusedCaller::Domain => "domain",
            RefusedCaller::Kind => "kind",
            RefusedCaller::Requests => "caller_requests",
            RefusedCaller::Rate => "caller_rate",
            RefusedCaller::Work => "caller_work",
            RefusedCaller::Connections => "connections_per_address",
            RefusedCaller::Listener => "listener",
            RefusedCaller::Path => "path",
            RefusedCaller::Method => "method",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Fails if a reason is left out of the list, or if two have one word.
    #[test]
    fn each_reason_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = RefusedCaller::all().map(RefusedCaller::as_str).collect();
        assert_eq!(words.len(), RefusedCaller::all().count());
        assert_eq!(words.len(), 4 + 11 + 16);
    }
}
