# Crane itself: compile it, run it, speak to it. Sourced, never run; needs say.sh, process.sh,
# ports.sh and engine.sh, and jq. The caller sets STATE and PROJECT.
# shellcheck shell=bash

# crane_binary: where the release build is, also with a CARGO_TARGET_DIR or a cargo configuration.
crane_binary() {
  local directory
  directory=$(cd -- "$PROJECT" && cargo metadata --locked --no-deps --format-version 1 |
    jq --raw-output .target_directory)
  printf '%s/release/crane\n' "$directory"
}

crane_build() {
  say "Crane: cargo build --release (some minutes the first time)"
  (cd -- "$PROJECT" && cargo build --release --locked) || fail "Crane does not compile"
}

# crane_up BINARY REGISTRY: runs Crane with its data in STATE, and sets CRANE_URL. One that runs
# already is left alone, unless it is not this BINARY any more.
crane_up() {
  local binary=$1 registry=$2 pid port variable settings=()
  # What the person has set for another Crane does not count here.
  for variable in $(compgen -e CRANE_); do
    settings+=("--unset=$variable")
  done
  if pid=$(process_pid crane) && [[ $(readlink -- "/proc/$pid/exe") != "$binary" ]]; then
    say "Crane: restarting, it has been compiled anew"
    process_stop crane 60
  fi
  port=$(port_choose crane 8888)
  CRANE_URL=http://127.0.0.1:$port
  mkdir -p -- "$STATE/crane"
  : >"$STATE/crane.toml"
  process_start crane env "${settings[@]}" "CRANE_BIND=127.0.0.1:$port" \
    "CRANE_DATA_DIR=$STATE/crane" "CRANE_ENGINE=$ENGINE_URL" "CRANE_REGISTRY=$registry" \
    "$binary" serve --config "$STATE/crane.toml"
  process_wait crane 30 curl --silent --fail "$CRANE_URL/extra/alive"
  say "Crane: listening on $CRANE_URL"
}

# crane_api METHOD ROUTE [CURL ARGUMENT...]: prints the answer; on an error Crane's own words for it,
# and fails.
crane_api() {
  local method=$1 route=$2 answer
  shift 2
  answer=$(curl --silent --show-error --max-time 600 --request "$method" \
    --write-out '\n%{http_code}' "$@" "$CRANE_URL$route") || return
  if ((${answer##*$'\n'} >= 400)); then
    printf '%s %s: ' "$method" "$route" >&2
    crane_reason <<<"${answer%$'\n'*}" >&2
    return 1
  fi
  printf '%s\n' "${answer%$'\n'*}"
}

# crane_reason: from a document of Crane's, its description and the problems that go with it.
crane_reason() {
  jq --raw-output '.description,
    (.problems[]? | "  \(.path):\(.line // "")\(if .column then ":\(.column)" else "" end) \(.message)")'
}
