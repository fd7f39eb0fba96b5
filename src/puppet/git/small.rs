//! A pack that is small enough to be taken apart in memory, as nearly every module's is: each object
//! is inflated and named once, for the index and for the checkout that follows.
//!
//! What is unusual in any way is left to libgit2, which also says what is wrong with it: nothing
//! here is an error but the disk's.

use std::{collections::HashMap, fs, io, ops::Range, os::unix::fs::OpenOptionsExt, path::Path};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use git2::{ObjectType, Oid};
use sha1::{Digest, Sha1};

/// Bytes of a pack that are held in memory until its end is there.
pub(super) const PACK: usize = 2 * 1024 * 1024;
/// Bytes of all of its objects. As many packs as there are processors are taken apart at once.
const OBJECTS: usize = 16 * 1024 * 1024;

/// The checksum at the end of a pack.
const TRAILER: usize = 20;

/// Objects by their names.
pub(in super::super) struct Small {
    objects: HashMap<Oid, usize>,
    entries: Vec<Object>,
    all: Vec<u8>,
    checksum: [u8; TRAILER],
}

struct Object {
    oid: Oid,
    kind: ObjectType,
    /// In `all`.
    content: Range<usize>,
    /// In the pack, with its header.
    place: Range<usize>,
    crc: u32,
}

impl Small {
    /// Takes a whole pack apart; none when libgit2 should look at it.
    pub(super) fn read(pack: &[u8]) -> Option<Self> {
        let (body, checksum) = pack.split_at_checked(pack.len().checked_sub(TRAILER)?)?;
        let head = body.get(..12)?;
        if !head.starts_with(b"PACK\0\0\0\x02") || Sha1::digest(body).as_slice() != checksum {
            return None;
        }
        let count = u32::from_be_bytes(head[8..].try_into().ok()?) as usize;
        // An object has two bytes at the least.
        if count == 0 || count > body.len() / 2 {
            return None;
        }
        let mut small = Self {
            objects: HashMap::with_capacity(count),
            entries: Vec::with_capacity(count),
            // Text becomes a fifth; pages that are not needed are never touched.
            all: Vec::with_capacity((pack.len() * 6).min(OBJECTS)),
            checksum: checksum.try_into().ok()?,
        };
        let mut inflate = Decompress::new(true);
        let mut at = 12;
        for _ in 0..count {
            at = small.entry(body, at, &mut inflate)?;
        }
        (at == body.len()).then_some(small)
    }

    /// Reads the entry at a place, and says where the next one is.
    fn entry(&mut self, body: &[u8], begin: usize, inflate: &mut Decompress) -> Option<usize> {
        let mut at = begin;
        let mut byte = *body.get(at)?;
        let kind = (byte >> 4) & 7;
        let mut size = usize::from(byte & 15);
        let mut shift = 4;
        while byte & 128 != 0 {
            at += 1;
            byte = *body.get(at)?;
            size |= usize::from(byte & 127).checked_shl(shift).filter(|_| shift < 32)?;
            shift += 7;
        }
        at += 1;
        let base = match kind {
            1..=4 => None,
            6 => {
                let (back, after) = offset(body, at)?;
                at = after;
                let place = begin.checked_sub(back)?;
                let base = self.entries.binary_search_by_key(&place, |entry| entry.place.start);
                Some(base.ok()?)
            }
            7 => {
                let base = Oid::from_bytes(body.get(at..at + 20)?).ok()?;
                at += 20;
                Some(*self.objects.get(&base)?)
            }
            _ => return None,
        };
        let start = self.all.len();
        let (kind, end) = match base {
            None => {
                let end = at + unpacked(inflate, &body[at..], size, &mut self.all)?;
                (object_type(kind)?, end)
            }
            Some(base) => {
                let mut delta = Vec::new();
                let end = at + unpacked(inflate, &body[at..], size, &mut delta)?;
                let base = &self.entries[base];
                let (kind, base) = (base.kind, base.content.clone());
                apply(&mut self.all, base, &delta)?;
                (kind, end)
            }
        };
        let oid = Oid::hash_object(kind, &self.all[start..]).ok()?;
        let mut crc = Crc::new();
        crc.update(&body[begin..end]);
        let number = self.entries.len();
        // One object twice is nothing that git writes.
        if self.objects.insert(oid, number).is_some() {
            return None;
        }
        self.entries.push(Object {
            oid,
            kind,
            content: start..self.all.len(),
            place: begin..end,
            crc: crc.sum(),
        });
        Some(end)
    }

    pub(in super::super) fn is_commit(&self, oid: Oid) -> bool {
        self.get(oid).is_some_and(|(kind, _)| kind == ObjectType::Commit)
    }

    pub(super) fn get(&self, oid: Oid) -> Option<(ObjectType, &[u8])> {
        let object = &self.entries[*self.objects.get(&oid)?];
        Some((object.kind, &self.all[object.content.clone()]))
    }

    /// Puts the pack and its index into a directory, where libgit2 finds them. Blocks.
    pub(super) fn store(&self, pack: &[u8], directory: &Path) -> io::Result<()> {
        let name: String = self.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        // The index last: without it, nobody sees the pack.
        for (suffix, bytes) in [("pack", pack), ("idx", &self.index())] {
            let part = directory.join(format!(".{}", uuid::Uuid::new_v4().simple()));
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o444).open(&part);
            let place = directory.join(format!("pack-{name}.{suffix}"));
            file.and_then(|mut file| io::Write::write_all(&mut file, bytes))
                .and_then(|()| fs::rename(&part, place))
                .inspect_err(|_| {
                    let _ = fs::remove_file(&part);
                })?;
        }
        Ok(())
    }

    /// The index, in its version 2 (gitformat-pack(5)).
    fn index(&self) -> Vec<u8> {
        let mut sorted: Vec<&Object> = self.entries.iter().collect();
        sorted.sort_unstable_by_key(|object| object.oid);
        let mut index = b"\xfftOc\0\0\0\x02".to_vec();
        let word = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        for first in 0..=255 {
            let up_to = sorted.partition_point(|object| object.oid.as_bytes()[0] <= first);
            index.extend(word(up_to));
        }
        sorted.iter().for_each(|object| index.extend(object.oid.as_bytes()));
        sorted.iter().for_each(|object| index.extend(object.crc.to_be_bytes()));
        sorted.iter().for_each(|object| index.extend(word(object.place.start)));
        index.extend(self.checksum);
        let checksum = Sha1::digest(&index);
        index.extend(checksum);
        index
    }
}

fn object_type(kind: u8) -> Option<ObjectType> {
    Some(match kind {
        1 => ObjectType::Commit,
        2 => ObjectType::Tree,
        3 => ObjectType::Blob,
        4 => ObjectType::Tag,
        _ => return None,
    })
}

/// How far back the base of an offset delta is, and where its data begins.
fn offset(body: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut byte = *body.get(at)?;
    let mut back = usize::from(byte & 127);
    while byte & 128 != 0 {
        at += 1;
        byte = *body.get(at)?;
        back = (back + 1).checked_mul(128)? + usize::from(byte & 127);
    }
    Some((back, at + 1))
}

/// Appends what is inflated, which has to be exactly so long, and says how many bytes it was from.
fn unpacked(
    inflate: &mut Decompress,
    deflated: &[u8],
    size: usize,
    into: &mut Vec<u8>,
) -> Option<usize> {
    let start = into.len();
    if start + size > OBJECTS {
        return None;
    }
    inflate.reset(true);
    // One more, by which too much is seen.
    into.resize(start + size + 1, 0);
    let status = inflate.decompress(deflated, &mut into[start..], FlushDecompress::Finish).ok()?;
    let exact = status == Status::StreamEnd && inflate.total_out() == size as u64;
    into.truncate(start + size);
    exact.then_some(usize::try_from(inflate.total_in()).ok()?)
}

/// Appends what a delta makes of its base, which is in `all` too (gitformat-pack(5), "Deltified
/// representation").
fn apply(all: &mut Vec<u8>, base: Range<usize>, delta: &[u8]) -> Option<()> {
    let mut rest = delta;
    if number(&mut rest)? != base.len() {
        return None;
    }
    let size = number(&mut rest)?;
    let end = all.len().checked_add(size).filter(|end| *end <= OBJECTS)?;
    all.reserve(size);
    while let Some((&command, after)) = rest.split_first() {
        rest = after;
        if command & 128 == 0 {
            let (new, after) =
                rest.split_at_checked(usize::from(command)).filter(|_| command > 0)?;
            all.extend_from_slice(new);
            rest = after;
        } else {
            let mut words = [0; 7];
            for (bit, word) in words.iter_mut().enumerate() {
                if command & (1 << bit) != 0 {
                    let (&byte, after) = rest.split_first()?;
                    *word = usize::from(byte);
                    rest = after;
                }
            }
            let [a, b, c, d, e, f, g] = words;
            let from = base.start + (a | b << 8 | c << 16 | d << 24);
            let length = match e | f << 8 | g << 16 {
                0 => 0x1_0000,
                length => length,
            };
            let to = from.checked_add(length).filter(|to| *to <= base.end)?;
            all.extend_from_within(from..to);
        }
        if all.len() > end {
            return None;
        }
    }
    (all.len() == end).then_some(())
}

/// A number in a delta, seven bits in a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<usize> {
    let (mut number, mut shift) = (0_usize, 0);
    loop {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= usize::from(byte & 127).checked_shl(shift).filter(|_| shift < 32)?;
        if byte & 128 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::puppet::git::objects::odb;

    /// A pack of a repository with changes small enough for deltas, as `git pack-objects` makes it.
    fn pack(home: &Path) -> Vec<u8> {
        let script = r"git init -q . && i=0 && while [ $i -lt 20 ]; do
            seq $i 500 > a && echo $i > b$i && mkdir -p d && seq 1 $((200 + i)) > d/c && : > empty &&
            git add -A && git -c user.name=x -c user.email=x@y commit -q -m $i; i=$((i + 1)); done &&
            git tag -a -m t t 2>/dev/null; git rev-list --objects --all |
            git pack-objects -q --stdout --delta-base-offset > ../pack";
        let repository = home.join("repository");
        fs::create_dir(&repository).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&repository).env_clear();
        let path = std::env::var_os("PATH").unwrap();
        assert!(command.env("PATH", path).env("HOME", home).status().unwrap().success());
        fs::read(home.join("pack")).unwrap()
    }

    #[test]
    fn every_object_is_read_and_the_index_is_one_that_libgit2_reads() {
        let home = tempfile::tempdir().unwrap();
        let pack = pack(home.path());
        let small = Small::read(&pack).unwrap();
        let objects = home.path().join("objects");
        fs::create_dir_all(objects.join("pack")).unwrap();
        small.store(&pack, &objects.join("pack")).unwrap();
        let odb = odb(&objects).unwrap();
        let mut count = 0;
        odb.foreach(|oid| {
            let (found, (kind, content)) = (odb.read(*oid).unwrap(), small.get(*oid).unwrap());
            assert_eq!((found.kind(), found.data()), (kind, content));
            count += 1;
            true
        })
        .unwrap();
        assert_eq!(count, small.entries.len());
        assert!(count > 80, "{count}");
        let entries = fs::read_dir(objects.join("pack")).unwrap();
        let index = entries
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|end| end == "idx"));
        let mut verify = Command::new("git");
        let verified = verify.args(["verify-pack", "--"]).arg(index.unwrap()).status().unwrap();
        assert!(verified.success());
    }

    #[test]
    fn whatever_is_changed_in_it_is_not_taken() {
        let home = tempfile::tempdir().unwrap();
        let pack = pack(home.path());
        for at in (0..pack.len()).step_by(7) {
            let mut changed = pack.clone();
            changed[at] ^= 0x41;
            assert!(Small::read(&changed).is_none(), "{at}");
            // With the checksum made to fit, it may be an object by another name, but no panic.
            let body = changed.len() - TRAILER;
            let checksum = Sha1::digest(&changed[..body]);
            changed[body..].copy_from_slice(&checksum);
            let _ = Small::read(&changed);
            assert!(Small::read(&pack[..at]).is_none(), "{at}");
        }
    }
}
