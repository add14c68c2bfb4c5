# SPDX-License-Identifier: MPL-2.0
"""``python -m gst_plugin_stylize --path``: the folder for ``GST_PLUGIN_PATH``."""

import argparse

from . import PATH

parser = argparse.ArgumentParser(prog="python -m gst_plugin_stylize", description="Where the GStreamer plugin lies")
parser.add_argument("--path", action="store_true", required=True, help="print the folder for GST_PLUGIN_PATH")
parser.parse_args()
print(PATH)
