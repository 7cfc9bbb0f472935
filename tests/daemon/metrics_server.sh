# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts that look at the metrics of cgxd: a server of a few groups at $address, which does what tell() says.
. "${BASH_SOURCE[0]%/*}/../tools/lib.sh"
SOURCE_ROOT=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
server=${CGX_BUILD:-$SOURCE_ROOT/build}/tests/metrics-server
python=/usr/bin/python3

if ! need_root; then
  test_case "metrics"; need_root; exit 0
fi
new_group g
odd="$g/<b>&\"x"
"$CGX" create "$g/web" "$g/going" --mem 64M --pids 50
"$CGX" create "$odd" --pids 7
mkfifo "$WORK/in"
"$server" --listen 127.0.0.1:0 --below "$g" --cadvisor <"$WORK/in" >"$WORK/out" 2>"$WORK/err" &
_pids+=("$!")
exec 7>"$WORK/in"
started() { grep -q '^listening ' "$WORK/out"; }
if ! wait_for 20 started; then
  test_case "metrics: the server starts"; fail_case "it does not: $(<"$WORK/err")"; exit 1
fi
address=$(sed -n 's/^listening //p' "$WORK/out")
tell() {  # COMMAND: to the server
  echo "$1" >&7
  done_so() { grep -qxF "done $1" "$WORK/out"; }
  wait_for 20 done_so "$1"
}
