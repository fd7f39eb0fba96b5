//! Puts the statements together, and checks what holds between modules.

use std::collections::{HashMap, HashSet};

use super::{
    checks, limits,
    model::{Directory, Puppetfile},
    module::module,
    notes::Notes,
    parser::Call,
    position::{Located, Position},
    value::Value,
};

pub(super) struct Reader {
    puppetfile: Puppetfile,
    moduledir: Directory,
    /// How many `mod` there are, also those with a problem.
    count: usize,
    /// Where each name was declared first.
    declared: HashMap<String, Position>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            puppetfile: Puppetfile::default(),
            moduledir: Directory::modules(),
            count: 0,
            declared: HashMap::new(),
        }
    }
}

impl Reader {
    pub(super) fn read(&mut self, call: Call, notes: &mut Notes) {
        match call.name.as_str() {
            "mod" => self.module(call, notes),
            "forge" => {
                if let Some(url) = only_string(&call, notes) {
                    self.puppetfile.forge = Some(url);
                }
            }
            "moduledir" => {
                if let Some(path) = only_string(&call, notes) {
                    let directory = checks::directory("moduledir", &path.value);
                    if let Some(directory) = notes.checked(path.at, directory) {
                        self.moduledir = directory;
                    }
                }
            }
            _ => self.puppetfile.librarian.push(Located::new(call.name, call.at)),
        }
    }

    fn module(&mut self, call: Call, notes: &mut Notes) {
        self.count += 1;
        if self.count > limits::MODULES {
            // Said once, at the first that is too many.
            if self.count == limits::MODULES + 1 {
                notes.problem(call.at, format!("more than {} modules", limits::MODULES));
            }
            return;
        }
        let Some(module) = module(call, &self.moduledir, notes) else { return };
        match self.declared.get(&module.name) {
            Some(first) => notes.problem(
                module.at,
                format!("the module '{}' is declared on line {} already", module.name, first.line),
            ),
            None => {
                self.declared.insert(module.name.clone(), module.at);
            }
        }
        self.puppetfile.modules.push(module);
    }

    pub(super) fn finish(self, notes: &mut Notes) -> Puppetfile {
        nothing_inside_a_module(&self.puppetfile, notes);
        self.puppetfile
    }
}

/// The string that `forge` and `moduledir` take.
fn only_string(call: &Call, notes: &mut Notes) -> Option<Located<String>> {
    match &call.arguments[..] {
        [Located { value: Value::Text(text), at }] => Some(Located::new(text.clone(), *at)),
        [Located { value: Value::Unknown, .. }] => None,
        _ => {
            notes.problem(call.at, format!("`{}` takes one string", call.name));
            None
        }
    }
}

/// No module's directory holds another module: what a repository contains, for example a symbolic
/// link that leads out of the context, must not decide where another module is written.
fn nothing_inside_a_module(puppetfile: &Puppetfile, notes: &mut Notes) {
    let modules: HashSet<String> = puppetfile.modules.iter().map(super::Module::path).collect();
    for module in &puppetfile.modules {
        let parent = module.parent().as_str();
        let ends = parent.match_indices('/').map(|(end, _)| end).chain([parent.len()]);
        if let Some(outer) = ends.map(|end| &parent[..end]).find(|outer| modules.contains(*outer)) {
            let at = module.install_path.as_ref().map_or(module.at, |path| path.at);
            let name = &module.name;
            notes.problem(
                at,
                format!("'{name}' would be inside the module '{outer}': put it beside that"),
            );
        }
    }
}
