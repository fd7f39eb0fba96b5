# Images through Crane beside `docker build` of the same files, by the same builder (BuildKit) of the
# same engine. Sourced, never run; needs install/lib, table.sh and start.sh. The caller sets STATE,
# BASE_IMAGE and ROUNDS.
# shellcheck shell=bash

IMAGES_NAME=bench
exec {IMAGES_NOTHING}<> <(:)

# images_client: sets IMAGES_CLIENT to a Docker client that can speak to BuildKit. Those of version 23
# and later cannot without a plugin, buildx, that Debian 12 does not have.
images_client() {
  local client
  while IFS= read -r client; do
    if DOCKER_BUILDKIT=1 "$client" build --help >/dev/null 2>&1; then
      IMAGES_CLIENT=$client
      return 0
    fi
  done < <(type -ap docker)
  fail "no docker client here can speak to BuildKit: install docker.io of Debian 12, or buildx"
}

# _images_template DIRECTORY MEGABYTES: modules and a Dockerfile. Each build gets a copy of them at a
# place of its own, so that the engine knows nothing of it from before, and a manifest of its own.
_images_template() {
  local module=$1/modules/bench
  mkdir -p -- "$module/manifests" "$module/files"
  cat >"$module/manifests/init.pp" <<'MODULE'
class bench (String $word) {
  file { '/etc/crane-bench': content => "${word}\n" }
}
MODULE
  head --bytes "${2}M" /dev/urandom |
    split --bytes 100K --suffix-length 4 - "$module/files/data-"
  cat >"$1/Dockerfile" <<DOCKERFILE
FROM $BASE_IMAGE
COPY modules /etc/puppet/code/modules
COPY site.pp /root/site.pp
RUN puppet apply --detailed-exitcodes /root/site.pp || [ \$? = 2 ]
DOCKERFILE
}

_images_manifest() {
  printf 'class { "bench": word => "%s" }\n' "$1"
}

# _images_answer ROUTE: sets ANSWER to the body of Crane's answer, which is one line. No process is
# started for it, as that would take a part of the time that is measured.
_images_answer() {
  {
    printf 'GET %s HTTP/1.1\r\nHost: crane\r\nConnection: close\r\n\r\n' "$1" >&3
    while IFS= read -r ANSWER; do :; done <&3
  } 3<>"/dev/tcp/127.0.0.1/${CRANE_URL##*:}"
}

# images_crane TEMPLATE WORD: has Crane build an image; sets IMAGES_MS and CONTEXT.
images_crane() {
  local begin answer image
  CONTEXT=$(crane_api POST /builder/contexts --form-string group=default | jq --raw-output .token)
  mkdir -p -- "$STATE/crane/contexts/$CONTEXT"
  cp --archive --link -- "$1/modules" "$STATE/crane/contexts/$CONTEXT/"
  _images_manifest "$2" >"$STATE/site.pp"
  microseconds
  begin=$NOW
  answer=$(curl --silent --form-string "contextReference=$CONTEXT" \
    --form-string "imageName=$IMAGES_NAME" --form "dockerfile=@$1/Dockerfile" \
    --form "puppetmanifest=@$STATE/site.pp" "$CRANE_URL/builder/images")
  [[ $answer =~ '"token":"'([^\"]+) ]] || fail "Crane refused the image: $answer"
  image=${BASH_REMATCH[1]}
  while _images_answer "/builder/images/$image" && [[ $ANSWER != *'"status":"finished"'* ]]; do
    [[ $ANSWER == *'"status":"building"'* ]] || fail "the image failed: $ANSWER"
    # 20 ms, without a process for it: nothing is ever written to this.
    read -r -t 0.02 -u "$IMAGES_NOTHING" || true
  done
  microseconds
  IMAGES_MS=$(((NOW - begin) / 1000))
}

# images_remove: has Crane remove the context of the last image with all that is its.
images_remove() {
  [[ -n ${CONTEXT:-} ]] || return 0
  crane_api DELETE "/builder/contexts/$CONTEXT" >/dev/null
  while crane_api GET "/builder/contexts/$CONTEXT" >/dev/null 2>&1; do
    sleep 0.1
  done
  CONTEXT=
}

# _images_by_crane TEMPLATE WORD: the same, and the image is gone again afterwards. Sets IMAGES_GROWTH
# to the growth of Crane's memory in the build, in kB, if no other was larger.
_images_by_crane() {
  local pid before growth
  pid=$(process_pid crane)
  # From here on VmHWM is the peak of this build (proc(5), /proc/PID/clear_refs).
  printf '5\n' >"/proc/$pid/clear_refs"
  before=$(start_memory VmRSS "$pid")
  images_crane "$1" "$2"
  growth=$(($(start_memory VmHWM "$pid") - before))
  ((growth <= IMAGES_GROWTH)) || IMAGES_GROWTH=$growth
  images_remove
}

# _images_by_docker TEMPLATE WORD [push]: the same through the Docker client.
_images_by_docker() {
  local begin peer directory=$STATE/peer/$2
  peer=$(registry_address registry)/crane-bench/peer
  mkdir -p -- "$directory/images/$IMAGES_NAME"
  cp --archive --link -- "$1/modules" "$directory/"
  cp -- "$1/Dockerfile" "$directory/images/$IMAGES_NAME/"
  _images_manifest "$2" | tee -- "$directory/site.pp" >"$directory/images/$IMAGES_NAME/site.pp"
  microseconds
  begin=$NOW
  DOCKER_BUILDKIT=1 "$IMAGES_CLIENT" build --progress plain --tag "$peer" \
    --file "$directory/images/$IMAGES_NAME/Dockerfile" "$directory" \
    >"$STATE/log/docker.log" 2>&1 ||
    fail "docker build: $(<"$STATE/log/docker.log")"
  [[ -z ${3:-} ]] || "$IMAGES_CLIENT" push --quiet "$peer" >/dev/null
  microseconds
  IMAGES_MS=$(((NOW - begin) / 1000))
  "$IMAGES_CLIENT" image rm "$peer" >/dev/null
  rm -rf -- "$directory"
}

# _images_rounds WHAT TEMPLATE BOUND [push]: both in turn, in every other round the other one first.
# The first round is not counted: in it the registry gets the base image. Sets IMAGES_GROWTH.
_images_rounds() {
  local what=$1 template=$2 bound=$3 push=${4:-} round who crane=() docker=() order
  IMAGES_GROWTH=0
  for ((round = 0; round <= ROUNDS; round++)); do
    order=(crane docker)
    ((round % 2 == 0)) || order=(docker crane)
    for who in "${order[@]}"; do
      "_images_by_$who" "$template" "$who-$round" "$push"
      local -n times=$who
      ((round == 0)) || times+=("$IMAGES_MS")
    done
    _images_forget
  done
  table_ratio "$what" "$(median "${crane[@]}")" "$(median "${docker[@]}")" '<=' "$bound" ms
}

# _images_forget: removes what the engine's build cache got since the begin of this run, or the run
# would fill the disk. A record goes only when nothing depends on it any more: the youngest first.
_images_forget() {
  local id api=(curl --silent --fail --unix-socket "$ENGINE_SOCKET")
  while IFS= read -r id; do
    "${api[@]}" --request POST --output /dev/null --get --data all=1 \
      --data-urlencode "filters={\"id\":[\"$id\"]}" http://engine/build/prune
  done < <("${api[@]}" http://engine/system/df | jq --raw-output --arg begin "$IMAGES_BEGIN" \
    '[.BuildCache[]? | select(.CreatedAt >= $begin)] | sort_by(.CreatedAt) | reverse[].ID')
}

images_small() {
  IMAGES_BEGIN=$(date --utc +%Y-%m-%dT%H:%M:%S)
  _images_template "$STATE/small" 1
  _images_rounds 'image' "$STATE/small" 1.10
}

images_pushed() {
  _images_rounds 'image, pushed to a registry' "$STATE/small" 1.10 push
}

images_large() {
  _images_template "$STATE/large" 200
  _images_rounds 'image from a context of 200 MB' "$STATE/large" 1.05
  table_value "  growth of Crane's memory in it" "$((IMAGES_GROWTH / 1024))" '<' 32 MB
}

images_clean_up() {
  if process_pid crane >/dev/null; then
    crane_api POST /extra/purge >/dev/null || true
  fi
  [[ -z ${IMAGES_BEGIN:-} ]] || _images_forget
}
