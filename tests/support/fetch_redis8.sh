#!/bin/sh
# Gets a Redis that has vector sets, for the tests, where the system's own is too old for them.
#
# Redis 8 comes from the release of Debian that has it, as debian.sh says: nothing is installed, but
# unpacked into a folder of the user's cache with the libraries it was built with. What is there
# already is left as it is.
#
# usage: fetch_redis8.sh [FOLDER]
# Prints the path of a redis-server, which runs as it is.
set -eu

folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/sidecache/redis8}

fail() {
    echo "fetch_redis8: $*" >&2
    exit 1
}

if [ -x "$folder/redis-server" ]; then
    echo "$folder/redis-server"
    exit
fi

# shellcheck source=tests/support/debian.sh
. "$(dirname "$0")/debian.sh"

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
own_apt trixie "$work/apt"

packages=$(own apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances redis-tools | grep '^lib' | sort -u)
# shellcheck disable=SC2086 # names are words
unpack "$work/redis/root" redis-server redis-tools $packages
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
