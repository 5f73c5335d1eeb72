#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# demo.sh BUILD [down]: raises the demo's fabric and shows the main job on it, or removes
# exactly what that made. The work is ripstop-demo's: see e2e/demo/demo_main.cc.
set -euo pipefail
build=${1:?usage: demo.sh BUILD [down]}
here=$(cd "$(dirname "$0")/.." && pwd)
case "${2:-}" in
  "") exec "$build/bin/ripstop-demo" --folder "$here/e2e/demo" ;;
  down) exec "$build/bin/ripstop-demo" --folder "$here/e2e/demo" --down ;;
  *) echo "usage: demo.sh BUILD [down]" >&2; exit 2 ;;
esac
