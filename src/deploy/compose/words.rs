//! Command strings, split as a shell splits words.

/// The words of a command line: quotes and backslashes mean what they mean to a POSIX shell
/// (XCU 2.2, "Quoting"), everything else (`$`, `*`, `|`, `#`) is text.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    // `Some("")` is an empty word, as `''` writes it.
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next() {
                        Some('\'') => break,
                        Some(character) => word.push(character),
                        None => return Err(unclosed('\'')),
                    }
                }
            }
            '"' => double_quoted(&mut rest, word.get_or_insert_default())?,
            '\\' => match rest.next() {
                Some('\n') => {}
                Some(character) => word.get_or_insert_default().push(character),
                None => return Err("the command ends in a lone backslash".to_owned()),
            },
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Ok(words)
}

fn double_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    loop {
        match rest.next() {
            Some('"') => return Ok(()),
            Some('\\') => match rest.next() {
                Some('\n') => {}
                Some(character @ ('$' | '`' | '"' | '\\')) => word.push(character),
                Some(character) => word.extend(['\\', character]),
                None => return Err(unclosed('"')),
            },
            Some(character) => word.push(character),
            None => return Err(unclosed('"')),
        }
    }
}

fn unclosed(quote: char) -> String {
    format!("the command has a {quote} that is never closed")
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_and_unquoted() {
        for (line, words) in [
            ("sleep 1000", vec!["sleep", "1000"]),
            ("  a \t b\n", vec!["a", "b"]),
            (r#"sh -c 'echo "$HOME" # x'"#, vec!["sh", "-c", r#"echo "$HOME" # x"#]),
            (r#"a"b c"'d e'f"#, vec!["ab cd ef"]),
            (r#"'' """#, vec!["", ""]),
            (r"a\ b \\ \n", vec!["a b", r"\", "n"]),
            (r#""\$ \" \n""#, vec![r#"$ " \n"#]),
            ("a && b | c > d", vec!["a", "&&", "b", "|", "c", ">", "d"]),
            ("", vec![]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn what_is_never_closed_is_refused() {
        for line in ["echo 'a", "echo \"a", "echo \\", "\"\\"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
