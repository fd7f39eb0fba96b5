//! The parser reads or refuses whatever it is given. `cargo bench --bench fuzz` goes on for longer,
//! and looks at its memory too, which the other tests of this process would spoil here.

#[path = "../../benches/lib/mutations.rs"]
mod mutations;

use std::path::Path;

use crane::puppet::{Compat, check_for};

use self::mutations::{Mutations, peak};

#[test]
fn files_that_nobody_would_write_are_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/puppetfiles");
    let mut mutations = Mutations::new(&corpus, 7).unwrap();
    let mut accepted = 0;
    for _ in 0..20_000 {
        let text = mutations.next();
        // A panic says which: the output of a test that fails is shown.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check_for(Compat::R10k5, &text).is_ok()
        }));
        accepted += u32::from(read.unwrap_or_else(|_| panic!("this panics: {text:?}")));
    }
    assert!(accepted > 100, "{accepted}: nearly nothing gets past the first mistake");
    assert!(peak().is_some());
}
