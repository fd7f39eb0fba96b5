# What compiles Crane. Sourced, never run; needs say.sh and packages.sh.
# shellcheck shell=bash

# toolchain_up: finds cargo, which only the person can install, and installs a C compiler where there
# is none: some crates hold C, and rustc links with it.
toolchain_up() {
  # rustup adds this to the PATH of login shells only.
  PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
  cargo --version >/dev/null 2>&1 ||
    fail "there is no Rust toolchain: cargo is not in PATH (https://rustup.rs)"
  command -v cc >/dev/null || packages_ensure gcc libc6-dev
}

# toolchain_tool TOOL: fails when the toolchain lacks a tool of cargo's, such as fmt.
toolchain_tool() {
  cargo "$1" --version >/dev/null 2>&1 ||
    fail "the Rust toolchain lacks cargo $1 (rustup component add rustfmt clippy)"
}
