# Real Puppet modules, from Debian's packages, as git repositories and as a Forge. Sourced, never
# run; needs say.sh, process.sh and ports.sh. The caller sets STATE and INSTALL.
# shellcheck shell=bash

# The web sample (contexts/visits) needs apache, concat and stdlib.
# shellcheck disable=SC2034 # the scripts that source this install them
MODULES_PACKAGES=(git python3 puppet-module-puppetlabs-{apache,concat,stdlib})
# More of them, for tests: old and new metadata, dependencies on one another, large and small.
# shellcheck disable=SC2034
MODULES_MORE_PACKAGES=(
  puppet-module-puppetlabs-{apt,haproxy,inifile,mysql,ntp,postgresql,rsync,translate,vcsrepo,xinetd}
  puppet-module-arioch-redis puppet-module-camptocamp-systemd puppet-module-puppet-archive
)
MODULES_SOURCE=/usr/share/puppet/modules.available

# _modules_git ARGUMENT...: git, the same on every machine and on every day, so that the commits
# have the same names too.
_modules_git() {
  env -u GIT_DIR -u GIT_WORK_TREE -u GIT_INDEX_FILE \
    GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null \
    GIT_AUTHOR_NAME=Crane GIT_AUTHOR_EMAIL=crane@localhost GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' \
    GIT_COMMITTER_NAME=Crane GIT_COMMITTER_EMAIL=crane@localhost \
    GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' git "$@"
}

# _modules_repository TREE REPOSITORY VERSION: a bare repository with three commits: the metadata
# alone, the module (branches main and master, annotated tag vVERSION), and one more file (branch
# develop).
_modules_repository() {
  local tree=$1 repository=$2 tag=v$3 blob commit git
  git=(_modules_git "--git-dir=$repository" "--work-tree=$tree")
  rm -rf -- "$repository"
  _modules_git init --quiet --bare --initial-branch=main "$repository"
  # What public hosts allow too: any commit, and partial clones.
  "${git[@]}" config uploadpack.allowAnySHA1InWant true
  "${git[@]}" config uploadpack.allowFilter true
  "${git[@]}" add --force metadata.json
  "${git[@]}" commit --quiet --message 'Begin with the metadata'
  "${git[@]}" add --force --all .
  "${git[@]}" commit --quiet --message "Release $3"
  "${git[@]}" tag --annotate --message "Release $3" "$tag"
  "${git[@]}" branch master
  blob=$(printf 'Under development.\n' | "${git[@]}" hash-object -w --stdin)
  "${git[@]}" update-index --add --cacheinfo "100644,$blob,DEVELOP.md"
  commit=$("${git[@]}" commit-tree -p main -m 'Say what this branch is' "$("${git[@]}" write-tree)")
  "${git[@]}" branch develop "$commit"
  rm -f -- "$repository/index"
}

# modules_repositories DIR: a repository OWNER-NAME.git for every installed module; one that has the
# installed version already stays as it is.
modules_repositories() {
  local tree name version
  mkdir -p -- "$1"
  for tree in "$MODULES_SOURCE"/*/; do
    tree=${tree%/}
    name=${tree##*/}
    version=$(/usr/bin/python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["version"])' \
      "$tree/metadata.json")
    if ! _modules_git --git-dir="$1/$name.git" rev-parse --quiet --verify \
      "refs/tags/v$version^{commit}" >/dev/null 2>&1; then
      _modules_repository "$tree" "$1/$name.git" "$version"
    fi
  done
}

# modules_git_up PORT: serves the repositories over HTTP, read only.
modules_git_up() {
  local port
  modules_repositories "$STATE/git"
  port=$(port_choose git "$1")
  process_start git /usr/bin/python3 "$INSTALL/servers/git.py" "$port" "$STATE/git"
  process_wait git 20 curl --silent --fail \
    "http://127.0.0.1:$port/puppetlabs-stdlib.git/info/refs?service=git-upload-pack"
}

# modules_forge_up PORT: serves the same modules as a Forge.
modules_forge_up() {
  local port
  port=$(port_choose forge "$1")
  process_start forge /usr/bin/python3 "$INSTALL/servers/forge.py" "$port" "$MODULES_SOURCE"
  process_wait forge 20 curl --silent --fail "http://127.0.0.1:$port/v3/modules/puppetlabs-stdlib"
}

# modules_url git|forge: where that server is.
modules_url() {
  printf 'http://127.0.0.1:%s\n' "$(<"$STATE/run/$1.port")"
}
