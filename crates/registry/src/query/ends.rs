//! When granted keys end, so that operators learn of it before decisions are denied because of it.
//!
//! A registry may have any number of authorities, so they are read in stretches.

use std::collections::BTreeMap;

use assent_proof::{Millis, Role, Seconds};

use crate::codec;
use crate::record::AuthorityRow;
use crate::rows::{RowError, Rows, Table};

/// The soonest ends of the keys in one stretch of the authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyEndsPage {
    /// For each role, the soonest end of a key that is not revoked and has not ended. A role is missing if no
    /// key of it in this stretch has such an end. Root and governance keys have no end at all.
    pub soonest: BTreeMap<Role, Seconds>,
    /// The key after which the next stretch starts; `None` if this one was the last.
    pub next: Option<Vec<u8>>,
}

/// Reads at most `limit` authorities after `after`, in the order of their keys, whatever their domain.
///
/// An error in reading, and a row that does not decode.
/// What reading gives, and a row that does not decode.
pub fn key_ends(
    rows: &dyn Rows,
    after: Option<&[u8]>,
    limit: usize,
    now: Millis,
) -> Result<KeyEndsPage, RowError> {
    let mut from = after.unwrap_or_default().to_vec();
    if after.is_some() {
        from.push(0);
    }
    let found = rows.scan(Table::Authorities, &from, None, limit)?;
    let mut ends = KeyEndsPage::default();
    if found.len() >= limit {
        ends.next = found.last().map(|(key, _)| key.clone());
    }
    for (key, value) in found {
        let row: AuthorityRow =
            codec::decode(&value).map_err(|error| RowError::undecoded(Table::Authorities, &key, error))?;
        let Some(end) = row.not_after.filter(|end| now < end.to_millis() && row.revoked.is_none()) else {
            continue;
        };
        ends.soonest.entry(row.role).and_modify(|soonest| *soonest = end.min(*soonest)).or_insert(end);
    }
    Ok(ends)
}
