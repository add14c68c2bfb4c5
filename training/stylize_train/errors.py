# SPDX-License-Identifier: MPL-2.0
"""The one exception that is meant for the user."""


class UserError(Exception):
    """Something the user can set right; its text is one sentence, shown without a traceback."""
