//! What the parser accepts and this engine does not install.

use super::{
    super::{
        puppetfile::{Module, Puppetfile, ReferenceName, SUBVERSION, Source, Version},
        versions::Range,
    },
    Compat,
};
use crate::error::Problem;

/// A problem for each of them.
pub(in super::super) fn unsupported(puppetfile: &Puppetfile, compat: Compat) -> Vec<Problem> {
    let mut problems = puppetfile.librarian_calls("is not known here");
    problems.extend(puppetfile.modules.iter().flat_map(|module| in_module(module, compat)));
    problems
}

fn in_module(module: &Module, compat: Compat) -> Vec<Problem> {
    let mut problems = Vec::new();
    match &module.source {
        Source::Forge(forge) => {
            if let Version::Range(range) = &forge.version.value
                && Range::parse(range).is_none()
            {
                problems.push(forge.version.at.problem(format!(
                    "'{range}' is no range of versions: write one such as '>= 1.0.0 < 2.0.0' or \
                     '4.x'"
                )));
            }
            if let Some(sum) = &forge.sha256sum
                && !(sum.value.len() == 64 && sum.value.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                let message = "`sha256sum` is no SHA-256: write 64 hexadecimal digits";
                problems.push(sum.at.problem(message));
            }
        }
        Source::Git(git) => {
            if let Some(path) = &git.path
                && path.value.split('/').any(|part| part == "..")
            {
                let message = "`path` leads out of the repository: name a directory in it";
                problems.push(path.at.problem(message));
            }
            let no_default = git.default_branch.is_none()
                && git.default_branch_override.is_none()
                && git.fallback.is_none();
            match &git.reference {
                Some(reference)
                    if reference.value.name == ReferenceName::ControlBranch && no_default =>
                {
                    problems.push(reference.at.problem(
                        "a context has no control branch to follow: name a `default_branch`",
                    ));
                }
                None if compat == Compat::R10k5 && no_default => problems.push(module.at.problem(
                    "no branch, tag or commit is named, and r10k 5 takes no default: add \
                     `ref: 'main'`, or install with compat r10k3, which takes `master`",
                )),
                _ => {}
            }
        }
        Source::Svn => problems.push(module.at.problem(format!(
            "{SUBVERSION}: through `svn:externals` a repository makes the server fetch from \
             anywhere, also from its own files. Use git or a tarball"
        ))),
        Source::Tarball(_) | Source::Local => {}
    }
    problems
}
