//! Tables for people: each column is as wide as its widest cell.

/// The side to which the cells of a column are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with a title for each column.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table that has no rows yet.
    pub(crate) fn new(columns: &[(&str, Side)]) -> Self {
        Self {
            sides: columns.iter().map(|(_, side)| *side).collect(),
            rows: vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()],
        }
    }

    /// Adds a row with one cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The titles and the rows, one on each line, each after this indentation.
    pub(crate) fn to_text(&self, indentation: &str) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.sides.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let columns = self.sides.iter().zip(&widths);
            let cells: Vec<String> = row
                .iter()
                .zip(columns)
                .map(|(cell, (side, &width))| match side {
                    Side::Left => format!("{cell:<width$}"),
                    Side::Right => format!("{cell:>width$}"),
                })
                .collect();
            text.push_str(format!("{indentation}{}", cells.join("  ")).trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_is_as_wide_as_its_widest_cell_and_no_line_ends_in_spaces() {
        let mut table = Table::new(&[("who", Side::Left), ("count", Side::Right), ("what", Side::Left)]);
        table.row(["a longer name".to_owned(), "7".to_owned(), "it".to_owned()]);
        table.row(["b".to_owned(), "123456".to_owned(), String::new()]);
        assert_eq!(
            table.to_text("  "),
            "  who             count  what\n  a longer name       7  it\n  b              123456\n"
        );
    }
}
