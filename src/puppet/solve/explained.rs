//! Why nothing goes together, in the words of a Puppetfile.

use std::fmt::Write as _;

use pubgrub::{
    DefaultStringReporter, Derived, External, Map, ReportFormatter, Reporter, Term, VersionSet,
};

use super::{
    super::puppetfile::without_credentials,
    known::{Known, Package, Root, Roots, Set, Tree},
};

/// Lines of an explanation; who reads more of them names versions instead.
const LINES: usize = 30;

/// A line for each step, each of which follows from those before.
pub(super) fn explained(tree: &Tree, roots: &Roots, known: &Known, forge: &str) -> String {
    let forge = without_credentials(forge);
    let text = DefaultStringReporter::report_with_formatter(tree, &Words { roots, known, forge });
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    let mut shown = lines[..lines.len().min(LINES)].join("\n");
    if lines.len() > LINES {
        // A string takes what is written to it.
        let _ = write!(shown, "\n... ({} lines more)", lines.len() - LINES);
    }
    shown
}

struct Words<'a> {
    roots: &'a Roots,
    known: &'a Known,
    forge: String,
}

type Terms = Map<Package, Term<Set>>;
type Ruled = Derived<Package, Set, String>;
type Fact = External<Package, Set, String>;

/// A set as a Puppetfile writes it.
fn range(set: &Set) -> String {
    set.to_string().replace(", ", " ").replace('|', "||")
}

/// Versions of a module.
fn versions(package: &Package, set: &Set) -> String {
    match package {
        Package::Puppetfile => package.to_string(),
        Package::Module(name) if *set == Set::full() => name.clone(),
        Package::Module(name) => format!("{name} {}", range(set)),
    }
}

impl Words<'_> {
    fn need(&self, package: &Package, set: &Set, needed: &Package, room: &Set) -> String {
        let needed_is = versions(needed, room);
        match package {
            Package::Puppetfile => {
                let kind = match needed {
                    Package::Module(name) => self.roots.get(name),
                    Package::Puppetfile => None,
                };
                match kind {
                    Some(Root::Fixed(..)) => format!("the Puppetfile has {needed_is}"),
                    _ => format!("the Puppetfile asks for {needed_is}"),
                }
            }
            Package::Module(name) if *set == Set::full() => {
                format!("every release of {name} needs {needed_is}")
            }
            package => format!("{} needs {needed_is}", versions(package, set)),
        }
    }

    /// That there is nothing in a set.
    fn nothing(&self, package: &Package, set: &Set) -> String {
        let Package::Module(name) = package else { return "there is no Puppetfile".to_owned() };
        match (self.roots.get(name), self.known.releases(name)) {
            (Some(Root::Fixed(version, _) | Root::Release(version, _)), _) => {
                format!("{name} is {version} in the Puppetfile")
            }
            (_, Some(None)) => format!("there is no module {name} on {}", self.forge),
            _ if *set == Set::full() => format!("{name} has no release"),
            _ => format!("no release of {name} is in {}", range(set)),
        }
    }

    fn because(&self, facts: &[String], terms: &Terms) -> String {
        format!("Because {}, {}.", facts.join(" and "), self.format_terms(terms))
    }

    fn and(&self, facts: &[String], terms: &Terms) -> String {
        format!("And because {}, {}.", facts.join(" and "), self.format_terms(terms))
    }

    fn referred(&self, id: usize, derived: &Ruled) -> String {
        format!("{} ({id})", self.format_terms(&derived.terms))
    }
}

impl ReportFormatter<Package, Set, String> for Words<'_> {
    type Output = String;

    fn format_external(&self, external: &Fact) -> String {
        match external {
            External::NotRoot(..) => "the Puppetfile is to be installed".to_owned(),
            External::NoVersions(package, set) => self.nothing(package, set),
            External::FromDependencyOf(package, set, needed, room) => {
                self.need(package, set, needed, room)
            }
            External::Custom(package, set, why) => format!("{} {why}", versions(package, set)),
        }
    }

    fn format_terms(&self, terms: &Terms) -> String {
        let mut all: Vec<(&Package, &Term<Set>)> =
            terms.iter().filter(|(package, _)| **package != Package::Puppetfile).collect();
        all.sort_by_key(|(package, _)| package.to_string());
        match all[..] {
            [] => "there is no solution".to_owned(),
            [(package, Term::Positive(set))] => format!("{} cannot be had", versions(package, set)),
            [(package, Term::Negative(set))] => format!("{} must be had", versions(package, set)),
            [(package, Term::Positive(set)), (needed, Term::Negative(room))]
            | [(needed, Term::Negative(room)), (package, Term::Positive(set))] => {
                self.need(package, set, needed, room)
            }
            _ => {
                let told: Vec<String> = all
                    .iter()
                    .map(|(package, term)| match term {
                        Term::Positive(set) => versions(package, set),
                        Term::Negative(set) => versions(package, &VersionSet::complement(set)),
                    })
                    .collect();
                format!("{} do not go together", told.join(" and "))
            }
        }
    }

    fn explain_both_external(&self, one: &Fact, other: &Fact, terms: &Terms) -> String {
        self.because(&[self.format_external(one), self.format_external(other)], terms)
    }

    fn explain_both_ref(
        &self,
        one: usize,
        derived: &Ruled,
        other: usize,
        further: &Ruled,
        terms: &Terms,
    ) -> String {
        self.because(&[self.referred(one, derived), self.referred(other, further)], terms)
    }

    fn explain_ref_and_external(
        &self,
        id: usize,
        derived: &Ruled,
        external: &Fact,
        terms: &Terms,
    ) -> String {
        self.because(&[self.referred(id, derived), self.format_external(external)], terms)
    }

    fn and_explain_external(&self, external: &Fact, terms: &Terms) -> String {
        self.and(&[self.format_external(external)], terms)
    }

    fn and_explain_ref(&self, id: usize, derived: &Ruled, terms: &Terms) -> String {
        self.and(&[self.referred(id, derived)], terms)
    }

    fn and_explain_prior_and_external(
        &self,
        prior: &Fact,
        external: &Fact,
        terms: &Terms,
    ) -> String {
        self.and(&[self.format_external(prior), self.format_external(external)], terms)
    }
}
