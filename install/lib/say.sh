# What the scripts tell the person who runs them. Sourced, never run.
# shellcheck shell=bash

# say WORDS...: one line of progress.
say() {
  printf '==> %s\n' "$*"
}

# fail WORDS...: the reason on standard error, and the end of the script.
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# show_log FILE [LINES]: the end of a log, indented, so that nobody has to go and look for it.
show_log() {
  [[ -s $1 ]] || return 0
  printf -- '--- last lines of %s\n' "$1" >&2
  tail -n "${2:-15}" -- "$1" | sed 's/^/    /' >&2
}
