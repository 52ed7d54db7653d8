//! A table for people: a line with the heads and one line for each row, in columns of at least a given width.

/// A column: its head, its least width in characters, and on which side its cells begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    head: &'static str,
    width: usize,
    side: Side,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Left,
    Right,
}

impl Column {
    /// A column of text.
    pub(crate) const fn left(head: &'static str, width: usize) -> Self {
        Column { head, width, side: Side::Left }
    }

    /// A column of numbers.
    pub(crate) const fn right(head: &'static str, width: usize) -> Self {
        Column { head, width, side: Side::Right }
    }

    /// A cell of this column.
    pub(crate) fn cell(&self, text: &str) -> String {
        let width = self.width;
        match self.side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        }
    }
}

/// The line of heads.
pub(crate) fn heads<const N: usize>(columns: &[Column; N]) -> String {
    line(columns.iter().map(|column| column.cell(column.head)))
}

/// The line of a row.
pub(crate) fn row<const N: usize>(columns: &[Column; N], cells: [String; N]) -> String {
    line(columns.iter().zip(cells).map(|(column, text)| column.cell(&text)))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_their_heads_and_one_that_is_too_long_is_whole() {
        let columns = [Column::left("name", 6), Column::right("count", 5), Column::left("place", 0)];
        assert_eq!(heads(&columns), "name   count place");
        assert_eq!(row(&columns, ["a", "7", "here"].map(str::to_owned)), "a          7 here");
        assert_eq!(row(&columns, ["too long", "7", "here"].map(str::to_owned)), "too long     7 here");
    }
}
