#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs every Debian 12 package that building, testing and the demo need.
# Idempotent: asks dpkg first and calls apt only when something is missing.
set -euo pipefail

packages=(
  # toolchain
  build-essential cmake ninja-build ccache pkg-config git ca-certificates
  clang-19 llvm-19 libclang-rt-19-dev clang-format-19 clang-tidy
  # eBPF and netlink; linux-libc-dev comes with build-essential
  libbpf-dev bpftool libelf-dev zlib1g-dev libmnl-dev
  # resources, stores, RPC: one matched set of gRPC, protobuf and Abseil
  protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libgrpc++-dev libabsl-dev
  libyaml-cpp-dev nlohmann-json3-dev libsqlite3-dev
  # command line, logs, tests, benchmarks
  libcli11-dev libspdlog-dev libfmt-dev
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev
  # run time: BGP, namespaces, and what the benchmarks measure against
  bird2 iproute2 util-linux procps nftables kmod python3
)

[ "$(id -u)" = 0 ] || { echo "setup: needs root, to install packages; try: sudo $0" >&2; exit 1; }

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null)" = "ii " ] || missing+=("$p")
done

if [ "${#missing[@]}" -gt 0 ]; then
  echo "setup: installing ${#missing[@]} packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # A package must not start a BIRD of its own; ours are started by the agent.
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
else
  echo "setup: nothing missing"
fi
