# Checks on contexts/ and manifests/ that need no engine. Sourced, never run. The caller sets PROJECT.
# shellcheck shell=bash

# shellcheck disable=SC2034 # the scripts that source this install them
SAMPLES_PACKAGES=(puppet-agent r10k)

# samples_check: the manifests and Puppetfiles are what Puppet and r10k can read.
samples_check() {
  local puppetfile
  puppet parser validate "$PROJECT"/manifests/*.pp || return
  for puppetfile in "$PROJECT"/contexts/*/Puppetfile; do
    r10k puppetfile check --puppetfile="$puppetfile" || return
  done
}
