# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts tests/hosts/*.test: hosts as few are, made of a guest that is thrown away afterwards (tests/run, vm-odd).
# Never run on a machine that is to stay as it is.
. "${BASH_SOURCE[0]%/*}/../tools/lib.sh"
[ -e /run/guest/command ] || { test_case "${0##*/}: runs in a guest only"; skip_case "this is no guest of run-in-vm"; exit 0; }
export CGX_RUN=$WORK/run CGX_DATA=$WORK/data
mkdir -p "$WORK/image/bin"
cp "$(command -v busybox)" "$WORK/image/bin/busybox"
for _n in sh cat grep ls sleep; do ln -s busybox "$WORK/image/bin/$_n"; done
D=dir:$WORK/image
