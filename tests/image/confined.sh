#!/bin/sh
# Runs a program in the folder of an image as a container would: nothing but the disk tier and /tmp can be written,
# it is nobody, and gains no rights. To be called in a mount and a pid namespace of its own (unshare).
#
# usage: confined.sh ROOT CACHE MODEL PROGRAM [ARGUMENT ...]      MODEL: a folder to be seen at /models, or ""
set -eu
root=$1 cache=$2 model=$3
shift 3

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64m tmpfs "$root/tmp"
mount -t tmpfs -o size=64m,mode=700,uid=65532,gid=65532 tmpfs "$root$cache"
for node in null zero urandom; do
    [ -e "$root/dev/$node" ] || : >"$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
if [ -n "$model" ]; then
    mkdir -p "$root/models"
    mount --bind "$model" "$root/models"
    mount -o remount,bind,ro "$root/models"
fi
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups= "$root" "$@"
