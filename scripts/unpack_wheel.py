# SPDX-License-Identifier: MPL-2.0
"""Takes the shared libraries and licences out of a wheel: unpack_wheel.py WHEEL FOLDER."""

import hashlib
import os
import sys
import zipfile

wheel, target = sys.argv[1:]
package = os.path.basename(wheel).split("-")[0]
seen = {}
with zipfile.ZipFile(wheel) as archive:
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        name = os.path.basename(info.filename)
        if name.upper().startswith(("LICENSE", "THIRDPARTYNOTICES")):
            name = f"{package}-{name}"
        # Modules of Python's own carry its ABI in their names.
        elif ".so" not in name or "pybind11" in name or ".cpython-" in name:
            continue
        data = archive.read(info)
        path = os.path.join(target, name)
        # A wheel cannot hold links, so it has the same library under up to three names.
        twin = seen.setdefault(hashlib.sha256(data).digest(), name)
        if os.path.exists(path):
            continue
        if twin != name:
            os.symlink(twin, path)
        else:
            with open(path, "wb") as file:
                file.write(data)
