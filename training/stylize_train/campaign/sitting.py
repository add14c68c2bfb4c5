# SPDX-License-Identifier: MPL-2.0
"""One sitting of a campaign: steps, and now and then a checkpoint, a line and a sheet."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from ..checkpoint import write_checkpoint
from .report import note, write_sheet
from .run import Campaign


def train(
    campaign: Campaign,
    checkpoint: Path,
    curve: Path,
    every: float,
    minutes: float | None = None,
    sheet: Path | None = None,
) -> None:
    """Train until the budget is spent, ``minutes`` are over or somebody interrupts.

    Args:
        campaign: the run.
        checkpoint: is replaced every ``every`` seconds and at the end.
        curve: gets a line of JSON with each checkpoint.
        every: seconds between checkpoints.
        minutes: how long; None: until the budget is spent.
        sheet: a picture sheet that is replaced with each checkpoint.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # A service manager's way to stop it.
    began = saved = time.monotonic()
    first = last = campaign.step
    while not campaign.done:
        try:
            campaign.train_step()
            over = minutes is not None and time.monotonic() - began > 60 * minutes
            interrupted = False
        except KeyboardInterrupt:
            over = interrupted = True
        if over or campaign.done or time.monotonic() - saved > every:
            now = time.monotonic()
            rate = (campaign.step - last) * campaign.plan.batch / max(now - saved, 1e-9)
            write_checkpoint(checkpoint, campaign.state())
            note(campaign, curve, rate)
            if sheet is not None:
                write_sheet(campaign, sheet)
            saved, last = time.monotonic(), campaign.step
        if over:
            print(f"{checkpoint}: step {campaign.step}, {campaign.step - first} of them now")
            if interrupted:
                raise KeyboardInterrupt
            return
