//! Where the registry's state lives: ordered tables of bytes behind two small traits.
//!
//! The core names its tables and encodes its rows. The code that stores them (redb on a node, a map in a
//! test) implements [`Rows`] and [`RowsMut`]. Nothing here does IO.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::codec::{CodecError, UnknownVersionError};

/// The registry's tables. The numbers and names are stored and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// One row: revision, registry time, origin.
    Meta = 0,
    /// Ledger index → evidence id and time of acceptance.
    Leaves = 1,
    /// Ledger index → the envelope's bytes as submitted. No decision ever reads it.
    Bodies = 2,
    /// Evidence id → what the rules need to know of it.
    Evidence = 3,
    /// Public key → authority.
    Authorities = 4,
    /// (domain, public key) → nothing: the authorities of a domain.
    DomainAuthorities = 5,
    /// Domain → its governance.
    Domains = 6,
    /// Domain → its policy.
    Policies = 7,
    /// (domain, lineage) → status, subject, head.
    Lineages = 8,
    /// (domain, lineage, issuer) → that issuer's hash chain.
    LineageIssuers = 9,
    /// (domain, lineage, ledger index) → evidence id.
    LineageEntries = 10,
    /// (domain, lineage, issuer, slot, half) → what was signed for the slot.
    Slots = 11,
    /// (domain, digest, lineage) → nothing: the open lineages of a digest; (domain, digest) → how many there
    /// are.
    OpenSubjects = 12,
    /// (domain, kind, target, issuers) → the newest such restriction.
    Restrictions = 13,
    /// (domain, action, target, evidence id) → nothing: the quarantines and isolations of a target that were
    /// never released.
    Containments = 14,
    /// (domain, lineage, nonce) → the permit that was given for it.
    Permits = 15,
    /// Evidence id of a `sovereign-trust` → what it says.
    Trusts = 16,
    /// (domain, peer's origin, issuer, trust, time of acceptance, newest first) → the slot that brought a
    /// checkpoint of that registry, and the slots before and after it; (domain, peer's origin, issuer, trust)
    /// → the oldest and the newest of these; (domain, peer's origin) → how many issuers with how many trusts
    /// there are.
    Peers = 17,
    /// Evidence id of a `synchronization-continuity` → the checkpoint that it brought.
    Checkpoints = 18,
    /// (domain, action, target, signers, ledger index) → a release of a quarantine or isolation.
    Releases = 19,
}

impl Table {
    /// Every table, in the order of its number.
    pub const ALL: &'static [Table] = &[
        Table::Meta,
        Table::Leaves,
        Table::Bodies,
        Table::Evidence,
        Table::Authorities,
        Table::DomainAuthorities,
        Table::Domains,
        Table::Policies,
        Table::Lineages,
        Table::LineageIssuers,
        Table::LineageEntries,
        Table::Slots,
        Table::OpenSubjects,
        Table::Restrictions,
        Table::Containments,
        Table::Permits,
        Table::Trusts,
        Table::Peers,
        Table::Checkpoints,
        Table::Releases,
    ];

    /// The table's name in a store.
    pub fn name(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Leaves => "leaves",
            Table::Bodies => "bodies",
            Table::Evidence => "evidence",
            Table::Authorities => "authorities",
            Table::DomainAuthorities => "domain-authorities",
            Table::Domains => "domains",
            Table::Policies => "policies",
            Table::Lineages => "lineages",
            Table::LineageIssuers => "lineage-issuers",
            Table::LineageEntries => "lineage-entries",
            Table::Slots => "slots",
            Table::OpenSubjects => "open-subjects",
            Table::Restrictions => "restrictions",
            Table::Containments => "containments",
            Table::Permits => "permits",
            Table::Trusts => "trusts",
            Table::Peers => "peers",
            Table::Checkpoints => "checkpoints",
            Table::Releases => "releases",
        }
    }
}

/// Why rows could not be read or written. It never means that a row is absent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The stored bytes do not match their checksum, or do not decode although this build knows their version.
    #[error("a row of table `{}` does not match its checksum or encoding", .table.name())]
    Mutated {
        /// The table it lies in.
        table: Table,
        /// The row's key.
        key: Vec<u8>,
    },
    /// The store could not be read or written.
    #[error("the store cannot be used: {0}")]
    Unreadable(String),
    /// The time that the reader set for this evaluation is over. A reader without a limit never answers this.
    #[error("the time for this evaluation is over")]
    Interrupted,
    /// The state follows rules that the reading build does not know, or is about to follow them.
    #[error(
        "the registry follows version {version} of its rules and this build knows them up to version {known}: start \
         this node with a newer build"
    )]
    RulesUnknown {
        /// The version that the state follows.
        version: u32,
        /// The newest version known.
        known: u32,
    },
    /// A row has a version that this build does not know.
    #[error("a row of table `{}` has {version}", .table.name())]
    RowVersion {
        /// The table it lies in.
        table: Table,
        /// The version.
        version: UnknownVersionError,
    },
    /// A committed command has a version that this build does not know.
    #[error("a command in the log has {0}")]
    CommandVersion(UnknownVersionError),
}

impl RowError {
    /// Why the row of `table` at `key` did not decode.
    pub(crate) fn undecoded(table: Table, key: &[u8], error: CodecError) -> Self {
        match error {
            CodecError::Version(version) => RowError::RowVersion { table, version },
            CodecError::Empty
            | CodecError::Encoding(_)
            | CodecError::Trailing(_)
            | CodecError::NotCanonical => RowError::Mutated { table, key: key.to_vec() },
        }
    }

    /// Whether only another build can continue. A node that meets such an error stops with it as its reason,
    /// and skips nothing.
    pub fn takes_another_build(&self) -> bool {
        match self {
            RowError::RulesUnknown { .. } | RowError::RowVersion { .. } | RowError::CommandVersion(_) => true,
            RowError::Mutated { .. } | RowError::Unreadable(_) | RowError::Interrupted => false,
        }
    }
}

/// One row of a scan: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// A consistent state to read from.
pub trait Rows {
    /// The value at `key`, if there is one.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError>;

    /// At most `limit` rows with `from ≤ key < until` in ascending order; `until: None` has no upper end.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError>;
}

/// A state that can be changed. A failed write poisons the whole batch: the caller must drop it.
pub trait RowsMut: Rows {
    /// Sets the value at `key`.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowError>;

    /// Removes `key`, if present. Only index rows are ever removed; evidence never is.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowError>;
}

/// Rows in memory, for tests and tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRows {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
}

impl MemoryRows {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every row, ordered by table and key.
    pub fn iter(&self) -> impl Iterator<Item = (Table, &[u8], &[u8])> {
        self.rows.iter().map(|((table, key), value)| (*table, key.as_slice(), value.as_slice()))
    }
}

impl Rows for MemoryRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        Ok(self.rows.get(&(table, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        let rows = self
            .rows
            .range((Bound::Included((table, from.to_vec())), Bound::Unbounded))
            .take_while(|((t, key), _)| *t == table && until.is_none_or(|until| key.as_slice() < until))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        Ok(rows)
    }
}

impl RowsMut for MemoryRows {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        self.rows.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowError> {
        self.rows.remove(&(table, key.to_vec()));
        Ok(())
    }
}

/// Changes that are held back above a base, so that a group is applied completely or not at all.
pub(crate) struct Overlay<'a> {
    base: &'a mut dyn RowsMut,
    changes: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
}

impl<'a> Overlay<'a> {
    /// Nothing changed yet.
    pub(crate) fn new(base: &'a mut dyn RowsMut) -> Self {
        Self { base, changes: BTreeMap::new() }
    }

    /// Writes every change to the base. Dropping the overlay instead changes nothing.
    pub(crate) fn keep(self) -> Result<(), RowError> {
        for ((table, key), value) in self.changes {
            match value {
                Some(value) => self.base.put(table, &key, &value)?,
                None => self.base.delete(table, &key)?,
            }
        }
        Ok(())
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        match self.changes.get(&(table, key.to_vec())) {
            Some(change) => Ok(change.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        let changed: Vec<_> = self
            .changes
            .range((Bound::Included((table, from.to_vec())), Bound::Unbounded))
            .take_while(|((t, key), _)| *t == table && until.is_none_or(|until| key.as_slice() < until))
            .collect();
        // Each deleted row can hide a row of the base, so ask for as many more.
        let base = self.base.scan(table, from, until, limit.saturating_add(changed.len()))?;
        let mut merged: BTreeMap<Vec<u8>, Vec<u8>> = base.into_iter().collect();
        for ((_, key), value) in changed {
            match value {
                Some(value) => merged.insert(key.clone(), value.clone()),
                None => merged.remove(key),
            };
        }
        Ok(merged.into_iter().take(limit).collect())
    }
}

impl RowsMut for Overlay<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        self.changes.insert((table, key.to_vec()), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowError> {
        self.changes.insert((table, key.to_vec()), None);
        Ok(())
    }
}
