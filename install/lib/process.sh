# Background processes that outlive the script, and only those that it started. Sourced, never run;
# needs say.sh and root.sh. The caller sets STATE, the directory that holds run/ and log/.
# shellcheck shell=bash

# A process is remembered as "PID START", where START is its start time in clock ticks since boot
# (field 22 of /proc/PID/stat): a PID alone may belong to someone else by the time it is stopped.
_process_start_time() {
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The second field is the command's name, which may hold spaces and brackets.
  read -r -a fields <<<"${stat##*) }"
  [[ ${fields[0]} != Z ]] || return 1
  printf '%s\n' "${fields[19]}"
}

# process_pid NAME: prints the PID of the running process of that name, or fails.
process_pid() {
  local pid started
  { read -r pid started <"$STATE/run/$1.pid"; } 2>/dev/null || return 1
  [[ $(_process_start_time "$pid") == "$started" ]] || return 1
  printf '%s\n' "$pid"
}

# process_start NAME [--root] COMMAND...: starts it in a session of its own, so that neither the end
# of this script nor of the terminal ends it, and so that it can be stopped with all its children.
# Does nothing when it runs already.
process_start() {
  local name=$1 as=()
  shift
  if [[ $1 == --root ]]; then
    as=(root)
    shift
    # What it says when root cannot be had must not go to the log below.
    root true
  fi
  if process_pid "$name" >/dev/null; then
    return 0
  fi
  mkdir -p -- "$STATE/run" "$STATE/log"
  rm -f -- "$STATE/run/$name.pid"
  # The inner shell writes its own PID and then becomes the command, which keeps PID and start time.
  # shellcheck disable=SC2016 # expanded by the inner shell
  "${as[@]}" setsid --fork bash -c '
    read -r stat <"/proc/$$/stat"
    read -r -a fields <<<"${stat##*) }"
    printf "%s %s\n" "$$" "${fields[19]}" >"$1.new" && mv -- "$1.new" "$1"
    shift
    exec "$@"' process "$STATE/run/$name.pid" "$@" </dev/null >>"$STATE/log/$name.log" 2>&1
  process_wait "$name" 10 test -e "$STATE/run/$name.pid"
}

# process_wait NAME SECONDS COMMAND...: waits until COMMAND succeeds. Ends the script, with the last
# lines of the log, when the process ends before that or the time is over.
process_wait() {
  local name=$1 end=$((SECONDS + $2)) log="$STATE/log/$1.log"
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [[ -e $STATE/run/$name.pid ]] && ! process_pid "$name" >/dev/null; then
      show_log "$log"
      fail "$name ended right after its start"
    fi
    if ((SECONDS >= end)); then
      show_log "$log"
      fail "$name does not answer"
    fi
    sleep 0.1
  done
}

# process_stop NAME [SECONDS]: asks the process and its children to end, and ends them after SECONDS.
process_stop() {
  local pid end=$((SECONDS + ${2:-15})) signal=TERM
  while pid=$(process_pid "$1"); do
    if [[ $signal == TERM ]]; then
      # It may be gone by now, which is what is wanted.
      root kill -s TERM -- "-$pid" 2>/dev/null || true
      signal=KILL
    elif ((SECONDS >= end + 10)); then
      fail "$1 (process $pid) does not end"
    elif ((SECONDS >= end)); then
      root kill -s KILL -- "-$pid" 2>/dev/null || true
    fi
    sleep 0.1
  done
  rm -f -- "$STATE/run/$1.pid" "$STATE/run/$1.port"
}
