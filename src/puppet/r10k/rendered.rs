//! The Puppetfile that r10k is given: written from the parsed model, one line per module, so that
//! r10k, which runs the file as Ruby, never sees a word that was not checked.

use super::super::puppetfile::{
    Directory, Located, Module, Position, Puppetfile, ReferenceName, Source, Version,
};

pub(super) struct Rendered {
    pub(super) text: String,
    /// Where each line comes from in the user's file; none for a line that is Crane's.
    origins: Vec<Option<Position>>,
}

impl Rendered {
    pub(super) fn new(puppetfile: &Puppetfile) -> Self {
        let mut rendered = Self { text: String::new(), origins: Vec::new() };
        let mut moduledir = &Directory::modules();
        for module in &puppetfile.modules {
            if module.moduledir != *moduledir {
                moduledir = &module.moduledir;
                rendered.line(None, &format!("moduledir {}", quoted(moduledir.as_str())));
            }
            rendered.line(Some(module.at), &statement(module));
        }
        rendered
    }

    fn line(&mut self, origin: Option<Position>, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        self.origins.push(origin);
    }

    /// The place in the user's file that a line (from 1) of this one comes from.
    pub(super) fn origin(&self, line: usize) -> Option<Position> {
        self.origins.get(line.checked_sub(1)?).copied().flatten()
    }
}

fn statement(module: &Module) -> String {
    let mut options = source(&module.source);
    if let Some(path) = &module.install_path {
        options.push(("install_path", quoted(path.value.as_str())));
    }
    if let Some(exclude_spec) = module.exclude_spec {
        options.push(("exclude_spec", exclude_spec.to_string()));
    }
    let options: Vec<String> =
        options.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("mod {}, {}", quoted(&module.full_name()), options.join(", "))
}

/// The options that say where a module comes from, with their values as Ruby has them.
fn source(source: &Source) -> Vec<(&'static str, String)> {
    match source {
        Source::Forge(forge) => {
            let version = match &forge.version.value {
                Version::Exact(version) | Version::Range(version) => quoted(version),
                Version::Latest => ":latest".into(),
            };
            vec![("type", quoted("forge")), ("version", version)]
        }
        Source::Git(git) => {
            let mut options = vec![("git", quoted(git.url.value.as_str()))];
            if let Some(Located { value: reference, .. }) = &git.reference {
                let name = match &reference.name {
                    ReferenceName::Named(name) => quoted(name),
                    ReferenceName::ControlBranch => ":control_branch".into(),
                };
                options.push((reference.kind.option(), name));
            }
            let further = [
                ("default_branch", &git.default_branch),
                ("default_branch_override", &git.default_branch_override),
            ];
            for (name, branch) in further {
                options.extend(branch.as_deref().map(|branch| (name, quoted(branch))));
            }
            options
        }
        Source::Tarball(tarball) => {
            let mut options =
                vec![("type", quoted("tarball")), ("source", quoted(tarball.url.value.as_str()))];
            options.extend(tarball.sha256.as_deref().map(|sum| ("checksum", quoted(sum))));
            options
        }
        Source::Svn => vec![("type", quoted("svn"))],
        Source::Local => vec![("type", quoted("local"))],
    }
}

/// A single-quoted Ruby string, in which only `\` and `'` mean anything.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Rendered {
        Rendered::new(&crate::puppet::check(text).unwrap())
    }

    #[test]
    fn every_module_has_a_line_that_knows_where_it_comes_from() {
        let rendered = rendered(
            "forge 'ignored'\nmod 'a/one', '1.0.0'\nmod 'a-two'\nmoduledir 'site'\n\n \
             mod 'three', branch: :control_branch, default_branch: 'it\\'s\\\\so',\n \
             git: \"https://h/#{nil}\\x27'\", install_path: 'x', exclude_spec: true, unknown: 1\n\
             mod 'four', local: true",
        );
        assert_eq!(
            rendered.text,
            "mod 'a/one', type: 'forge', version: '1.0.0'\n\
             mod 'a/two', type: 'forge', version: :latest\n\
             moduledir 'site'\n\
             mod 'three', git: 'https://h/\\'\\'', branch: :control_branch, \
             default_branch: 'it\\'s\\\\so', install_path: 'x', exclude_spec: true\n\
             mod 'four', type: 'local'\n"
        );
        let lines: Vec<_> = (0..8).map(|line| rendered.origin(line).map(|at| at.line)).collect();
        assert_eq!(lines, [None, Some(2), Some(3), None, Some(6), Some(8), None, None]);
    }

    /// What is rendered says the same as the file it was rendered from.
    #[test]
    fn rendering_again_changes_nothing() {
        for text in [
            "mod 'a', type: 'tarball', source: 'https://h/a', checksum: 'ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789'",
            "mod 'b', git: 'host:x\\\\y', ref: 'x', default_branch_override: \"\\#{x}\\\"\"",
            "moduledir ''\nmod 'o/c'\nmod 'd', git: 'https://h/#{x}', commit: '\\x', install_path: './e/../f g'",
        ] {
            let once = rendered(text).text;
            assert_eq!(rendered(&once).text, once);
        }
    }
}
