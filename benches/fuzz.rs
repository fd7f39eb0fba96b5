//! `cargo bench --bench fuzz -- [INPUTS [SEED]]`: the parser of Puppetfiles, with files that nobody
//! would write. Ends with an error at a panic, saying which input it was, and at more than 64 MB.
//! A million inputs unless told otherwise; a shorter run is among the tests (`tests/puppet/fuzzed.rs`).
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "lib/mutations.rs"]
mod mutations;

use std::{panic::AssertUnwindSafe, path::Path, process::ExitCode, time::Instant};

use crane::puppet::{Compat, check_for};

use self::mutations::{Mutations, peak};

const MEMORY: u64 = 64 * 1024 * 1024;

fn main() -> ExitCode {
    // cargo adds an argument of its own.
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let inputs = numbers.first().copied().unwrap_or(1_000_000);
    let seed = numbers.get(1).copied().unwrap_or(1);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/puppetfiles");
    let mut mutations = Mutations::new(&corpus, seed).unwrap();
    let (begin, mut accepted, mut bytes) = (Instant::now(), 0_u64, 0);
    let mut slowest = std::time::Duration::ZERO;
    for number in 0..inputs {
        let text = mutations.next();
        bytes += text.len() as u64;
        let compat = if number % 2 == 0 { Compat::R10k3 } else { Compat::R10k5 };
        let before = Instant::now();
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| check_for(compat, &text)));
        slowest = slowest.max(before.elapsed());
        match read {
            Ok(read) => accepted += u64::from(read.is_ok()),
            Err(_) => {
                println!("input {number} of seed {seed} panics:\n{text:?}");
                return ExitCode::FAILURE;
            }
        }
        if number % 10_000 == 0
            && let Some(peak) = peak().filter(|peak| *peak > MEMORY)
        {
            println!("{peak} bytes of memory after input {number} of seed {seed}:\n{text:?}");
            return ExitCode::FAILURE;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let peak = peak().unwrap_or(0);
    println!(
        "{inputs} inputs of seed {seed} ({} MB, {accepted} of them Puppetfiles) in {seconds:.0} s, the \
         slowest in {} ms, no panic, at most {} MB of memory",
        bytes / 1_000_000,
        slowest.as_millis(),
        peak / 1_000_000
    );
    if peak > MEMORY { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
