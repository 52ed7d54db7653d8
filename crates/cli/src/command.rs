//! The subcommands, one file each: its arguments and what it does.

pub(crate) mod authority;
pub(crate) mod authorize;
pub(crate) mod contain;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod domain;
pub(crate) mod envelope;
pub(crate) mod events;
pub(crate) mod genesis;
pub(crate) mod key;
pub(crate) mod leader;
pub(crate) mod lineage;
pub(crate) mod member;
pub(crate) mod node;
pub(crate) mod permit;
pub(crate) mod reconcile;
pub(crate) mod recover;
pub(crate) mod release;
pub(crate) mod replace;
pub(crate) mod revoke;
pub(crate) mod sign;
pub(crate) mod statement;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod verify;
pub(crate) mod watch;
