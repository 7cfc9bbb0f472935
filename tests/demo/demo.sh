#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Shows what cgx does, on this machine and its real control groups; `./dev demo` builds cgx and runs this. Every effect
# that it speaks of is measured: the status is 1 where one of them did not come true. All groups that it makes are below
# cgx-demo-PID, and are gone at the end, however it ends.
set -u
: "${CGX:?is to name the cgx program}"
export LC_ALL=C NO_COLOR=1
cgx() { "$CGX" "$@"; }
base=cgx-demo-$$
failed=0 step_failed=0 jobs=()
exec 3>&1

# ---- telling --------------------------------------------------------------------------------------------------------
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
number=0
step() { number=$((number + 1)) step_failed=0; printf '\n%s%d. %s%s\n' "$bold" "$number" "$1" "$plain"; shift; say "$@"; }
say() { [ $# = 0 ] || printf '%s\n' "$*" | fold -s -w 96 | sed 's/^/   /; s/ *$//'; }
indent() { sed 's/^/   | /'; }
# show COMMAND...: the command as one would type it, and what it prints. Sets $status.
show() {
  local word text=''
  for word; do case $word in *[!A-Za-z0-9_./=%:,@+-]* | '') text+=" '$word'" ;; *) text+=" $word" ;; esac; done
  printf '   %s$%s%s\n' "$bold" "$text" "$plain"
  "$@" >"$tmp" 2>&1 </dev/null
  status=$?
  indent <"$tmp"
}
# show_line TEXT: the same for a line of shell.
show_line() {
  printf '   %s$ %s%s\n' "$bold" "$1" "$plain"
  (set -o pipefail; eval "$1") >"$tmp" 2>&1 </dev/null
  status=$?
  indent <"$tmp"
}
# must STATUS-WANTED: what show() ran ended as it should have.
must() { [ "$status" = "$1" ] || wrong "the command above ended with status $status, not $1"; }
found() { say "=> $1"; }                           # what was measured
means() { [ $step_failed = 1 ] || say "=> $1"; }  # what holds where nothing of this step went wrong
wrong() { say "!! This did not come true: $1"; failed=1 step_failed=1; }
note() { printf '%s' "$dim"; say "$@"; printf '%s' "$plain"; }

# ---- measuring ------------------------------------------------------------------------------------------------------
# The hierarchy that has a controller: its mount point, and whether it is v1.
home_of() {  # CONTROLLER -> $home_dir $home_version
  local id parent dev root path rest options
  home_dir='' home_version=''
  while read -r id parent dev root path rest; do
    case $rest in
      *' - cgroup '*)
        options=",${rest##* },"
        case $options in *",$1,"*) home_dir=$path home_version=v1; return ;; esac ;;
      *' - cgroup2 '*) [ -n "$home_dir" ] || home_dir=$path home_version=v2 ;;
    esac
  done </proc/self/mountinfo
}
now_ms() { local t=${EPOCHREALTIME/./}; now=$((t / 1000)); }
cpu_ms() {  # GROUP -> $cpu, the CPU time that it has used
  local key value
  cpu=0
  if [ "$cpu_version" = v1 ]; then
    read -r cpu <"$cpu_dir/$1/cpuacct.usage"
    cpu=$((cpu / 1000000))
  else
    while read -r key value; do [ "$key" != usage_usec ] || cpu=$((value / 1000)); done <"$cpu_dir/$1/cpu.stat"
  fi
}
# measure SECONDS GROUP...: sets ${used[i]}, the CPU time of each group in that time, and $wall, in ms.
measure() {
  local seconds=$1 i=0 group before=() begin
  shift
  used=()
  now_ms; begin=$now
  for group; do cpu_ms "$group"; before+=("$cpu"); done
  sleep "$seconds"
  for group; do cpu_ms "$group"; used+=($((cpu - before[i]))); i=$((i + 1)); done
  now_ms; wall=$((now - begin))
}
percent() { printf '%d.%d%%' $(($1 * 100 / $2)) $(($1 * 1000 / $2 % 10)); }
# A process that wants a whole CPU, inside a group. It ends by itself if all else fails.
hog() {
  printf '   %s$ cgx exec %s -- %s &%s\n' "$bold" "$1" "timeout 60 sh -c 'while :; do :; done'" "$plain"
  "$CGX" exec "$1" -- timeout 60 sh -c 'while :; do :; done' </dev/null >/dev/null 2>&1 &
  jobs+=($!)
}
stop() {  # GROUP...: ends what runs there
  local group
  for group; do cgx kill "$group" >/dev/null || wrong "cgx kill $group"; done
}
until_true() {  # SECONDS COMMAND...
  local end=$((SECONDS + $1 + 1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.05; done
}

# ---- leaving nothing ------------------------------------------------------------------------------------------------
remove_by_hand() {  # DIR: where cgx itself could not
  local child pid
  for child in "$1"/*/; do [ ! -d "$child" ] || remove_by_hand "${child%/}"; done
  [ ! -e "$1/freezer.state" ] || echo THAWED >"$1/freezer.state"
  [ ! -e "$1/cgroup.freeze" ] || echo 0 >"$1/cgroup.freeze"
  for _ in {1..40}; do
    while read -r pid; do kill -KILL "$pid"; done <"$1/cgroup.procs"
    ! rmdir "$1" || return 0
    sleep 0.05
  done
}
groups_left() {  # the directories that are still there, in any hierarchy
  local id parent dev root path rest
  while read -r id parent dev root path rest; do
    case $rest in *' - cgroup'*) [ ! -d "$path/$base" ] || echo "$path/$base" ;; esac
  done </proc/self/mountinfo
}
clean_up() {
  local rc=$? dir
  trap '' INT TERM HUP  # not twice
  trap - EXIT
  [ ! -d "$tmp.d/run" ] || cgx container rm -f demo-$$ >/dev/null 2>&1
  if [ -n "$(groups_left)" ]; then
    cgx delete -r --kill "$base" >/dev/null 2>&1
    for dir in $(groups_left); do remove_by_hand "$dir" 2>/dev/null; done
  fi
  for dir in "${jobs[@]}"; do kill "$dir" 2>/dev/null; done
  wait 2>/dev/null
  rm -f "$tmp" "$tmp.out"
  rm -rf --one-file-system "$tmp.d"
  exit "$rc"
}
tmp=$(mktemp)
# Containers, and what they write, stay in a directory of the demo.
export CGX_RUN=$tmp.d/run CGX_DATA=$tmp.d/data
trap clean_up EXIT
trap 'printf "\n   interrupted: cleaning up\n" >&3; exit 130' INT
trap 'exit 143' TERM HUP

# ---- the demo -------------------------------------------------------------------------------------------------------
started=$SECONDS
[ "$EUID" = 0 ] || { echo "demo: needs root: making groups at the top of the hierarchies does" >&2; exit 1; }
home_of cpuacct
cpu_version=$home_version cpu_dir=$home_dir
home_of memory
memory_version=$home_version memory_dir=$home_dir
[ -n "$cpu_dir" ] && [ -n "$memory_dir" ] || { echo "demo: no cgroup hierarchy with cpu and memory is mounted (see cgx mount --help)" >&2; exit 1; }
home_of devices
devices_version=$home_version

printf '%sThis is cgx on real control groups of this machine.%s\n' "$bold" "$plain"
say "A control group is a set of processes that shares limits. Below, a line with \$ is a command that you can type," \
  "| is what it printed, and => is what it means. All groups are made below $base and removed at the end."
note "Here memory is on cgroup $memory_version, CPU time on $cpu_version and devices on $devices_version. The commands are the same for all layouts."

child=$base/child
step "A group with one CPU and 1 GiB of memory" "This makes the group, and its parent, wherever this machine has control groups:"
show cgx create "$child" --cpus 0 --mem 1G
must 0
show cgx get "$child" cpus mem
must 0
grep -q ': 0$' "$tmp" && grep -q ': 1.0G$' "$tmp" || wrong "the limits are not in force"
means "The limits are in force. What the kernel stored was read back from it."

step "A command inside the group" "The command is a member of the group before its first instruction:"
show cgx exec "$child" -- grep Cpus_allowed_list /proc/self/status
must 0
grep -q '	0$' "$tmp" || wrong "the command may use other CPUs"
means "grep itself ran on CPU 0 only; it looked at its own status."

# All groups of the demo together get nearly all of the CPU when they want it.
quiet=$(cgx set "$base" --cpu-shares 131072 2>&1) || wrong "cgx set $base --cpu-shares 131072: $quiet"

step "Shares: who gets how much of a busy CPU" \
  "Two endless loops compete for CPU 0. The second group has twice the shares of the first:"
note "(So that other work on this machine does not blur the figures, $base itself got 131072 shares.)"
show cgx create "$base/small" --cpus 0 --cpu-shares 512
must 0
show cgx create "$base/large" --cpus 0 --cpu-shares 1024
must 0
hog "$base/small"
hog "$base/large"
sleep 0.3
measure 3 "$base/small" "$base/large"
ratio=$((used[1] * 100 / (used[0] > 0 ? used[0] : 1)))
found "Measured over $wall ms of wall time: small used ${used[0]} ms of CPU, large ${used[1]} ms: 1 to $((ratio / 100)).$(printf %02d $((ratio % 100))). Asked for was 1 to 2."
[ "$cpu_version" = v1 ] || note "cgroup v2 has weights instead of shares; 512 and 1024 become 59 and 100, which is 1 to 1.69."
if [ "$cpu_version" = v1 ]; then low=170 high=235; else low=140 high=205; fi
((ratio >= low && ratio <= high)) || wrong "the ratio is not near what the shares say"
stop "$base/small" "$base/large"

step "Quota: half a CPU, even when nobody else wants it" "The same loop, alone, in a group that may use 50% of one CPU:"
show cgx create "$base/half" --cpu-quota 50%
must 0
hog "$base/half"
sleep 0.2
measure 2 "$base/half"
found "Measured over $wall ms of wall time: ${used[0]} ms of CPU, that is $(percent "${used[0]}" "$wall")."
((used[0] * 100 <= wall * 56)) || wrong "the loop got more than its quota"
if ((used[0] * 100 < wall * 44)); then
  note "Less than 50%, since other work on this machine wants the CPU too: a quota is a ceiling, not a promise."
  ((used[0] * 100 >= wall * 5)) || wrong "the loop hardly ran"
fi
show cgx get "$base/half" cpu.stat
must 0
throttled=$(sed -n 's/.*nr_throttled[: ]*//p' "$tmp")
((${throttled:-0} > 0)) || wrong "the kernel throttled nothing"
means "The kernel stopped the loop in $throttled of its periods of 100 ms, when the quota of 50 ms was used up."
stop "$base/half"

# A text that doubles until it has 32 MiB, in a group of 24. (The shell copies it itself; where a system call does, the
# kernel fails the call at the limit instead of pausing it.)
eater='x=0123456789abcdef; while [ ${#x} -lt 33554432 ]; do x=$x$x; done; echo ${#x}'
swap=()
if [ "$(wc -l </proc/swaps)" -gt 1 ]; then swap=(--swap 0); fi
memory=$base/memory
if [ "$memory_version" = v1 ]; then
  step "Memory: pause at the limit instead of being killed" \
    "A program needs over 32 MiB in a group of 24 MiB. With --oom pause the kernel stops it there, and does not kill it:"
  show cgx create "$memory" --mem 24M "${swap[@]}" --oom pause
  must 0
  printf "   %s$ cgx exec %s -- sh -c '%s' &%s\n" "$bold" "$memory" "$eater" "$plain"
  "$CGX" exec "$memory" -- sh -c "$eater" </dev/null >"$tmp.out" 2>&1 &
  eating=$!
  jobs+=("$eating")
  under_oom() { grep -q '^under_oom 1' "$memory_dir/$memory/memory.oom_control"; }
  until_true 5 under_oom || wrong "the program was not paused"
  sleep 0.5
  show_line "cgx stat $memory | grep -E 'memory.(current|oom_kill|under_oom)'"
  under_oom && kill -0 "$eating" 2>/dev/null || wrong "the program does not wait"
  means "under_oom 1: it hangs at its limit, alive, with nothing lost. Now the limit is raised:"
  show cgx set "$memory" --mem 128M
  must 0
  finished() { ! kill -0 "$eating" 2>/dev/null; }
  until_true 10 finished || wrong "the program still waits"
  if finished && wait "$eating" && [ "$(cat "$tmp.out")" = 33554432 ]; then
    indent <"$tmp.out"
    means "The program went on where it was and counted its 33554432 bytes. It never knew."
  else
    wrong "the program did not finish its work"
  fi
  rm -f "$tmp.out"
else
  step "Memory: killed at the limit, and counted" \
    "cgroup v1 can pause a program at its memory limit. v2 has no such thing, and cgx does not pretend:"
  show cgx create "$memory" --mem 24M "${swap[@]}" --oom pause
  [ "$status" != 0 ] || wrong "v2 took --oom pause"
  say "Without it, a program that needs over 32 MiB in a group of 24 MiB is killed:"
  show cgx create "$memory" --mem 24M "${swap[@]}"
  must 0
  show cgx exec "$memory" -- sh -c "$eater"
  show cgx get "$memory" memory.events
  must 0
  grep -q 'oom_kill[: ]*[1-9]' "$tmp" || wrong "the kernel killed nothing"
  means "oom_kill counts the kill. With a higher limit the same program ends its work:"
  show cgx set "$memory" --mem 128M
  must 0
  show cgx exec "$memory" -- sh -c "$eater"
  must 0
  grep -qx 33554432 "$tmp" || wrong "the program did not finish its work"
  means "It counted its 33554432 bytes."
fi

frozen=$base/frozen
step "Freezing a group" "A loop runs, and is stopped together with everything else in its group, without a signal:"
show cgx create "$frozen"
must 0
hog "$frozen"
sleep 0.3
show cgx freeze "$frozen"
must 0
measure 0.7 "$frozen"
found "In $wall ms it used ${used[0]} ms of CPU. cgx freeze returned when it stood still."
((used[0] <= 5)) || wrong "the group is not frozen"
show cgx thaw "$frozen"
must 0
measure 0.7 "$frozen"
found "In $wall ms it used ${used[0]} ms of CPU."
((used[0] > 20)) || wrong "the group is still frozen"
means "It runs again."
stop "$frozen"

step "A device that the group may not use" "Everything is allowed but /dev/zero (device 1:5):"
show cgx create "$base/nozero" --device 'deny c 1:5 rwm'
must 0
show cgx exec "$base/nozero" -- head -c 4 /dev/zero
[ "$status" != 0 ] && grep -q 'Operation not permitted' "$tmp" || wrong "/dev/zero could be opened"
show cgx exec "$base/nozero" -- head -c 4 /dev/null
must 0
means "/dev/zero is refused, also to root, and /dev/null is not."
[ "$devices_version" = v1 ] || note "cgroup v2 has no device files: cgx has put a small BPF program on the group that says the same."

image=$tmp.d/image busybox=$(command -v busybox)
mkdir -p "$image/bin"
[ -z "$busybox" ] || { cp "$busybox" "$image/bin/busybox" && chroot "$image" /bin/busybox --install /bin; } 2>/dev/null
if [ -e "$image/bin/sh" ]; then
  step "A container: the same limits, and a reason when it dies" \
    "Busybox alone is a root file system, here in $image. The container sees that and itself:"
  # Where systemd makes groups, it makes those of containers too, in machine.slice.
  parent=(--cgroup-parent "$base")
  [ ! -d /run/systemd/system ] || parent=()
  limits=(--mem 24M "${swap[@]}" --pids 20)
  show cgx run --rm "${parent[@]}" "${limits[@]}" "dir:$image" ps
  must 0
  [ "$(grep -c . "$tmp")" = 2 ] && grep -q '^ *1 .* ps$' "$tmp" || wrong "it does not see itself alone"
  show cgx run --rm "${parent[@]}" "${limits[@]}" "dir:$image" sh -c 'for i in $(seq 30); do sleep 1 & done'
  grep -q "can't fork" "$tmp" || wrong "30 processes were more than the 20 that it may have, and not refused"
  means "It has process ids of its own, and may have 20 processes. Now the program from above, in 24 MiB:"
  show cgx run --name demo-$$ "${parent[@]}" "${limits[@]}" "dir:$image" sh -c "$eater"
  must 137
  show cgx container ls -a
  must 0
  grep -q 'killed for memory: .* 25165824 of ' "$tmp" || wrong "it does not say why it died"
  means "It names the limit that killed it, and the group whose limit that is. cgx container inspect says more."
  show cgx container rm demo-$$
  must 0
  [ ! -e "$CGX_RUN/containers/demo-$$" ] && [ ! -e "$CGX_DATA/containers/demo-$$" ] || wrong "something of it is left"
  means "Nothing of it is left. There was no daemon, and the directory is as it was."
else
  note "(A container is shown where busybox-static is installed.)"
fi

step "Looking at groups" "All groups of this demo with their processes, memory and CPU time:"
show cgx tree "$base"
must 0
grep -q large "$tmp" || wrong "the tree does not show the groups"
say "What one of them has used:"
show_line "cgx stat $base/half | grep -E 'cpu.(usage|throttled)|memory.peak|pids.peak'"
must 0
say "And what really limits it, counting the limits of the groups above:"
show cgx explain "$child"
must 0
means "The names of these figures are the same on cgroup v1 and v2; --json prints them for programs."

step "Cleaning up" "The group goes, with all groups below it and whatever runs there:"
show cgx delete -r --kill "$base"
must 0
left=$(groups_left)
if [ -z "$left" ]; then means "Nothing is left: no hierarchy has a group $base."; else wrong "still there: $left"; fi

printf '\n'
if [ $failed = 0 ]; then
  say "All of it came true, in $((SECONDS - started)) seconds. cgx help shows the rest; the manual starts at cgx(1)."
else
  say "Some of it did not come true: see the lines with !! above."
fi
exit $failed
