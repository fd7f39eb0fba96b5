//! What one `mod` means. The rules are those of r10k 3.15 (`R10K::Module` and its classes); where
//! it evaluates, warns or fails, so does this.

use super::{
    checks,
    model::{
        Directory, Forge, Git, Module, Reference, ReferenceKind, ReferenceName, Source, Tarball,
        Url, Version,
    },
    notes::Notes,
    options::{self, Options},
    parser::Call,
    position::{Located, Position},
    refusal::shown,
    value::Value,
};

/// The module, or none and problems that say why not.
pub(super) fn module(call: Call, moduledir: &Directory, notes: &mut Notes) -> Option<Module> {
    if let Some(extra) = call.arguments.get(2) {
        let message = "`mod` takes a name and either a version or options, not both: write \
                       `type: 'forge', version: '1.2.3'` among the options";
        notes.problem(extra.at, message);
        return None;
    }
    let mut arguments = call.arguments.into_iter();
    let Some(name) = arguments.next() else {
        notes.problem(call.at, "`mod` has no name: write mod 'owner/name'");
        return None;
    };
    let at = name.at;
    let problems_before = notes.problems.len();
    let name = match name.value {
        Value::Text(name) => name,
        Value::Unknown => return None,
        other => {
            let message = format!("the name of a module is a string, not {}", other.kind());
            notes.problem(at, message);
            return None;
        }
    };
    let name = notes.checked(at, checks::module_name(&name));
    let (install_path, exclude_spec, source) = match arguments.next() {
        Some(Located { value: Value::Hash(pairs), at: options_at }) => {
            let mut options = Options::new(&pairs, notes);
            let install_path = options.take_directory("install_path", notes);
            let exclude_spec = options.take_bool("exclude_spec", notes);
            (install_path, exclude_spec, source(options, options_at, notes))
        }
        version => {
            let version = version.unwrap_or(Located::new(Value::Nil, at));
            let version = version_of(version, notes);
            let forge = |version| Source::Forge(Forge { version, sha256sum: None });
            (None, None, version.map(forge))
        }
    };
    let (source, (owner, name)) = (source?, name?);
    if owner.is_none() && matches!(source, Source::Forge(_)) {
        let message = format!(
            "a module from the Forge has an owner: write 'owner/{name}', or say where it comes \
             from, as in `git: 'https://...'`"
        );
        notes.problem(at, message);
    }
    (notes.problems.len() == problems_before).then(|| Module {
        at,
        owner: owner.map(str::to_owned),
        name: name.to_owned(),
        moduledir: moduledir.clone(),
        install_path,
        exclude_spec,
        source,
    })
}

/// The first source that claims the options, in r10k's order.
fn source(mut options: Options, at: Position, notes: &mut Notes) -> Option<Source> {
    let kind = match options.get("type") {
        Some(Value::Text(kind) | Value::Symbol(kind)) => kind.clone(),
        Some(Value::Unknown) => return None,
        _ => String::new(),
    };
    let local = options.get("local").is_some_and(|v| !matches!(v, Value::Nil | Value::Bool(false)));
    if options.get("git").is_some() || kind == "git" {
        git(options, at, notes).map(Source::Git)
    } else if options.get("svn").is_some() || kind == "svn" {
        Some(Source::Svn)
    } else if local || kind == "local" {
        Some(Source::Local)
    } else if kind == "forge" {
        forge(options, at, notes).map(Source::Forge)
    } else if kind == "tarball" {
        tarball(options, at, notes).map(Source::Tarball)
    } else if kind.is_empty() {
        options.ignore("type");
        notes.problem(
            at,
            "the options do not say where the module comes from: add `git:` or `type:`",
        );
        None
    } else {
        let message = format!(
            "there is no type '{}' of modules: write git, forge, tarball or local",
            shown(&kind)
        );
        notes.problem(at, message);
        None
    }
}

fn git(mut options: Options, at: Position, notes: &mut Notes) -> Option<Git> {
    let url = url(&mut options, &["git", "source"], at, checks::git_url, notes);
    let names = ["version", "branch", "tag", "commit", "ref"];
    let reference = options.take_last(&names, notes);
    let reference = reference.and_then(|reference| {
        let kind = match reference.name.as_str() {
            "version" => ReferenceKind::Version,
            "branch" => ReferenceKind::Branch,
            "tag" => ReferenceKind::Tag,
            "commit" => ReferenceKind::Commit,
            _ => ReferenceKind::Ref,
        };
        if reference.value.value == Value::Symbol("control_branch".into()) {
            let name = ReferenceName::ControlBranch;
            return Some(Located::new(Reference { kind, name }, reference.value.at));
        }
        let name = reference_text(options::text(reference, notes), notes)?;
        let at = name.at;
        Some(Located::new(Reference { kind, name: ReferenceName::Named(name.value) }, at))
    });
    let mut branch = |name| {
        let branch = options.take_text(name, notes);
        reference_text(branch, notes).map(|branch| branch.value)
    };
    let default_branch = branch("default_branch");
    let default_branch_override = branch("default_branch_override");
    let path = options.take_text("path", notes);
    let fallback = options.take_text("fallback", notes);
    if reference.is_none() {
        let message = "no branch, tag or commit is named: r10k 3 takes `master`, r10k 5 fails";
        notes.warning(at, message);
    }
    options.ignore("type");
    options.unknown("git", false, notes);
    Some(Git { url: url?, reference, default_branch, default_branch_override, path, fallback })
}

fn reference_text(name: Option<Located<String>>, notes: &mut Notes) -> Option<Located<String>> {
    let name = name?;
    notes.checked(name.at, checks::reference(&name.value)).map(|()| name)
}

fn forge(mut options: Options, at: Position, notes: &mut Notes) -> Option<Forge> {
    let version = match options.take_last(&["version"], notes) {
        Some(version) => version_of(version.value, notes),
        None => Some(Located::new(Version::Latest, at)),
    };
    let sha256sum = options.take_text("sha256sum", notes);
    options.ignore("source");
    options.ignore("type");
    options.unknown("Forge", false, notes);
    Some(Forge { version: version?, sha256sum })
}

fn version_of(version: Located<Value>, notes: &mut Notes) -> Option<Located<Version>> {
    let checked = match version.value {
        Value::Nil => Version::Latest,
        Value::Symbol(name) if name == "latest" => Version::Latest,
        Value::Text(written) => notes.checked(version.at, checks::version(&written))?,
        Value::Unknown => return None,
        other => {
            let message =
                format!("a version is a string such as '1.2.3', or :latest, not {}", other.kind());
            notes.problem(version.at, message);
            return None;
        }
    };
    Some(Located::new(checked, version.at))
}

fn tarball(mut options: Options, at: Position, notes: &mut Notes) -> Option<Tarball> {
    let url = url(&mut options, &["source"], at, checks::http_url, notes);
    let sha256 = options.take_last(&["version", "checksum"], notes);
    let sha256 = sha256.and_then(|sum| options::text(sum, notes));
    let sha256 = sha256.and_then(|sum| notes.checked(sum.at, checks::sha256(&sum.value)));
    options.ignore("type");
    options.unknown("tarball", true, notes);
    Some(Tarball { url: url?, sha256 })
}

fn url(
    options: &mut Options,
    names: &[&str],
    at: Position,
    check: fn(&str) -> Result<Url, String>,
    notes: &mut Notes,
) -> Option<Located<Url>> {
    let Some(option) = options.take_last(names, notes) else {
        notes.problem(at, format!("the module has no URL: add `{}: 'https://...'`", names[0]));
        return None;
    };
    let written = options::text(option, notes)?;
    let checked = notes.checked(written.at, check(&written.value))?;
    Some(Located::new(checked, written.at))
}
