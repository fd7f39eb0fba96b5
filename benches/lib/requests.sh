# `GET /builder/contexts/{token}` under load, beside a bare poem-openapi handler (benches/bare.rs).
# Sourced, never run; needs install/lib and table.sh. The caller sets STATE, PROJECT and ROUNDS.
# shellcheck shell=bash

# requests_build: compiles the bare handler and sets BARE to its binary. Cargo compiles Crane for it,
# too, with what tests need, and puts it where the release build belongs; so this comes before that.
requests_build() {
  say "the bare handler: cargo bench --no-run (some minutes the first time)"
  BARE=$(cd -- "$PROJECT" && cargo bench --quiet --locked --no-run --bench bare \
    --message-format json-render-diagnostics | jq --raw-output 'select(.target.name == "bare").executable // empty') ||
    fail "the bare handler does not compile"
}

# _requests_load URL: 64 connections that always wait for an answer. Prints requests/s, and the time
# in ms within which 99 % of them were answered.
_requests_load() {
  wrk --threads 1 --connections 64 --duration 5s --latency "$1" >"$STATE/log/wrk.log"
  if grep --quiet 'Non-2xx\|Socket errors' "$STATE/log/wrk.log"; then
    show_log "$STATE/log/wrk.log"
    fail "$1 does not answer as it should"
  fi
  awk '$1 == "99%" {
      factor = $2 ~ /us$/ ? 0.001 : $2 ~ /ms$/ ? 1 : 1000
      late = $2 * factor
    }
    $1 == "Requests/sec:" { rate = $2 }
    END { printf "%.0f %.2f\n", rate, late }' "$STATE/log/wrk.log"
}

# requests_rounds: with the filesystem store, the log at its default level in a file, and a context
# that has one image.
requests_rounds() {
  local port route round rate late crane=() bare=() lates=()
  images_crane "$STATE/small" requests
  route=/builder/contexts/$CONTEXT
  port=$(port_choose bare 9990)
  process_start bare "$BARE" "$port"
  process_wait bare 20 port_taken "$port"
  # Both do the same, or there is nothing to compare.
  diff <(curl --silent "$CRANE_URL$route") <(curl --silent "http://127.0.0.1:$port$route") ||
    fail "Crane and the bare handler answer differently"
  for ((round = 1; round <= ROUNDS; round++)); do
    read -r rate _ < <(_requests_load "http://127.0.0.1:$port$route")
    bare+=("$rate")
    read -r rate late < <(_requests_load "$CRANE_URL$route")
    crane+=("$rate")
    lates+=("$late")
  done
  process_stop bare
  images_remove
  table_ratio 'GET of a context, 64 connections' "$(median "${crane[@]}")" \
    "$(median "${bare[@]}")" '>=' 0.60 requests/s
  table_value '  99 % of them answered in' "$(median "${lates[@]}")" '<' 10 ms
}
