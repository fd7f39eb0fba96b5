# Which steps need root, and how they get it. Sourced, never run; needs say.sh.
# shellcheck shell=bash

# root_need: ends the script early and clearly where root cannot be had, instead of half-way.
root_need() {
  if ((EUID == 0)) || command -v sudo >/dev/null; then
    return 0
  fi
  fail "packages, the Docker engine and debootstrap need root: run this as root, or install sudo"
}

# root COMMAND...: runs it as root, directly or through sudo.
root() {
  if ((EUID == 0)); then
    "$@"
  else
    sudo -- "$@"
  fi
}
