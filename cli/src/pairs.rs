//! Flags that take a key and a value, `--labels K V`, as the original command line did, and flags that take `K=V`.

use std::collections::BTreeMap;

use crate::errors::usage;

/// Makes a map of the flat list that a two-value flag collects. The last of equal keys wins.
///
/// # Errors
/// When a key is empty or the list is odd.
pub fn map(flag: &str, values: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    values
        .chunks(2)
        .map(|pair| match pair {
            [key, value] if !key.is_empty() => Ok((key.clone(), value.clone())),
            _ => Err(usage(format!(
                "{flag} needs a key and a value, such as {flag} KEY VALUE"
            ))),
        })
        .collect()
}

/// Reads `K=V` texts, in their order.
///
/// # Errors
/// When one has no `=` or no key.
pub fn list(flag: &str, values: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    values
        .iter()
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(usage(format!("{flag} {pair:?} is not of the form NAME=VALUE"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn pairs_become_a_map() {
        let labels = map("--labels", &texts(&["a", "1", "b", "2", "a", "3"])).unwrap();
        assert_eq!(labels.get("a").map(String::as_str), Some("3"));
        assert_eq!(labels.len(), 2);
        assert!(map("--labels", &texts(&["a"])).is_err());
        assert!(map("--labels", &texts(&["", "x"])).is_err());
    }

    #[test]
    fn variables_keep_their_order_and_later_equal_signs() {
        let env = list("--env", &texts(&["B=1=2", "A="])).unwrap();
        assert_eq!(env, [("B".into(), "1=2".into()), ("A".into(), String::new())]);
        assert!(list("--env", &texts(&["A"])).is_err());
    }
}
