//! How an unquoted value reads as text.

/// Compose reads unquoted values by YAML's rules before it makes text of them, so `0644` is the
/// number 420 and `1.10` is 1.1; whoever means the characters writes quotes. The forms are those
/// of YAML 1.2.2, section 10.3.2, and YAML 1.1's octal, which Compose's parsers still know.
pub(super) fn canonical(text: &str) -> String {
    if let Some(number) = integer(text) {
        return number.to_string();
    }
    if is_float(text)
        && let Ok(number) = text.parse::<f64>()
        && number.is_finite()
    {
        return number.to_string();
    }
    match text {
        "True" | "TRUE" => "true".to_owned(),
        "False" | "FALSE" => "false".to_owned(),
        _ => text.to_owned(),
    }
}

fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = if let Some(digits) = digits.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = digits.strip_prefix("0o") {
        (8, digits)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    // `from_str_radix` would take a second sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(|number| sign * number)
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, unless it is an integer.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_number = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_is_number
        && digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn unquoted_values_read_as_compose_reads_them() {
        for (written, read) in [
            ("0644", "420"),
            ("0o644", "420"),
            ("0x1F", "31"),
            ("-7", "-7"),
            ("+7", "7"),
            ("0", "0"),
            ("00", "0"),
            ("1.10", "1.1"),
            ("1.0", "1"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("True", "true"),
            ("yes", "yes"),
            ("089", "89"),
            ("0b1", "0b1"),
            ("--1", "--1"),
            ("-", "-"),
            (".", "."),
            ("e5", "e5"),
            ("1.2.3", "1.2.3"),
            ("127.0.0.1:80:80", "127.0.0.1:80:80"),
            ("22:22", "22:22"),
            ("18446744073709551616", "18446744073709551616"),
            ("", ""),
        ] {
            assert_eq!(canonical(written), read, "{written}");
        }
    }
}
