//! What a name of a branch, tag or commit stands for, as `git rev-parse NAME^{commit}` has it in a
//! mirror, which is how r10k resolves every kind of reference (`ShellGit::BaseRepository#resolve`).

use git2::Oid;

use super::remote::Ref;

/// A name that a Puppetfile gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Wanted {
    /// 40 hexadecimal digits: an object, whatever branches are called.
    Object(Oid),
    Name(String),
}

impl Wanted {
    pub(in super::super) fn new(name: &str) -> Self {
        let hex = name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
        match Oid::from_str(name) {
            Ok(oid) if hex => Self::Object(oid),
            _ => Self::Name(name.to_owned()),
        }
    }
}

/// The full names that a name may stand for, the first that exists counts (gitrevisions(7),
/// `<refname>`).
pub(super) fn full_names(name: &str) -> Vec<String> {
    let mut names = Vec::new();
    if name == "HEAD" || name.starts_with("refs/") {
        names.push(name.to_owned());
    }
    for below in ["refs/", "refs/tags/", "refs/heads/", "refs/remotes/"] {
        names.push(format!("{below}{name}"));
    }
    names.push(format!("refs/remotes/{name}/HEAD"));
    names
}

/// The reference of this name.
pub(in super::super) fn pick<'a>(refs: &'a [Ref], name: &str) -> Option<&'a Ref> {
    full_names(name).iter().find_map(|full| refs.iter().find(|found| found.name == *full))
}

/// Whether a name that is no reference may still be one: a short object name, `v1~2`, what
/// `git describe` prints. Only the commits can tell.
pub(in super::super) fn may_be_an_expression(name: &str) -> bool {
    let short = name.len() >= 4 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let described = name
        .rsplit_once("-g")
        .is_some_and(|(_, hex)| hex.len() >= 4 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    short || described || name.contains(['~', '^', '@', ':'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(names: &[&str]) -> Vec<Ref> {
        let oid = |n: usize| Oid::from_bytes(&[u8::try_from(n).unwrap(); 20]).unwrap();
        let name =
            |(n, name): (usize, &&str)| Ref { name: (*name).to_owned(), oid: oid(n), peeled: None };
        names.iter().enumerate().map(name).collect()
    }

    #[test]
    fn tags_come_before_branches() {
        let refs =
            refs(&["HEAD", "refs/heads/x", "refs/tags/x", "refs/pull/1/head", "refs/heads/a/b"]);
        for (name, found) in [
            ("x", Some("refs/tags/x")),
            ("heads/x", Some("refs/heads/x")),
            ("refs/heads/x", Some("refs/heads/x")),
            ("a/b", Some("refs/heads/a/b")),
            ("pull/1/head", Some("refs/pull/1/head")),
            ("HEAD", Some("HEAD")),
            ("b", None),
            ("head", None),
        ] {
            assert_eq!(pick(&refs, name).map(|found| &*found.name), found, "{name}");
        }
    }

    #[test]
    fn only_what_may_be_an_expression_asks_for_the_history() {
        for name in ["abcd", "abc123f", "v1~1", "main^", "v1.0-3-gabcdef", "@"] {
            assert!(may_be_an_expression(name), "{name}");
        }
        for name in ["main", "v1.0.0", "abc", "feature/x", "x-g12"] {
            assert!(!may_be_an_expression(name), "{name}");
        }
        let upper = "ABCDEF0123456789ABCDEF0123456789ABCDEF01";
        assert!(matches!(Wanted::new(upper), Wanted::Object(_)));
        assert!(matches!(Wanted::new(&upper[1..]), Wanted::Name(_)));
    }
}
