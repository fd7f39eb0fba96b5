//! Dollar signs in values: `$$` is one, a variable is not handled yet.

/// The text with every `$$` made one `$`; an error says what the first other `$` is.
/// (Compose Specification, "Interpolation".)
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        unescaped.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        let Some(tail) = after.strip_prefix('$') else { return Err(refusal(after)) };
        unescaped.push('$');
        rest = tail;
    }
    unescaped.push_str(rest);
    Ok(unescaped)
}

fn refusal(after: &str) -> String {
    let named: String =
        after.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let variable = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        Some((braced, _)) => format!("${{{braced}}}"),
        None if !named.is_empty() => format!("${named}"),
        None => return "a single '$' means nothing here; write '$$' for a dollar sign".to_owned(),
    };
    format!(
        "'{variable}' is a variable, and Crane does not handle variables yet (it never reads its \
         own environment for them); write the value, or '$${}' if the dollar sign is meant",
        &variable[1..]
    )
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn two_dollars_are_one() {
        assert_eq!(unescape("a$$b$$$$").unwrap(), "a$b$$");
        assert_eq!(unescape("$$VAR").unwrap(), "$VAR");
    }

    #[test]
    fn variables_are_named_in_the_refusal() {
        assert!(unescape("x ${DB_HOST:-db}").unwrap_err().starts_with("'${DB_HOST:-db}' is a"));
        assert!(unescape("$HOME/x").unwrap_err().contains("'$$HOME'"));
        assert!(unescape("$(date)").unwrap_err().contains("single '$'"));
        assert!(unescape("5$").unwrap_err().contains("single '$'"));
    }
}
