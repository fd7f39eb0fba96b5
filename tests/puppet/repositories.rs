//! git repositories and Forge archives made for tests, and servers of them that end with the test.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A bare repository that is written by `git fast-import`.
pub(crate) struct Repository {
    stream: Vec<u8>,
    marks: usize,
    /// The last commit of each branch.
    tips: HashMap<String, usize>,
}

/// What stands at a path: its mode as git has it, and its content (a link's target, a submodule's
/// commit).
pub(crate) type File<'a> = (&'a str, &'a str, &'a [u8]);

impl Repository {
    pub(crate) fn new() -> Self {
        Self { stream: Vec::new(), marks: 0, tips: HashMap::new() }
    }

    /// A commit on a branch, over what stands there. Returns its mark.
    pub(crate) fn commit(&mut self, branch: &str, files: &[File<'_>]) -> usize {
        self.commit_from(branch, None, files)
    }

    pub(crate) fn commit_from(
        &mut self,
        branch: &str,
        from: Option<usize>,
        files: &[File<'_>],
    ) -> usize {
        self.marks += 1;
        let mark = self.marks;
        // A second for each commit, so that their order is theirs.
        let date = 1_700_000_000 + mark;
        let mut head = format!(
            "commit refs/heads/{branch}\nmark :{mark}\n\
             committer Crane <crane@localhost> {date} +0000\ndata 1\nx\n"
        );
        if let Some(from) = from.or(self.tips.insert(branch.to_owned(), mark)) {
            writeln!(head, "from :{from}").unwrap();
        }
        self.stream.extend_from_slice(head.as_bytes());
        for (mode, path, content) in files {
            let quoted = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = match *mode {
                "160000" => {
                    let commit = std::str::from_utf8(content).unwrap();
                    format!("M 160000 {commit} \"{quoted}\"\n")
                }
                "delete" => format!("D \"{quoted}\"\n"),
                mode => format!("M {mode} inline \"{quoted}\"\ndata {}\n", content.len()),
            };
            self.stream.extend_from_slice(line.as_bytes());
            if !matches!(*mode, "160000" | "delete") {
                self.stream.extend_from_slice(content);
                self.stream.push(b'\n');
            }
        }
        self.stream.push(b'\n');
        mark
    }

    pub(crate) fn annotated(&mut self, tag: &str, of: usize) {
        let text = format!(
            "tag {tag}\nfrom :{of}\ntagger Crane <crane@localhost> 1700000000 +0000\ndata 1\nx\n"
        );
        self.stream.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn reference(&mut self, name: &str, of: usize) {
        self.stream.extend_from_slice(format!("reset {name}\nfrom :{of}\n\n").as_bytes());
    }

    /// Writes it, or what is new since the last time, and returns where it is.
    pub(crate) fn write(&mut self, place: &Path, head: &str) -> PathBuf {
        if !place.exists() {
            git(
                place.parent().unwrap(),
                &["init", "-q", "--bare", "-b", head, place.to_str().unwrap()],
            );
        }
        let mut import = Command::new("git")
            .args(["fast-import", "--quiet", "--force", "--done"])
            .arg(format!("--import-marks-if-exists={}/marks", place.display()))
            .arg(format!("--export-marks={}/marks", place.display()))
            .env("GIT_DIR", place)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = import.stdin.take().unwrap();
        input.write_all(&std::mem::take(&mut self.stream)).unwrap();
        input.write_all(b"done\n").unwrap();
        drop(input);
        assert!(import.wait().unwrap().success(), "{}", place.display());
        place.to_owned()
    }
}

/// What git prints, in the environment that the tests' repositories need.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A server of the rig's kind on a directory of the test's own. It ends with this.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// `git.py` or `forge.py`.
    pub(crate) fn start(script: &str, directory: &Path) -> Self {
        Self::start_with(script, directory, &[])
    }

    pub(crate) fn start_with(script: &str, directory: &Path, further: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/servers").join(script);
        let mut child = Command::new("python3")
            .arg(script)
            .arg("0")
            .arg(directory)
            .args(further)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Server {
    /// `git daemon`: the protocol without HTTP.
    pub(crate) fn daemon(directory: &Path) -> Self {
        // The port may be taken by another between the two, which a test run has not seen yet.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Itself: `git daemon` would be its parent, and end alone.
        let program = Path::new(&git(directory, &["--exec-path"])).join("git-daemon");
        let child = Command::new(program)
            .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", directory.display()))
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, url: format!("git://127.0.0.1:{port}") };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let mut tries = 100;
        while !listens() {
            tries -= 1;
            assert!(tries > 0, "git daemon does not come up");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An entry of an archive: type, mode, path, content or link's target.
pub(crate) type Entry<'a> = (tar::EntryType, u32, &'a str, &'a [u8]);

/// A `.tar.gz` with exactly these entries.
pub(crate) fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut tar = tar::Builder::new(gzip);
    for (kind, mode, path, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        // Byte by byte: the library would refuse the paths of attacks.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        let links = matches!(*kind, tar::EntryType::Symlink | tar::EntryType::Link);
        let content = if links {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
            &[]
        } else {
            *content
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// The same, as the file of a release.
pub(crate) fn release(directory: &Path, slug: &str, entries: &[Entry<'_>]) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join(format!("{slug}.tar.gz")), archive(entries)).unwrap();
}
