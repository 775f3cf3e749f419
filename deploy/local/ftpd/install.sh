#!/usr/bin/env bash
# Unpacks pure-ftpd, vsftpd and proftpd under build/ftpd/ for the tests of pkg/ftp.
#
# Debian or Ubuntu only. The three packages conflict, so none is installed: each is unpacked into a folder of its own,
# with the libraries that this machine lacks. No daemon is started and nothing outside build/ftpd/ changes. Root is needed
# only if apt has no package lists yet.
set -euo pipefail
cd "$(dirname "$0")/../../.."
dest=$PWD/build/ftpd

# unpack <folder> <program> <package>...: the packages and what they need that is not installed.
unpack() {
  local folder=$dest/$1 program=$2
  shift 2
  [ -x "$folder/$program" ] && return
  local scratch needed
  scratch=$(mktemp -d)
  needed=$({ printf '%s\n' "$@"; apt-get --simulate --no-install-recommends install "$@" | awk '/^Inst /{print $2}'; } | sort -u)
  # apt drops its rights to download and must still be able to write here.
  chmod 777 "$scratch"
  # shellcheck disable=SC2086 # one argument a package
  (cd "$scratch" && apt-get --quiet download $needed)
  rm -rf "$folder.new" "$folder"
  mkdir -p "$folder.new"
  for deb in "$scratch"/*.deb; do dpkg -x "$deb" "$folder.new"; done
  [ -x "$folder.new/$program" ] || { echo "$* did not bring $program" >&2; return 1; }
  mv "$folder.new" "$folder"
  rm -rf "$scratch"
  echo "unpacked $*"
}

all() {
  unpack pure-ftpd usr/sbin/pure-ftpd pure-ftpd
  unpack vsftpd usr/sbin/vsftpd vsftpd libpam-pwdfile
  unpack proftpd usr/sbin/proftpd proftpd-core proftpd-mod-crypto
}

command -v apt-get >/dev/null || { echo "the FTP daemons for the tests come from Debian packages; no apt-get here" >&2; exit 1; }
if [ "${1:-}" = once ]; then
  all
elif ! "$0" once; then
  # Lists that are missing, or name versions that the mirror no longer has.
  echo "refreshing apt's package lists"
  apt-get --quiet update
  "$0" once
fi
