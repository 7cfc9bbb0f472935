#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# /init of the initramfs: loads what 9p needs, mounts the host's / and the run directory, and hands over. It does not
# depend on the run, so that one initramfs serves all; see run-in-vm.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
mount -t 9p -o ro,cache=loose,trans=virtio,version=9p2000.L,msize=512000 host /host &&
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 run /run &&
  . /run/guest-root.sh
echo "run-in-vm: the guest's set-up failed"
reboot -f
