//! What a pack holds, told while it arrives and before libgit2 sees it (gitformat-pack(5)).
//!
//! A pack of some kilobytes can say that it becomes terabytes, in one object or in many deltas.
//! libgit2 believes it. Here the sizes are read along, and a pack that is too much is refused.

use flate2::{Decompress, FlushDecompress, Status};

use crate::puppet::fault::{Fault, Result};

/// Objects of one pack; the Linux kernel with all of its history has ten million, no module has
/// a hundredth of it.
const OBJECTS: u32 = 2_000_000;
/// Bytes of one object. libgit2 holds an object that is a delta in memory as a whole.
const OBJECT: u64 = 128 * 1024 * 1024;
/// Bytes of all objects together.
const TOTAL: u64 = 8 * 1024 * 1024 * 1024;

/// Reads a pack along.
pub(super) struct Scanner {
    state: State,
    objects: u32,
    seen: u32,
    total: u64,
    inflate: Decompress,
    scratch: Vec<u8>,
}

enum State {
    /// `PACK`, version, count.
    Head(Vec<u8>),
    /// Type and size, in as many bytes as have their highest bit set, and one.
    Entry { kind: u8, size: u64, shift: u32, first: bool },
    /// How far back the base of an offset delta is.
    Offset { size: u64 },
    /// The name of the base of a reference delta, of which so many bytes are to come.
    Base { size: u64, left: usize },
    /// Deflated data. Of a delta, its first bytes say how large its result is.
    Data { size: u64, out: u64, delta: Option<Vec<u8>> },
    /// The checksum, and nothing after it.
    Trailer { left: usize },
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            state: State::Head(Vec::new()),
            objects: 0,
            seen: 0,
            total: 0,
            inflate: Decompress::new(true),
            scratch: vec![0; 32 * 1024],
        }
    }

    /// How many objects the pack says it has.
    pub(super) fn objects(&self) -> u32 {
        self.objects
    }

    /// Whether the pack has come to its end.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Trailer { left: 0 })
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Data { .. } => {
                    bytes = self.data(bytes)?;
                    continue;
                }
                State::Head(head) => {
                    head.push(byte);
                    if head.len() == 12 {
                        self.objects = count(head)?;
                        self.state = self.next_entry();
                    }
                }
                State::Entry { kind, size, shift, first } => {
                    if *first {
                        *kind = (byte >> 4) & 7;
                        *size = u64::from(byte & 15);
                        *shift = 4;
                        *first = false;
                    } else {
                        // 57 bits of size are more than any bound.
                        if *shift > 53 {
                            return Err(too_large());
                        }
                        *size |= u64::from(byte & 127) << *shift;
                        *shift += 7;
                    }
                    if byte & 128 == 0 {
                        let (kind, size) = (*kind, *size);
                        self.state = self.begin(kind, size)?;
                    }
                }
                State::Offset { size } => {
                    if byte & 128 == 0 {
                        self.state = State::Data { size: *size, out: 0, delta: Some(Vec::new()) };
                    }
                }
                State::Base { size, left } => {
                    *left -= 1;
                    if *left == 0 {
                        self.state = State::Data { size: *size, out: 0, delta: Some(Vec::new()) };
                    }
                }
                State::Trailer { left } => {
                    *left = left
                        .checked_sub(1)
                        .ok_or_else(|| Fault::refused("the pack has more bytes than it says"))?;
                }
            }
            bytes = rest;
        }
        Ok(())
    }

    fn next_entry(&self) -> State {
        match self.seen == self.objects {
            true => State::Trailer { left: 20 },
            false => State::Entry { kind: 0, size: 0, shift: 0, first: true },
        }
    }

    fn begin(&mut self, kind: u8, size: u64) -> Result<State> {
        self.seen += 1;
        self.add(size)?;
        self.inflate.reset(true);
        match kind {
            1..=4 => Ok(State::Data { size, out: 0, delta: None }),
            6 => Ok(State::Offset { size }),
            7 => Ok(State::Base { size, left: 20 }),
            _ => Err(Fault::refused("the pack has an object of no known type")),
        }
    }

    fn add(&mut self, size: u64) -> Result<()> {
        self.total += size;
        if size > OBJECT {
            return Err(too_large());
        }
        match self.total > TOTAL {
            true => Err(Fault::refused(format!(
                "the repository has more than {TOTAL} bytes, and is too large for a module"
            ))),
            false => Ok(()),
        }
    }

    /// Inflates some of an object's data, and says what comes after it.
    fn data<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let State::Data { size, out, delta } = &mut self.state else { return Ok(bytes) };
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(bytes, &mut self.scratch, FlushDecompress::None)
            .map_err(|_| Fault::refused("the pack is damaged"))?;
        let taken = usize::try_from(self.inflate.total_in() - before_in).unwrap_or(bytes.len());
        let made = self.inflate.total_out() - before_out;
        *out += made;
        if *out > *size {
            return Err(Fault::refused("the pack has an object that is larger than it says"));
        }
        let mut result = None;
        if let Some(head) = delta {
            let made = usize::try_from(made).unwrap_or_default();
            head.extend_from_slice(&self.scratch[..made.min(20)]);
            if let Some(size) = result_size(head) {
                result = Some(size?);
                *delta = None;
            } else if head.len() >= 20 {
                return Err(Fault::refused("the pack is damaged"));
            }
        }
        let ended = matches!(status, Status::StreamEnd);
        if !ended && taken == 0 && made == 0 {
            return Err(Fault::refused("the pack is damaged"));
        }
        if ended {
            self.state = self.next_entry();
        }
        if let Some(result) = result {
            self.add(result)?;
        }
        Ok(&bytes[taken..])
    }
}

fn count(head: &[u8]) -> Result<u32> {
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if !head.starts_with(b"PACK") || !matches!(word(4), 2 | 3) {
        return Err(Fault::refused("what the server sends is no pack"));
    }
    match word(8) {
        count if count > OBJECTS => Err(Fault::refused(format!(
            "the pack has {count} objects, and is too large for a module"
        ))),
        count => Ok(count),
    }
}

/// The size of a delta's result: the second number in it. None while its bytes are not all there.
fn result_size(delta: &[u8]) -> Option<Result<u64>> {
    let mut numbers = [0_u64; 2];
    let mut at = 0;
    for number in &mut numbers {
        let mut shift = 0;
        loop {
            let byte = *delta.get(at)?;
            at += 1;
            if shift > 56 {
                return Some(Err(too_large()));
            }
            *number |= u64::from(byte & 127) << shift;
            shift += 7;
            if byte & 128 == 0 {
                break;
            }
        }
    }
    Some(Ok(numbers[1]))
}

fn too_large() -> Fault {
    Fault::refused(format!(
        "the repository has a file of more than {OBJECT} bytes, and is too large for a module"
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn entry(kind: u8, size: u64, before: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut left = size >> 4;
        let mut byte = (kind << 4) | u8::try_from(size & 15).unwrap();
        while left > 0 {
            bytes.push(byte | 128);
            byte = u8::try_from(left & 127).unwrap();
            left >>= 7;
        }
        bytes.push(byte);
        bytes.extend_from_slice(before);
        let mut encoder = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend_from_slice(&u32::try_from(entries.len()).unwrap().to_be_bytes());
        pack.extend(entries.concat());
        pack.extend_from_slice(&[0; 20]);
        pack
    }

    /// Fed in pieces of every size, it says the same.
    fn scan(pack: &[u8]) -> std::result::Result<bool, String> {
        let verdicts: Vec<_> = [1, 7, 1000, pack.len()]
            .into_iter()
            .map(|size| {
                let mut scanner = Scanner::new();
                let fed = pack.chunks(size).try_for_each(|piece| scanner.feed(piece));
                fed.map(|()| scanner.is_whole()).map_err(|fault| fault.to_string())
            })
            .collect();
        assert!(verdicts.windows(2).all(|pair| pair[0] == pair[1]), "{verdicts:?}");
        verdicts[0].clone()
    }

    #[test]
    fn a_pack_is_read_to_its_end() {
        let long = vec![b'x'; 100_000];
        let delta = [&[0xa0, 0x8d, 0x06, 5][..], &[5], b"hello"].concat();
        let whole = pack(&[
            entry(3, 5, &[], b"hello"),
            entry(3, 100_000, &[], &long),
            entry(6, delta.len() as u64, &[0x81, 0x01], &delta),
            entry(7, delta.len() as u64, &[7; 20], &delta),
            entry(1, 0, &[], b""),
        ]);
        assert_eq!(scan(&whole), Ok(true));
        assert_eq!(scan(&whole[..whole.len() - 1]), Ok(false));
        assert_eq!(scan(&pack(&[])), Ok(true));
        assert!(scan(&[whole, vec![0]].concat()).unwrap_err().contains("more bytes"));
    }

    #[test]
    fn bombs_are_told_by_what_they_say() {
        let gigabyte = 1 << 30;
        let too_large = "too large for a module";
        assert!(scan(&pack(&[entry(3, gigabyte, &[], b"x")])).unwrap_err().contains(too_large));
        // A delta of nine bytes that becomes a gigabyte.
        let delta = [5, 0x80, 0x80, 0x80, 0x80, 0x04, 0, 0, 0];
        let bomb = pack(&[entry(6, 9, &[1], &delta)]);
        assert!(scan(&bomb).unwrap_err().contains(too_large));
        // Many that are each just small enough.
        let small = entry(3, OBJECT, &[], b"x");
        let mut many = pack(&vec![small; 70]);
        many.truncate(many.len() - 20);
        assert!(scan(&many).is_err());
        let liar = pack(&[entry(3, 3, &[], b"hello")]);
        assert!(scan(&liar).unwrap_err().contains("larger than it says"));
        let mut crowd = pack(&[]);
        crowd[8] = 0xff;
        assert!(scan(&crowd).unwrap_err().contains("objects"));
        assert!(scan(b"<html>no pack").unwrap_err().contains("no pack"));
    }
}
