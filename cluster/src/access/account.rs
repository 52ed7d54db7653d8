//! Whose share of a node's room a call takes.

use std::sync::Arc;

use super::caller::{Caller, Who};
use super::source::Source;

/// Whose share of a node's room a call takes, and for whom its requests are counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    /// The calls that are not told apart: this node's own, and those of peers. They share nothing, and have no bound but
    /// that of all calls.
    Common,
    /// A caller of the table, by its name.
    Named(Arc<str>),
    /// The callers without a name, by the address that they call from. On a port with plain HTTP these are all callers.
    Source(Source),
}

impl Caller {
    /// Whose share of places, turns and memory its calls take, and for whom they are counted. It says nothing of what the
    /// caller may do.
    pub(crate) fn account(&self) -> Account {
        match self.who() {
            Who::Named { name, .. } => Account::Named(name.clone()),
            Who::Local | Who::Unknown(_) => {
                self.source().map_or(Account::Common, |source| Account::Source(source.clone()))
            }
            Who::Node => Account::Common,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::{Credential, Domains, Unknown};
    use super::super::role::RoleSet;
    use super::*;

    /// It fails if callers without a credential share one account, if an address gives a caller of the table another
    /// account, or if it changes what a caller may do.
    #[test]
    fn a_caller_has_the_account_of_its_name_and_without_one_that_of_its_address() {
        let (one, two) = (Source::of("127.0.0.2:1"), Source::of("127.0.0.3:1"));
        for caller in [Caller::local().clone(), Caller::unknown(Unknown::NothingShown)] {
            assert_eq!(caller.account(), Account::Common);
            let calling = caller.clone().calling_from(&one);
            assert_eq!(calling.account(), Account::Source(one.clone()));
            assert_ne!(calling.account(), caller.clone().calling_from(&two).account());
            assert_eq!((calling.roles(), calling.who()), (caller.roles(), caller.who()));
            assert!(calling.is_still(&caller));
        }
        let named = Caller::named("a".into(), Credential::Token, RoleSet::NONE, Domains::All);
        assert_eq!(named.calling_from(&one).account(), Account::Named("a".into()));
        assert_eq!(Caller::node().clone().calling_from(&one).account(), Account::Common);
    }
}
