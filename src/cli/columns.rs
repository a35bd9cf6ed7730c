//! Rows in columns under a header, for people.

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};

/// How a column gives way where a terminal is too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Give {
    /// It is as wide as what is in it.
    Never,
    /// It is as wide as what is in it, and left out if that is nothing, or below this many columns of the terminal.
    Filled(u16),
    /// It is cut.
    Cut,
    /// It is left out below this many columns of the terminal.
    Below(u16),
}

/// Rows in columns. In a pipe, each is as wide as what is in it; on a terminal, a row is a line.
#[derive(Debug)]
pub struct Columns {
    header: Vec<(&'static str, Give)>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    /// Returns columns with these names and no rows.
    pub fn new(header: &[(&'static str, Give)]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Appends a row, of as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns it as text for a terminal of this width; `None`: there is none.
    pub fn text(self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_truncation_indicator("…");
        let one_line = |cells: Vec<String>| {
            let mut row = Row::from(cells);
            row.max_height(1);
            row
        };
        let filled = |column: usize| {
            self.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()))
        };
        let filled: Vec<_> = (0..self.header.len()).map(filled).collect();
        let names = self.header.iter().map(|(name, _)| (*name).to_owned());
        table.set_header(one_line(names.collect()));
        for row in self.rows {
            table.add_row(one_line(row));
        }
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let is_below = |least: u16| width.is_some_and(|width| width < least);
        let columns = table.column_iter_mut().zip(&self.header).zip(filled);
        for ((column, (_, give)), is_filled) in columns {
            column.set_padding((0, 2));
            match give {
                Give::Filled(least) if !is_filled || is_below(*least) => {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
                Give::Never | Give::Filled(_) => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
                Give::Below(least) if is_below(*least) => {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
                Give::Cut | Give::Below(_) => {}
            }
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let mut columns = Columns::new(&[
            ("HOST", Give::Never),
            ("WHY", Give::Cut),
            ("DROPPED", Give::Below(60)),
        ]);
        columns
            .row(["192.0.2.1", "proven, 5 × asterisk-sip/wrong-password", "12"].map(str::to_owned));
        columns.row(["2001:db8::/64", "by hand", ""].map(str::to_owned));
        columns
    }

    #[test]
    fn a_pipe_gets_all_of_it() {
        let text = columns().text(None);
        let expected = "\
HOST           WHY                                      DROPPED
192.0.2.1      proven, 5 × asterisk-sip/wrong-password  12
2001:db8::/64  by hand
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_narrow_terminal_gets_a_line_for_each_row() {
        let text = columns().text(Some(40));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{text}");
        assert_eq!((lines.len(), lines[0]), (3, "HOST           WHY"));
        assert!(
            lines[1].starts_with("192.0.2.1      proven, 5 ×") && lines[1].ends_with('…'),
            "{text}"
        );
    }
}
