# SPDX-License-Identifier: MPL-2.0
"""Training of style-transfer generators with instance normalization."""

__version__ = "0.1.0"
