//! Puppetfiles that do what Ruby can do: it happens in the container, and nowhere else.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crane::error::Error;

use super::{Case, entries, install};

/// What a command prints that the Puppetfile runs.
async fn printed(sandbox: &Case, home: &Path, command: &str) -> String {
    let puppetfile = format!("system(%q({command}))\n");
    let (result, log) = sandbox.install(home, &puppetfile).await;
    assert!(result.is_ok(), "{result:?}\n{log}");
    log
}

#[tokio::test]
async fn commands_run_in_a_container_that_has_nothing() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Case::on(home.path(), "none");
    let mark = Path::new("/tmp/crane-r10k-attack");
    let script = format!(
        "touch {}; id; env; cat /proc/self/mountinfo; cat /proc/self/status; cat /proc/net/dev; \
         ls -l /var/run/docker.sock /crane; cat /proc/1/cmdline; ulimit -c",
        mark.display()
    );
    let told = printed(&sandbox, home.path(), &script).await;
    assert!(!mark.exists());
    assert!(told.contains("uid=65534(nobody) gid=65534(nogroup)"), "{told}");
    // No capability, also not by a program with set-user-id.
    for line in ["CapPrm: 0000000000000000", "CapBnd: 0000000000000000", "NoNewPrivs: 1"] {
        assert!(told.lines().any(|found| found == line), "{line}: {told}");
    }
    assert!(!told.contains("Seccomp: 0"), "{told}");
    // Only the loopback.
    assert!(told.contains(" lo:") && !told.contains("eth0"), "{told}");
    let environment: Vec<&str> = told
        .lines()
        .filter(|line| {
            line.split_once('=').is_some_and(|(name, _)| {
                name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
            })
        })
        .filter_map(|line| line.split('=').next())
        .filter(|name| !name.starts_with("GIT_CONFIG_"))
        .collect();
    for name in &environment {
        let known = [
            "PATH",
            "HOME",
            "TMPDIR",
            "LANG",
            "HOSTNAME",
            "PWD",
            "OLDPWD",
            "_",
            "SHLVL",
            "GIT_TERMINAL_PROMPT",
            "GIT_ALLOW_PROTOCOL",
        ];
        assert!(known.contains(name), "{name}: {told}");
    }
    assert!(environment.contains(&"HOME"), "{told}");
    // Of mounts there are the container's own file systems, and what the engine gives to each: three
    // files about its name, and its init.
    for line in told.lines().filter(|line| line.contains(" - ")) {
        let (mount, kind) = line.split_once(" - ").unwrap();
        let target = mount.split_whitespace().nth(4).unwrap();
        let own = ["overlay", "proc", "tmpfs", "devpts", "sysfs", "cgroup", "cgroup2", "mqueue"];
        let name = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/usr/sbin/docker-init"];
        let kind = kind.split_whitespace().next().unwrap();
        assert!(own.contains(&kind) || name.contains(&target), "{line}");
    }
}

#[tokio::test]
async fn the_network_is_the_one_that_is_configured() {
    let home = tempfile::tempdir().unwrap();
    let git = crate::support::rig("RIG_GIT");
    let puppetfile = format!("mod 'stdlib', git: '{git}/puppetlabs-stdlib.git', tag: 'v8.5.0'");
    for network in ["none", "bridge"] {
        // This machine's loopback is not in reach of either.
        let (result, log) = Case::on(home.path(), network).install(home.path(), &puppetfile).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert!(error.to_string().contains("puppetfile:1:5: fatal: unable to access"), "{log}");
    }
    let sandbox = Case::on(home.path(), "bridge");
    let told = printed(&sandbox, home.path(), "cat /proc/net/dev").await;
    assert!(told.contains("eth0:"), "{told}");
    let (result, _) = install(home.path(), &puppetfile).await;
    assert_eq!(result.unwrap().modules[0].version.as_deref(), Some("8.5.0"));
}

#[tokio::test]
async fn memory_processes_and_disk_have_an_end() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Case::on(home.path(), "none");
    let began = Instant::now();
    for (text, told) in [
        ("x = []\nloop { x << 'x' * 10_000_000 }", "r10k needed more memory than the 512 MiB"),
        (
            "system('truncate -s 5G /crane/tmp/x; sleep 60')",
            "r10k wrote more than 4 GiB, and was ended",
        ),
    ] {
        let (result, log) = sandbox.install(home.path(), text).await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert!(error.to_string().contains(told), "{text}: {error}\n{log}");
        assert_eq!(error.retry(), None);
    }
    assert!(began.elapsed().as_secs() < 120, "took {:?}", began.elapsed());
    // What it leaves running ends with it.
    let bomb = "for n in $(seq 300); do sleep 600 & done";
    let (result, _) = sandbox.install(home.path(), &format!("system(%q({bomb}))")).await;
    assert!(result.unwrap_err().to_string().contains("Cannot fork"));
    // Ruby itself waits until there is room for another process, so that only time ends this.
    let mut sandbox = sandbox;
    sandbox.settings.time_limit = Duration::from_secs(10);
    let began = Instant::now();
    let (result, _) = sandbox.install(home.path(), "loop { spawn('sleep', '600') }").await;
    assert!(result.unwrap_err().to_string().contains("not done after 10 s"));
    assert!(began.elapsed().as_secs() < 40, "took {:?}", began.elapsed());
}

#[tokio::test]
async fn what_it_prints_is_bounded_and_harmless() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Case::on(home.path(), "none");
    let text =
        "puts 'x' * 10_000_000, \"\\e[31mred\\0\", 'http://user:secret@h/x'\n$stdout.write('end')";
    let (result, log) = sandbox.install(home.path(), text).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(log.len() < 20_000 && !log.contains("secret") && !log.contains('\u{1b}'));
    assert!(log.contains("http://***@h/x") && log.contains("end\n"), "{log}");
}

#[tokio::test]
async fn what_it_leaves_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let context = home.path().join("context");
    fs::create_dir_all(context.join("modules/before")).unwrap();
    let sandbox = Case::on(home.path(), "none");
    for (ruby, told) in [
        ("File.symlink('/etc', 'modules/x')", "a symbolic link that may lead out of it: modules/x"),
        ("File.symlink('../../../x', 'modules/x')", "a symbolic link that may lead out"),
        ("File.symlink('../site', 'modules/x'); Dir.mkdir('site')", ""),
        ("File.mkfifo('modules/x')", "no file, directory or link"),
        ("system('rm -r /crane/tree; ln -s /etc /crane/tree')", "refused"),
        ("Dir.chdir('/crane'); system('rm -r /crane/tree')", "is not there any more"),
        ("require 'fileutils'; FileUtils.mkdir_p('modules/' + 'd/' * 80)", "too deep"),
        ("File.write(\"modules/\\xff\", '')", "not UTF-8"),
        ("70_000.times { |n| File.symlink('x', \"modules/#{n}\") }; exit! 1", "r10k could not"),
    ] {
        // r10k itself would remove what it does not know, after it has read the file.
        let text = format!("at_exit {{ {ruby} }}\n");
        let (result, log) = sandbox.install(home.path(), &text).await;
        if told.is_empty() {
            assert!(result.is_ok(), "{ruby}: {result:?}\n{log}");
            fs::remove_dir_all(&context).unwrap();
            fs::create_dir_all(context.join("modules/before")).unwrap();
            continue;
        }
        let Err(error) = result else { panic!("{ruby}: {result:?}\n{log}") };
        assert!(matches!(error, Error::Failed { .. }), "{ruby}: {error:?}");
        assert!(error.to_string().contains(told), "{ruby}: {error}");
        assert_eq!(entries(&context.join("modules")), ["before"], "{ruby}");
    }
    // What is no module is left out, and what cannot be read can.
    let text = "at_exit { Dir.mkdir('modules/a'); File.write('modules/a/x', ''); \
                File.chmod(04001, 'modules/a/x'); Dir.mkdir('modules/a/.git'); \
                File.write('Dockerfile', ''); Dir.mkdir('modules.staging-1'); \
                File.chmod(0, 'modules/a') }";
    let (result, log) = sandbox.install(home.path(), text).await;
    let brought = result.unwrap_or_else(|error| panic!("{error}\n{log}"));
    assert_eq!(brought.modules.len(), 1, "{brought:?}");
    assert_eq!(entries(&context), ["modules"]);
    assert_eq!(entries(&context.join("modules/a")), ["x"]);
}
