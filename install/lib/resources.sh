# Contexts, bases, images and compositions: posted as a person would, followed, and found again by
# the next run. Sourced, never run; needs say.sh and crane.sh, and jq. The caller sets STATE.
# shellcheck shell=bash

# No build of the sample takes nearly as long.
RESOURCE_SECONDS=1800

# _resource_digest FIELD...: changes when a field does, or a file that one names.
_resource_digest() {
  local field
  for field in "$@"; do
    printf '%s\n' "$field"
    [[ $field != *=@* ]] || cat -- "${field#*=@}"
  done | sha256sum | cut -d ' ' -f 1
}

# _resource_status ITEM: its status, or `none`.
_resource_status() {
  crane_api GET "$1" 2>/dev/null | jq --raw-output .status || printf 'none\n'
}

# _resource_remove ITEM: deletes it and waits until it is gone.
_resource_remove() {
  local end=$((SECONDS + RESOURCE_SECONDS))
  [[ $(_resource_status "$1") != none ]] || return 0
  crane_api DELETE "$1" >/dev/null
  until [[ $(_resource_status "$1") == none ]]; do
    ((SECONDS < end)) || fail "$1 is still there"
    sleep 0.5
  done
}

# _resource_follow ITEM: shows status and logs as they grow, until the work is done. Ends the script
# when it failed.
_resource_follow() {
  local item=$1 end=$((SECONDS + RESOURCE_SECONDS)) answer log status before='' lines
  local -A shown=()
  while ((SECONDS < end)); do
    answer=$(crane_api GET "$item/detail") || fail "$item cannot be read"
    for log in log pull_log up_log; do
      mapfile -t lines < <(jq --raw-output --arg log "$log" \
        '.[$log] // "" | rtrimstr("\n") | select(. != "")' <<<"$answer")
      if ((${#lines[@]} > ${shown[$log]:-0})); then
        printf '    %s\n' "${lines[@]:${shown[$log]:-0}}"
        shown[$log]=${#lines[@]}
      fi
    done
    status=$(jq --raw-output '"\(.status): \(.description)"' <<<"$answer")
    if [[ $status != "$before" ]]; then
      say "  $status"
      before=$status
    fi
    case $status in
      finished:* | ready:*) return 0 ;;
      error:* | cancelled:*)
        crane_reason <<<"$answer" >&2
        fail "$item failed"
        ;;
    esac
    sleep 0.5
  done
  fail "$item is not done after $((RESOURCE_SECONDS / 60)) minutes"
}

# resource_up NAME ROUTE FIELD=VALUE|FIELD=@FILE...: makes sure that what these fields describe is
# there and finished, and sets TOKEN. What an earlier run posted under NAME is used again when
# nothing in it has changed, and replaced otherwise.
resource_up() {
  local name=$1 route=$2 file="$STATE/made/$1" digest known='' field form=()
  shift 2
  digest=$(_resource_digest "$@")
  TOKEN=
  if [[ -s $file ]]; then
    read -r TOKEN known <"$file"
    if [[ $known == "$digest" && $(_resource_status "$route/$TOKEN") == finished ]]; then
      say "$name: $TOKEN is there already"
      return 0
    fi
    _resource_remove "$route/$TOKEN"
  fi
  for field in "$@"; do
    if [[ $field == *=@* ]]; then
      form+=(--form "${field%%=@*}=@\"${field#*=@}\"")
    else
      form+=(--form-string "$field")
    fi
  done
  # A base has a name instead of a token.
  TOKEN=$(crane_api POST "$route" "${form[@]}" | jq --raw-output '.token // .name') ||
    fail "$name: Crane refused it"
  say "$name: $TOKEN"
  mkdir -p -- "$STATE/made"
  printf '%s %s\n' "$TOKEN" "$digest" >"$file"
  _resource_follow "$route/$TOKEN"
}

# resource_finished NAME ROUTE: whether an earlier run made it, and it is still there.
resource_finished() {
  local token
  { read -r token _ <"$STATE/made/$1"; } 2>/dev/null || return 1
  [[ $(_resource_status "$2/$token") == finished ]]
}
