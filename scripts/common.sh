# SPDX-License-Identifier: MPL-2.0
# Sourced by the other scripts: the repository's folders, and downloads from Debian and PyPI.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# version: of plugin and program.
version() {
    sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml"
}

# A python3 that has pip, in "${python[@]}".
find_pip() {
    local candidate
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -m pip --version >/dev/null 2>&1; then
            python=("$candidate")
            return
        fi
    done
    die "pip is missing. Install it (Debian: apt install python3-pip)."
}

# fetch_wheel REQUIREMENT SHA256 FOLDER [PIP OPTION …]: downloads one wheel; the checksum must hold.
fetch_wheel() {
    local requirement=$1 sha256=$2 folder=$3 wheel
    shift 3
    find_pip
    # pip refuses what does not match the hash, before it is written under its final name.
    echo "$requirement --hash=sha256:$sha256" >"$folder/requirements.txt"
    "${python[@]}" -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --require-hashes -r "$folder/requirements.txt" -d "$folder" "$@" ||
        die "$requirement could not be fetched with pip. Is the network up?"
    wheel=("$folder"/*.whl)
    echo "$sha256  ${wheel[0]}" | sha256sum --check --quiet >&2 ||
        die "$requirement has another checksum than the pinned one."
    echo "${wheel[0]}"
}

# install_wheels NAME "REQUIREMENT SHA256 ABI PLATFORM" …: the shared libraries of some wheels into
# .deps/NAME, all or none. The ABI is named so that it does not matter which Python this machine
# has: only libraries are used.
install_wheels() {
    local target=$deps/$1 wheels=("${@:2}") wheel requirement sha256 abi platform
    [ "$(cat "$target/wheels" 2>/dev/null)" = "$(printf '%s\n' "${wheels[@]}")" ] && return
    mkdir -p "$deps"
    local work
    work=$(mktemp -d "$deps/setup.XXXXXX")
    # shellcheck disable=SC2064 # the folder's name is known now
    trap "rm -rf '$work'" EXIT
    mkdir "$work/lib"
    for wheel in "${wheels[@]}"; do
        read -r requirement sha256 abi platform <<<"$wheel"
        echo "setup: fetching $requirement"
        mkdir "$work/wheel"
        wheel=$(fetch_wheel "$requirement" "$sha256" "$work/wheel" --implementation cp \
            --python-version "${abi/#cp3/3.}" --abi "$abi" --abi none --platform "$platform")
        python3 "$root/scripts/unpack_wheel.py" "$wheel" "$work/lib"
        rm -r "$work/wheel"
    done
    printf '%s\n' "${wheels[@]}" >"$work/lib/wheels"
    # Whole or not at all; a library that is in use stays open under its old name.
    rm -rf "$target.old"
    if [ -e "$target" ]; then mv "$target" "$target.old"; fi
    mv "$work/lib" "$target"
    rm -rf "$target.old" "$work"
}

# as_root COMMAND …
as_root() {
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "this needs root, and there is no sudo: $*"
        sudo=(sudo)
    fi
    "${sudo[@]}" "$@"
}

# apt_root WORD …: apt-get as root.
apt_root() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "$@"
}

# apt_install PACKAGE …: installs those that are missing.
apt_install() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    echo "setup: installing ${missing[*]}"
    apt_root update -qq
    apt_root install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
