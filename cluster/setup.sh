#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Makes cluster/.venv with this package (editable) and its tests' tools.
# Does nothing, and needs no network, when pyproject.toml has not changed since.
set -eu
cd "$(dirname "$0")"

venv=.venv
stamp=$venv/installed.sha256
wanted=$(sha256sum pyproject.toml)
if [ -x $venv/bin/stylize-ray ] && [ "$(cat $stamp 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "setup.sh: Python 3.11 or newer is needed, python3 is $(python3 --version 2>&1)." >&2
    exit 1
fi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
    echo "setup.sh: Python's venv module is missing (Debian: apt install python3-venv)." >&2
    exit 1
fi
[ -x $venv/bin/pip ] || python3 -m venv $venv
$venv/bin/pip install --quiet --disable-pip-version-check --editable '.[dev]' "$@"
echo "$wanted" >$stamp
