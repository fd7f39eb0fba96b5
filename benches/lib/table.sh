# Measurements, and the table of what came out. Sourced, never run.
# shellcheck shell=bash

TABLE_ROWS=()
TABLE_OVER=0

# median NUMBER...: of an even count, the lower of the two in the middle.
median() {
  printf '%s\n' "$@" | sort --general-numeric-sort | sed -n "$((($# + 1) / 2))p"
}

# microseconds: sets NOW, without starting a process.
# shellcheck disable=SC2034
microseconds() {
  NOW=${EPOCHREALTIME/[.,]/}
}

_table_row() {
  local verdict=ok
  awk -v value="$4" -v bound="$6" "BEGIN { exit !(value $5 bound) }" || {
    verdict=OVER
    TABLE_OVER=1
  }
  TABLE_ROWS+=("$1|$2|$3|$7|$5 $6${8:-}|$verdict")
  say "$1: $2${3:+ beside $3 ($7)}, $verdict"
}

# table_ratio WHAT CRANE PEER '>='|'<=' BOUND UNIT: a row that holds Crane's measure against the peer's.
table_ratio() {
  local ratio
  ratio=$(awk -v crane="$2" -v peer="$3" 'BEGIN { printf "%.2f", crane / peer }')
  _table_row "$1" "$2 $6" "$3 $6" "$ratio" "$4" "$5" "$ratio"
}

# table_value WHAT CRANE '<' BOUND UNIT: a row that holds Crane's measure against a number.
table_value() {
  _table_row "$1" "$2 $5" '' "$2" "$3" "$4" '' " $5"
}

# table_print: all rows; fails when a bound is broken.
table_print() {
  {
    printf 'what|Crane|peer|ratio|bound|\n'
    printf '%s\n' "${TABLE_ROWS[@]}"
  } | column --table --separator '|'
  ((TABLE_OVER == 0))
}
