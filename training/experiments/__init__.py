# SPDX-License-Identifier: MPL-2.0
"""Experiments behind ``docs/papers.md``; run them as ``python -m experiments.NAME``."""
