#!/bin/sh
# Draws the secrets of an overlay and writes them into its folder "secrets", which git leaves out,
# wherever it is.
# What is there already stays as it is; delete a file to have it drawn anew.
#
# usage: secrets.sh OVERLAY
set -eu

[ $# = 1 ] && [ -d "$1" ] || {
    echo "usage: secrets.sh OVERLAY, as in: sh k8s/secrets.sh k8s/overlays/dev" >&2
    exit 2
}
umask 077
mkdir -p "$1/secrets"
cd "$1/secrets"
[ -e .gitignore ] || echo '*' >.gitignore

draw() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Writes what comes in to the file $1, whole or not at all.
put() {
    cat >"$1.new"
    mv "$1.new" "$1"
    echo "wrote $1"
}

# What the operator's listener asks for.
[ -e admin-token ] || draw | put admin-token
# What keys the hashes that answers are stored under: with another, all that is in Redis is lost.
[ -e scope-secret ] || draw | put scope-secret
# One password, as the proxy sends it and as Redis knows it.
if ! [ -e redis-url ] || ! [ -e users.acl ]; then
    password=$(draw)
    echo "redis://sidecache:$password@sidecache-redis:6379/0" | put redis-url
    # docs/redis.md says what these commands are for.
    put users.acl <<ACL
user default off
user sidecache on >$password ~sidecache:* resetchannels -@all +get +set +unlink +scan +xadd +xread +xrange +xtrim +pexpire +pttl +sadd +srem +smembers
ACL
fi
