# SPDX-License-Identifier: MPL-2.0
"""Stylizes a long video on a Ray cluster."""
