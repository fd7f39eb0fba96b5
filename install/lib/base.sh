# The Debian + Puppet image that everything else is built on. Sourced, never run; needs say.sh,
# root.sh and engine.sh. The caller sets STATE and CACHE.
# shellcheck shell=bash

# shellcheck disable=SC2034 # the scripts that source this install them
BASE_PACKAGES=(debootstrap debian-archive-keyring)
BASE_MIRROR=${CRANE_DEBIAN_MIRROR:-http://deb.debian.org/debian}

_base_tarball() {
  local tarball=$1 tree=$STATE/debootstrap log=$STATE/log/debootstrap.log
  [[ ! -s $tarball ]] || return 0
  say "base image: debootstrap from $BASE_MIRROR (half a minute)"
  mkdir -p -- "$STATE/log" "$(dirname -- "$tarball")"
  root rm -rf -- "$tree"
  root debootstrap --variant=minbase --include=puppet-agent,ca-certificates bookworm "$tree" \
    "$BASE_MIRROR" >"$log" 2>&1 || {
    show_log "$log"
    fail "debootstrap failed"
  }
  # The packages themselves are in the image twice otherwise. The lists stay, so that a manifest
  # may install packages at once.
  root chroot "$tree" apt-get clean
  root tar -C "$tree" -c . >"$tarball.new"
  mv -- "$tarball.new" "$tarball"
  root rm -rf -- "$tree"
}

# base_image NAME: makes sure that the engine has the image NAME: Debian 12 with Puppet, made with
# debootstrap, because no registry of images may be in reach. The tarball stays in CACHE.
base_image() {
  local tarball=$CACHE/debian-puppet-bookworm.tar
  if docker image inspect "$1" >/dev/null 2>&1; then
    return 0
  fi
  _base_tarball "$tarball"
  say "base image: importing it as $1"
  docker import --change 'CMD ["/bin/bash"]' --change 'ENV LANG=C.UTF-8' "$tarball" "$1" >/dev/null
  mkdir -p -- "$STATE/run"
  printf '%s\n' "$1" >"$STATE/run/base-image"
}

# base_image_down: removes the image if base_image made it.
base_image_down() {
  local file=$STATE/run/base-image
  [[ -s $file ]] || return 0
  docker image rm "$(<"$file")" >/dev/null 2>&1 || true
  rm -f -- "$file"
}
