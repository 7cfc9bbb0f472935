# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts tests/tools/*.test, which run the built cgx like a user does. A script looks like this:
#
#   #!/bin/bash
#   . "${0%/*}/lib.sh"
#   test_case "create: makes the group in every hierarchy"
#   new_group g                        # a unique name; the group, if it comes to be, is removed at the end
#   run cgx create "$g" --pids 10
#   expect_status 0
#   expect_stdout ""
#   expect_knob pids "$g" pids.max 10
#
# test_case opens a test case and closes the one before; each prints one line: PASS name, FAIL name: why, SKIP name:
# why. A failed expectation marks its case and the script goes on; further failures of the case follow, indented.
# The script ends with status 1 where any case failed, and a script that dies has failed. Everything that a test
# waits for is waited for with slack (wait_for): in an emulated guest a fork and exec takes 60 ms.

set -u
: "${CGX:?is to name the cgx program under test}"
export LC_ALL=C NO_COLOR=1
TEST_DIR=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
SOURCE_ROOT=${TEST_DIR%/tests/tools}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/cgx-test-$$-XXXXXX")

_case='' _why='' _failed=0 _groups=() _group_count=0 _cleanups=() _pids=()
status=0 stdout='' stderr=''

# ---- results --------------------------------------------------------------------------------------------------------
pass() { printf 'PASS %s\n' "$1"; }
fail() { printf 'FAIL %s: %s\n' "$1" "${2//$'\n'/ | }"; _failed=1; }
skip() { printf 'SKIP %s: %s\n' "$1" "${2//$'\n'/ | }"; }

_close_case() {
  case $_case,$_why in
    ,*) ;;
    *,fail*) ;;
    *,skip*) skip "$_case" "${_why#skip }" ;;
    *,checked) pass "$_case" ;;
    *) fail "$_case" "checked nothing and skipped nothing" ;;
  esac
  _case='' _why=''
}
# test_case NAME
test_case() { _close_case; _case=$1; }
# Marks the open test case as failed.
fail_case() {
  if [ "$_why" = fail ]; then printf '  also %s\n' "${1//$'\n'/ | }"; else fail "${_case:-${0##*/}}" "$1"; fi
  _why=fail
}
# Marks the open test case as one that cannot run here. The script goes on: `need_x || return` or an if around the rest.
skip_case() { [ "$_why" = fail ] || _why="skip $1"; }
ok_case() { [ -n "$_why" ] || _why=checked; }

# ---- running and expecting ------------------------------------------------------------------------------------------
cgx() { "$CGX" "$@"; }
# run COMMAND...: sets $status, $stdout and $stderr (without their last newlines). Standard input is empty.
run() {
  _ran="$*" status=0
  "$@" </dev/null >"$WORK/stdout" 2>"$WORK/stderr" || status=$?
  stdout=$(<"$WORK/stdout") stderr=$(<"$WORK/stderr")
}
_expected() { if [ "$1" = 0 ]; then ok_case; else fail_case "line ${BASH_LINENO[1]}: $2"; fi; }
expect_status() {
  [ "$status" = "$1" ]
  _expected $? "status is $status, not $1, of: $_ran${stderr:+; stderr: $stderr}"
}
# The whole of stdout, of stderr.
expect_stdout() { [ "$stdout" = "$1" ]; _expected $? "stdout is \"$stdout\", not \"$1\", of: $_ran"; }
expect_stderr() { [ "$stderr" = "$1" ]; _expected $? "stderr is \"$stderr\", not \"$1\", of: $_ran"; }
_has_line() {  # TEXT LINE
  case $'\n'"$1"$'\n' in *$'\n'"$2"$'\n'*) return 0 ;; esac
  return 1
}
# One whole line of stdout, of stderr.
expect_stdout_line() { _has_line "$stdout" "$1"; _expected $? "no stdout line \"$1\" in \"$stdout\", of: $_ran"; }
expect_stderr_line() { _has_line "$stderr" "$1"; _expected $? "no stderr line \"$1\" in \"$stderr\", of: $_ran"; }
# An extended regular expression somewhere in stdout, in stderr.
expect_stdout_match() { [[ $stdout =~ $1 ]]; _expected $? "stdout does not match /$1/: \"$stdout\", of: $_ran"; }
expect_stderr_match() { [[ $stderr =~ $1 ]]; _expected $? "stderr does not match /$1/: \"$stderr\", of: $_ran"; }
# An error is one line that starts with `cgx: `, and perhaps a second one that starts with `hint: `.
expect_error() {  # STATUS REGEX-OF-FIRST-LINE
  local first=${stderr%%$'\n'*} rest=''
  [ "$first" = "$stderr" ] || rest=${stderr#*$'\n'}
  [ "$status" = "$1" ] && [[ $first == "cgx: "* && $first =~ $2 ]] &&
    [[ -z $rest || ($rest == "hint: "* && $rest != *$'\n'*) ]]
  _expected $? "status $status, stderr \"$stderr\"; expected $1 and /$2/, of: $_ran"
}
# expect WHAT COMMAND...: the command, run in this shell, succeeds.
expect() { local what=$1; shift; "$@"; _expected $? "$what (failed: $*)"; }
expect_not() { local what=$1; shift; ! "$@"; _expected $? "$what (succeeded: $*)"; }
expect_file() {  # PATH VALUE
  local got=''
  [ -r "$1" ] && got=$(<"$1")
  [ "$got" = "$2" ]
  _expected $? "$1 is \"$got\", not \"$2\""
}
# expect_knob CONTROLLER GROUP FILE VALUE: FILE of GROUP, in the hierarchy that has CONTROLLER.
expect_knob() {
  local dir='' got=''
  group_dir dir "$1" "$2"
  [ -r "$dir/$3" ] && got=$(<"$dir/$3")
  [ "$got" = "$4" ]
  _expected $? "$dir/$3 is \"$got\", not \"$4\""
}
# wait_for SECONDS COMMAND...: until the command succeeds; fails when it never does.
wait_for() {
  local end=$((SECONDS + $1 + 1)); shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.02
  done
}

# ---- this host's hierarchies ----------------------------------------------------------------------------------------
v2_root='' _v1_mounts=()  # _v1_mounts: "OPTIONS PATH", first mount of each hierarchy
_read_mounts() {
  local id parent dev root path rest seen=' '
  while read -r id parent dev root path rest; do
    case $rest in
      *' - cgroup2 '*) [ -n "$v2_root" ] || v2_root=$path ;;
      *' - cgroup '*)
        case $seen in *" $dev "*) continue ;; esac
        seen+="$dev "
        _v1_mounts+=("${rest##* } $path")
        ;;
    esac
  done </proc/self/mountinfo
}
_read_mounts
# v1, v2 or hybrid. A named v1 hierarchy alone (systemd's) does not make a host hybrid.
layout=none
for _m in "${_v1_mounts[@]}"; do case $_m in *name=*) ;; *) layout=v1 ;; esac; done
if [ -n "$v2_root" ]; then if [ $layout = v1 ]; then layout=hybrid; else layout=v2; fi; fi

# hierarchy_of VAR CONTROLLER: the mount point that has the controller now; empty, and status 1, where none has.
hierarchy_of() {
  local m options
  for m in "${_v1_mounts[@]}"; do
    options=",${m%% *},"
    case $options in *",$2,"*) printf -v "$1" %s "${m#* }"; return 0 ;; esac
  done
  if [ -n "$v2_root" ]; then
    case " $(<"$v2_root/cgroup.controllers") " in *" $2 "*) printf -v "$1" %s "$v2_root"; return 0 ;; esac
  fi
  printf -v "$1" %s ''
  return 1
}
# group_dir VAR CONTROLLER GROUP: the group's directory there.
group_dir() {
  local _hierarchy=''
  hierarchy_of _hierarchy "$2" || { printf -v "$1" %s "/nonexistent/$2"; return 1; }
  printf -v "$1" %s "$_hierarchy/$3"
}
# Whether CONTROLLER is on a v1 hierarchy.
on_v1() { local _h=''; hierarchy_of _h "$1" && [ "$_h" != "$v2_root" ]; }
on_v2() { local _h=''; hierarchy_of _h "$1" && [ "$_h" = "$v2_root" ]; }
# need_controller NAME || ...: skips the open case where nothing has the controller.
need_controller() { local _h=''; hierarchy_of _h "$1" || { skip_case "no hierarchy has the $1 controller"; return 1; }; }
need_root() { [ "$EUID" = 0 ] || { skip_case "needs root"; return 1; }; }
need_command() { command -v "$1" >/dev/null || { skip_case "needs the program $1"; return 1; }; }

# ---- groups, processes, cleaning up ---------------------------------------------------------------------------------
# new_group VAR [SUFFIX]: a name that nobody else uses. Whatever bears it is removed when the script ends.
new_group() {
  _group_count=$((_group_count + 1))
  printf -v "$1" 'cgx-test-%s-%s%s' $$ "$_group_count" "${2:-}"
  _groups+=("${!1}")
}
# Starts a command in the background, sets $last_pid, and kills it at the end.
background() { "$@" </dev/null & last_pid=$!; _pids+=("$last_pid"); }
# cleanup COMMAND...: run at the end, the last one first.
cleanup() { _cleanups+=("$(printf '%q ' "$@")"); }

_remove_tree() {  # DIR: kills what is left in the group and its children, and removes them; without cgx, which is under test
  local child pid tries
  for child in "$1"/*/; do [ -d "$child" ] && _remove_tree "${child%/}"; done
  [ ! -e "$1/freezer.state" ] || echo THAWED >"$1/freezer.state"
  [ ! -e "$1/cgroup.freeze" ] || echo 0 >"$1/cgroup.freeze"
  for tries in {1..100}; do
    while read -r pid; do [ "$pid" = 0 ] || kill -KILL "$pid"; done <"$1/cgroup.procs"
    ! rmdir "$1" || return 0
    sleep 0.05
  done
  return 1
}
# remove_group NAME: from every hierarchy.
remove_group() {
  local m
  for m in "${_v1_mounts[@]#* }" ${v2_root:+"$v2_root"}; do
    [ ! -d "$m/$1" ] || _remove_tree "$m/$1" 2>/dev/null
  done
}
_finish() {
  local rc=$1 i
  trap - EXIT
  [ "$rc" = 0 ] || { fail_case "the script ended with status $rc"; }
  _close_case
  for ((i = ${#_cleanups[@]} - 1; i >= 0; --i)); do eval "${_cleanups[i]}" >/dev/null 2>&1 || :; done
  for i in "${_pids[@]}"; do kill -KILL "$i" 2>/dev/null || :; done
  for i in "${_groups[@]}"; do remove_group "$i"; done
  rm -rf "$WORK"
  exit "$_failed"
}
trap '_finish $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
