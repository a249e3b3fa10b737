//! Tables as kubectl prints them: upper-case headers, columns aligned by three blanks, `<none>` for what is empty.

use jiff::Timestamp;

/// Rows under headers.
#[derive(Clone, Debug, Default)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(headers: Vec<&'static str>) -> Self {
        Self {
            headers,
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are shown as `<none>`.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, a line for the headers and one for each row.
    #[must_use]
    pub fn render(&self) -> String {
        let headers = self.headers.iter().map(|header| (*header).to_owned()).collect();
        let mut lines: Vec<Vec<String>> = vec![headers];
        lines.extend(self.rows.iter().map(|row| {
            let cell = |index| row.get(index).map_or("", |cell: &String| cell.trim());
            (0..self.headers.len()).map(|index| shown(cell(index))).collect()
        }));
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let padded: Vec<String> = line
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            text.push_str(padded.join("   ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// One line, control characters replaced: a message of a member must not move the cursor.
fn shown(cell: &str) -> String {
    if cell.is_empty() {
        return "<none>".to_owned();
    }
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Time since then, as kubectl shortens it.
#[must_use]
pub fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    match since {
        Some(since) => span(now.as_second().saturating_sub(since.as_second())),
        None => "<unknown>".to_owned(),
    }
}

/// Seconds as kubectl shortens them: `5s`, `3m20s`, `47m`, `5h10m`, `3d4h`, `12d`.
#[must_use]
pub fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let both = |large: i64, unit: char, small: i64, of: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{of}"),
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => both(minutes, 'm', seconds % 60, 's'),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => both(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => both(days, 'd', hours % 24, 'h'),
        691_200..63_072_000 => format!("{days}d"),
        _ => both(days / 365, 'y', days % 365, 'd'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_end_without_blanks() {
        let mut table = Table::new(vec!["NAME", "READY", "AGE"]);
        table.row(vec!["mluo-onprem".into(), "True".into(), "5s".into()]);
        table.row(vec!["c2".into(), String::new()]);
        assert_eq!(
            table.render(),
            "NAME          READY    AGE\nmluo-onprem   True     5s\nc2            <none>   <none>\n"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(vec!["A"]);
        table.row(vec!["x\n\u{1b}[2Jy".into()]);
        assert_eq!(table.render(), "A\nx  [2Jy\n");
    }

    #[test]
    fn ages_are_short() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        for (seconds, shown) in [
            (-5, "0s"),
            (5, "5s"),
            (119, "119s"),
            (200, "3m20s"),
            (240, "4m"),
            (2820, "47m"),
            (18_600, "5h10m"),
            (90_000, "25h"),
            (273_600, "3d4h"),
            (1_036_800, "12d"),
            (70_000_000, "2y80d"),
        ] {
            let then = Timestamp::from_second(1_000_000_000 - seconds).unwrap();
            assert_eq!(age(Some(then), now), shown);
        }
        assert_eq!(age(None, now), "<unknown>");
    }
}
