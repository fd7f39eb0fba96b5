use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
};

use flate2::write::GzEncoder;
use proptest::{collection::btree_map, prelude::*};
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::*;

/// What a tree holds, by path; modes as they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File { content: Vec<u8>, executable: bool },
    Link(Vec<u8>),
    Directory,
}

type Tree = BTreeMap<Vec<u8>, Node>;

fn file(text: &str) -> Node {
    Node::File { content: text.into(), executable: false }
}

fn tree<const N: usize>(nodes: [(&str, Node); N]) -> Tree {
    nodes.into_iter().map(|(path, node)| (path.into(), node)).collect()
}

fn plant<'a>(root: &Path, nodes: impl IntoIterator<Item = (&'a Vec<u8>, &'a Node)>) {
    for (path, node) in nodes {
        let path = root.join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match node {
            Node::Directory => fs::create_dir_all(path).unwrap(),
            Node::Link(target) => symlink(OsStr::from_bytes(target), path).unwrap(),
            Node::File { content, executable } => {
                fs::write(&path, content).unwrap();
                write::set_mode(&path, if *executable { 0o755 } else { 0o644 }).unwrap();
            }
        }
    }
}

/// What is there; fails for modes that are not among those kept.
fn harvest(root: &Path) -> Tree {
    fn walk(root: &Path, directory: &Path, found: &mut Tree) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let there = fs::symlink_metadata(&path).unwrap();
            let mode = there.permissions().mode() & 0o7777;
            let node = if there.is_dir() {
                assert_eq!(mode, 0o755, "{}", path.display());
                walk(root, &path, found);
                Node::Directory
            } else if there.is_symlink() {
                Node::Link(fs::read_link(&path).unwrap().into_os_string().into_vec())
            } else {
                assert!([0o644, 0o755].contains(&mode), "{}: {mode:o}", path.display());
                Node::File { content: fs::read(&path).unwrap(), executable: mode == 0o755 }
            };
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            found.insert(name, node);
        }
    }
    let mut found = Tree::new();
    walk(root, root, &mut found);
    found
}

fn planted(nodes: &Tree) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    plant(home.path(), nodes);
    home
}

fn packed(dir: &Path) -> (Vec<u8>, Packed) {
    let mut blob = Vec::new();
    let packed = pack(dir, &mut blob).unwrap();
    assert_eq!(packed.digest, digest(dir).unwrap());
    assert_eq!(packed.size, blob.len() as u64);
    assert_eq!(packed.blob_digest, sha256(&blob));
    (blob, packed)
}

fn sha256(bytes: &[u8]) -> String {
    let mut hash = Hashing::new(io::sink());
    hash.write_all(bytes).unwrap();
    hash.finish().0
}

/// Unpacks beside an older tree, and sees that there is either the new one or the old one, and
/// nothing else.
fn attempt(blob: &[u8], digest: &str, limits: Limits) -> io::Result<Tree> {
    let home = planted(&tree([("into/old", file("old"))]));
    let into = home.path().join("into");
    let outcome = unpack_within(blob, digest, &into, limits);
    assert_eq!(names(home.path()), ["into"], "{outcome:?}");
    match outcome {
        Ok(()) => Ok(harvest(&into)),
        Err(error) => {
            assert_eq!(harvest(&into), tree([("old", file("old"))]), "{error}");
            Err(error)
        }
    }
}

fn names(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

fn refusal(blob: &[u8], digest: &str, limits: Limits) -> String {
    attempt(blob, digest, limits).unwrap_err().to_string()
}

fn names_of_files() -> impl Strategy<Value = Vec<u8>> {
    let odd = proptest::collection::vec(1_u8.., 1..20).prop_filter("a name", |name| {
        !name.contains(&b'/')
            && !matches!(&name[..], b"." | b"..")
            && !name.starts_with(b"modules.")
    });
    prop_oneof![
        3 => "[ab.-]{1,3}".prop_filter("a name", |n| n != "." && n != "..").prop_map(Vec::from),
        1 => odd,
        1 => "[c]{90,120}".prop_map(Vec::from),
    ]
}

fn nodes() -> impl Strategy<Value = Node> {
    prop_oneof![
        4 => (proptest::collection::vec(any::<u8>(), 0..1500), any::<bool>())
            .prop_map(|(content, executable)| Node::File { content, executable }),
        1 => Just(Node::Directory),
        1 => "[ab/]{0,150}z".prop_map(|target| Node::Link(target.trim_start_matches('/').into())),
    ]
}

/// A tree with its directories.
fn trees() -> impl Strategy<Value = Tree> {
    let paths = proptest::collection::vec(names_of_files(), 1..4);
    btree_map(paths, nodes(), 0..12).prop_map(|nodes| {
        let mut tree = Tree::new();
        for (parts, node) in nodes {
            let above: Vec<_> = (1..parts.len()).map(|n| parts[..n].join(&b'/')).collect();
            let blocked = |path| !matches!(tree.get(path), None | Some(Node::Directory));
            let path = parts.join(&b'/');
            if above.iter().any(blocked) || tree.contains_key(&path) {
                continue;
            }
            tree.extend(above.into_iter().map(|path| (path, Node::Directory)));
            tree.insert(path, node);
        }
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_packed_is_unpacked_and_the_digest_is_of_the_content_alone(nodes in trees()) {
        let here = planted(&nodes);
        let (blob, told) = packed(here.path());
        prop_assert_eq!(attempt(&blob, &told.digest, LIMITS).unwrap(), nodes.clone());

        // Made in another order, with other times and with modes that are not kept.
        let there = tempfile::tempdir().unwrap();
        plant(there.path(), nodes.iter().rev());
        for (path, node) in &nodes {
            let path = there.path().join(OsStr::from_bytes(path));
            let mode = match node {
                Node::Link(_) => continue,
                Node::Directory => 0o700,
                Node::File { executable, .. } => if *executable { 0o4710 } else { 0o606 },
            };
            if path.is_file() {
                let opened = fs::File::options().write(true).open(&path).unwrap();
                opened.set_modified(std::time::UNIX_EPOCH).unwrap();
            }
            write::set_mode(&path, mode).unwrap();
        }
        prop_assert_eq!(packed(there.path()), (blob, told.clone()));

        // And any change of the content is another digest.
        fs::write(there.path().join("one more"), "").unwrap();
        prop_assert_ne!(digest(there.path()).unwrap(), told.digest);
    }

    #[test]
    fn a_damaged_blob_gives_the_tree_or_nothing(
        nodes in trees(), at in any::<prop::sample::Index>(), bits in 1_u8.., cut in any::<bool>(),
    ) {
        let here = planted(&nodes);
        let (mut blob, told) = packed(here.path());
        let at = at.index(blob.len());
        if cut { blob.truncate(at) } else { blob[at] ^= bits }
        match attempt(&blob, &told.digest, LIMITS) {
            // What is damaged may be a field of gzip's header that nobody reads.
            Ok(found) => prop_assert!(!cut && found == nodes),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn the_digest_stays_what_it_is_in_all_versions() {
    let nodes = tree([
        ("a", Node::Directory),
        ("a-b", file("x")),
        ("a/run", Node::File { content: b"#!/bin/sh\n".into(), executable: true }),
        ("a/link", Node::Link(b"../a-b".into())),
        ("empty", Node::Directory),
    ]);
    let long = format!("{}/{}", "d".repeat(60), "f".repeat(60));
    let mut nodes = nodes;
    nodes.insert(long.into(), file("long"));
    let here = planted(&nodes);
    let expected = "sha256:0552cdd14a411fed0a3a30910c3c62a139af9a5c95d09128f5304bbad953fd04";
    assert_eq!(digest(here.path()).unwrap(), expected);
    // A directory of the tree is a tree as well.
    let module = planted(&tree([("link", Node::Link(b"../a-b".into()))]));
    fs::write(module.path().join("run"), "#!/bin/sh\n").unwrap();
    write::set_mode(&module.path().join("run"), 0o755).unwrap();
    assert_eq!(digest(&here.path().join("a")).unwrap(), digest(module.path()).unwrap());
}

#[test]
fn gnu_tar_reads_what_is_written() {
    let mut nodes = tree([("a", Node::Directory), ("a/b", file("text"))]);
    nodes.insert("n".repeat(150).into(), file("long"));
    nodes.insert(b"\xff\xfe".into(), file("no UTF-8"));
    nodes.insert("l".into(), Node::Link("t".repeat(150).into()));
    let here = planted(&nodes);
    let (blob, _) = packed(here.path());
    let there = tempfile::tempdir().unwrap();
    let mut archive = tar::Archive::new(GzDecoder::new(&blob[..]));
    archive.unpack(there.path()).unwrap();
    assert_eq!(harvest(there.path()), nodes);
}

#[test]
fn what_a_run_works_in_is_no_part_of_a_tree() {
    let here = planted(&tree([("a", file("a"))]));
    let before = digest(here.path()).unwrap();
    fs::create_dir(here.path().join(format!("{STAGING_PREFIX}x"))).unwrap();
    assert_eq!(digest(here.path()).unwrap(), before);
}

#[test]
fn what_cannot_be_packed_is_named() {
    let here = planted(&tree([("a", Node::Directory)]));
    let _socket = UnixListener::bind(here.path().join("a/socket")).unwrap();
    for error in [digest(here.path()).unwrap_err(), pack(here.path(), io::sink()).unwrap_err()] {
        assert!(error.to_string().contains("a/socket: this is no file"), "{error}");
    }
    for target in ["/etc/passwd", "../outside", "a/../../outside", "a/../a"] {
        let here = planted(&tree([("link", Node::Link(target.into())), ("a", Node::Directory)]));
        let error = pack(here.path(), io::sink()).unwrap_err().to_string();
        assert!(error.contains("link: this symbolic link") && error.contains(target), "{error}");
        digest(here.path()).unwrap();
    }
    assert!(digest(&here.path().join("none")).is_err());
}

/// An archive of entries as they are given.
fn forged(entries: &[(EntryType, &str, &str)]) -> (Vec<u8>, String) {
    let mut tar = Vec::new();
    for (kind, name, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        let data = matches!(
            kind,
            EntryType::Regular
                | EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
        );
        header.set_size(if data { text.len() as u64 } else { 0 });
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        if !data {
            old.linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        if data {
            tar.extend_from_slice(text.as_bytes());
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
    }
    tar.resize(tar.len() + 1024, 0);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    (gzip.finish().unwrap(), sha256(&tar))
}

#[test]
fn attacks_are_refused() {
    use EntryType as E;
    let long = format!("{}\0", "x/".repeat(3000));
    for (entries, words) in [
        (&[(E::Regular, "/etc/x", "")][..], "absolute path"),
        (&[(E::Regular, "../x", "")], "no path inside"),
        (&[(E::Directory, "a/", ""), (E::Regular, "a/../../x", "")], "no path inside"),
        (&[(E::Directory, "./", "")], "no path inside"),
        (&[(E::Regular, "", "")], "no path inside"),
        (&[(E::Directory, "a", "")], "another kind"),
        (&[(E::Regular, "a/", "")], "another kind"),
        (&[(E::Regular, "a/b", "")], "no directory of the archive's"),
        (&[(E::Symlink, "a", "."), (E::Regular, "a/x", "")], "no directory of the archive's"),
        (&[(E::Symlink, "a", "."), (E::Directory, "a/", "")], "File exists"),
        (&[(E::Symlink, "a", "b"), (E::Regular, "a", "x")], "twice"),
        (&[(E::Regular, "b", ""), (E::Regular, "a", "")], "out of order"),
        (&[(E::Symlink, "a", "/etc")], "lead out"),
        (&[(E::Symlink, "a", "..")], "lead out"),
        (&[(E::Symlink, "a", "")], "lead out"),
        (&[(E::Directory, "a/", ""), (E::Symlink, "a/b", "../../x")], "lead out"),
        // Each goes nowhere by its text, and both together out of the tree.
        (
            &[(E::Directory, "a/", ""), (E::Symlink, "a/b", ".."), (E::Symlink, "c", "a/b/../x")],
            "lead out",
        ),
        (&[(E::Regular, "a", "x"), (E::Link, "b", "a")], "hard link"),
        (&[(E::Char, "a", "")], "device"),
        (&[(E::Block, "a", "")], "device"),
        (&[(E::Fifo, "a", "")], "type '6'"),
        (&[(E::XHeader, "a", "30 path=../x\n")], "type 'x'"),
        (&[(E::GNUSparse, "a", "")], "type 'S'"),
        (&[(E::GNULongName, "a", &long), (E::Regular, "x", "")], "more than 4095 bytes"),
        (&[(E::GNULongName, "a", "../x\0"), (E::Regular, "x", "")], "no path inside"),
        (&[(E::GNULongName, "a", "a\0b\0"), (E::Regular, "x", "")], "no path inside"),
        (&[(E::GNULongLink, "a", "/etc\0"), (E::Symlink, "x", "y")], "lead out"),
        (&[(E::GNULongName, "a", "b\0")], "ends after the name"),
    ] {
        let (blob, digest) = forged(entries);
        let error = refusal(&blob, &digest, LIMITS);
        assert!(error.contains(words), "{entries:?}: {error}");
    }
    // The same helper makes archives that are fine.
    let (blob, digest) = forged(&[(E::Directory, "a/", ""), (E::Symlink, "a/b", "../a/c")]);
    attempt(&blob, &digest, LIMITS).unwrap();
}

#[test]
fn limits_hold() {
    let here = planted(&tree([("a", file("1")), ("b", file("2")), ("c", file("3"))]));
    let (blob, told) = packed(here.path());
    let exact = Limits { entries: 3, size: 8 * 512, path: 1 };
    attempt(&blob, &told.digest, exact).unwrap();
    assert!(refusal(&blob, &told.digest, Limits { entries: 2, ..exact }).contains("2 entries"));
    let error = refusal(&blob, &told.digest, Limits { size: 8 * 512 - 1, ..exact });
    assert!(error.contains("4095 bytes"), "{error}");
    for small in [Limits { entries: 2, ..exact }, Limits { size: 100, ..exact }] {
        let mut out = Hashing::new(io::sink());
        assert!(write::tar(here.path(), &mut out, small, write::Links::Any).is_err());
    }
    // A bomb: 1 GiB of zeros is refused when the limit is reached.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut header = Header::new_gnu();
    header.as_old_mut().name[0] = b'a';
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(1 << 30);
    header.set_cksum();
    gzip.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(4 << 20), &mut gzip).unwrap();
    let bomb = gzip.finish().unwrap();
    refusal(&bomb, &told.digest, Limits { size: 1 << 20, ..LIMITS });
}

#[test]
fn another_tree_than_expected_is_refused_and_no_blob_at_all_too() {
    let here = planted(&tree([("a", file("1"))]));
    let (blob, told) = packed(here.path());
    let other = told.digest.replace(['0', '1'], "2");
    let error = refusal(&blob, &other, LIMITS);
    assert!(error.contains(&told.digest) && error.contains(&other), "{error}");
    for nothing in [&b""[..], b"<html>", &[0; 4096]] {
        refusal(nothing, &told.digest, LIMITS);
        let into = here.path().join("into");
        let error = unpack(nothing, &told.digest, &into).unwrap_err();
        assert!(matches!(error, Error::Failed { .. }), "{error:?}");
        assert!(!into.exists());
    }
    let into: PathBuf = here.path().join("made/into");
    unpack(&blob[..], &told.digest, &into).unwrap();
    unpack(&blob[..], &told.digest, &into).unwrap();
    assert_eq!(harvest(&into), tree([("a", file("1"))]));
}
