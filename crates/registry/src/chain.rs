//! Where a statement of an issuer's own chain lies: the chain, and the half of a slot. The keys of rows are
//! made of these.

use assent_proof::{DomainName, LineageName, PublicKey};

/// Where an issuer's chain lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain<'a> {
    pub(crate) domain: &'a DomainName,
    pub(crate) lineage: &'a LineageName,
    pub(crate) issuer: &'a PublicKey,
}

/// Which statement of a slot: the first one, which took it, or the second one, which makes it an
/// equivocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Half {
    First = 0,
    Second = 1,
}
