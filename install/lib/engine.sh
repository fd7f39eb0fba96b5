# The Docker engine: the one that runs, or one of our own. Sourced, never run; needs say.sh, root.sh
# and process.sh. The caller sets STATE.
# shellcheck shell=bash

# shellcheck disable=SC2034 # the scripts that source this install them
ENGINE_PACKAGES=(docker.io iptables curl)
ENGINE_SOCKET=/var/run/docker.sock
ENGINE_URL=unix://$ENGINE_SOCKET
# For every `docker` below: the person's own context or DOCKER_HOST may point elsewhere.
export DOCKER_HOST=$ENGINE_URL

_engine_ping() {
  "$@" curl --silent --fail --max-time 10 --unix-socket "$ENGINE_SOCKET" http://engine/_ping
}

# engine_up: makes sure that an engine answers on ENGINE_SOCKET. One that runs is used as it is; one
# of our own keeps everything it stores in STATE.
engine_up() {
  if _engine_ping env >/dev/null 2>&1; then
    say "engine: using the one on $ENGINE_SOCKET"
    return 0
  fi
  if [[ -S $ENGINE_SOCKET ]] && ((EUID != 0)) && _engine_ping root >/dev/null 2>&1; then
    fail "the engine on $ENGINE_SOCKET answers to root only: join its group (usually" \
      "\`sudo adduser $(id -un) docker\`, then log in again), or run this as root"
  fi
  say "engine: starting one"
  # --group: the person who runs this may use the socket, also when root starts the engine.
  process_start dockerd --root dockerd --host "$ENGINE_URL" --group "$(id -gn)" \
    --data-root "$STATE/docker" --pidfile "$STATE/run/dockerd-itself.pid"
  process_wait dockerd 60 _engine_ping env
}

# engine_down: stops the engine if engine_up started it, and removes what it stored.
engine_down() {
  # It stops its containers first, each within ten seconds.
  process_stop dockerd 60
  # Where mounts are private, dockerd mounts its directory onto itself and may leave that behind.
  if mountpoint --quiet -- "$STATE/docker"; then
    root umount --recursive -- "$STATE/docker"
  fi
  root rm -rf -- "$STATE/docker"
}
