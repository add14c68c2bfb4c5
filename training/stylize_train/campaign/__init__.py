# SPDX-License-Identifier: MPL-2.0
"""Training of a gallery over many sittings and machines: ``stylize-train campaign PLAN.toml``.

A *plan* (``plan.py``) is a file that says all of one generator: its body, styles, losses and
budget. A *run* (``run.py``) goes on from the plan's checkpoint wherever it is started, for one
*sitting* (``sitting.py``) that may be stopped at any time. ``objective.py`` says what a step
learns, ``store.py`` how the checkpoint is kept small, ``report.py`` what can be looked at
meanwhile, ``release.py`` how a model comes of it.
"""
