//! The words of one line of a scenario, read from left to right. Commas and bars are words of their own.

use std::collections::VecDeque;

/// What is left of a line, and the words that end a list of names on it.
pub struct Words {
    left: VecDeque<String>,
    keywords: &'static [&'static str],
}

impl Words {
    /// The words of `line`; lists of names end before any of `keywords`.
    pub fn new(line: &str, keywords: &'static [&'static str]) -> Self {
        let spaced = line.replace(',', " , ").replace('|', " | ");
        Self {
            left: spaced.split_whitespace().map(str::to_owned).collect(),
            keywords,
        }
    }

    /// The next word, left where it is.
    pub fn peek(&self) -> Option<&str> {
        self.left.front().map(String::as_str)
    }

    /// Takes the next word, if there is one.
    pub fn take(&mut self) -> Option<String> {
        self.left.pop_front()
    }

    /// Takes the next word; `what` it should be is said when there is none.
    pub fn want(&mut self, what: &str) -> Result<String, String> {
        self.take().ok_or_else(|| format!("ends where {what} is wanted"))
    }

    /// Takes the next word if it is `word`.
    pub fn is(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.left.pop_front();
        }
        found
    }

    /// Takes a whole number.
    pub fn number(&mut self, of: &str) -> Result<i64, String> {
        let word = self.want(&format!("a number of {of}"))?;
        word.parse()
            .map_err(|_| format!("{of}: {word:?} is not a whole number"))
    }

    /// Takes names up to the next comma, bar or keyword.
    pub fn names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(word) = self.peek() {
            if [",", "|"].contains(&word) || self.keywords.contains(&word) {
                break;
            }
            names.extend(self.take());
        }
        names
    }

    /// Takes `key=value` words up to the next comma, bar or keyword.
    pub fn pairs(&mut self) -> Result<Vec<(String, String)>, String> {
        let names = self.names();
        names.iter().map(|word| pair(word, '=')).collect()
    }
}

/// The two sides of `sign` in `word`.
pub fn pair(word: &str, sign: char) -> Result<(String, String), String> {
    word.split_once(sign)
        .map(|(left, right)| (left.to_owned(), right.to_owned()))
        .ok_or_else(|| format!("{word:?} has no {sign:?}"))
}
