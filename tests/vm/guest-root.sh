# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154  # the variables come from the file settings
# Sourced by the initramfs' busybox shell: makes the guest's root and becomes its PID 1. See run-in-vm.
. /run/settings

# The host's files below, RAM above.
mount -t tmpfs -o mode=755 overlay /overlay
mkdir /overlay/upper /overlay/work
mount -t overlay -o lowerdir=/host,upperdir=/overlay/upper,workdir=/overlay/work root /root || return
cd /root || return
for d in proc sys dev; do mount --move /$d $d; done
for d in run tmp dev/shm; do mkdir -p $d; mount -t tmpfs -o mode=1777 tmpfs $d; done
chmod 755 run
mkdir -p dev/pts run/guest "usr/lib/modules/$version"
mount -t devpts -o gid=5,mode=620,ptmxmode=000 devpts dev/pts
ln -s /proc/self/fd dev/fd
for f in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${f#*:}" "dev/${f%:*}"; done
mount --move /run run/guest
mount --bind "/host$modules" "usr/lib/modules/$version"
for d in $keep; do mkdir -p "/root$d"; mount --bind "/host$d" "/root$d"; done
mount -t bpf bpf sys/fs/bpf
ip link set lo up
hostname guest
rm -f .dockerenv  # systemd would take the guest for a container and ignore the kernel command line
for m in virtio_blk loop; do chroot . modprobe $m; done

if [ "$systemd" = 1 ]; then
  # What the host's admin enabled must not start here, and most of sysinit costs seconds and does nothing.
  : >etc/fstab
  mount -t tmpfs tmpfs etc/systemd/system
  mount -t tmpfs tmpfs usr/lib/systemd/system/sysinit.target.wants
  printf '%s\n' '[Unit]' Wants=basic.target\ dbus.service After=basic.target\ dbus.service '[Service]' Type=exec \
    Delegate=yes 'ExecStart=/bin/bash /run/guest/guest-command.sh' >etc/systemd/system/cgx-command.service
  exec switch_root /root /lib/systemd/systemd
fi

cgroup=/root/sys/fs/cgroup
if [ "$layout" = v2 ]; then
  mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 $cgroup
else
  mount -t tmpfs -o mode=755 tmpfs $cgroup
  for c in cpu,cpuacct cpuset memory devices freezer blkio pids net_cls,net_prio perf_event hugetlb rdma misc; do
    mkdir $cgroup/$c
    mount -t cgroup -o $c cgroup $cgroup/$c || { rmdir $cgroup/$c; continue; }
    case $c in *,*) ln -s $c $cgroup/${c%,*}; ln -s $c $cgroup/${c#*,} ;; esac
  done
  mkdir $cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup $cgroup/systemd
  if [ "$layout" = hybrid ]; then
    mkdir $cgroup/unified
    mount -t cgroup2 -o nsdelegate cgroup2 $cgroup/unified
  fi
fi
exec switch_root /root /bin/bash /run/guest/guest-command.sh
