//! Random choices from a seed, and mutations of texts and JSON by them.

use serde_json::{Map, Value, json};

/// A random sequence (splitmix64): small, and the same on every machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).expect("64 bits");
        usize::try_from(self.next() % limit).expect("64 bits")
    }

    pub fn one<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// `text` with one to four changes: characters and words put in, taken out, doubled, exchanged.
pub fn text(dice: &mut Dice, text: &str, words: &[&str]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(chars.len() + 1);
        let end = (at + 1 + dice.below(3)).min(chars.len());
        match dice.below(7) {
            0 => drop(chars.drain(at..end)),
            1 => {
                let part = chars[at..end].to_vec();
                chars.splice(at..at, part);
            }
            2 => drop(chars.splice(at..at, dice.one(words).chars())),
            3 => drop(chars.splice(at..end, dice.one(words).chars())),
            4 => drop(chars.splice(
                at..end,
                [*dice.one(&[
                    '0', '9', '.', '-', '+', 'e', 'E', 'i', ' ', '"', '\u{0}', 'é', '٣',
                ])],
            )),
            5 => drop(chars.splice(at..at, (0..dice.below(40)).map(|_| '0').collect::<Vec<_>>())),
            _ => {
                let digit = char::from(b"0123456789"[dice.below(10)]);
                chars.splice(at..end, [digit]);
            }
        }
    }
    chars.into_iter().collect()
}

/// Any value, of little depth.
pub fn value(dice: &mut Dice, words: &[&str], depth: usize) -> Value {
    match dice.below(if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => Value::Bool(dice.once_in(2)),
        2 => json!(i64::try_from(dice.below(300)).expect("few") - 20),
        3 => json!(*dice.one(&[0.5, -1.5, 1e300, 1e-300, f64::MAX, 9.007_199_254_740_993e15])),
        4 => json!(*dice.one(&[0, 1, u64::MAX, i64::MAX.unsigned_abs(), 1 << 31, 1 << 32])),
        5 | 6 => Value::String((*dice.one(words)).to_owned()),
        7 => (0..dice.below(4))
            .map(|_| value(dice, words, depth - 1))
            .collect(),
        _ => {
            let fields =
                (0..dice.below(4)).map(|_| ((*dice.one(words)).to_owned(), value(dice, words, depth - 1)));
            Value::Object(fields.collect())
        }
    }
}

/// `tree` with one place changed: another value, a field less or more, an item less or twice, a name changed.
pub fn mutate(dice: &mut Dice, tree: &mut Value, words: &[&str]) {
    let deeper = !dice.once_in(4);
    match tree {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = dice.below(fields.len());
            if let Some(field) = fields.values_mut().nth(at) {
                mutate(dice, field, words);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = dice.below(items.len());
            mutate(dice, &mut items[at], words);
        }
        Value::Object(fields) if !dice.once_in(6) => change_fields(dice, fields, words),
        Value::Array(items) if !dice.once_in(6) => {
            let at = dice.below(items.len() + 1);
            if at < items.len() && dice.once_in(2) {
                items.remove(at);
            } else {
                let twice = items.get(at).cloned();
                items.insert(at, twice.unwrap_or_else(|| value(dice, words, 2)));
            }
        }
        Value::String(words_of) if !dice.once_in(3) => *words_of = text(dice, words_of, words),
        Value::Number(number) if dice.once_in(2) => *tree = Value::String(number.to_string()),
        other => *other = value(dice, words, 3),
    }
}

fn change_fields(dice: &mut Dice, fields: &mut Map<String, Value>, words: &[&str]) {
    let at = dice.below(fields.len());
    let key = fields.keys().nth(at).cloned();
    match (dice.below(3), key) {
        (0, Some(key)) => drop(fields.remove(&key)),
        (1, Some(key)) => {
            let value = fields.remove(&key).unwrap_or_default();
            fields.insert((*dice.one(words)).to_owned(), value);
        }
        _ => {
            let value = value(dice, words, 3);
            fields.insert((*dice.one(words)).to_owned(), value);
        }
    }
}
