//! Rows that can be read only until a deadline. An evaluation that reads on after it ends with an error, which
//! denies.

use std::cell::Cell;

use tokio::time::Instant;

use assent_registry::{Row, RowError, Rows, Table};

/// The time is checked once in this many reads.
const LOOK_EVERY: u32 = 16;

/// Rows with a deadline. The deadline is set anew for each request that is decided on them.
pub(super) struct DeadlineRows<'a> {
    rows: &'a dyn Rows,
    until: Cell<Option<Instant>>,
    reads: Cell<u32>,
}

impl<'a> DeadlineRows<'a> {
    /// Rows without a deadline yet.
    pub(super) fn new(rows: &'a dyn Rows) -> Self {
        Self { rows, until: Cell::new(None), reads: Cell::new(0) }
    }

    /// Sets the deadline.
    pub(super) fn until(&self, until: Instant) {
        self.until.set(Some(until));
    }

    /// Rule R8 (RFC-EG-033 §3, Fail-Closed Proof Enforcement): A question whose deadline is over is not
    /// evaluated, and an evaluation is interrupted at the call's deadline or once it has taken a quarter of
    /// the time that a call has (`deadline_exceeded`).
    fn look(&self) -> Result<(), RowError> {
        let reads = self.reads.get().wrapping_add(1);
        self.reads.set(reads);
        let over = || self.until.get().is_some_and(|until| Instant::now() >= until);
        if reads.is_multiple_of(LOOK_EVERY) && over() { Err(RowError::Interrupted) } else { Ok(()) }
    }
}

impl Rows for DeadlineRows<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        self.look()?;
        self.rows.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        until: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, RowError> {
        self.look()?;
        self.rows.scan(table, from, until, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use assent_registry::MemoryRows;

    use super::*;

    /// Rule R8.
    #[tokio::test(start_paused = true)]
    async fn reads_are_interrupted_soon_after_the_deadline_and_go_on_for_the_next_request() {
        let rows = MemoryRows::new();
        let deadline_rows = DeadlineRows::new(&rows);
        deadline_rows.until(Instant::now() + Duration::from_millis(10));
        let many =
            |of: &DeadlineRows<'_>| (0..LOOK_EVERY).try_for_each(|_| of.get(Table::Meta, b"x").map(|_| ()));
        assert_eq!(many(&deadline_rows), Ok(()));
        tokio::time::advance(Duration::from_millis(10)).await;
        assert_eq!(many(&deadline_rows), Err(RowError::Interrupted));
        let scans =
            (0..LOOK_EVERY).try_for_each(|_| deadline_rows.scan(Table::Meta, b"", None, 1).map(|_| ()));
        assert_eq!(scans, Err(RowError::Interrupted));
        deadline_rows.until(Instant::now() + Duration::from_millis(10));
        assert_eq!(many(&deadline_rows), Ok(()));
    }
}
