# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts tests/clients/*.test, which run real clients of OCI runtimes with $CGX_OCI as the runtime: everything
# of tests/tools/lib.sh, and a machine of the test's own around it. The script that sources this runs once more in new
# pid, mount and network namespaces, as their first process, so that whatever a client leaves behind ends with them;
# what outlives them, cgroups and files, bears the name $name and is removed outside.
#
#   $name         cgx-test-PID, for cgroups            $state     a directory for the clients' files
#   $RT           the runtime under test               $rt        its base name
#   busybox_tar   makes $state/busybox.tar, an image's root file system
#   start_daemon LOG COMMAND...   sets $last_pid       stop_daemon PID    SIGTERM, and expects its end
#   knob CONTROLLER PATH FILE     prints a file of a cgroup that a client made
#
# The clients see the hierarchies of the host below a tmpfs of their own, since some of them make directories there.
# With CGX_CLIENTS_VIEW=v1 they see those of version 1 alone: crun takes no host that has both.

set -u
if [ -z "${CGX_CLIENTS_STATE:-}" ]; then
  : "${CGX_OCI:?is to name the OCI runtime under test}"
  _me=${0##*/} _name=cgx-test-$$
  [ -x "$CGX_OCI" ] || { echo "FAIL $_me: $CGX_OCI is no program: is it built?"; exit 1; }
  [ "$EUID" = 0 ] || { echo "SKIP $_me: needs root"; exit 0; }
  for _program in ${CLIENT_PROGRAMS:-}; do
    command -v "$_program" >/dev/null || { echo "SKIP $_me: needs the program $_program"; exit 0; }
  done
  _state=$(mktemp -d "/tmp/$_name-XXXXXX") _child=''
  _groups_of() { find /sys/fs/cgroup -depth -type d -path "*/$1*" 2>/dev/null; }
  _outside() {
    trap - EXIT
    [ -z "$_child" ] || kill -KILL "$_child" 2>/dev/null
    local dir tries
    for tries in {1..50}; do
      while read -r dir; do rmdir "$dir" 2>/dev/null; done < <(_groups_of "$_name")
      [ -n "$(_groups_of "$_name")" ] || break
      sleep 0.1
    done
    rm -rf --one-file-system "$_state"
    [ ! -e "$_state" ] || { echo "FAIL $_me leaves nothing: $_state cannot be removed"; exit 1; }
    dir=$(_groups_of "$_name" | head -n 3 | tr '\n' ' ')
    [ -z "$dir" ] || { echo "FAIL $_me leaves nothing: cgroups $dir"; exit 1; }
  }
  trap _outside EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  export CGX_OCI CGX_CLIENTS_STATE=$_state CGX_CLIENTS_NAME=$_name TMPDIR=$_state CGX="${CGX:-none}"
  unshare --mount --net --pid --fork --kill-child=KILL --mount-proc --propagation private -- "$BASH" "$0" "$@" &
  _child=$!
  _status=0
  wait "$_child" || _status=$?
  _child=''
  _outside
  exit "$_status"
fi

# In memory: the data bases of engines sync at every step, which takes longer than all else on a busy disk.
mount -t tmpfs -o mode=755 "$CGX_CLIENTS_NAME" "$CGX_CLIENTS_STATE" || exit 1
. "${BASH_SOURCE[0]%/*}/../tools/lib.sh"
state=$CGX_CLIENTS_STATE name=$CGX_CLIENTS_NAME
RT=$(realpath "$CGX_OCI") rt=${CGX_OCI##*/}
export PATH=$PATH:/usr/sbin:/sbin:/usr/libexec/podman:/usr/lib/podman
export HOME=$state XDG_RUNTIME_DIR=$state/xdg
export CGX_CLIENTS_CGROUP=/$name/x  # of the containers of bundle.py
mkdir -p "$XDG_RUNTIME_DIR"
cd "$state" || exit 1  # conmon leaves a file named "oom" where it was started

# ---- the machine ----------------------------------------------------------------------------------------------------
_make_view() {
  [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ] || return 0  # v2 alone: nothing is made beside the groups
  local view=$state/view mount type
  mkdir "$view"
  mount -t tmpfs -o mode=755 "$name" "$view"
  while read -r _ _ _ _ mount type; do
    type=${type#* - }; type=${type%% *}
    case $mount,$type in
      /sys/fs/cgroup/*,cgroup) ;;
      /sys/fs/cgroup/*,cgroup2) [ "${CGX_CLIENTS_VIEW:-}" != v1 ] || continue ;;
      *) continue ;;
    esac
    mkdir -p "$view/${mount#/sys/fs/cgroup/}"
    mount --bind "$mount" "$view/${mount#/sys/fs/cgroup/}"
  done </proc/self/mountinfo
  umount --recursive --lazy /sys/fs/cgroup
  mount --move "$view" /sys/fs/cgroup
}
_make_machine() {
  ip link set lo up
  # What clients write outside the directories that they are told to use: locks, caches, names of networks.
  local dir
  mount -t tmpfs -o mode=755 "$name" /run
  for dir in etc var; do
    mkdir -p "$state/over/$dir" "$state/over/$dir.work"
    mount -t overlay -o "lowerdir=/$dir,upperdir=$state/over/$dir,workdir=$state/over/$dir.work" "$name" "/$dir"
  done
  case $rt in crun) : "${CGX_CLIENTS_VIEW:=v1}" ;; esac
  _make_view
  # Engines make mounts that containers have to see: shared, as systemd makes them, among the namespaces of this test.
  mount --make-rshared /
}
_make_machine || { fail_case "the namespaces cannot be prepared"; exit 1; }

# The host's hierarchies, read by tools/lib.sh, are seen at the same places. knob CONTROLLER PATH FILE
knob() {
  local dir=''
  group_dir dir "$1" "$2"
  cat "$dir/$3" 2>/dev/null
}
# expect_output TEXT: a line of stdout ends so; a terminal puts carriage returns behind it, and clients their own words.
expect_output() {
  [[ ${stdout//$'\r'/}$'\n' = *"$1"$'\n'* ]]
  _expected $? "no line of \"$stdout\" ends with \"$1\", of: $_ran${stderr:+; stderr: $stderr}"
}
# For commands that a terminal has to be given to: runs a command line with one.
run_tty() { run timeout 30 script -qec "$1" /dev/null; }

# ---- daemons, images ------------------------------------------------------------------------------------------------
start_daemon() {
  local log=$1; shift
  "$@" </dev/null >"$log" 2>&1 &
  last_pid=$!
}
_gone() { [ ! -e "/proc/$1/stat" ] || [[ $(ps -o stat= -p "$1") = Z* ]]; }
stop_daemon() {
  kill -TERM "$1" 2>/dev/null
  wait_for 20 _gone "$1" || { kill -KILL "$1"; fail_case "a daemon did not end by SIGTERM"; }
  wait "$1" 2>/dev/null
}
busybox_tar() {
  local root=$state/image applet
  mkdir -p "$root"/{bin,etc,tmp,root,proc,sys,dev,var/run,home/user}
  chmod 1777 "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $(busybox --list); do [ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"; done
  printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n' >"$root/etc/group"
  printf '#!/bin/sh\necho script\n' >"$root/bin/notexecutable"
  tar -C "$root" --owner=0 --group=0 -cf "$state/busybox.tar" .
}
# expect_no_groups PATTERN: no cgroup of a container is left; those that hold conmon and pods are the engine's affair.
expect_no_groups() {
  local left
  left=$(find /sys/fs/cgroup -type d -path "*/$name/*" -name "$1" ! -name '*-conmon-*' 2>/dev/null |
    head -n 3 | tr '\n' ' ')
  [ -z "$left" ]
  _expected $? "cgroups are left: $left"
}
expect_no_state() {  # DIR: where the runtime keeps the state of containers; @ begins no id, but a cache of the runtime
  local left
  left=$(ls "$1" 2>/dev/null | grep -v '^@' | head -n 3 | tr '\n' ' ')
  [ -z "$left" ]
  _expected $? "$1 has still $left"
}
