//! Puppetfiles that are put together at random from the repositories and releases of the
//! differential suite: r10k and Crane agree on each, whatever comes of it.

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    strategy::ValueTree,
    test_runner::TestRunner,
};

use super::{
    differential::{Case, Expect},
    world::World,
};

/// So many of them, the same in each run.
pub(super) fn cases(world: &World, count: usize) -> Vec<Case> {
    let mut runner = TestRunner::deterministic();
    (0..count)
        .map(|number| {
            let text = puppetfile().new_tree(&mut runner).unwrap().current();
            let text = text.replace("{git}", &world.git.url);
            Case { name: format!("generated-{number}"), text, expect: Expect::Agree }
        })
        .collect()
}

fn puppetfile() -> impl Strategy<Value = String> {
    let names = vec!["plain", "kinds", "lines", "spec", "speclink", "deep", "many", "odd", "mine"];
    let modules = subsequence(names, 1..5).prop_shuffle().prop_flat_map(|names| {
        let modules: Vec<_> = names.into_iter().map(module).collect();
        modules
    });
    (select(vec!["", "", "moduledir 'other'\n", "moduledir 'a/b'\n"]), modules)
        .prop_map(|(directory, modules)| format!("{directory}{}", modules.concat()))
}

fn module(name: &'static str) -> BoxedStrategy<String> {
    match name {
        "mine" => Just("mod 'mine', local: true\n".to_owned()).boxed(),
        "many" => {
            let versions = vec!["'1.0.0'", "'2.0.0'", "'2.1.0-rc1'", "'1.5.0'", "'7.0.0'"];
            (select(versions), further())
                .prop_map(|(version, further)| {
                    format!("mod 'crane/many', type: 'forge', version: {version}{further}\n")
                })
                .boxed()
        }
        "odd" => further()
            .prop_map(|further| {
                format!("mod 'crane-odd', type: 'forge', version: '0.1.0'{further}\n")
            })
            .boxed(),
        _ => (select(references(name)), default(), further())
            .prop_map(move |(reference, default, further)| {
                format!("mod '{name}', git: '{{git}}/{name}.git'{reference}{default}{further}\n")
            })
            .boxed(),
    }
}

fn references(name: &str) -> Vec<&'static str> {
    match name {
        "plain" => vec![
            ", ref: 'main'",
            ", branch: 'develop'",
            ", branch: 'feature/x'",
            ", tag: 'v1.0'",
            ", tag: 'v1.1'",
            ", tag: 'nested'",
            ", ref: 'both'",
            ", ref: 'refs/heads/both'",
            ", ref: 'main~1'",
            ", tag: 'v1.0', branch: 'main'",
            ", branch: 'neither'",
            "",
        ],
        _ => vec![", ref: 'main'", ", branch: 'main'", ", ref: 'HEAD'", ", tag: 'none'"],
    }
}

/// What is taken when the reference does not exist; mostly it does.
fn default() -> impl Strategy<Value = &'static str> {
    select(vec![
        "",
        ", default_branch: 'main'",
        ", default_branch: 'main'",
        ", default_branch: 'none', default_branch_override: 'main'",
    ])
}

fn further() -> impl Strategy<Value = String> {
    let path = select(vec!["", "", "", ", install_path: 'site'", ", install_path: 'site/deep'"]);
    let spec = select(vec!["", ", exclude_spec: true", ", exclude_spec: false"]);
    (path, spec).prop_map(|(path, spec)| format!("{path}{spec}"))
}
