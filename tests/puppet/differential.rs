//! The same Puppetfiles through the real r10k 3 and through Crane's own engine: the trees are the
//! same byte for byte, and what fails in one fails in the other. Where Crane differs on purpose the
//! case says why.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crane::{
    error::Error,
    model::Log,
    puppet::{self, Compat, Engine, Native, NativeSettings, Options, Outcome, Settings},
};

use super::{
    generated,
    trees::{Tree, differences, tree},
    world,
};

type Result<T, E = Error> = std::result::Result<T, E>;

/// What is expected of both.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expect {
    Same,
    BothFail,
    /// One of the two above, whichever it is.
    Agree,
    /// Crane installs what r10k does not, or other than it.
    OnlyCrane(&'static str),
    /// Crane refuses or fails where r10k does something.
    OnlyR10k(&'static str),
    /// Both install, and Crane on purpose something else.
    Different(&'static str),
}

pub(super) struct Case {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) expect: Expect,
}

/// How many run at once; r10k is one processor's work, and the machines that test have two.
const WORKERS: usize = 3;

/// Puppetfiles that are put together at random, the same in each run.
const GENERATED: usize = 20;

#[test]
fn the_engine_installs_what_r10k_installs() {
    let home = tempfile::tempdir().unwrap();
    let world = world::make(home.path());
    let mut cases = world::cases(&world);
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    cases.extend(generated::cases(&world, GENERATED));
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (next, wrong, cases, world) = (&next, &wrong, &cases, &world);
            let home = home.path().join(format!("worker{worker}"));
            scope.spawn(move || {
                let bench = Bench::new(&home, &world.forge.url);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(what) = bench.compare(case) {
                        let text = &case.text;
                        wrong.lock().unwrap().push(format!("== {}\n{text}\n{what}\n", case.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The two engines, each with a cache that its runs share.
pub(super) struct Bench {
    home: PathBuf,
    /// Of r10k, besides what all have.
    pub(super) environment: Vec<(&'static str, String)>,
    pub(super) settings: Settings,
    pub(super) runtime: tokio::runtime::Runtime,
}

impl Bench {
    pub(super) fn new(home: &Path, forge: &str) -> Self {
        Self::with(home, forge, NativeSettings::default())
    }

    /// One with settings of its own; the cache is where all of a home's are.
    pub(super) fn with(home: &Path, forge: &str, settings: NativeSettings) -> Self {
        fs::create_dir_all(home).unwrap();
        let configuration = format!(
            "cachedir: {}\nforge:\n  baseurl: {forge}\n",
            home.join("r10k-cache").display()
        );
        fs::write(home.join("r10k.yaml"), configuration).unwrap();
        let native = Native::open(NativeSettings { cache: home.join("cache"), ..settings });
        let settings = Settings {
            work: home.join("work"),
            forge: Some(forge.to_owned()),
            time_limit: Duration::from_secs(60),
            engine: Engine::Native,
            native: native.unwrap(),
            r10k: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { home: home.to_owned(), environment: Vec::new(), settings, runtime }
    }

    fn r10k(&self, root: &Path, text: &str) -> Result<Tree, String> {
        let puppetfile = self.home.join("Puppetfile");
        fs::write(&puppetfile, text).unwrap();
        let output = Command::new("r10k")
            .args(["puppetfile", "install"])
            .arg(format!("--config={}", self.home.join("r10k.yaml").display()))
            .arg(format!("--puppetfile={}", puppetfile.display()))
            .current_dir(root)
            .env("HOME", &self.home)
            .env("LANG", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(self.environment.iter().cloned())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(tree(root)),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    pub(super) fn install(&self, root: &Path, text: &str, compat: Compat) -> Result<Outcome> {
        self.install_with(root, text, &Options { compat, ..Options::default() })
    }

    pub(super) fn install_with(
        &self,
        root: &Path,
        text: &str,
        options: &Options,
    ) -> Result<Outcome> {
        let parsed = puppet::check_for(options.compat, text)?;
        // Nobody reads it.
        let log = Log::new(tokio::sync::mpsc::channel(1).0);
        let install = puppet::install_with(&self.settings, &parsed, root, options, &log);
        self.runtime.block_on(install)
    }

    /// Now everything comes from the cache, and digests are not of what was read back.
    fn again(
        &self,
        root: &Path,
        case: &Case,
        first: &Tree,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let again = self.install(root, &case.text, Compat::R10k3);
        let again = again.map_err(|error| format!("again: {error:?}"))?;
        let differ = differences(first, &tree(root));
        if !differ.is_empty() || again.lock != outcome.lock {
            return Err(format!("again, it is another tree: {}", differ.join("\n")));
        }
        for locked in again.lock.iter().flat_map(|lock| &lock.modules) {
            let place = root.join(&locked.path);
            let found =
                if place.exists() { puppet::digest(&place).unwrap() } else { "none".into() };
            if found != locked.digest {
                return Err(format!("{} has {found}, not {}", locked.path, locked.digest));
            }
        }
        Ok(())
    }

    pub(super) fn compare(&self, case: &Case) -> Result<(), String> {
        let roots = ["r10k", "crane"].map(|engine| {
            let root = self.home.join(format!("{engine}-{}", case.name));
            fs::create_dir_all(root.join("modules")).unwrap();
            // What is not in the Puppetfile goes, and what is local stays.
            fs::create_dir_all(root.join("modules/stale/manifests")).unwrap();
            fs::write(root.join("modules/stale/.file"), "stale").unwrap();
            fs::create_dir_all(root.join("modules/mine")).unwrap();
            fs::write(root.join("modules/mine/init.pp"), "class mine { }\n").unwrap();
            fs::write(root.join("site.pp"), "include mine\n").unwrap();
            // r10k fails to purge a directory that is not there (`local-nowhere` has it).
            for directory in ["other", "a/b"] {
                fs::create_dir_all(root.join(directory)).unwrap();
            }
            root
        });
        let r10k = self.r10k(&roots[0], &case.text);
        let before = tree(&roots[1]);
        let crane = self.install(&roots[1], &case.text, Compat::R10k3);
        let crane = crane.map(|outcome| (tree(&roots[1]), outcome));
        if let Ok((first, outcome)) = &crane {
            self.again(&roots[1], case, first, outcome)?;
        }
        let crane = crane.map(|(tree, _)| tree).map_err(|error| format!("{error:?}"));
        if crane.is_err() {
            let left = differences(&before, &tree(&roots[1]));
            if !left.is_empty() {
                return Err(format!("crane failed and changed the tree: {}", left.join("\n")));
            }
        }
        let outcome = match (&case.expect, &r10k, &crane) {
            (Expect::Same | Expect::Agree, Ok(one), Ok(other)) => {
                match &differences(one, other)[..] {
                    [] => Ok(()),
                    differ => Err(format!("r10k and crane differ:\n{}", differ.join("\n"))),
                }
            }
            (Expect::BothFail | Expect::Agree, Err(_), Err(_)) => Ok(()),
            (Expect::Different(why), Ok(one), Ok(other)) if one != other => reason(why),
            (Expect::OnlyCrane(why), Err(_), Ok(_)) | (Expect::OnlyR10k(why), Ok(_), Err(_)) => {
                reason(why)
            }
            (expect, r10k, crane) => {
                let told = |result: &Result<Tree, String>| match result {
                    Ok(tree) => format!("{} entries", tree.len()),
                    Err(error) => error.clone(),
                };
                Err(format!("{expect:?}\nr10k: {}\ncrane: {}", told(r10k), told(crane)))
            }
        };
        for root in roots {
            fs::remove_dir_all(root).unwrap();
        }
        outcome
    }
}

/// A difference on purpose has one.
fn reason(why: &str) -> Result<(), String> {
    (!why.is_empty()).then_some(()).ok_or_else(|| "the case does not say why".to_owned())
}
