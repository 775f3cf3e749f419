#!/usr/bin/env bash
# Unpacks pure-ftpd, vsftpd and proftpd under build/ftpd/ for the tests of pkg/ftp.
#
# The three packages conflict, so none is installed: each is unpacked into a folder of its own, with the libraries that this
# machine lacks. No daemon is started.
set -euo pipefail
cd "$(dirname "$0")/../../.."
dest=$PWD/build/ftpd
. deploy/local/unpack.sh

all() {
  unpack pure-ftpd usr/sbin/pure-ftpd pure-ftpd
  unpack vsftpd usr/sbin/vsftpd vsftpd libpam-pwdfile
  unpack proftpd usr/sbin/proftpd proftpd-core proftpd-mod-crypto
}

install_all "$PWD/deploy/local/ftpd/install.sh" "$@"
