//! Names of images.

/// The grammar of image references (distribution/reference): `[host[:port]/]path[:tag][@digest]`.
pub(super) fn check(reference: &str) -> Result<(), String> {
    let (named, digest) = match reference.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (reference, None),
    };
    if !digest.is_none_or(is_digest) {
        return Err("a digest is written sha256: and 64 hexadecimal digits".to_owned());
    }
    let (path, tag) = split_tag(named);
    if !tag.is_none_or(is_tag) {
        return Err(
            "a tag has 1 to 128 characters of [a-zA-Z0-9_.-], the first no '.' or '-'".to_owned()
        );
    }
    let (host, path) = split_host(path);
    if host.is_some_and(|host| !is_host(host))
        || path.is_empty()
        || !path.split('/').all(is_component)
    {
        return Err("it is written [host[:port]/]path[:tag], the path in lower case, for example \
             default/web:latest"
            .to_owned());
    }
    Ok(())
}

/// The repository of a reference that names no registry: `default/web` of `default/web:1`.
pub(in crate::deploy) fn repository(reference: &str) -> Option<&str> {
    let named = reference.split_once('@').map_or(reference, |(named, _)| named);
    match split_host(split_tag(named).0) {
        (None, path) => Some(path),
        (Some(_), _) => None,
    }
}

/// A colon after the last slash begins a tag; one before belongs to a port.
fn split_tag(named: &str) -> (&str, Option<&str>) {
    match named.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (named, None),
    }
}

/// Docker takes the first component for a registry if it looks like an address.
fn split_host(path: &str) -> (Option<&str>, &str) {
    match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), rest)
        }
        _ => (None, path),
    }
}

fn is_host(host: &str) -> bool {
    host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
}

fn is_component(component: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends(component.chars().next())
        && ends(component.chars().next_back())
        && component
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= 128
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
    })
}

#[cfg(test)]
mod tests {
    use super::{check, repository};

    #[test]
    fn references_follow_dockers_grammar() {
        let digest = format!("redis@sha256:{}", "a".repeat(64));
        for good in [
            "redis",
            "redis:7",
            "default/web",
            "127.0.0.1:5000/default/web:latest",
            "localhost/x",
            "a.b/c/d_e:v1.2-3",
            "[::1]:5000/x",
            &digest,
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Web",
            "a;touch /tmp/p",
            "../../x",
            "a//b",
            "/a",
            "a/",
            "web:",
            "web:-1",
            ":1",
            "a b",
            "redis@sha256:x",
            "redis@md5:1",
            "127.0.0.1:5000/",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repository_without_a_registry_is_recognised() {
        assert_eq!(repository("default/web:1.0"), Some("default/web"));
        assert_eq!(repository("default/web@sha256:00"), Some("default/web"));
        assert_eq!(repository("redis"), Some("redis"));
        assert_eq!(repository("127.0.0.1:5000/default/web"), None);
        assert_eq!(repository("docker.io/library/redis"), None);
        assert_eq!(repository("localhost/web:1"), None);
    }
}
