//! Resource quantities for people: `1500m` cpu as 1.5, `16371232Ki` as 15.6Gi. For tables only, never for decisions.

/// Cores, with at most two decimals; what cannot be read stays as it is.
#[must_use]
pub fn cpu(quantity: &str) -> String {
    match parse(quantity) {
        Some(cores) => decimals(cores),
        None => quantity.to_owned(),
    }
}

/// Bytes in the largest binary unit that leaves at least 1; what cannot be read stays as it is.
#[must_use]
pub fn memory(quantity: &str) -> String {
    let Some(bytes) = parse(quantity) else {
        return quantity.to_owned();
    };
    let mut amount = bytes;
    for unit in ["", "Ki", "Mi", "Gi"] {
        if amount < 1024.0 {
            return format!("{}{unit}", short(amount));
        }
        amount /= 1024.0;
    }
    format!("{}Ti", short(amount))
}

fn parse(quantity: &str) -> Option<f64> {
    let end = quantity
        .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+'))
        .unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0_f64.powi(3),
        "Ti" => 1024.0_f64.powi(4),
        "Pi" => 1024.0_f64.powi(5),
        "Ei" => 1024.0_f64.powi(6),
        exponent => return format!("{number}{exponent}").parse().ok(),
    };
    Some(number * factor)
}

fn decimals(amount: f64) -> String {
    let text = format!("{amount:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn short(amount: f64) -> String {
    let text = format!("{amount:.1}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_short() {
        for (given, shown) in [
            ("4", "4"),
            ("1500m", "1.5"),
            ("250m", "0.25"),
            ("0", "0"),
            ("2e3", "2000"),
            ("100", "100"),
            ("?", "?"),
        ] {
            assert_eq!(cpu(given), shown, "{given}");
        }
    }

    #[test]
    fn memory_takes_the_largest_unit() {
        for (given, shown) in [
            ("32Gi", "32Gi"),
            ("16371232Ki", "15.6Gi"),
            ("128974848", "123Mi"),
            ("0", "0"),
            ("2048Gi", "2Ti"),
            ("129e6", "123Mi"),
            ("", ""),
        ] {
            assert_eq!(memory(given), shown, "{given}");
        }
    }
}
