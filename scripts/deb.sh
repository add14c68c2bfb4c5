#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Makes target/debian/stylize_*.deb: plugin, program, ONNX Runtime, models. Runs on what it is made on and all that is
# newer, so packages that are given to others are made on Debian 12.
set -euo pipefail
source "$(dirname "$0")/common.sh"
cd "$root"

cargo_deb=3.8.0
grep -qx 'VERSION_ID="12"' /etc/os-release && grep -qx 'ID=debian' /etc/os-release ||
    echo "deb: this is not Debian 12; the package will need libraries as new as this machine's." >&2
apt_install dpkg-dev
export PATH=$deps/tools/bin:$PATH
[ "$(cargo-deb --version 2>/dev/null)" = "cargo-deb $cargo_deb" ] ||
    cargo install --quiet --locked --force --root "$deps/tools" cargo-deb@"$cargo_deb"

scripts/stage.sh
stage=$root/target/stage
lib=$stage/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
mkdir -p "$lib/gstreamer-1.0" "$lib/stylize"
cp target/dist/libgststylize.so "$lib/gstreamer-1.0/"
cp -a "$deps/onnxruntime" "$lib/stylize/onnxruntime"
rm "$lib/stylize/onnxruntime/wheels"
mv "$lib"/stylize/onnxruntime/*LICENSE "$lib"/stylize/onnxruntime/*.txt "$stage/doc/"
cp CHANGELOG.md "$stage/doc/CHANGELOG.md"
gzip -9n "$stage"/doc/*LICENSE "$stage"/doc/*Notices.txt "$stage/doc/CHANGELOG.md"

version=$(version)
cat >"$stage/doc/changelog" <<END
stylize ($version-1) stable; urgency=medium

  * Version $version; CHANGELOG.md.gz says what has changed.

 -- The gst-plugin-stylize developers <gst-plugin-stylize@users.noreply.github.com>  $(git log -1 --format=%cD 2>/dev/null || date -R)
END

rm -f target/debian/stylize_*.deb
# xz as the system has it, which is quicker than the one in cargo-deb.
# Quietly: it warns of each library that is nobody's but ours.
cargo deb --quiet --compress-system --no-build --locked --profile dist -p stylize-cli
ls -l target/debian/stylize_*.deb
! command -v lintian >/dev/null || lintian --fail-on error --suppress-tags bad-distribution-in-changes-file target/debian/stylize_*.deb
