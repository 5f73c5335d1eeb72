#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# setup.sh [demo|test|kernels|long|tidy]: installs every Debian 12 package that the demo needs, or the tests
# too (the default), or more than that. Idempotent: asks dpkg first and calls apt only when
# something is missing.
set -euo pipefail

# What `make demo` needs: the product, built, and what it runs beside.
demo=(
  # toolchain
  build-essential cmake ninja-build pkg-config clang-19
  # eBPF and netlink; linux-libc-dev comes with build-essential
  libbpf-dev bpftool libelf-dev zlib1g-dev libmnl-dev
  # resources, stores, RPC: one matched set of gRPC, protobuf and Abseil
  protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev libabsl-dev
  libyaml-dev libyaml-cpp-dev nlohmann-json3-dev libsqlite3-dev libre2-dev
  # command line, logs
  libcli11-dev libspdlog-dev libfmt-dev
  # run time: BGP, namespaces
  bird2 iproute2 util-linux procps kmod
)
# `make test` more: tests, fuzzers, the form of the tree, what benchmarks measure against.
test=(
  git ca-certificates python3 clang-format-19 libclang-rt-19-dev
  libgtest-dev libgmock-dev libbenchmark-dev nftables iptables
)
# `make kernels` more: an emulator, and what its machine consists of.
kernels=(qemu-system-x86 busybox-static cpio xz-utils)
# `make test-long` more than both: other firewalls, on a node of the lab.
long=("${kernels[@]}" ufw firewalld dbus docker.io)
# `make tidy` more.
tidy=(clang-tidy-19)

case "${1:-test}" in
  demo) packages=("${demo[@]}") ;;
  test) packages=("${demo[@]}" "${test[@]}") ;;
  kernels) packages=("${demo[@]}" "${test[@]}" "${kernels[@]}") ;;
  long) packages=("${demo[@]}" "${test[@]}" "${long[@]}") ;;
  tidy) packages=("${demo[@]}" "${test[@]}" "${tidy[@]}") ;;
  *) echo "usage: setup.sh [demo|test|kernels|long|tidy]" >&2; exit 2 ;;
esac

[ "$(id -u)" = 0 ] || { echo "setup: needs root, to install packages; try: sudo $0" >&2; exit 1; }

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null)" = "ii " ] || missing+=("$p")
done

if [ "${#missing[@]}" -gt 0 ]; then
  echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # No package starts a BIRD, a firewall or a Docker of its own: not now, and not at the next boot.
  enabled() {
    find /etc/systemd/system -path '*.wants/*' -regextype egrep \
      -regex '.*/(bird|containerd|docker|firewalld|ufw)[.](service|socket)' 2>/dev/null | sort
  }
  before=$(enabled)
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
    chmod +x /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/tmp/ripstop-setup.log 2>&1 || {
    tail -n 30 /tmp/ripstop-setup.log >&2
    echo "setup: apt-get install failed; the whole log is in /tmp/ripstop-setup.log" >&2
    exit 1
  }
  comm -13 <(echo "$before") <(enabled) | xargs -r rm -f
else
  echo "setup: nothing missing"
fi
