# Which TCP port a server of ours listens on. Sourced, never run; needs say.sh and process.sh. The
# caller sets STATE.
# shellcheck shell=bash

# port_taken PORT: whether something accepts connections there on this machine.
port_taken() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# port_free NAME PORT: prints PORT if it is free, else the next free one, and says so. It looks in
# steps of ten, so that neighbours (5000, 5001, 5002) keep their own ports when one of them has to
# move.
port_free() {
  local port
  for ((port = $2; port < $2 + 1000; port += 10)); do
    if ! port_taken "$port"; then
      ((port == $2)) || say "port $2 is taken; $1 gets $port" >&2
      printf '%s\n' "$port"
      return 0
    fi
  done
  fail "no free port between $2 and $port for $1"
}

# port_choose NAME PORT: prints the port of the server NAME: the one it runs on, else PORT, else the
# next free one of port_free. It is kept in STATE until the server is stopped.
port_choose() {
  local file="$STATE/run/$1.port"
  if process_pid "$1" >/dev/null && [[ -s $file ]]; then
    cat -- "$file"
    return 0
  fi
  mkdir -p -- "$STATE/run"
  port_free "$1" "$2" | tee -- "$file"
}
