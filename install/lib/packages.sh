# Debian packages. Sourced, never run; needs say.sh and root.sh.
# shellcheck shell=bash

_package_installed() {
  # shellcheck disable=SC2016 # a format of dpkg's, not of the shell
  [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# packages_ensure PACKAGE...: installs those that are missing, and starts none of their services:
# docker-registry's would take port 5000, redis-server's 6379, and what these scripts start must be
# theirs to stop.
packages_ensure() {
  local package missing=()
  for package in "$@"; do
    # Two parts may need the same one.
    [[ " ${missing[*]} " == *" $package "* ]] || _package_installed "$package" ||
      missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0
  [[ -e /etc/debian_version ]] || fail "this is not Debian; install by hand: ${missing[*]}"
  say "installing packages: ${missing[*]}"
  # A subshell, so that the file goes whatever happens.
  (
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
      # invoke-rc.d and deb-systemd-invoke start nothing while it forbids that (policy-rc.d(8)).
      root install -m 755 -- /dev/stdin "$policy" <<<$'#!/bin/sh\nexit 101'
      trap 'root rm -f -- "$policy"' EXIT
    fi
    apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600
      -o Dpkg::Use-Pty=0)
    root "${apt[@]}" update
    root "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null
  )
}
