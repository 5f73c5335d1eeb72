#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# own_files.sh DIR COMMAND…: runs it in a mount namespace where what ufw and firewalld have below
# /etc, and /run, is DIR's, the same for all commands with that DIR.
set -eu
dir=$1; shift
if [ ! -d "$dir" ]; then
  mkdir -p "$dir/run/dbus" "$dir/run/firewalld" "$dir/docker"
  cp -a /etc/ufw "$dir/ufw"
  cp -a /etc/default/ufw "$dir/default-ufw"
  cp -a /etc/firewalld "$dir/firewalld"
fi
DIR=$dir exec unshare -m --propagation private sh -euc '
  mount --bind "$DIR/ufw" /etc/ufw
  mount --bind "$DIR/default-ufw" /etc/default/ufw
  mount --bind "$DIR/firewalld" /etc/firewalld
  mount --bind "$DIR/run" /run
  exec "$@"' own_files "$@"
