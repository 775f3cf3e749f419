# Sourced by the install scripts of the tools for tests.
#
# Debian or Ubuntu only. Packages are unpacked, not installed: nothing outside build/ changes. Root is needed only if apt has
# no package lists yet.

# unpack <folder> <file> <package>...: the packages and what they need that is not installed; <file> tells that they are there.
unpack() {
  local folder=$dest/$1 file=$2
  shift 2
  [ -e "$folder/$file" ] && return
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
  [ -e "$folder.new/$file" ] || { echo "$* did not bring $file" >&2; return 1; }
  mv "$folder.new" "$folder"
  rm -rf "$scratch"
  echo "unpacked $*"
}

# install_all <script> [once]: runs all, a second time after refreshing apt's package lists when they are missing or name
# versions that the mirror no longer has.
install_all() {
  command -v apt-get >/dev/null || { echo "$1: the tools for the tests come from Debian packages; no apt-get here" >&2; exit 1; }
  if [ "${2:-}" = once ]; then
    all
  elif ! "$1" once; then
    echo "refreshing apt's package lists"
    apt-get --quiet update
    "$1" once
  fi
}
