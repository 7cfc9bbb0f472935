# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For oci.test and oci_groups.test, which source this first: containers in mount and network namespaces of the script's
# own, a bundle of busybox, and what is left of containers.
: "${CGX_OCI:=${CGX%/*}/cgx-oci}"
export CGX_OCI
if [ "$EUID" = 0 ] && [ "${CGX_TEST_INSIDE:-}" != "$PPID" ]; then
  CGX_TEST_INSIDE=$$ unshare -mn "$BASH" "$0" "$@"
  exit
fi
. "${0%/*}/lib.sh"

test_case "oci: preparation"
need_root || exit 0
need_command busybox || exit 0
need_command jq || exit 0
expect "the program is built" [ -x "$CGX_OCI" ]
[ -x "$CGX_OCI" ] || exit 0
ROOT=$WORK/state
B=$WORK/bundle
new_group TOP
oci() { "$CGX_OCI" --root "$ROOT" "$@"; }
mkdir -p "$B/rootfs/bin" "$B/rootfs/tmp"
cp "$(command -v busybox)" "$B/rootfs/bin/busybox"
for n in sh true false sleep cat echo kill id env tty mount ps touch head ls pwd stat test trap \
  cut sort mkdir grep readlink; do
  ln -sf busybox "$B/rootfs/bin/$n"
done
run "$CGX_OCI" spec -b "$B"; expect_status 0
expect "a cgroup namespace on cgroup2 alone" test "$(jq '[.linux.namespaces[]|select(.type=="cgroup")]|length' "$B/config.json")" = "$([ ${#_v1_mounts[@]} -eq 0 ] && echo 1 || echo 0)"
jq '.linux.namespaces|=(map(select(.type!="cgroup"))+[{type:"cgroup"}])' "$B/config.json" >"$WORK/base.json"
n=0
# config FILTER [WORDS OF JQ]: a new group and config.json of the base with a filter of jq.
config() {
  n=$((n + 1)) group=$TOP/c$n
  jq --arg g "/$group" "${@:2}" ".process.terminal=false | .linux.cgroupsPath=\$g | .root.readonly=false | del(.process.rlimits) | $1" \
    "$WORK/base.json" >"$B/config.json"
}
args() { local list='' a; for a; do list+=", $(jq -n --arg a "$a" '$a')"; done; config ".process.args=[${list#, }]"; }
status_of() { oci state "$1" 2>/dev/null | jq -r .status; }
is() { [ "$(status_of "$1")" = "$2" ]; }
pid_of() { oci state "$1" | jq -r .pid; }
groups_left() { local m; for m in "${_v1_mounts[@]#* }" ${v2_root:+"$v2_root"}; do ls -d "$m/$TOP"/*/ 2>/dev/null; done; :; }
nothing_left() { [ -z "$(ls "$ROOT" | grep -v '^@')" ] && [ -z "$(groups_left)" ]; }
expect_nothing() { expect "nothing is left: $(ls "$ROOT") $(groups_left)" nothing_left; }
