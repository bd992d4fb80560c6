#!/bin/sh
# Gets Kustomize 5, which renders what is in k8s/, for the tests, where the system has none.
#
# It comes from the release of Debian that has it, as debian.sh says: nothing is installed, but
# unpacked into a folder of the user's cache. Once there, nothing more is fetched.
#
# usage: fetch_kustomize.sh [FOLDER]
# Prints the path of a kustomize, which runs as it is.
set -eu

folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/sidecache/kustomize}

fail() {
    echo "fetch_kustomize: $*" >&2
    exit 1
}

# Older ones know no components, or put things in another order.
own=$(command -v kustomize) && case $("$own" version) in
    v5.* | v[6-9].*)
        echo "$own"
        exit
        ;;
esac
if [ -x "$folder/kustomize" ]; then
    echo "$folder/kustomize"
    exit
fi

# shellcheck source=tests/support/debian.sh
. "$(dirname "$0")/debian.sh"

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
own_apt trixie "$work/apt"
unpack "$work/root" kustomize

# It asks for nothing but a C library of 2021 or later, so this machine's own will do.
mkdir "$work/kustomize"
cp "$work/root/usr/bin/kustomize" "$work/kustomize/"
"$work/kustomize/kustomize" version >&2 || fail "what was fetched does not run here"

# Whoever comes second finds a folder where it wanted to put its own, and takes that one.
mv -T "$work/kustomize" "$folder" 2>/dev/null || [ -x "$folder/kustomize" ] ||
    fail "$folder is in the way"
echo "$folder/kustomize"
