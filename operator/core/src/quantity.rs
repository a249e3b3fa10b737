//! Kubernetes quantities as integers, rounded up: `500m`, `0.5`, `2Gi`, `1e3`. At most 30 digits, exponents to 60.

use thiserror::Error;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Not a number with a known suffix.
    #[error("read {0:?}: want a number such as 1, 0.5, 500m or 2Gi")]
    Malformed(String),
    /// Below zero.
    #[error("read {0:?}: must not be negative")]
    Negative(String),
    /// Larger than anything can hold.
    #[error("read {0:?}: too large")]
    TooLarge(String),
}

/// The quantity in thousandths, rounded up.
///
/// # Errors
/// When it is malformed, negative or too large.
pub fn milli(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 1000)
}

/// The quantity in whole units, rounded up.
///
/// # Errors
/// When it is malformed, negative or too large.
pub fn units(text: &str) -> Result<i64, QuantityError> {
    scaled(text, 1)
}

/// Whether the text is a bare number, without a suffix.
#[must_use]
pub fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Powers of ten that fractions are counted in at most: 30 digits are less than a thousandth of it, and a thousand times
/// it is still an i128.
const FINEST: i32 = 34;

fn scaled(text: &str, scale: i128) -> Result<i64, QuantityError> {
    let malformed = || QuantityError::Malformed(text.to_owned());
    let too_large = || QuantityError::TooLarge(text.to_owned());
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (mantissa, decimals) = decimal(number).ok_or_else(|| {
        if number.len() > 30 {
            too_large()
        } else {
            malformed()
        }
    })?;
    let (binary, exponent) = factor(suffix).ok_or_else(malformed)?;
    if negative && mantissa != 0 {
        return Err(QuantityError::Negative(text.to_owned()));
    }
    if mantissa == 0 {
        return Ok(0);
    }
    // A whole and a fraction, multiplied one after the other: their product is larger than an i128 holds.
    let shift = exponent - decimals;
    let (mut whole, mut part, unit) = if shift >= 0 {
        let whole = power(shift).and_then(|power| mantissa.checked_mul(power));
        (whole.ok_or_else(too_large)?, 0, 1)
    } else if -shift <= FINEST {
        let unit = power(-shift).ok_or_else(too_large)?;
        (mantissa / unit, mantissa % unit, unit)
    } else {
        // Below the smallest unit everything but zero rounds up to one.
        return Ok(1);
    };
    for factor in std::iter::once(scale).chain(std::iter::repeat_n(1024, binary)) {
        part *= factor;
        whole = whole
            .checked_mul(factor)
            .and_then(|whole| whole.checked_add(part / unit))
            .ok_or_else(too_large)?;
        part %= unit;
    }
    let value = whole + i128::from(part > 0);
    i64::try_from(value).map_err(|_| too_large())
}

fn power(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// `12.50` as 1250 and 2 decimals.
fn decimal(number: &str) -> Option<(i128, i32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || fraction.contains('.')
        || whole.len() + fraction.len() > 30
    {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    Some((digits.parse().ok()?, i32::try_from(fraction.len()).ok()?))
}

/// The suffix as a power of 1024 and a power of ten.
fn factor(suffix: &str) -> Option<(usize, i32)> {
    let decimal = |exponent| Some((0, exponent));
    let binary = |power| Some((power, 0));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-60..=60).contains(&exponent).then_some((0, exponent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, expect) in [
            ("1", 1000),
            ("0.5", 500),
            ("500m", 500),
            ("0.1", 100),
            (".5", 500),
            ("1e2", 100_000),
            ("1u", 1),
            ("+2", 2000),
        ] {
            assert_eq!(milli(text), Ok(expect), "{text}");
        }
        for (text, expect) in [
            ("128Mi", 134_217_728),
            ("1k", 1000),
            ("1.5Gi", 1_610_612_736),
            ("100m", 1),
            ("0", 0),
            ("2E", 2 * 10_i64.pow(18)),
            ("0e60", 0),
            ("1e-60", 1),
            ("0.10000000000000000000000000000Ei", 115_292_150_460_684_698),
        ] {
            assert_eq!(units(text), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        assert_eq!(milli("-1"), Err(QuantityError::Negative("-1".into())));
        assert_eq!(units("99E"), Err(QuantityError::TooLarge("99E".into())));
        for text in [
            "",
            ".",
            "1x",
            "abc",
            "1.2.3",
            "1 Gi",
            "1e",
            "--1",
            "1e99",
            "1e-2147483648",
        ] {
            assert!(matches!(milli(text), Err(QuantityError::Malformed(_))), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = (milli(&text), units(&text));
        }

        #[test]
        fn whole_numbers_come_back(number in 0_i64..1_000_000_000) {
            proptest::prop_assert_eq!(units(&number.to_string()), Ok(number));
        }
    }
}
