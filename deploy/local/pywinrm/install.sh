#!/usr/bin/env bash
# Unpacks python3-winrm under build/pywinrm/ for the tests of pkg/sim/winrm, which /usr/bin/python3 runs.
set -euo pipefail
cd "$(dirname "$0")/../../.."
dest=$PWD/build
. deploy/local/unpack.sh

all() {
  unpack pywinrm usr/lib/python3/dist-packages/winrm/protocol.py python3-winrm
}

install_all "$PWD/deploy/local/pywinrm/install.sh" "$@"
