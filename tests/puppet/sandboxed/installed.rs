//! Installations from the rig's git server and Forge, and what an installation that fails leaves.

use std::{fs, os::unix::fs::symlink, path::Path};

use crane::{
    error::Error,
    puppet::{self, Installed},
};

use super::{entries, install, problems, settings};
use crate::support::rig;

fn installed(name: &str, path: &str, version: Option<&str>) -> Installed {
    Installed { name: name.into(), path: path.into(), version: version.map(Into::into) }
}

#[tokio::test]
async fn modules_come_from_git_the_forge_and_archives() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    let (git, forge) = (rig("RIG_GIT"), rig("RIG_FORGE"));
    let puppetfile = format!(
        "git = '{git}'\n\
         mod 'puppetlabs/concat', '7.3.1'\n\
         mod 'puppetlabs/inifile'\n\
         mod 'stdlib', git: \"#{{git}}/puppetlabs-stdlib.git\", tag: 'v8.5.0'\n\
         mod 'apt', git: \"#{{git}}/puppetlabs-apt.git\", branch: 'main', install_path: 'site'\n\
         mod 'ntp', git: \"#{{git}}/puppetlabs-ntp.git\"\n\
         mod 'rsync', git: \"#{{git}}/puppetlabs-rsync.git\", branch: :control_branch,\n\
         default_branch: 'develop'\n\
         mod 'xinetd', git: \"#{{git}}/puppetlabs-xinetd.git\", ref: 'main', install_path: ''\n\
         moduledir 'more/modules'\n\
         mod 'archive', type: 'tarball', source: '{forge}/v3/files/puppetlabs-concat-7.3.1.tar.gz'\n"
    );
    // What stands in the managed directories goes, all else stays.
    fs::create_dir_all(context.join("modules/old")).unwrap();
    fs::create_dir_all(context.join("images/web")).unwrap();
    fs::write(context.join("site.pp"), "include stdlib\n").unwrap();
    for run in ["first", "second"] {
        let (modules, log) = install(home.path(), &puppetfile).await;
        let modules = modules.unwrap_or_else(|error| panic!("{run}: {error}\n{log}"));
        let names: Vec<_> = modules.iter().map(|module| (&*module.name, &*module.path)).collect();
        assert_eq!(
            names,
            [
                ("puppetlabs/concat", "modules/concat"),
                ("puppetlabs/inifile", "modules/inifile"),
                ("stdlib", "modules/stdlib"),
                ("apt", "site/apt"),
                ("ntp", "modules/ntp"),
                ("rsync", "modules/rsync"),
                ("xinetd", "xinetd"),
                ("archive", "more/modules/archive"),
            ]
        );
        assert_eq!(modules[0].version.as_deref(), Some("7.3.1"));
        assert_eq!(modules[2].version.as_deref(), Some("8.5.0"));
        // r10k unpacks archives as they are, and this one has a directory around the module.
        assert_eq!(modules[7].version, None);
        for module in &modules[..7] {
            let directory = context.join(&module.path);
            assert!(directory.join("metadata.json").is_file(), "{module:?}");
            assert!(!directory.join(".git").exists(), "{module:?}");
        }
        let expected = ["images", "modules", "more", "site", "site.pp", "xinetd"];
        assert_eq!(entries(&context), expected);
        let expected = ["concat", "inifile", "ntp", "rsync", "stdlib"];
        assert_eq!(entries(&context.join("modules")), expected);
        assert!(log.contains("INFO  -> Deploying module to modules/stdlib\n"), "{log}");
        assert!(log.contains("no branch, tag or commit is named"), "{log}");
        assert!(!log.contains("staging"), "{log}");
    }
}

#[tokio::test]
async fn nothing_changes_when_one_module_fails() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    let (git, forge) = (rig("RIG_GIT"), rig("RIG_FORGE"));
    let (before, _) = install(home.path(), "mod 'puppetlabs/concat', '7.3.1'").await;
    assert_eq!(before.unwrap(), [installed("puppetlabs/concat", "modules/concat", Some("7.3.1"))]);
    let with_credentials = git.replace("://", "://user:secret@");
    for (puppetfile, problem) in [
        (
            format!("mod 'puppetlabs/stdlib', '8.5.0'\n\n  mod 'x', git: '{git}/none.git'"),
            format!("puppetfile:3:7: fatal: repository '{git}/none.git/' not found"),
        ),
        (
            format!("mod 'x', git: '{with_credentials}/none.git', ref: 'main'"),
            format!("puppetfile:1:5: fatal: repository '{git}/none.git/' not found"),
        ),
        (
            format!("\nmod 'stdlib', git: '{git}/puppetlabs-stdlib.git', tag: 'v0.0.0'"),
            "puppetfile:2:5: Unable to manage Puppetfile content 'stdlib': Could not resolve \
             desired ref 'v0.0.0' and no default provided"
                .into(),
        ),
        (
            "mod 'puppetlabs/stdlib', '99.0.0'".into(),
            format!(
                "puppetfile:1:5: The module release puppetlabs-stdlib-99.0.0 does not exist on \
                 {forge}/."
            ),
        ),
        (
            "mod 'nobody/nothing'".into(),
            format!("puppetfile:1:5: The module nobody-nothing does not exist on {forge}/."),
        ),
    ] {
        let (result, log) = install(home.path(), &puppetfile).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert_eq!(problems(&error), [&*problem], "{log}");
        assert_eq!(error.retry(), None, "{error:?}");
        assert_eq!(error.to_string(), format!("r10k could not install the modules: {problem}"));
        assert!(!format!("{log}{error:?}").contains("secret"), "{log}{error:?}");
        assert_eq!(entries(&context), ["modules"]);
        assert_eq!(entries(&context.join("modules")), ["concat"]);
    }
    let (after, _) = install(home.path(), "mod 'puppetlabs/stdlib', '8.5.0'").await;
    assert_eq!(after.unwrap(), [installed("puppetlabs/stdlib", "modules/stdlib", Some("8.5.0"))]);
    assert_eq!(entries(&context.join("modules")), ["stdlib"]);
}

#[tokio::test]
async fn several_installations_at_once_do_not_see_each_other() {
    let git = rig("RIG_GIT");
    let puppetfile = format!(
        "mod 'stdlib', git: '{git}/puppetlabs-stdlib.git', tag: 'v8.5.0'\n\
         mod 'puppetlabs/concat', '7.3.1'\n"
    );
    let homes: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let runs = homes.iter().map(|home| install(home.path(), &puppetfile));
    for ((result, log), home) in futures_util::future::join_all(runs).await.iter().zip(&homes) {
        assert!(result.is_ok(), "{result:?}\n{log}");
        assert_eq!(entries(&home.path().join("context/modules")), ["concat", "stdlib"]);
    }
}

#[tokio::test]
async fn a_puppetfile_without_modules_makes_an_empty_directory() {
    let home = tempfile::tempdir().unwrap();
    let (modules, log) = install(home.path(), "forge 'https://forge.example.com'\n").await;
    assert_eq!(modules.unwrap(), []);
    assert_eq!(entries(&home.path().join("context")), ["modules"]);
    let forge = rig("RIG_FORGE");
    let expected =
        format!("WARN -> puppetfile:1:7: this `forge` is ignored, modules come from {forge}\n");
    assert_eq!(log, expected);
}

#[tokio::test]
async fn local_modules_stay_as_they_are() {
    let home = tempfile::tempdir().unwrap();
    let mine = home.path().join("context/modules/mine");
    fs::create_dir_all(mine.join("manifests")).unwrap();
    fs::write(mine.join("manifests/init.pp"), "class mine { }\n").unwrap();
    fs::write(mine.join("metadata.json"), "{\"version\": \"0.1.0\"}").unwrap();
    symlink("init.pp", mine.join("manifests/link.pp")).unwrap();
    let puppetfile = "mod 'mine', local: true\nmod 'absent', local: true\n\
                      mod 'puppetlabs/concat', '7.3.1'";
    let (modules, log) = install(home.path(), puppetfile).await;
    let expected = [
        installed("mine", "modules/mine", Some("0.1.0")),
        installed("absent", "modules/absent", None),
        installed("puppetlabs/concat", "modules/concat", Some("7.3.1")),
    ];
    assert_eq!(modules.unwrap_or_else(|error| panic!("{error}\n{log}")), expected);
    assert_eq!(entries(&home.path().join("context/modules")), ["concat", "mine"]);
    assert_eq!(fs::read_to_string(mine.join("manifests/init.pp")).unwrap(), "class mine { }\n");
    assert_eq!(fs::read_link(mine.join("manifests/link.pp")).unwrap(), Path::new("init.pp"));
}

#[tokio::test]
async fn a_link_in_the_context_is_not_followed() {
    let home = tempfile::tempdir().unwrap();
    let outside = home.path().join("outside");
    fs::create_dir_all(home.path().join("context")).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, home.path().join("context/site")).unwrap();
    let puppetfile = "moduledir 'site/modules'\nmod 'puppetlabs/concat', '7.3.1'";
    let (result, _) = install(home.path(), puppetfile).await;
    assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
    assert_eq!(entries(&outside), Vec::<String>::new());
    assert_eq!(entries(&home.path().join("context")), ["site"]);
}

#[tokio::test]
async fn r10k_checks_what_crane_accepts() {
    let home = tempfile::tempdir().unwrap();
    let settings = settings(home.path());
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/puppetfiles/accepted");
    for name in entries(&corpus) {
        let text = fs::read_to_string(corpus.join(&name)).unwrap();
        let puppetfile = puppet::check(&text).unwrap();
        let result = puppet::check_with_r10k(&settings, &puppetfile).await;
        assert!(result.is_ok(), "{name}: {result:?}");
    }
    assert_eq!(entries(&settings.work), Vec::<String>::new());
}

#[tokio::test]
async fn the_version_is_that_of_the_program() {
    let version = puppet::version().await.unwrap();
    assert!(version.starts_with("r10k "), "{version}");
}
