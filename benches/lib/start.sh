# How long Crane takes to start, and how much of the machine it then has. Sourced, never run; needs
# install/lib and table.sh. The caller sets STATE, BINARY and ROUNDS.
# shellcheck shell=bash

# start_memory FIELD PID: a field of /proc/PID/status, in kB.
start_memory() {
  awk -v field="$1:" '$1 == field { print $2 }' "/proc/$2/status"
}

# _start_alive PORT: whether Crane answers there. No process is started for it, as that would take a
# part of the time that is measured.
_start_alive() {
  local line
  {
    printf 'GET /extra/alive HTTP/1.1\r\nHost: crane\r\n\r\n' >&3
    read -r line <&3
    [[ $line == *' 200 '* ]]
  } 3<>"/dev/tcp/127.0.0.1/$1"
}

# _start_once DATA-DIRECTORY: sets START_MS and START_KB.
_start_once() {
  local port begin
  port=$(port_free crane 8888)
  microseconds
  begin=$NOW
  "$BINARY" serve --config "$STATE/crane.toml" --bind "127.0.0.1:$port" --data-dir "$1" \
    --engine "$ENGINE_URL" --registry "$(registry_address registry)" 2>>"$STATE/log/crane.log" &
  START_PID=$!
  until _start_alive "$port" 2>/dev/null; do
    kill -0 "$START_PID" 2>/dev/null || fail "Crane ended right after its start"
  done
  microseconds
  START_MS=$(((NOW - begin) / 1000))
  # What it does at its start goes on after the first answer.
  sleep 1
  START_KB=$(start_memory VmRSS "$START_PID")
  start_clean_up
}

start_clean_up() {
  [[ -n ${START_PID:-} ]] || return 0
  kill "$START_PID" 2>/dev/null || true
  wait "$START_PID" || true
  START_PID=
}

start_rounds() {
  local round first=() again=() resident=() size
  for ((round = 1; round <= ROUNDS; round++)); do
    rm -rf -- "$STATE/start"
    _start_once "$STATE/start"
    first+=("$START_MS")
    _start_once "$STATE/crane"
    again+=("$START_MS")
    resident+=("$START_KB")
  done
  size=$(stat --format %s "$BINARY")
  table_value 'start to first answer' "$(median "${again[@]}")" '<' 200 ms
  table_value '  in a new data directory' "$(median "${first[@]}")" '<' 200 ms
  table_value 'resident after start' "$(($(median "${resident[@]}") / 1024))" '<' 40 MB
  table_value 'size of the release binary' "$((size / 1000000))" '<' 40 MB
}
