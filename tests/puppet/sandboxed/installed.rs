//! Installations from the rig's git server and Forge, and what an installation that fails leaves.

use std::{fs, os::unix::fs::symlink, path::Path};

use crane::{
    error::Error,
    puppet::{Brought, State},
};

use super::{Case, entries, install, problems};
use crate::support::rig;

/// Name, path and version of each module.
fn told(brought: &Brought) -> Vec<(&str, &str, Option<&str>)> {
    let modules = brought.modules.iter();
    modules.map(|one| (&*one.name, &*one.path, one.version.as_deref())).collect()
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
    let mut digest = None;
    for run in ["first", "second"] {
        let (modules, log) = install(home.path(), &puppetfile).await;
        let brought = modules.unwrap_or_else(|error| panic!("{run}: {error}\n{log}"));
        assert_eq!(
            told(&brought),
            [
                ("puppetlabs/concat", "modules/concat", Some("7.3.1")),
                ("puppetlabs/inifile", "modules/inifile", Some("5.4.0")),
                ("ntp", "modules/ntp", Some("7.2.0")),
                ("rsync", "modules/rsync", Some("1.1.0")),
                ("stdlib", "modules/stdlib", Some("8.5.0")),
                // r10k unpacks archives as they are, and this one has a directory around the module.
                ("archive", "more/modules/archive", None),
                ("apt", "site/apt", Some("9.0.1")),
                ("xinetd", "xinetd", Some("3.0.0")),
            ]
        );
        for module in &brought.modules {
            let directory = context.join(&module.path);
            let whole = module.name == "archive" || directory.join("metadata.json").is_file();
            assert!(whole && !directory.join(".git").exists(), "{module:?}");
            assert_eq!((&*module.source, &module.commit), ("r10k", &None));
            assert!(module.digest.starts_with("sha256:"), "{module:?}");
        }
        assert_eq!(brought.modules[0].licence.as_deref(), Some("Apache-2.0"));
        assert_eq!(brought.modules[0].dependencies[0].state, State::Met);
        let expected = ["images", "modules", "more", "site", "site.pp", "xinetd"];
        assert_eq!(entries(&context), expected);
        let expected = ["concat", "inifile", "ntp", "rsync", "stdlib"];
        assert_eq!(entries(&context.join("modules")), expected);
        assert!(log.contains("INFO  -> Deploying module to modules/stdlib\n"), "{log}");
        assert!(!log.contains("/crane"), "{log}");
        let before = digest.replace(brought.digest.clone());
        assert!(before.is_none_or(|before| before == brought.digest));
    }
}

#[tokio::test]
async fn nothing_changes_when_one_module_fails() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    let (git, forge) = (rig("RIG_GIT"), rig("RIG_FORGE"));
    let (before, _) = install(home.path(), "mod 'puppetlabs/concat', '7.3.1'").await;
    let concat = ("puppetlabs/concat", "modules/concat", Some("7.3.1"));
    assert_eq!(told(&before.unwrap()), [concat]);
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
    assert_eq!(told(&after.unwrap()), [("puppetlabs/stdlib", "modules/stdlib", Some("8.5.0"))]);
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
    for text in ["", "forge 'https://forge.example.com'\n", "if false\nmod 'x/y'\nend\n"] {
        let (brought, log) = install(home.path(), text).await;
        let brought = brought.unwrap_or_else(|error| panic!("{text}: {error}\n{log}"));
        assert_eq!(brought.modules, []);
        assert_eq!(entries(&home.path().join("context")), ["modules"]);
    }
}

#[tokio::test]
async fn it_is_ruby() {
    let home = tempfile::tempdir().unwrap();
    let git = rig("RIG_GIT");
    let puppetfile = format!(
        "require 'json'\n\
         moduledir ENV['NOWHERE'] || 'site/modules'\n\
         {{ 'stdlib' => 'v8.5.0' }}.each do |name, tag|\n\
           mod name, git: \"{git}/puppetlabs-#{{name}}.git\", tag: tag\n\
         end\n\
         mod 'puppetlabs/concat', `echo 7.3.1`.strip if RUBY_VERSION > '2'\n\
         puts JSON.generate(ruby: true)\n"
    );
    let (brought, log) = install(home.path(), &puppetfile).await;
    let brought = brought.unwrap_or_else(|error| panic!("{error}\n{log}"));
    let expected = [
        ("puppetlabs/concat", "site/modules/concat", Some("7.3.1")),
        ("puppetlabs/stdlib", "site/modules/stdlib", Some("8.5.0")),
    ];
    assert_eq!(told(&brought), expected);
    assert!(log.contains("{\"ruby\":true}\n"), "{log}");
}

#[tokio::test]
async fn what_ruby_says_is_told_with_its_line() {
    let home = tempfile::tempdir().unwrap();
    for (text, told) in [
        ("\nraise 'not so'\n", "puppetfile: not so"),
        ("mod 'puppetlabs/concat', '7.3.1'\n\nmod(\n", "syntax error"),
        ("mod 'a/b'\nexit 3\n", "r10k could not install the modules: "),
    ] {
        let (result, log) = install(home.path(), text).await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}\n{log}");
    }
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
    let (brought, log) = install(home.path(), puppetfile).await;
    let brought = brought.unwrap_or_else(|error| panic!("{error}\n{log}"));
    let expected = [
        ("puppetlabs/concat", "modules/concat", Some("7.3.1")),
        ("mine", "modules/mine", Some("0.1.0")),
    ];
    assert_eq!(told(&brought), expected);
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
    let (result, _) = Case::new(home.path()).install(home.path(), puppetfile).await;
    assert!(matches!(result, Err(Error::Internal(_))), "{result:?}");
    assert_eq!(entries(&outside), Vec::<String>::new());
    assert_eq!(entries(&home.path().join("context")), ["site"]);
}
