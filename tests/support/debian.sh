# Packages of another release of Debian, unpacked and not installed; for scripts to source.
#
# They come over the mirror that this machine's apt is set up with, and only if signed by Debian's
# keyring. No rights are needed. Whoever sources it has `fail` to say what went wrong and end.
#
# shellcheck shell=sh

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Gets an apt of its own for the release $1 ready in the folder $2: it sees no package of this machine
# and changes none.
own_apt() {
    for tool in apt-get apt-cache dpkg-deb; do
        command -v "$tool" >/dev/null || fail "$tool is missing: this works on Debian alone"
    done
    [ -r "$keyring" ] || fail "$keyring is missing"
    release=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    # shellcheck disable=SC2016 # the words in $() are apt's
    mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(ORIGIN) $(REPO_URI)' \
        'Created-By: Packages' | sed -n "s/^$release main Debian //p" | head -n 1)
    [ "$mirror" ] ||
        fail "apt knows no mirror of Debian (is it Debian, and was there an apt-get update?)"
    apt_home=$2
    mkdir -p "$apt_home/state/lists/partial" "$apt_home/cache/archives/partial" "$apt_home/none"
    : >"$apt_home/status"
    echo "deb [signed-by=$keyring] $mirror $1 main" >"$apt_home/sources.list"
    own apt-get update >&2 || fail "no list of the packages in $1 could be had"
}

own() {
    tool=$1
    shift
    "$tool" -qq -o Dir::Etc::sourcelist="$apt_home/sources.list" \
        -o Dir::Etc::sourceparts="$apt_home/none" \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$apt_home/none" \
        -o Dir::State="$apt_home/state" \
        -o Dir::State::status="$apt_home/status" -o Dir::Cache="$apt_home/cache" \
        -o Acquire::Languages=none -o Acquire::http::Timeout=10 -o Acquire::Retries=1 \
        -o APT::Sandbox::User= "$@"
}

# Unpacks the packages that are named into the folder $1.
unpack() {
    into=$1
    shift
    mkdir -p "$into" "$apt_home/debs"
    (cd "$apt_home/debs" && own apt-get download "$@" >&2) || fail "$* could not be had"
    for deb in "$apt_home/debs"/*.deb; do
        dpkg-deb -x "$deb" "$into"
    done
}
