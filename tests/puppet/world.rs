//! The repositories, releases and archives of the differential suite, and its table of Puppetfiles.

use std::{collections::HashMap, path::Path};

use tar::EntryType;

use super::{
    differential::{Case, Expect},
    repositories::{Repository, Server, git, release},
};

pub(super) struct World {
    pub(super) git: Server,
    pub(super) forge: Server,
    /// Commits by repository and revision.
    commits: HashMap<&'static str, String>,
}

pub(super) fn make(home: &Path) -> World {
    let (repositories, releases) = (home.join("git"), home.join("forge"));
    std::fs::create_dir_all(&repositories).unwrap();
    let mut commits = HashMap::new();
    let mut note = |key: &'static str, place: &Path, revision: &str| {
        commits.insert(key, git(place, &["rev-parse", revision]));
    };

    let place = plain(&repositories);
    note("plain", &place, "main~1");
    note("tag-object", &place, "v1.0");
    note("unborn", &place, "main^{tree}");
    kinds(&repositories);
    lines(&repositories);
    specs(&repositories);
    let place = long(&repositories);
    note("long", &place, "main~1234");
    note("long-short", &place, "main~777");
    deep(&repositories);
    Repository::new().write(&repositories.join("empty.git"), "main");

    forge(&releases);
    World {
        git: Server::start("git.py", &repositories),
        forge: Server::start("forge.py", &releases),
        commits,
    }
}

/// Branches, tags of every kind, and names that mean two things.
fn plain(repositories: &Path) -> std::path::PathBuf {
    let mut repository = Repository::new();
    let first = repository.commit("main", &[("644", "metadata.json", b"{\"version\": \"0.1.0\"}")]);
    let second = repository.commit("main", &[("644", "manifests/init.pp", b"class plain { }\n")]);
    let third = repository.commit("main", &[("644", "README.md", b"Three.\n")]);
    let develop = repository.commit_from("develop", Some(second), &[("644", "DEVELOP", b"")]);
    repository.reference("refs/heads/master", second);
    repository.reference("refs/heads/feature/x", develop);
    repository.reference("refs/heads/both", develop);
    repository.reference("refs/tags/both", first);
    repository.reference("refs/heads/deadbeef", develop);
    repository.reference("refs/tags/v1.1", second);
    repository.reference("refs/pull/7/head", develop);
    repository.annotated("v1.0", first);
    repository.reference("refs/heads/v2.0", third);
    let place = repository.write(&repositories.join("plain.git"), "main");
    // A tag of a tag, and tags of what is no commit.
    let tagged = |arguments: &[&str]| {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@localhost", "tag"];
        git(&place, &[&identity[..], arguments].concat())
    };
    tagged(&["-a", "-m", "x", "nested", "v1.0"]);
    tagged(&["of-a-tree", "main^{tree}"]);
    tagged(&["-a", "-m", "x", "of-a-blob", "main:README.md"]);
    place
}

/// Every kind of entry that a tree can have, and names that need care.
fn kinds(repositories: &Path) {
    let large: Vec<u8> =
        (0..2_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut repository = Repository::new();
    repository.commit(
        "main",
        &[
            ("755", "files/run.sh", b"#!/bin/sh\n"),
            ("644", "files/empty", b""),
            ("644", "files/large", &large),
            ("120000", "files/link", b"run.sh"),
            ("120000", "files/dangling", b"no/such"),
            ("120000", "files/absolute", b"/etc/passwd"),
            ("120000", "files/up", b"../../../.."),
            ("120000", "files/directory", b"../manifests"),
            ("160000", "vendor/sub", b"1234567890123456789012345678901234567890"),
            ("644", "a/b/c/d/e/f/g/deep", b"deep\n"),
            ("644", "files/with space", b"1\n"),
            ("644", "files/quo\"te\\", b"2\n"),
            ("644", "files/new\nline", b"3\n"),
            ("644", "files/\u{fc}n\u{ef}c\u{f6}d\u{e9}", b"4\n"),
            ("644", "files/-dash", b"5\n"),
            ("644", ".hidden/.file", b"6\n"),
            ("644", ".gitignore", b"ignored\n"),
            ("644", "ignored", b"7\n"),
            (
                "644",
                ".gitmodules",
                b"[submodule \"sub\"]\n\tpath = vendor/sub\n\turl = ../plain.git\n",
            ),
            ("644", "manifests/init.pp", b"class kinds { }\n"),
            ("644", "files/.git-not", b"8\n"),
        ],
    );
    repository.write(&repositories.join("kinds.git"), "main");
}

/// Line endings and keywords, which attributes change.
fn lines(repositories: &Path) {
    let mut repository = Repository::new();
    let attributes = b"*.bat text eol=crlf\n*.auto text=auto eol=crlf\n*.id ident\n*.png binary\n\
        *.txt text\n[attr]windows text eol=crlf\n/win/** windows\n*.no -text eol=crlf\n\
        \"sp ace.txt\" eol=crlf\n*.both ident eol=crlf\n*.exp export-ignore\n*.lfs filter=lfs -text\n\
        [abc].cls eol=crlf\n**/any/*.deep eol=crlf\n*.old crlf\n*.ali eol=lf\n";
    let id = b"$Id$\n$Id: old$\n$Id: foreign one$\n$Idx$ $Id\n";
    let mut files: Vec<super::repositories::File<'_>> = vec![
        ("644", ".gitattributes", attributes),
        ("644", "sub/.gitattributes", b"*.bat -text\nlocal eol=crlf\n/only eol=crlf\n"),
        ("644", "a.id", id),
        ("755", "b.both", id),
        ("644", "sp ace.txt", b"1\n2\n"),
        ("120000", "link.bat", b"a.bat"),
        ("644", "zero.auto", b"\0\n\n"),
        ("644", "control.auto", b"\x01\x02\x03\n\n"),
        ("644", "lone.auto", b"1\r2\n"),
        ("644", "mixed.auto", b"1\r\n2\n"),
        ("644", "mixed.bat", b"1\r\n2\n3\r4\n"),
        ("644", "eof.auto", b"text\n\x1a"),
        ("644", "x.exp", b"1\n"),
        ("644", "x.lfs", b"version https://git-lfs.github.com/spec/v1\n"),
    ];
    for path in [
        "a.bat",
        "b.auto",
        "c.png",
        "d.txt",
        "win/x",
        "win/y/z",
        "notwin/x",
        "e.no",
        "a.cls",
        "d.cls",
        "any/x.deep",
        "q/any/x.deep",
        "q/any/r/x.deep",
        "f.old",
        "g.ali",
        "sub/a.bat",
        "sub/local",
        "sub/only",
        "sub/deeper/only",
        "sub/deeper/local",
        "other",
    ] {
        files.push(("644", path, b"1\n2\n"));
    }
    repository.commit("main", &files);
    repository.write(&repositories.join("lines.git"), "main");
}

/// `spec` as a directory and as a link.
fn specs(repositories: &Path) {
    let mut repository = Repository::new();
    repository.commit(
        "main",
        &[
            ("644", "spec/x_spec.rb", b"1\n"),
            ("644", "spec/fixtures/metadata.json", b"{}\n"),
            ("644", "lib/spec/y.rb", b"2\n"),
            ("644", "manifests/init.pp", b"class spec { }\n"),
        ],
    );
    repository.write(&repositories.join("spec.git"), "main");
    let mut repository = Repository::new();
    repository.commit(
        "main",
        &[("644", "tests/x_spec.rb", b"1\n"), ("120000", "spec", b"tests"), ("644", "x", b"")],
    );
    repository.write(&repositories.join("speclink.git"), "main");
    let mut repository = Repository::new();
    repository.commit("main", &[("644", "spec", b"a file\n"), ("644", "x", b"")]);
    repository.write(&repositories.join("specfile.git"), "main");
}

/// Thousands of commits.
fn long(repositories: &Path) -> std::path::PathBuf {
    let mut repository = Repository::new();
    for number in 0..3_000_u32 {
        let text = format!("{number}\n").repeat(20);
        let path = format!("manifests/m{}.pp", number % 50);
        let mark = repository.commit("main", &[("644", &path, text.as_bytes())]);
        if number % 500 == 499 {
            repository.annotated(&format!("v{}.0.0", number / 500), mark);
        }
    }
    repository.write(&repositories.join("long.git"), "main")
}

/// A repository of several modules.
fn deep(repositories: &Path) {
    let mut repository = Repository::new();
    repository.commit(
        "main",
        &[
            ("644", ".gitattributes", b"*.bat eol=crlf\n"),
            ("644", "modules/one/manifests/init.pp", b"class one { }\n"),
            ("644", "modules/one/x.bat", b"1\n"),
            ("644", "modules/two/manifests/init.pp", b"class two { }\n"),
        ],
    );
    repository.write(&repositories.join("deep.git"), "main");
}

fn forge(releases: &Path) {
    use EntryType::{Directory, Regular, Symlink};
    for version in ["1.0.0", "1.4.9", "1.5.0", "2.0.0", "2.1.0-rc1"] {
        let top = format!("crane-many-{version}");
        let metadata = format!("{{\"name\": \"crane-many\", \"version\": \"{version}\"}}\n");
        let path = |name: &str| format!("{top}/{name}");
        release(
            releases,
            &top,
            &[
                (Directory, 0o755, &path(""), b""),
                (Regular, 0o644, &path("metadata.json"), metadata.as_bytes()),
                (Regular, 0o644, &path("manifests/init.pp"), version.as_bytes()),
                (Regular, 0o644, &path("spec/x_spec.rb"), b"x"),
            ],
        );
    }
    let metadata = b"{\"name\": \"crane-odd\", \"version\": \"0.1.0\"}\n";
    release(
        releases,
        "crane-odd-0.1.0",
        &[
            (Regular, 0o644, "outside", b"dropped\n"),
            (Directory, 0o700, "crane-odd-0.1.0/", b""),
            (Regular, 0o600, "crane-odd-0.1.0/metadata.json", metadata),
            (Regular, 0o777, "crane-odd-0.1.0/all", b"1"),
            (Regular, 0o4755, "crane-odd-0.1.0/setuid", b"2"),
            (Regular, 0o000, "crane-odd-0.1.0/none", b"3"),
            (Regular, 0o444, "crane-odd-0.1.0/readonly", b"4"),
            (Regular, 0o644, "crane-odd-0.1.0/deep/er/file", b"5"),
            (Directory, 0o711, "crane-odd-0.1.0/empty", b""),
            (Directory, 0o511, "crane-odd-0.1.0/closed/", b""),
            (Regular, 0o644, "crane-odd-0.1.0/closed/file", b"6"),
            (Symlink, 0o777, "crane-odd-0.1.0/link", b"metadata.json"),
            (Symlink, 0o777, "crane-odd-0.1.0/evil", b"/etc/passwd"),
            (Regular, 0o644, "crane-odd-0.1.0//double//slash", b"7"),
            (Regular, 0o644, "./crane-odd-0.1.0/dot", b"8"),
            (Regular, 0o644, "crane-odd-0.1.0/twice", b"first, and longer"),
            (Regular, 0o644, "crane-odd-0.1.0/twice", b"second"),
            (Regular, 0o644, "crane-odd-0.1.0/spec/fixtures/metadata.json", b"{}"),
            (Regular, 0o644, "crane-odd-0.1.0/.hidden/metadata.json", b"{}"),
            (Regular, 0o644, "crane-odd-0.1.0/endslash/", b""),
        ],
    );
    // The metadata at the top of the archive.
    let metadata = b"{\"name\": \"crane-flat\", \"version\": \"1.0.0\"}\n";
    release(
        releases,
        "crane-flat-1.0.0",
        &[
            (Regular, 0o644, "metadata.json", metadata),
            (Regular, 0o755, "bin/tool", b"#!/bin/sh\n"),
            (Directory, 0o750, "lib", b""),
            (Regular, 0o640, "lib/x.rb", b"x"),
        ],
    );
    let metadata = b"{\"name\": \"crane-linked\", \"version\": \"1.0.0\"}\n";
    release(
        releases,
        "crane-linked-1.0.0",
        &[
            (Regular, 0o644, "metadata.json", metadata),
            (Symlink, 0o777, "link", b"metadata.json"),
            (EntryType::Link, 0o644, "hard", b"metadata.json"),
        ],
    );
}

#[rustfmt::skip]
pub(super) fn cases(world: &World) -> Vec<Case> {
    use Expect::{BothFail, Different, OnlyCrane, OnlyR10k, Same};
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |name: &'static str, expect: Expect, text: &str| {
        let mut text = text.replace("{git}", &world.git.url).replace("{forge}", &world.forge.url);
        for (key, commit) in &world.commits {
            text = text.replace(&format!("{{{key}}}"), commit)
                .replace(&format!("{{{key}:7}}"), &commit[..7])
                .replace(&format!("{{{key}:12}}"), &commit[..12]);
        }
        cases.push(Case { name: name.to_owned(), text, expect });
    };
    let rig = crate::support::rig("RIG_GIT");

    // References.
    add("git-ref-branch", Same, "mod 'plain', git: '{git}/plain.git', ref: 'main'");
    add("git-branch", Same, "mod 'plain', git: '{git}/plain.git', branch: 'develop'");
    add("git-branch-with-slash", Same, "mod 'plain', git: '{git}/plain.git', branch: 'feature/x'");
    add("git-tag-annotated", Same, "mod 'plain', git: '{git}/plain.git', tag: 'v1.0'");
    add("git-tag-light", Same, "mod 'plain', git: '{git}/plain.git', tag: 'v1.1'");
    add("git-tag-of-a-tag", Same, "mod 'plain', git: '{git}/plain.git', tag: 'nested'");
    add("git-tag-of-a-tree", BothFail, "mod 'plain', git: '{git}/plain.git', tag: 'of-a-tree'");
    add("git-tag-of-a-blob", BothFail, "mod 'plain', git: '{git}/plain.git', tag: 'of-a-blob'");
    add("git-tag-before-branch", Same, "mod 'plain', git: '{git}/plain.git', branch: 'both'");
    add("git-full-name", Same, "mod 'plain', git: '{git}/plain.git', ref: 'refs/heads/both'");
    add("git-half-name", Same, "mod 'plain', git: '{git}/plain.git', ref: 'heads/both'");
    add("git-tags-name", Same, "mod 'plain', git: '{git}/plain.git', ref: 'tags/v1.0'");
    add("git-pull-request", Same, "mod 'plain', git: '{git}/plain.git', ref: 'refs/pull/7/head'");
    add("git-pull-short", Same, "mod 'plain', git: '{git}/plain.git', ref: 'pull/7/head'");
    add("git-branch-as-hex", Same, "mod 'plain', git: '{git}/plain.git', ref: 'deadbeef'");
    add("git-head", Same, "mod 'plain', git: '{git}/plain.git', ref: 'HEAD'");
    add("git-commit", Same, "mod 'plain', git: '{git}/plain.git', commit: '{plain}'");
    add("git-commit-as-ref", Same, "mod 'plain', git: '{git}/plain.git', ref: '{plain}'");
    add("git-commit-short", Same, "mod 'plain', git: '{git}/plain.git', commit: '{plain:7}'");
    add("git-tag-object", Same, "mod 'plain', git: '{git}/plain.git', commit: '{tag-object}'");
    add("git-tree-object", BothFail, "mod 'plain', git: '{git}/plain.git', commit: '{unborn}'");
    add("git-commit-unknown", BothFail, "mod 'plain', git: '{git}/plain.git', commit: '0123456789012345678901234567890123456789'");
    add("git-short-unknown", BothFail, "mod 'plain', git: '{git}/plain.git', commit: '0123456'");
    add("git-before", Same, "mod 'plain', git: '{git}/plain.git', ref: 'main~2'");
    add("git-parent", Same, "mod 'plain', git: '{git}/plain.git', ref: 'develop^'");
    add("git-peeled", Same, "mod 'plain', git: '{git}/plain.git', ref: 'v1.0^{}'");
    add("git-no-ref", Same, "mod 'plain', git: '{git}/plain.git'");
    add("git-no-ref-no-master", BothFail, "mod 'kinds', git: '{git}/kinds.git'");
    add("git-version", Same, "mod 'plain', type: 'git', source: '{git}/plain.git', version: 'v1.1'");
    add("git-symbols", Same, "mod 'plain', type: :git, source: '{git}/plain.git', version: :develop");
    add("git-two-refs", Same, "mod 'plain', git: '{git}/plain.git', tag: 'v1.0', branch: 'develop'");
    add("git-unknown-branch", BothFail, "mod 'plain', git: '{git}/plain.git', branch: 'none'");
    add("git-default-branch", Same, "mod 'plain', git: '{git}/plain.git', branch: 'none', default_branch: 'develop'");
    add("git-default-not-needed", Same, "mod 'plain', git: '{git}/plain.git', branch: 'main', default_branch: 'none'");
    add("git-default-override", Same, "mod 'plain', git: '{git}/plain.git', branch: 'none', default_branch: 'main', default_branch_override: 'develop'");
    add("git-override-unknown", Same, "mod 'plain', git: '{git}/plain.git', branch: 'none', default_branch: 'main', default_branch_override: 'neither'");
    add("git-control-branch", Same, "mod 'plain', git: '{git}/plain.git', branch: :control_branch, default_branch: 'develop'");
    add("git-control-branch-alone", BothFail, "mod 'plain', git: '{git}/plain.git', branch: :control_branch");
    add("git-empty-repository", BothFail, "mod 'empty', git: '{git}/empty.git', ref: 'main'");
    add("git-no-repository", BothFail, "mod 'none', git: '{git}/none.git', ref: 'main'");
    add("git-no-server", BothFail, "mod 'none', git: 'http://127.0.0.1:1/none.git', ref: 'main'");
    add("git-owner", Same, "mod 'crane/plain', git: '{git}/plain.git', ref: 'main'");
    add("git-unknown-option", Same, "mod 'plain', git: '{git}/plain.git', ref: 'main', depth: 1, colour: 'red'");

    // What a tree can hold.
    add("git-kinds", Same, "mod 'kinds', git: '{git}/kinds.git', ref: 'main'");
    add("git-lines", Same, "mod 'lines', git: '{git}/lines.git', ref: 'main'");
    add("git-long-tag", Same, "mod 'long', git: '{git}/long.git', tag: 'v3.0.0'");
    add("git-long-commit", Same, "mod 'long', git: '{git}/long.git', commit: '{long}'");
    add("git-long-short", Same, "mod 'long', git: '{git}/long.git', commit: '{long-short:12}'");
    add("git-long-before", Same, "mod 'long', git: '{git}/long.git', ref: 'v4.0.0~300'");
    add("git-real", Same, &format!("mod 'stdlib', git: '{rig}/puppetlabs-stdlib.git', tag: 'v8.5.0'\nmod 'apache', git: '{rig}/puppetlabs-apache.git', branch: 'main'\nmod 'redis', git: '{rig}/arioch-redis.git', branch: 'develop'"));

    // `spec`.
    add("spec-stays", Same, "mod 'spec', git: '{git}/spec.git', ref: 'main'");
    add("spec-goes", Same, "mod 'spec', git: '{git}/spec.git', ref: 'main', exclude_spec: true");
    add("spec-said-to-stay", Same, "mod 'spec', git: '{git}/spec.git', ref: 'main', exclude_spec: false");
    add("spec-elsewhere", Same, "mod 'spec', git: '{git}/spec.git', ref: 'main', exclude_spec: true, install_path: 'site'");
    add("spec-in-moduledir", Same, "moduledir 'other'\nmod 'spec', git: '{git}/spec.git', ref: 'main', exclude_spec: true");
    add("spec-as-link", Same, "mod 'speclink', git: '{git}/speclink.git', ref: 'main', exclude_spec: true");
    add("spec-as-file", Same, "mod 'specfile', git: '{git}/specfile.git', ref: 'main', exclude_spec: true");
    add("spec-of-a-release", Same, "mod 'crane/many', type: 'forge', version: '1.0.0', exclude_spec: true");

    // Where modules go, and what goes with them.
    add("moduledir", Same, "moduledir 'site/deep'\nmod 'plain', git: '{git}/plain.git', ref: 'main'\nmoduledir 'modules'\nmod 'spec', git: '{git}/spec.git', ref: 'main'");
    add("install-path", Same, "mod 'plain', git: '{git}/plain.git', ref: 'main', install_path: 'site'\nmod 'spec', git: '{git}/spec.git', ref: 'main'");
    add("install-path-root", Same, "mod 'plain', git: '{git}/plain.git', ref: 'main', install_path: ''");
    add("install-path-dots", Same, "mod 'plain', git: '{git}/plain.git', ref: 'main', install_path: './a/../b'");
    add("install-path-outside", BothFail, "mod 'plain', git: '{git}/plain.git', ref: 'main', install_path: '../x'");
    add("local", Same, "mod 'mine', local: true\nmod 'plain', git: '{git}/plain.git', ref: 'main'");
    add("local-typed", Same, "mod 'mine', type: 'local'\nmod 'plain', git: '{git}/plain.git', ref: 'main'");
    add("local-nowhere", OnlyCrane("r10k fails to purge a directory that is not there"), "moduledir 'nowhere'\nmod 'mine', local: true");
    add("empty", Same, "# nothing\n");
    add("duplicates", BothFail, "mod 'plain', git: '{git}/plain.git', ref: 'main'\nmod 'crane/plain', '1.0.0'");
    add("bad-name", BothFail, "mod '../x', git: '{git}/plain.git', ref: 'main'");
    add("three-parts", BothFail, "mod 'a/b/c', '1.0.0'");
    add("no-source", BothFail, "mod 'plain', ref: 'main'");
    add("one-of-two-fails", BothFail, "mod 'plain', git: '{git}/plain.git', ref: 'main'\nmod 'none', git: '{git}/none.git', ref: 'main'");

    // The Forge.
    add("forge-version", Same, "mod 'crane/many', '1.5.0'");
    add("forge-dash", Same, "mod 'crane-many', '1.4.9'");
    add("forge-latest", Same, "mod 'crane/many', :latest");
    add("forge-no-version", Same, "mod 'crane/many'");
    add("forge-nil", Same, "mod 'crane/many', nil");
    add("forge-prerelease", Same, "mod 'crane/many', '2.1.0-rc1'");
    add("forge-typed", Same, "mod 'crane/many', type: 'forge', version: '2.0.0'");
    add("forge-odd", Same, "mod 'crane/odd', '0.1.0'");
    add("forge-flat", Same, "mod 'crane/flat', '1.0.0'");
    add("forge-hard-link", Different("r10k makes an empty file of a hard link, Crane a copy of what it is to"), "mod 'crane/linked', '1.0.0'");
    add("forge-no-such-version", BothFail, "mod 'crane/many', '9.9.9'");
    add("forge-no-such-module", BothFail, "mod 'crane/none', '1.0.0'");
    add("forge-no-owner", BothFail, "mod 'many', '1.0.0'");
    add("forge-bad-version", BothFail, "mod 'crane/many', 'one'");
    add("forge-declared", Same, "forge 'https://forge.example'\nmod 'crane/many', '1.0.0'");
    add("forge-range", OnlyCrane("r10k takes exact releases only"), "mod 'crane/many', '>= 1.0.0 < 2.0.0'");
    add("forge-range-x", OnlyCrane("r10k takes exact releases only"), "mod 'crane/many', '1.x'");
    add("forge-range-none", BothFail, "mod 'crane/many', '>= 3.0.0'");

    // Archives.
    add("tarball", Same, "mod 'flat', type: 'tarball', source: '{forge}/v3/files/crane-flat-1.0.0.tar.gz'");
    add("tarball-with-a-top", Same, "mod 'many', type: 'tarball', source: '{forge}/v3/files/crane-many-1.5.0.tar.gz'");
    add("tarball-wrong-sum", BothFail, &format!("mod 'flat', type: 'tarball', source: '{{forge}}/v3/files/crane-flat-1.0.0.tar.gz', version: '{}'", "0".repeat(64)));
    add("tarball-no-such", BothFail, "mod 'flat', type: 'tarball', source: '{forge}/v3/files/none.tar.gz'");
    add("tarball-no-gzip", BothFail, "mod 'flat', type: 'tarball', source: '{forge}/v3/modules/crane-flat'");
    add("tarball-unknown-option", BothFail, "mod 'flat', type: 'tarball', source: '{forge}/v3/files/crane-flat-1.0.0.tar.gz', colour: 'red'");
    add("tarball-links", Different("r10k writes empty files for links, Crane makes those that stay inside"), "mod 'linked', type: 'tarball', source: '{forge}/v3/files/crane-linked-1.0.0.tar.gz'");
    add("tarball-evil-link", OnlyR10k("the link leads out of the tree; r10k writes an empty file for it"), "mod 'odd', type: 'tarball', source: '{forge}/v3/files/crane-odd-0.1.0.tar.gz'");

    // What only Crane has.
    add("git-path", Different("librarian-puppet's `path`: r10k ignores it, and the module is the whole repository"), "mod 'one', git: '{git}/deep.git', ref: 'main', path: 'modules/one'");
    add("git-path-unknown", OnlyR10k("librarian-puppet's `path` must exist; r10k ignores it"), "mod 'one', git: '{git}/deep.git', ref: 'main', path: 'modules/three'");
    add("git-fallback", OnlyCrane("g10k's `fallback`: r10k does not know it"), "mod 'plain', git: '{git}/plain.git', ref: 'none', fallback: 'neither|develop'");

    // Many at once.
    let many: String = ["plain", "kinds", "lines", "spec", "long", "deep"].iter()
        .map(|name| format!("mod '{name}', git: '{{git}}/{name}.git', branch: 'main'\n")).collect();
    add("all-at-once", Same, &format!("{many}mod 'crane/many', '2.0.0'\nmod 'crane/odd', '0.1.0'\nmod 'mine', local: true\nmod 'flat', type: 'tarball', source: '{{forge}}/v3/files/crane-flat-1.0.0.tar.gz'"));
    add("many-spellings", Same, "g = '{git}'\nmod('plain',\n  :git => \"#{g}/plain.git\",\n  'ref': 'main',\n)\nmod 'spec', { :git => \"#{g}/spec.git\", :ref => 'main' }");
    cases
}
