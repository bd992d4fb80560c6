#!/bin/sh
# Gets a Redis that has vector sets, for the tests, where the system's own is too old for them.
#
# Redis 8 comes from the release of Debian that has it, over the mirror that this machine's apt is set
# up with, and only if signed by Debian's keyring. Nothing is installed: the packages are unpacked into
# a folder of the user's cache with the libraries they were built with, and no rights are needed. What
# is there already is left as it is.
#
# usage: fetch_redis8.sh [FOLDER]
# Prints the path of a redis-server, which runs as it is.
set -eu

suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/sidecache/redis8}

fail() {
    echo "fetch_redis8: $*" >&2
    exit 1
}

if [ -x "$folder/redis-server" ]; then
    echo "$folder/redis-server"
    exit
fi

for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || fail "$tool is missing: this works on Debian alone"
done
[ -r "$keyring" ] || fail "$keyring is missing"
release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# shellcheck disable=SC2016 # the words in $() are apt's
mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(ORIGIN) $(REPO_URI)' \
    'Created-By: Packages' | sed -n "s/^$release main Debian //p" | head -n 1)
[ "$mirror" ] || fail "apt knows no mirror of Debian (is it Debian, and was there an apt-get update?)"

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/none" \
    "$work/redis/root"
: >"$work/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$work/sources.list"

# An apt of its own: it sees no package of this machine and changes none.
own() {
    tool=$1
    shift
    "$tool" -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/none" \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$work/none" \
        -o Dir::State="$work/state" \
        -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o Acquire::Languages=none -o Acquire::http::Timeout=10 -o Acquire::Retries=1 \
        -o APT::Sandbox::User= "$@"
}

own apt-get update >&2 || fail "no list of the packages in $suite could be had"
packages=$(own apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances redis-tools | grep '^lib' | sort -u)
# shellcheck disable=SC2086 # names are words
(cd "$work/debs" && own apt-get download redis-server redis-tools $packages >&2) ||
    fail "the packages of $suite could not be had"
for deb in "$work/debs"/*.deb; do
    dpkg-deb -x "$deb" "$work/redis/root"
done
rm -rf "$work/redis/root/etc" "$work/redis/root/usr/share" "$work/redis/root/var"

# The libraries that the packages were built with, by the loader that belongs to them.
loader=$(cd "$work/redis" && find root -name 'ld-linux*.so.*' -type f | head -n 1)
[ "$loader" ] || fail "the packages have no loader"
cat >"$work/redis/redis-server" <<LAUNCHER
#!/bin/sh
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/$loader" --library-path "\$here/$(dirname "$loader")" \\
    "\$here/root/usr/bin/redis-server" "\$@"
LAUNCHER
chmod +x "$work/redis/redis-server"
"$work/redis/redis-server" --version >&2 || fail "what was fetched does not run here"

# Whoever comes second finds a folder where it wanted to put its own, and takes that one.
mv -T "$work/redis" "$folder" 2>/dev/null || [ -x "$folder/redis-server" ] ||
    fail "$folder is in the way"
echo "$folder/redis-server"
