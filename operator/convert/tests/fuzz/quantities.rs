//! Quantities against an exact evaluation of Kubernetes' grammar, in decimal digits of any number.

use std::collections::BTreeMap;

use sky_convert::{cluster, resources};
use sky_core::quantity::{self, QuantityError};
use sky_core::resources::Resources;
use sky_crds::scalar::Amount;

use crate::{dice, rounds};

const CORPUS: &[&str] = &[
    "0",
    "1",
    "0.5",
    ".5",
    "5.",
    "500m",
    "128Mi",
    "1.5Gi",
    "2Gi",
    "1e3",
    "1E3",
    "1E",
    "12E-3",
    "100n",
    "3u",
    "1k",
    "9223372036854775807",
    "9223372036854775.807",
    "8Ei",
    "7.999999999999999999Ei",
    "0.10000000000000000000000000000Ei",
    "-1",
    "+2",
    "-0",
    "0e60",
    "1e-60",
    "1Ki",
    "123456789012345678901234567890n",
    "0.123456789012345678901234567890Ei",
    "1Pi",
    "1T",
    "9.223372036854775808E",
];

const WORDS: &[&str] = &[
    "n",
    "u",
    "m",
    "k",
    "M",
    "G",
    "T",
    "P",
    "E",
    "Ki",
    "Mi",
    "Gi",
    "Ti",
    "Pi",
    "Ei",
    "e",
    "e-",
    "E+",
    "00",
    "9223372036854775808",
    "1024",
    ".",
    "-",
    "+",
    "999",
    " ",
    "e60",
    "e-60",
    "e-2147483648",
    "e-9223372036854775808",
    "i",
];

/// The parser reads at most so many digits, and exponents of at most so much; more is an error.
const MOST_DIGITS: usize = 30;
const MOST_EXPONENT: u64 = 60;

/// A quantity as written: its digits, and by which powers of ten and two they are multiplied.
#[derive(Debug)]
struct Written {
    negative: bool,
    digits: Vec<u8>,
    ten: i64,
    two: u32,
    exponent: i64,
}

/// Reads `text` by the grammar, character by character; `None`: it is no quantity.
fn read(text: &str) -> Option<Written> {
    let mut rest = text.chars().peekable();
    let negative = rest.next_if(|c| *c == '+' || *c == '-') == Some('-');
    let mut digits = Vec::new();
    let (mut ten, mut points) = (0_i64, 0);
    while let Some(c) = rest.next_if(|c| "0123456789.".contains(*c)) {
        match c {
            '.' => points += 1,
            digit => {
                digits.push(u8::try_from(u32::from(digit) - u32::from('0')).ok()?);
                ten -= i64::from(points > 0);
            }
        }
    }
    if digits.is_empty() || points > 1 {
        return None;
    }
    let suffix: String = rest.collect();
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (mut two, mut exponent) = (0, 0);
    if let Some(at) = decimal.iter().position(|known| *known == suffix) {
        ten += 3 * (i64::try_from(at).ok()? - 3);
    } else if let Some(at) = binary.iter().position(|known| *known == suffix) {
        two = 10 * (u32::try_from(at).ok()? + 1);
    } else {
        let mut chars = suffix.chars();
        if !matches!(chars.next(), Some('e' | 'E')) {
            return None;
        }
        let number = chars.as_str();
        let unsigned = number.strip_prefix(['+', '-']).unwrap_or(number);
        if unsigned.is_empty() || !unsigned.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        exponent = number.parse().unwrap_or(i64::MAX / 2);
    }
    Some(Written {
        negative,
        digits,
        ten,
        two,
        exponent,
    })
}

/// `digits` (most significant first) times `factor`.
fn times(digits: &[u8], factor: u32) -> Vec<u8> {
    let mut product = Vec::new();
    let mut carry = 0;
    for digit in digits.iter().rev() {
        carry += u32::from(*digit) * factor;
        product.push(u8::try_from(carry % 10).expect("a digit"));
        carry /= 10;
    }
    while carry > 0 {
        product.push(u8::try_from(carry % 10).expect("a digit"));
        carry /= 10;
    }
    product.reverse();
    product
}

/// The quantity times 10^`more`, rounded up; `None`: more than an i64 holds.
fn exact(written: &Written, more: i64) -> Option<i64> {
    let mut digits = written.digits.clone();
    for _ in 0..written.two {
        digits = times(&digits, 2);
    }
    let shift = written.ten + written.exponent + more;
    if shift >= 0 {
        digits.extend((0..shift).map(|_| 0));
    } else {
        let cut = usize::try_from(-shift).expect("64 bits");
        let kept = digits.len().saturating_sub(cut);
        let is_more = digits[kept..].iter().any(|digit| *digit > 0);
        digits.truncate(kept);
        if is_more {
            let mut at = digits.len();
            // Adds one, from the last digit on.
            loop {
                if at == 0 {
                    digits.insert(0, 1);
                    break;
                }
                at -= 1;
                if digits[at] < 9 {
                    digits[at] += 1;
                    break;
                }
                digits[at] = 0;
            }
        }
    }
    digits.iter().try_fold(0_i64, |sum, digit| {
        sum.checked_mul(10)?.checked_add(i64::from(*digit))
    })
}

fn expected(text: &str, more: i64) -> Result<i64, QuantityError> {
    let malformed = Err(QuantityError::Malformed(text.to_owned()));
    let Some(written) = read(text) else {
        return malformed;
    };
    if written.exponent.unsigned_abs() > MOST_EXPONENT {
        return malformed;
    }
    if written.digits.len() > MOST_DIGITS {
        return Err(QuantityError::TooLarge(text.to_owned()));
    }
    if written.negative && written.digits.iter().any(|digit| *digit > 0) {
        return Err(QuantityError::Negative(text.to_owned()));
    }
    exact(&written, more).ok_or(QuantityError::TooLarge(text.to_owned()))
}

/// True when it is a quantity.
fn check(text: &str) -> bool {
    let (milli, units) = (quantity::milli(text), quantity::units(text));
    for (found, more) in [(&milli, 3), (&units, 0)] {
        let expected = expected(text, more);
        // Which error is said of a text with two faults is left open.
        match (found, &expected) {
            (Err(_), Err(_)) => {}
            _ => assert_eq!(*found, expected, "{text:?}"),
        }
    }
    if let (Ok(milli), Ok(units)) = (&milli, &units) {
        prints_as_it_was(*milli, *units);
    }
    as_resources(text);
    units.is_ok()
}

/// What the status shows is what it was made of.
fn prints_as_it_was(milli: i64, units: i64) {
    let mut resources = Resources::new(milli, units);
    resources.extended.insert("ephemeral-storage".into(), units);
    resources.extended.insert("nvidia.com/gpu".into(), units);
    let shown = cluster::quantities(&resources);
    assert_eq!(quantity::milli(&shown["cpu"].0), Ok(milli));
    for name in ["memory", "ephemeral-storage", "nvidia.com/gpu"] {
        assert_eq!(quantity::units(&shown[name].0), Ok(units), "{name}");
    }
}

/// `spec.resources` reads the same; memory without a unit is MiB.
fn as_resources(text: &str) {
    let trimmed = text.trim();
    let bare = !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_digit() || c == '.');
    let memory = if bare {
        format!("{trimmed}Mi")
    } else {
        trimmed.to_owned()
    };
    let asked = |name: &str| {
        let asked = BTreeMap::from([(name.to_owned(), Amount::from(text))]);
        resources::parse(&asked, resources::JOB_CPU).ok()
    };
    assert_eq!(
        asked("cpu").map(|asked| asked.resources.cpu),
        expected(trimmed, 3).ok(),
        "cpu {text:?}"
    );
    assert_eq!(
        asked("memory").map(|asked| asked.resources.memory),
        expected(&memory, 0).ok(),
        "memory {text:?}"
    );
    assert_eq!(
        asked("gpu").map(|asked| asked.accelerator.map_or(0, |need| need.count)),
        expected(trimmed, 0).ok(),
        "gpu {text:?}"
    );
}

#[test]
fn a_quantity_is_what_exact_arithmetic_makes_of_it() {
    let corpus: Vec<String> = CORPUS.iter().map(|text| (*text).to_owned()).collect();
    let mutate = |dice: &mut dice::Dice, text: &String| dice::text(dice, text, WORDS);
    rounds::run(100_000, &corpus, mutate, |text| check(text));
}
