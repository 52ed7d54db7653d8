//! What a log must never do, and one mutant does: go on without what is damaged.

use redb::{Database, Durability, ReadableDatabase, ReadableTable};

use super::state::LogState;
use crate::StoreError;
use crate::database::{self as db, ENTRIES, LOG_FILE, STORE, failed};

/// Removes the first entry that does not match its checksum, and all that follow it.
pub(super) fn at_first_damage(database: &Database) -> Result<(), StoreError> {
    let Some(from) = first_damaged(database)? else { return Ok(()) };
    let mut write = database.begin_write().map_err(failed)?;
    write.set_durability(Durability::Immediate).map_err(failed)?;
    {
        let mut store = write.open_table(STORE).map_err(failed)?;
        let row = db::get(&store, LOG_FILE, db::STATE)?.unwrap_or_default();
        let mut state = LogState::decode(&row)?;
        state.truncated(from);
        db::put(&mut store, db::STATE, &state.encode())?;
        write.open_table(ENTRIES).map_err(failed)?.retain_in(from.., |_, _| false).map_err(failed)?;
    }
    write.commit().map_err(failed)
}

fn first_damaged(database: &Database) -> Result<Option<u64>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    for row in read.open_table(ENTRIES).map_err(failed)?.iter().map_err(failed)? {
        let (index, stored) = row.map_err(failed)?;
        if db::unseal_entry(index.value(), stored.value()).is_err() {
            return Ok(Some(index.value()));
        }
    }
    Ok(None)
}
