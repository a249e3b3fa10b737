//! The text format of Prometheus, as far as counting requests needs it.
//! Read from /metrics of an API server by `Cluster::metric`, or of the operator by suites.

use std::collections::BTreeMap;

/// The labels of one time series and its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// Every sample of the metric `name` in `text`; lines that are not in the format are passed over.
pub fn samples(text: &str, name: &str) -> Vec<Sample> {
    text.lines()
        .filter_map(|line| sample(line.strip_prefix(name)?))
        .collect()
}

/// `{a="b",c="d"} 1 [timestamp]` or ` 1`.
fn sample(rest: &str) -> Option<Sample> {
    let Some(mut rest) = rest.strip_prefix('{') else {
        return Some((
            BTreeMap::new(),
            rest.strip_prefix(' ')?.split_whitespace().next()?.parse().ok()?,
        ));
    };
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(value) = rest.strip_prefix('}') {
            return Some((labels, value.split_whitespace().next()?.parse().ok()?));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let (value, after) = unquote(quoted)?;
        labels.insert(key.to_owned(), value);
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_read_with_their_labels() {
        let text = "# TYPE a_total counter\na_total{verb=\"GET\",path=\"a\\\"},b\"} 12\na_total 3\na_total_x 9\n\
                    a_total{} 1e+06 1700000000\na_total{verb= 1\n";
        let found = samples(text, "a_total");
        assert_eq!(
            found.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
            [12.0, 3.0, 1e6]
        );
        assert_eq!(found[0].0["path"], "a\"},b");
    }
}
