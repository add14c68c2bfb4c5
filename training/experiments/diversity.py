# SPDX-License-Identifier: MPL-2.0
"""Different noise, different pictures of one photo: ``python -m experiments.diversity``.

Ulyanov, Vedaldi and Lempitsky (arXiv:1701.02096): without the diversity term a generator
learns to ignore its noise.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor

from stylize_train.render import write_image
from stylize_train.sheet import contact_sheet

from .common import Study, Trained, Variant, arguments, main
from .results import Cell


def experiment(study: Study) -> None:
    """One cell for each painting, generator and weight of the term; a sheet for each painting."""
    for painting in study.paintings:
        for label in study.args.generators:
            for weight in study.args.weights:
                variant = Variant.parse(f"{label}-noise")
                study.results.cell(
                    f"{label}/{weight:g}/{painting.stem}",
                    study.training_settings() | study.settings("draws"),
                    lambda v=variant, w=weight, p=painting: spread(study, v, w, p),
                )


def spread(study: Study, variant: Variant, weight: float, painting: Path) -> Cell:
    """Held-out losses and how far apart the pictures of one photo are."""
    trained = study.train(variant, painting, diversity=weight)
    distances = [
        mean_distance(draws(trained, photo, study.args.draws)) for photo in study.photos.values()
    ]
    name, photo = next(iter(study.photos.items()))
    pictures = draws(trained, photo, study.args.draws)
    sheet = study.results.path.parent / f"diversity-{variant.label}-{weight:g}-{painting.stem}.jpg"
    headings = [f"{name}, weight {weight:g}", *(f"noise {i}" for i in range(len(pictures)))]
    write_image(sheet, contact_sheet([[photo.float().div(255), *pictures]], headings, 192))
    return {
        "held_out": study.held_out(trained, painting),
        "distance": sum(distances) / len(distances),
        "sheet": sheet.name,
    }


@torch.no_grad()
def draws(trained: Trained, photo: Tensor, count: int) -> list[Tensor]:
    """``count`` outputs [3, H, W] for one photo, uint8 [3, H, W], with noise of seeds 0, 1, ..."""
    generator = trained.generator.cpu().eval()
    image = photo[None].float().div(255)
    noise = [
        generator.draw_noise(image, torch.Generator().manual_seed(seed)) for seed in range(count)
    ]
    return [generator(image, drawn)[0] for drawn in noise]


def mean_distance(pictures: list[Tensor]) -> float:
    """Mean absolute difference over all pairs, in grey levels."""
    pairs = list(itertools.combinations(pictures, 2))
    return 255 * sum((a - b).abs().mean().item() for a, b in pairs) / len(pairs)


if __name__ == "__main__":
    parser = arguments("diversity", __doc__.splitlines()[0])
    parser.add_argument("--generators", nargs="+", default=["pyramid", "residual-16"])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--draws", type=int, default=6, help="pictures of each photo")
    main(experiment, parser)
