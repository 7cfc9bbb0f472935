# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts tests/daemon/*.test: everything of tests/tools/lib.sh, and a cgxd of the test's own, which is
# build/daemon/cgxd in the foreground, with directories below $WORK:
#
#   start_cgxd [FLAG]...            with $POLICIES and $STATE, no bus, no metrics, unless the flags say otherwise
#   policy NAME.yaml <<'Y' ...      writes a policy as an editor does, by a rename; cgxd sees it by itself
#   wait_log 'REGEX'                until the log has a line like that
#   stop_cgxd                       by SIGTERM, and expects status 0
#   kill_cgxd                       by SIGKILL
#
# The log is JSON, in $LOG; `log_since` marks a place in it.
. "${BASH_SOURCE[0]%/*}/../tools/lib.sh"

: "${CGX_BUILD:=$(realpath "${CGX%/*}/..")}"
: "${CGXD:=$CGX_BUILD/daemon/cgxd}"  # another one: a build with sanitizers
POLICIES=$WORK/policies.d
STATE=$WORK/state
LOG=$WORK/log
cgxd_pid='' _log_from=0
mkdir "$POLICIES"
: >"$LOG"
export CGX_STATE=$STATE
slack=30  # seconds that something may take which is there at once on an idle machine

_cgxd_flags=()
# launch_cgxd FLAG...: starts it and waits for nothing.
launch_cgxd() {
  "$CGXD" --foreground --policy-dir "$POLICIES" --state "$STATE" --bus off --metrics off --log-format json "$@" \
    </dev/null >>"$LOG" 2>&1 &
  cgxd_pid=$!
  _pids+=("$cgxd_pid")
}
start_cgxd() {
  _cgxd_flags=("$@")
  log_since
  launch_cgxd "$@"
  wait_log '"message":"ready"' || return 1
}
# The flags of the last start.
restart_cgxd() { start_cgxd "${_cgxd_flags[@]}"; }
running() { [ -n "$cgxd_pid" ] && kill -0 "$cgxd_pid" 2>/dev/null; }
stop_cgxd() {
  local rc=0
  kill -TERM "$cgxd_pid" 2>/dev/null
  wait_for $slack _ended || fail_case "cgxd does not end"
  wait "$cgxd_pid" || rc=$?
  [ "$rc" = 0 ] || fail_case "cgxd ended with status $rc: $(tail -n 3 "$LOG")"
  cgxd_pid=''
}
_ended() { ! kill -0 "$cgxd_pid" 2>/dev/null || [[ $(ps -o stat= -p "$cgxd_pid") = Z* ]]; }
kill_cgxd() {
  kill -KILL "$cgxd_pid" 2>/dev/null
  wait "$cgxd_pid" 2>/dev/null
  cgxd_pid=''
}

log_since() { _log_from=$(stat -c %s "$LOG"); }
_log_has() { tail -c +$((_log_from + 1)) "$LOG" | grep -Eq -- "$1"; }
# wait_log REGEX [SECONDS]: a line since the mark.
wait_log() {
  wait_for "${2:-$slack}" _log_has "$1" && { ok_case; return 0; }
  fail_case "the log has no /$1/ in ${2:-$slack} s; it ends with: $(tail -c +$((_log_from + 1)) "$LOG" | tail -n 5)"
  return 1
}
expect_no_log() { ! _log_has "$1"; _expected $? "the log has /$1/: $(tail -c +$((_log_from + 1)) "$LOG" | grep -E -m 1 -- "$1")"; }

# http_get PORT PATH: the answer of its metrics, with its head.
http_get() {
  local fd
  exec {fd}<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&"$fd"
  timeout 10 cat <&"$fd"
  exec {fd}>&-
}

# policy NAME: stdin becomes $POLICIES/NAME, whole at once.
policy() {
  cat >"$POLICIES/.$1.new"
  mv "$POLICIES/.$1.new" "$POLICIES/$1"
}
# reload_cgxd: by SIGHUP, and waits for its end.
reload_cgxd() {
  log_since
  kill -HUP "$cgxd_pid"
  wait_log '"cause":"SIGHUP"'
}

# knob_is CONTROLLER GROUP FILE VALUE; wait_knob the same, until it is so.
knob_is() {
  local dir=''
  group_dir dir "$1" "$2" && [ "$(cat "$dir/$3" 2>/dev/null)" = "$4" ]
}
wait_knob() {
  wait_for $slack knob_is "$@" && { ok_case; return 0; }
  expect_knob "$@"
}
group_there() { local dir=''; group_dir dir "$1" "$2" && [ -d "$dir" ]; }
no_group() { ! group_there "$@"; }
# The name of the memory limit on this host.
if on_v1 memory; then MEMORY_MAX=memory.limit_in_bytes; else MEMORY_MAX=memory.max; fi
mem_is() { knob_is memory "$1" $MEMORY_MAX "$2"; }
