#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Builds GLib, GStreamer and some of its plugins of this Debian or Ubuntu with ThreadSanitizer: tsan-gstreamer.sh FOLDER
# (a quarter of an hour). For programs whose compiler brings the runtime of ThreadSanitizer; scripts/tsan.sh uses it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

prefix=$(realpath -m "${1:?a folder}")
apt_install meson ninja-build flex bison dpkg-dev libpcre2-dev libffi-dev libmount-dev zlib1g-dev liborc-0.4-dev
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

(cd "$work" && apt-get source -qq glib2.0 gstreamer1.0 gst-plugins-base1.0 >/dev/null) ||
    die "the sources of GLib and GStreamer cannot be fetched. Add deb-src to the sources of apt, and run apt-get update."

export CFLAGS="-g1 -O1 -fno-omit-frame-pointer" LD_LIBRARY_PATH=$prefix/lib PKG_CONFIG_PATH=$prefix/lib/pkgconfig
# build SOURCE OPTION …
build() {
    echo "tsan-gstreamer: building $1" >&2
    meson setup "$work/build-$1" "$work/$1"-*/ --prefix "$prefix" --libdir lib --buildtype plain -Db_sanitize=thread \
        -Db_lundef=false "${@:2}" >/dev/null
    nice -n 10 ninja -C "$work/build-$1" install >/dev/null
}
build glib2.0 -Dtests=false -Dselinux=disabled -Dnls=disabled
build gstreamer1.0 -Dauto_features=disabled -Dcheck=enabled -Dtools=enabled
build gst-plugins-base1.0 -Dauto_features=disabled -D{app,audioconvert,audiotestsrc,compositor,orc,playback}=enabled \
    -D{rawparse,typefind,videoconvertscale,videorate,videotestsrc}=enabled

# The libraries ask for gcc's runtime. The test programs contain Rust's, which has the same functions: an empty library
# takes the place of gcc's.
gcc -shared -Wl,-soname,libtsan.so.2 -o "$prefix/lib/libtsan.so.2" -x c /dev/null
