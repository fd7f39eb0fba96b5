//! Secrets in what is logged, covered before it is stored.

use std::borrow::Cow;

use secrecy::{ExposeSecret, SecretString};

/// What stands for a secret.
const COVER: &str = "***";

/// Shorter ones would cover half of any text, and protect nothing.
const SECRET_MIN: usize = 4;

/// Knows what must not be read: the secrets of the configuration, wherever they turn up, and what
/// has the form of a credential.
#[derive(Default)]
pub(super) struct Mask {
    secrets: Vec<SecretString>,
}

/// Names of HTTP headers and URL parameters whose values are credentials.
const NAMES: [&str; 5] =
    ["authorization:", "private-token:", "access_token=", "x-registry-auth:", "x-vault-token:"];

impl Mask {
    pub(super) fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let long = |secret: &SecretString| secret.expose_secret().len() >= SECRET_MIN;
        Self { secrets: secrets.into_iter().filter(long).collect() }
    }

    /// The masks of one log; key material in PEM goes over several lines.
    pub(super) fn begin(&self) -> Masking<'_> {
        Masking { mask: self, in_key: false }
    }

    /// As the lines of a log, of a text that is kept elsewhere.
    pub(super) fn text(&self, text: &str) -> String {
        let mut masking = self.begin();
        text.split('\n').map(|line| masking.line(line)).collect::<Vec<_>>().join("\n")
    }

    fn line(&self, line: &str) -> String {
        let mut line = Cow::Borrowed(line);
        for secret in &self.secrets {
            if line.contains(secret.expose_secret()) {
                line = Cow::Owned(line.replace(secret.expose_secret(), COVER));
            }
        }
        after_names(&user_info(&line))
    }
}

pub(super) struct Masking<'a> {
    mask: &'a Mask,
    in_key: bool,
}

impl Masking<'_> {
    pub(super) fn line(&mut self, line: &str) -> String {
        let begins = line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----");
        let ends = line.contains("-----END ") && line.contains("PRIVATE KEY-----");
        let covered = self.in_key || begins;
        self.in_key = covered && !ends;
        if covered { COVER.to_owned() } else { self.mask.line(line) }
    }
}

/// The part between `://` and `@` (RFC 3986, section 3.2.1) of every URL in the line.
fn user_info(line: &str) -> Cow<'_, str> {
    let Some(_) = line.find("://") else { return Cow::Borrowed(line) };
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, authority) = rest.split_at(at + 3);
        masked.push_str(before);
        let end = authority.find(['/', '?', '#', ' ', '\t', '"', '\'', '<', '>', '`']);
        let (authority, after) = authority.split_at(end.unwrap_or(authority.len()));
        match authority.rfind('@') {
            Some(at) => {
                masked.push_str(COVER);
                masked.push_str(&authority[at..]);
            }
            None => masked.push_str(authority),
        }
        rest = after;
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// The rest of the word, or for a header of the line, behind the names of credentials.
fn after_names(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for name in NAMES {
        for (at, _) in lower.match_indices(name) {
            let begin = at + name.len();
            let stops: &[char] = match name.ends_with(':') {
                true => &['"', '\''],
                false => &['&', ' ', '"', '\''],
            };
            let length = line[begin..].find(stops).unwrap_or(line.len() - begin);
            if line[begin..begin + length].trim() != "" {
                found.push((begin, begin + length));
            }
        }
    }
    found.sort_unstable();
    let mut masked = String::with_capacity(line.len());
    let mut at = 0;
    for (begin, end) in found {
        if begin < at {
            continue;
        }
        masked.push_str(&line[at..begin]);
        if line[..begin].ends_with(':') {
            masked.push(' ');
        }
        masked.push_str(COVER);
        at = end;
    }
    masked.push_str(&line[at..]);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(line: &str) -> String {
        Mask::new(["s3cret-word".to_owned().into(), "ab".to_owned().into()]).begin().line(line)
    }

    #[test]
    fn configured_secrets_are_covered_wherever_they_are() {
        assert_eq!(masked("login with s3cret-word, s3cret-word!"), "login with ***, ***!");
        assert_eq!(masked("about"), "about");
    }

    #[test]
    fn what_has_the_form_of_a_credential_is_covered() {
        for (line, expected) in [
            ("git clone https://me:pa@ss@host/x y", "git clone https://***@host/x y"),
            ("a https://token@h b ssh://git@h/x", "a https://***@h b ssh://***@h/x"),
            ("no://userinfo/a@b", "no://userinfo/a@b"),
            ("> Authorization: Bearer abc.def", "> Authorization: ***"),
            ("-H 'PRIVATE-TOKEN: x' -v", "-H 'PRIVATE-TOKEN: ***' -v"),
            ("GET /?access_token=abc&x=1", "GET /?access_token=***&x=1"),
            ("Authorization:", "Authorization:"),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    #[test]
    fn texts_are_covered_line_by_line() {
        let mask = Mask::new(["s3cret".to_owned().into()]);
        assert_eq!(mask.text("a s3cret\nb http://u:p@h/ s3cret\n"), "a ***\nb http://***@h/ ***\n");
    }

    #[test]
    fn private_keys_are_covered_over_all_their_lines() {
        let mask = Mask::default();
        let mut masking = mask.begin();
        let lines =
            ["a", "-----BEGIN RSA PRIVATE KEY-----", "MIIB", "-----END RSA PRIVATE KEY-----", "b"];
        assert_eq!(lines.map(|line| masking.line(line)), ["a", COVER, COVER, COVER, "b"]);
    }

    proptest::proptest! {
        #[test]
        fn any_line_can_be_masked(line: String) {
            masked(&line);
        }
    }
}
