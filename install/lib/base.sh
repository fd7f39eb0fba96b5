# The images that everything else is built on or runs in: Debian with Puppet, Debian with r10k.
# Sourced, never run; needs say.sh, root.sh and engine.sh. The caller sets STATE and CACHE.
# shellcheck shell=bash

# shellcheck disable=SC2034 # the scripts that source this install them
BASE_PACKAGES=(debootstrap debian-archive-keyring)
BASE_MIRROR=${CRANE_DEBIAN_MIRROR:-http://deb.debian.org/debian}

# _debian_image NAME TARBALL PACKAGES CHANGE...: makes sure that the engine has the image NAME:
# Debian 12 with these packages (commas between them), made with debootstrap, because no registry of
# images may be in reach. The tarball stays in CACHE; each CHANGE is an instruction of a Dockerfile.
_debian_image() {
  local name=$1 tarball=$CACHE/$2 packages=$3 change=()
  shift 3
  for instruction in "$@"; do change+=(--change "$instruction"); done
  if docker image inspect "$name" >/dev/null 2>&1; then
    return 0
  fi
  _debian_tarball "$tarball" "$packages"
  say "base image: importing it as $name"
  docker import "${change[@]}" "$tarball" "$name" >/dev/null
  mkdir -p -- "$STATE/run"
  printf '%s\n' "$name" >>"$STATE/run/base-image"
}

_debian_tarball() {
  local tarball=$1 packages=$2 tree=$STATE/debootstrap log=$STATE/log/debootstrap.log
  [[ ! -s $tarball ]] || return 0
  say "base image: debootstrap of $packages from $BASE_MIRROR (half a minute)"
  mkdir -p -- "$STATE/log" "$(dirname -- "$tarball")"
  root rm -rf -- "$tree"
  root debootstrap --variant=minbase "--include=$packages" bookworm "$tree" \
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

# base_image NAME: Debian with Puppet.
base_image() {
  _debian_image "$1" debian-puppet-bookworm.tar puppet-agent,ca-certificates \
    'CMD ["/bin/bash"]' 'ENV LANG=C.UTF-8'
}

# r10k_image NAME: Debian with r10k and git, as contexts/r10k/Dockerfile describes it.
r10k_image() {
  _debian_image "$1" r10k-bookworm.tar r10k,git,ca-certificates
}

# base_image_down: removes the images that were made here.
base_image_down() {
  local file=$STATE/run/base-image name
  [[ -s $file ]] || return 0
  while read -r name; do
    docker image rm "$name" >/dev/null 2>&1 || true
  done <"$file"
  rm -f -- "$file"
}
