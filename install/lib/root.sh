# How the steps that need root get it. Sourced, never run; needs say.sh.
# shellcheck shell=bash

# root COMMAND...: runs it as root, directly or through sudo.
root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    fail "packages, the Docker engine and debootstrap need root: run this as root, or install sudo"
  fi
}
