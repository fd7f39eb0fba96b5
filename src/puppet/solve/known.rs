//! What is known of modules and their releases, and one try to find those that go together.
//!
//! The solver asks for what it needs to know as it goes; nothing of that waits for a server. What is
//! not known yet is noted, and asked for before the next try. What a release needs is taken for
//! nothing until it is known, so that a try goes far, and much is asked for at once: more needs only
//! rule out more.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use pubgrub::{
    Dependencies, DependencyConstraints, DependencyProvider, DerivationTree,
    PackageResolutionStatistics, PubGrubError, Ranges,
};

use super::super::{
    describe::Need,
    puppetfile::Module,
    versions::{Range, Version},
};

/// A try that takes longer is made to.
const LIMIT: Duration = Duration::from_secs(20);

/// A module, or the Puppetfile that wants the first ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Package {
    Puppetfile,
    /// `puppetlabs/stdlib`, or as the Puppetfile names it.
    Module(String),
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Puppetfile => f.write_str("the Puppetfile"),
            Self::Module(name) => f.write_str(name),
        }
    }
}

pub(super) type Set = Ranges<Version>;
pub(super) type Tree = DerivationTree<Package, Set, String>;

/// A module of the Puppetfile.
#[derive(Debug)]
pub(super) enum Root {
    /// A release of the Forge, with its version as it is written.
    Release(Version, String),
    /// Releases of the Forge; none: all of them.
    Range(Option<Range>),
    /// What is not from the Forge, and what it needs.
    Fixed(Version, Vec<Need>),
    /// The same where no version is known, which any range has room for.
    Unversioned(Vec<Need>),
}

/// The modules of the Puppetfile.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// By the name that they have in the solution.
    all: BTreeMap<String, Root>,
    /// Those names, by the one without the owner.
    names: BTreeMap<String, String>,
}

impl Roots {
    pub(super) fn add(&mut self, module: &Module, root: Root) {
        self.names.insert(module.name.clone(), module.full_name());
        self.all.insert(module.full_name(), root);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Root> {
        self.all.get(name)
    }

    /// The module that a need is met by.
    pub(super) fn target<'a>(&'a self, need: &'a str) -> &'a str {
        let short = need.rsplit('/').next().unwrap_or(need);
        self.names.get(short).map_or(need, String::as_str)
    }
}

/// A question to the Forge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    Releases(String),
    Needs(String, String),
}

/// What the Forge has said.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The releases of modules, with their versions as they are written; none: no such module.
    releases: BTreeMap<String, Option<BTreeMap<Version, String>>>,
    needs: BTreeMap<(String, String), Vec<Need>>,
}

impl Known {
    /// How much it has said.
    pub(super) fn answers(&self) -> usize {
        self.releases.len() + self.needs.len()
    }

    pub(super) fn tell_releases(&mut self, name: String, texts: Option<Vec<String>>) {
        let parsed = texts.map(|texts| {
            let parsed = texts.into_iter();
            parsed.filter_map(|text| Some((Version::parse(&text)?, text))).collect()
        });
        self.releases.insert(name, parsed);
    }

    pub(super) fn tell_needs(&mut self, name: String, version: String, needs: Vec<Need>) {
        self.needs.insert((name, version), needs);
    }

    /// None: not known; none in it: there is no such module.
    pub(super) fn releases(&self, name: &str) -> Option<Option<&BTreeMap<Version, String>>> {
        self.releases.get(name).map(Option::as_ref)
    }

    /// A version as the Forge writes it.
    pub(super) fn text(&self, name: &str, version: &Version) -> String {
        let releases = self.releases(name).flatten();
        let text = releases.and_then(|releases| releases.get(version)).cloned();
        text.unwrap_or_else(|| version.to_string())
    }

    /// The releases that may be chosen.
    fn candidates<'a>(
        &'a self,
        roots: &'a Roots,
        name: &str,
        set: &'a Set,
    ) -> Option<impl DoubleEndedIterator<Item = &'a Version>> {
        let releases = self.releases(name)?.into_iter().flat_map(BTreeMap::keys);
        // A pre-release has to be named by the Puppetfile itself.
        let named = match roots.get(name) {
            Some(Root::Range(range)) => range.as_ref(),
            _ => None,
        };
        let fits = move |version: &&Version| {
            let allowed =
                !version.is_prerelease() || named.is_some_and(|range| range.contains(version));
            allowed && set.contains(version)
        };
        Some(releases.filter(fits))
    }
}

/// What a chosen module needs; nothing as long as that is not known.
pub(super) fn needs<'a>(
    roots: &'a Roots,
    known: &'a Known,
    name: &str,
    version: &Version,
) -> &'a [Need] {
    match roots.get(name) {
        Some(Root::Fixed(_, needs) | Root::Unversioned(needs)) => needs,
        Some(Root::Release(_, text)) => asked(known, name, text.clone()).unwrap_or_default(),
        _ => asked(known, name, known.text(name, version)).unwrap_or_default(),
    }
}

fn asked<'a>(known: &'a Known, name: &str, text: String) -> Option<&'a [Need]> {
    known.needs.get(&(name.to_owned(), text)).map(Vec::as_slice)
}

/// How a try ends.
pub(super) enum Step {
    /// Modules and their versions.
    Solved(BTreeMap<String, Version>),
    NoSolution(Box<Tree>),
    /// What has to be known for the next one.
    Ask(BTreeSet<Question>),
    TooLong,
}

/// One try. Blocks, as it may take some time.
pub(super) fn step(roots: &Roots, known: &Known) -> Step {
    let until = Instant::now() + LIMIT;
    let provider = Provider { roots, known, wanted: RefCell::default(), until };
    let result = pubgrub::resolve(&provider, Package::Puppetfile, Version::zero());
    let wanted = provider.wanted.take();
    match result {
        Err(PubGrubError::NoSolution(tree)) => Step::NoSolution(Box::new(tree)),
        Err(PubGrubError::ErrorInShouldCancel(_)) => Step::TooLong,
        _ if !wanted.is_empty() => Step::Ask(wanted),
        Ok(selected) => {
            let modules = selected.into_iter().filter_map(|(package, version)| match package {
                Package::Module(name) => Some((name, version)),
                Package::Puppetfile => None,
            });
            Step::Solved(modules.collect())
        }
        Err(_) => Step::TooLong,
    }
}

struct Provider<'a> {
    roots: &'a Roots,
    known: &'a Known,
    wanted: RefCell<BTreeSet<Question>>,
    until: Instant,
}

/// Something has to be asked for first, or it takes too long.
#[derive(Debug)]
pub(super) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stopped {}

impl Provider<'_> {
    fn want(&self, question: Question) {
        self.wanted.borrow_mut().insert(question);
    }

    /// The versions of a module that a need has room for.
    fn set(&self, target: &str, range: Option<&Range>) -> Set {
        let Some(range) = range else { return Set::full() };
        let set = range.set();
        match self.roots.get(target) {
            Some(Root::Unversioned(_)) => Set::full(),
            // What is between two versions may be a pre-release that the range does not mean.
            Some(Root::Release(version, _) | Root::Fixed(version, _)) => {
                let alone = Set::singleton(version.clone());
                match (range.contains(version), set.contains(version)) {
                    (true, false) => set.union(&alone),
                    (false, true) => set.intersection(&alone.complement()),
                    _ => set,
                }
            }
            _ => set,
        }
    }
}

impl DependencyProvider for Provider<'_> {
    type P = Package;
    type V = Version;
    type VS = Set;
    /// Those that made trouble first, then those with few versions to choose from. What is not
    /// known comes last, so that a try asks for as much as it can.
    type Priority = (bool, u32, Reverse<usize>);
    type M = String;
    type Err = Stopped;

    fn prioritize(
        &self,
        package: &Package,
        range: &Set,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let conflicts = statistics.conflict_count();
        let Package::Module(name) = package else { return (true, conflicts, Reverse(1)) };
        match self.roots.get(name) {
            None | Some(Root::Range(_)) => match self.known.candidates(self.roots, name, range) {
                Some(candidates) => (true, conflicts, Reverse(candidates.count())),
                None => {
                    self.want(Question::Releases(name.clone()));
                    (false, conflicts, Reverse(0))
                }
            },
            Some(_) => (true, conflicts, Reverse(1)),
        }
    }

    fn choose_version(&self, package: &Package, set: &Set) -> Result<Option<Version>, Stopped> {
        let Package::Module(name) = package else { return Ok(Some(Version::zero())) };
        let only = match self.roots.get(name) {
            Some(Root::Release(version, _) | Root::Fixed(version, _)) => version.clone(),
            Some(Root::Unversioned(_)) => Version::zero(),
            None | Some(Root::Range(_)) => {
                let Some(candidates) = self.known.candidates(self.roots, name, set) else {
                    self.want(Question::Releases(name.clone()));
                    return Err(Stopped);
                };
                return Ok(candidates.max().cloned());
            }
        };
        Ok(set.contains(&only).then_some(only))
    }

    fn get_dependencies(
        &self,
        package: &Package,
        version: &Version,
    ) -> Result<Dependencies<Package, Set, String>, Stopped> {
        let mut all: DependencyConstraints<Package, Set> = DependencyConstraints::default();
        let mut add = |name: &str, set: Set| {
            let package = Package::Module(name.to_owned());
            let both =
                all.get(&package).map_or_else(|| set.clone(), |there| there.intersection(&set));
            all.insert(package, both);
        };
        let Package::Module(name) = package else {
            for (name, root) in &self.roots.all {
                add(
                    name,
                    match root {
                        Root::Release(version, _) | Root::Fixed(version, _) => {
                            Set::singleton(version.clone())
                        }
                        Root::Range(range) => range.as_ref().map_or_else(Set::full, Range::set),
                        Root::Unversioned(_) => Set::full(),
                    },
                );
            }
            return Ok(Dependencies::Available(all));
        };
        let text = match self.roots.get(name) {
            Some(Root::Release(_, text)) => Some(text.clone()),
            Some(Root::Fixed(..) | Root::Unversioned(_)) => None,
            None | Some(Root::Range(_)) => Some(self.known.text(name, version)),
        };
        if let Some(text) = text
            && asked(self.known, name, text.clone()).is_none()
        {
            self.want(Question::Needs(name.clone(), text));
        }
        for need in needs(self.roots, self.known, name, version) {
            let target = self.roots.target(&need.name);
            // A module that needs itself has what it needs.
            if target != name {
                add(target, self.set(target, need.range.as_ref()));
            }
        }
        Ok(Dependencies::Available(all))
    }

    fn should_cancel(&self) -> Result<(), Stopped> {
        if Instant::now() > self.until { Err(Stopped) } else { Ok(()) }
    }
}
