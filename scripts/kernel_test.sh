#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs test binaries under another kernel, in an emulator: no KVM needed.
#
#   scripts/kernel_test.sh 6.1 build/dev/tests/loader_packet_test [BINARY...]
#
# Takes the newest Debian 12 cloud kernel of that version, puts the binaries, what they
# run and all libraries into an initramfs and boots it. Ends with 0 when every binary does
# and nothing was skipped. Scenarios (scenario_*) get a lab: the product and BIRD.
# Variables that begin with RIPSTOP_ or GTEST_ are passed on. RIPSTOP_PATIENCE: how many times longer
# the lab waits than on a machine (e2e/lab/patience.h); 8 unless told.
# KERNEL_TEST_SECONDS: when to give up. KERNEL_TEST_ACCEL=kvm: where KVM works.
# Needs the packages qemu-system-x86, busybox-static, cpio and xz-utils.
set -euo pipefail
version=${1:?which kernel, e.g. 6.1}; shift
[ $# -gt 0 ] || { echo "kernel_test: which test binaries?" >&2; exit 2; }
for tool in qemu-system-x86_64 busybox cpio xz; do
  command -v $tool > /dev/null || {
    echo "kernel_test: $tool is missing; try: apt-get install qemu-system-x86 busybox-static cpio xz-utils" >&2
    exit 2
  }
done
ldd "$(command -v busybox)" > /dev/null 2>&1 && { echo "kernel_test: needs busybox-static" >&2; exit 2; }
export RIPSTOP_PATIENCE=${RIPSTOP_PATIENCE:-8}
source=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ripstop-kernels
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

package=$(apt-cache pkgnames "linux-image-$version." | grep -E -- '-cloud-amd64-unsigned$' | sort -V | tail -1)
[ -n "$package" ] || {
  echo "kernel_test: no package linux-image-$version.*-cloud-amd64-unsigned; try apt-get update" >&2
  exit 2
}
if [ ! -d "$cache/$package" ]; then
  echo "kernel_test: fetching $package"
  mkdir -p "$cache"
  # As root apt drops its privileges, and wants a folder that it may write.
  (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" && dpkg-deb -x ./*.deb root)
  mv "$work/root" "$cache/$package"
fi
kernel=$(echo "$cache/$package"/boot/vmlinuz-*)
release=${kernel##*/vmlinuz-}
[ -e "$cache/$package/lib/modules/$release/modules.dep" ] || depmod -b "$cache/$package" "$release"

root=$work/initramfs
mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,run,tests,modules,usr/sbin,var}
ln -s /run "$root/var/run"
# Names of protocols, as ip prints them.
cp -r /etc/iproute2 "$root/etc/"
cp "$(command -v busybox)" "$root/bin/"
# What nobody debugs there needs no symbols, and is a fifth as large.
put() { strip -g -o "$2/${1##*/}" "$1"; }
for binary in "$@"; do
  put "$binary" "$root/tests"
  case ${binary##*/} in scenario_*) lab=$(dirname "$binary")/../bin ;; esac
done
if [ -n "${lab:-}" ]; then
  for binary in agent cni probe; do put "$lab/ripstop-$binary" "$root/bin"; done
  put "$lab/ripstopctl" "$root/bin"
  cp -L /usr/sbin/bird /usr/sbin/birdc "$root/usr/sbin/"
  # Tests know it by its name here.
  mkdir -p "$root$source/e2e"; cp -r "$source/e2e/demo" "$root$source/e2e/"
fi
# The shell of busybox would run its own ip, which knows too little.
for tool in sh ip bridge nsenter sysctl nft tc; do cp -L "$(command -v $tool)" "$root/bin/"; done
for binary in "$root"/tests/* "$root"/bin/* "$root"/usr/sbin/*; do
  ldd "$binary" 2> /dev/null | grep -o '/[^ ]*' || true
done | sort -u | while read -r library; do
  mkdir -p "$root${library%/*}"
  cp -L "$library" "$root$library"
done
# veths, bridges, VXLAN, nftables, and clsact for kernels without tcx; each after what it needs.
order=()
for module in veth bridge vxlan nf_tables sch_ingress cls_bpf; do
  while read -r verb file _; do
    [ "$verb" = insmod ] || continue
    name=$(basename "$file"); name=${name%.xz}
    [ -e "$root/modules/$name" ] && continue
    if [ "${file%.xz}" = "$file" ]; then cp "$file" "$root/modules/"; else xz -dc "$file" > "$root/modules/$name"; fi
    order+=("$name")
  done < <(modprobe -d "$cache/$package" -S "$release" --show-depends $module)
done
{
  echo '#!/bin/busybox sh'
  echo '/bin/busybox --install -s /bin 2> /dev/null; export PATH=/bin HOME=/tmp'
  echo 'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'
  echo 'mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mount -t bpf bpf /sys/fs/bpf; ip link set lo up'
  for module in "${order[@]}"; do echo "insmod /modules/$module"; done
  env | grep -E '^(RIPSTOP|GTEST)_' | sed "s/'/'\\\\''/g; s/=\(.*\)/='\1'/; s/^/export /" || true
  echo 'cd /tests; failed=0; echo'
  for binary in "$@"; do
    name=${binary##*/}
    echo "echo \"== $name on \$(uname -r)\"; ./$name || { echo \"FAILED: $name\"; failed=1; }"
  done
  echo '[ $failed = 0 ] && echo KERNEL-TEST-PASSED; poweroff -f'
} > "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initramfs.gz"

boot() {
  timeout "${KERNEL_TEST_SECONDS:-1800}" qemu-system-x86_64 -accel "${KERNEL_TEST_ACCEL:-tcg,thread=multi}" \
    -cpu max -smp 2 -m 4096 -display none -vga none -monitor none -serial stdio -no-reboot \
    -kernel "$kernel" -initrd "$work/initramfs.gz" \
    -append "console=ttyS0 quiet panic=-1" < /dev/null 2>&1 | sed -u 's/\r//g' | tee "$work/log"
}
# One of nine boots panicked before any test ("Oops: int3" in sched_clock_cpu, QEMU 7.2): a kernel that
# patches its own code and an emulator with a thread for each CPU seem to disagree when that is done.
# Only then again: what panics later may be ours.
for attempt in 1 2 3; do
  boot || true
  { grep -q '^== ' "$work/log" || ! grep -q 'Oops: int3' "$work/log"; } && break
  echo "kernel_test: $release: the emulator's panic, boot $attempt"
done
if grep -q 'SKIPPED' "$work/log"; then
  echo "kernel_test: $release: a skipped test proves nothing" >&2
  exit 1
fi
if grep -q 'Running 0 tests' "$work/log"; then
  echo "kernel_test: $release: no test has such a name: GTEST_FILTER=${GTEST_FILTER:-}" >&2
  exit 1
fi
grep -q KERNEL-TEST-PASSED "$work/log"
