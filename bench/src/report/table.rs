//! The table: a row per figure, a column per contender.

use std::fmt::Write as _;

use crate::figures::{FIGURES, Summaries};

/// The figures of all contenders, in aligned columns.
pub(crate) fn table(summaries: &Summaries) -> String {
    let mut rows = vec![vec!["figure".to_owned()]];
    rows[0].extend(summaries.all.iter().map(|summary| summary.name.clone()));
    rows[0].push("unit".to_owned());
    for (name, unit, digits) in FIGURES {
        let mut row = vec![(*name).to_owned()];
        row.extend(summaries.all.iter().map(|summary| cell(summary.figure(name), *digits)));
        row.push((*unit).to_owned());
        rows.push(row);
    }
    align(&rows)
}

/// A figure with its digits, or a dash.
pub(crate) fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Rows as text: the first and last column to the left, the others to the right.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            let written = if column == 0 || column + 1 == columns {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
            written.expect("a string takes everything");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows =
            [["figure", "floor", "unit"], ["cpu", "1.25", "µs"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(align(&rows), "figure  floor  unit\ncpu      1.25  µs\n");
        assert_eq!(cell(Some(1.256), 2), "1.26");
        assert_eq!(cell(None, 2), "-");
    }
}
