# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# Runs the command of run-in-vm in the guest, brings its output and status to the run directory, and stops the guest.
# The output goes through pipes: a command that opens /dev/stderr anew would else truncate the file.
. /run/guest/command
mkfifo /run/guest-stdout /run/guest-stderr
cat /run/guest-stdout >/run/guest/stdout &
cat /run/guest-stderr >/run/guest/stderr &
("${command[@]}") </dev/null >/run/guest-stdout 2>/run/guest-stderr
status=$?
# What the command left running may hold the pipes open: its last lines get 2 s.
for _ in {1..20}; do
  [ -n "$(jobs -pr)" ] || break
  sleep 0.1
done
echo $status >/run/guest/status
echo b >/proc/sysrq-trigger
sleep 60
