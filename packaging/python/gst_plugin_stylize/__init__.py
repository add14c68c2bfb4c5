# SPDX-License-Identifier: MPL-2.0
"""The GStreamer plugin stylize in a Python package.

It has to be on ``GST_PLUGIN_PATH`` before GStreamer is initialized::

    import gst_plugin_stylize

    gst_plugin_stylize.register()
    Gst.init(None)
"""

import os
from pathlib import Path

PATH = Path(__file__).parent / "gstreamer-1.0"


def register():
    """Puts the plugin's folder in front of ``GST_PLUGIN_PATH``, for this process and those it starts."""
    folders = os.environ.get("GST_PLUGIN_PATH", "").split(os.pathsep)
    if str(PATH) not in folders:
        os.environ["GST_PLUGIN_PATH"] = os.pathsep.join([str(PATH), *filter(None, folders)])
