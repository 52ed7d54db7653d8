//! The roles of callers. A role says which calls a caller may make; it has nothing to do with the roles of keys, by
//! which the registry judges evidence.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a caller is to this node. `docs/callers.md` names the parties of RFC-EG-033 §8 and the role of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Asks whether something may run.
    Scheduler,
    /// Asks at the point of execution whether something may run.
    Gateway,
    /// Reads everything, and changes nothing.
    Auditor,
    /// Submits signed envelopes.
    Submitter,
    /// Changes the membership of the cluster, and watches its nodes.
    Operator,
    /// The agent of another registry.
    Peer,
    /// A caller that shows no credential. Only the node gives this role, and only if `public_read` is set.
    Public,
}

impl Role {
    /// Every role, in the order of the enum.
    pub const ALL: [Role; 7] = [
        Role::Scheduler,
        Role::Gateway,
        Role::Auditor,
        Role::Submitter,
        Role::Operator,
        Role::Peer,
        Role::Public,
    ];

    /// The stable word of this role in configurations, the audit trail and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Scheduler => "scheduler",
            Role::Gateway => "gateway",
            Role::Auditor => "auditor",
            Role::Submitter => "submitter",
            Role::Operator => "operator",
            Role::Peer => "peer",
            Role::Public => "public",
        }
    }

    const fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a role: the roles are `scheduler`, `gateway`, `auditor`, `submitter`, `operator`, `peer` and `public`"
)]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("`{}` {error}", text.escape_debug())))
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct RoleSet(u8);

impl RoleSet {
    /// No role.
    pub const NONE: RoleSet = RoleSet(0);

    /// Every role.
    pub const ALL: RoleSet = RoleSet::NONE
        .with(Role::Scheduler)
        .with(Role::Gateway)
        .with(Role::Auditor)
        .with(Role::Submitter)
        .with(Role::Operator)
        .with(Role::Peer)
        .with(Role::Public);

    /// This set and one more role.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        RoleSet(self.0 | role.bit())
    }

    /// Whether the role is in the set.
    pub const fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the two sets have a role in common.
    pub const fn meets(self, other: RoleSet) -> bool {
        self.0 & other.0 != 0
    }

    /// The roles in the order of the enum.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl FromIterator<Role> for RoleSet {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        roles.into_iter().fold(RoleSet::NONE, RoleSet::with)
    }
}

/// The roles as a list for people: `scheduler, auditor`.
impl fmt::Display for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, role) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(role.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for RoleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_its_word_and_no_other_word_is_a_role() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for word in ["", "Scheduler", "admin", "scheduler ", "root"] {
            assert_eq!(word.parse::<Role>(), Err(UnknownRole), "{word}");
        }
    }

    #[test]
    fn a_set_holds_exactly_the_roles_that_were_put_into_it() {
        for role in Role::ALL {
            let one = RoleSet::NONE.with(role);
            assert_eq!(one.iter().collect::<Vec<_>>(), [role]);
            assert!(RoleSet::ALL.contains(role) && RoleSet::ALL.meets(one) && !RoleSet::NONE.meets(one));
        }
        let two: RoleSet = [Role::Auditor, Role::Scheduler].into_iter().collect();
        assert_eq!(two.to_string(), "scheduler, auditor");
        assert!(!two.meets(RoleSet::NONE.with(Role::Operator)));
    }
}
