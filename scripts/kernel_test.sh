#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs test binaries under another kernel, in an emulator (no KVM needed).
#
#   scripts/kernel_test.sh 6.1 build/dev/tests/dataplane_kernel_property_test [BINARY...]
#
# Takes the newest Debian 12 kernel of that version, puts the binaries and their libraries
# into an initramfs and boots it. Ends with 0 when every binary does. Environment variables
# that begin with RIPSTOP_ are passed on. Needs qemu-system-x86, busybox-static and cpio.
set -euo pipefail
version=${1:?which kernel, e.g. 6.1}; shift
[ $# -gt 0 ] || { echo "which test binaries?" >&2; exit 2; }
for tool in qemu-system-x86_64 busybox cpio apt-get dpkg-deb; do
  command -v $tool > /dev/null || { echo "$tool is missing: apt-get install qemu-system-x86 busybox-static cpio" >&2; exit 2; }
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ripstop-kernels
mkdir -p "$cache"
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT

package=$(apt-cache pkgnames "linux-image-$version." | grep -E -- '-cloud-amd64-unsigned$' | sort -V | tail -1)
[ -n "$package" ] || { echo "no package linux-image-$version.*-cloud-amd64-unsigned; try apt-get update" >&2; exit 2; }
if [ ! -d "$cache/$package" ]; then
  echo "fetching $package"
  (cd "$work" && apt-get -qq download "$package" 2> /dev/null && dpkg-deb -x ./*.deb root)
  mv "$work/root" "$cache/$package"
fi
kernel=$(ls "$cache/$package"/boot/vmlinuz-*)

root=$work/initramfs
mkdir -p "$root"/{bin,dev,proc,sys,tmp,run,tests,modules}
cp "$(command -v busybox)" "$root/bin/busybox"
for binary in "$@"; do
  cp "$binary" "$root/tests/"
  ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"; cp -nL "$library" "$root$library"
  done
done
for module in veth udp_tunnel ip6_udp_tunnel vxlan; do
  find "$cache/$package/lib/modules" -name "$module.ko*" -exec cp {} "$root/modules/" \;
done
{
  echo '#!/bin/busybox sh'
  echo '/bin/busybox --install -s /bin; export PATH=/bin HOME=/tmp'
  echo 'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null'
  echo 'mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mount -t bpf bpf /sys/fs/bpf; ip link set lo up'
  echo 'for m in udp_tunnel ip6_udp_tunnel vxlan veth; do insmod /modules/$m.ko 2>/dev/null; done'
  env | grep '^RIPSTOP_' | sed 's/^/export /' || true
  echo 'cd /tests; failed=0'
  for binary in "$@"; do
    name=$(basename "$binary")
    echo "echo \"== $name on \$(uname -r)\"; ./$name || { echo \"FAILED: $name\"; failed=1; }"
  done
  echo '[ $failed = 0 ] && echo KERNEL-TEST-PASSED; sync; poweroff -f'
} > "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs.gz"

timeout "${KERNEL_TEST_SECONDS:-1200}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 4096 -nographic -no-reboot \
  -kernel "$kernel" -initrd "$work/initramfs.gz" -append 'console=ttyS0 quiet panic=-1' 2>&1 | tee "$work/log" | tr -d '\r'
grep -q KERNEL-TEST-PASSED "$work/log"
