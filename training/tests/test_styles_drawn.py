# SPDX-License-Identifier: MPL-2.0
"""The drawn styles: the same for a seed, of one size, contrasty and colourful all over."""

import numpy as np
import pytest
from numpy.typing import NDArray

import styles
from styles import canvas

LUMA = np.array([0.299, 0.587, 0.114])
TILES = (4, 5)
"""Rows and columns of the tiles, 256 pixels across, that must each be drawn on."""


@pytest.fixture(scope="module", params=sorted(styles.STYLES))
def picture(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    drawn = styles.draw(request.param)
    assert drawn.mode == "RGB" and drawn.size == (canvas.WIDTH, canvas.HEIGHT)
    return np.asarray(drawn) / 255


def tiles(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = TILES
    cut = luma.reshape(rows, canvas.HEIGHT // rows, columns, canvas.WIDTH // columns)
    return cut.swapaxes(1, 2).reshape(rows * columns, -1)


def test_light_and_dark(picture: NDArray[np.float64]) -> None:
    luma = picture @ LUMA
    assert 0.25 < luma.mean() < 0.6
    assert luma.std() > 0.22
    dark, light = np.quantile(luma, (0.05, 0.95))
    assert dark < 0.15 and light > 0.65


def test_every_part_is_drawn_on(picture: NDArray[np.float64]) -> None:
    parts = tiles(picture @ LUMA)
    assert parts.std(1).min() > 0.14
    # No gradient across the whole picture: parts differ less than what is within each.
    assert parts.mean(1).std() < 0.5 * parts.std(1).mean()


@pytest.mark.parametrize("picture", sorted(set(styles.STYLES) - {"ink-wash"}), indirect=True)
def test_many_colours(picture: NDArray[np.float64]) -> None:
    chroma = picture.max(2) - picture.min(2)
    assert chroma.mean() > 0.12
    vivid = picture[chroma > 0.2]
    assert len(vivid) > 0.2 * chroma.size
    strongest = np.bincount(vivid.argmax(1), minlength=3) / len(vivid)
    assert strongest.max() < 0.9, "all of one hue"


@pytest.mark.parametrize("picture", ["ink-wash"], indirect=True)
def test_ink_is_grey_but_for_the_seals(picture: NDArray[np.float64]) -> None:
    chroma = picture.max(2) - picture.min(2)
    assert np.median(chroma) < 0.1
    vivid = picture[chroma > 0.4]
    assert 0.003 < len(vivid) / chroma.size < 0.03
    assert (vivid.argmax(1) == 0).all(), "vermilion alone"


def test_structure_at_all_scales(picture: NDArray[np.float64]) -> None:
    """Each octave from 2 to 64 pixels has its share of the variance of luma."""
    luma, energy = picture @ LUMA, []
    for _ in range(6):
        rows, columns = luma.shape
        half = luma.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
        energy.append(luma.var() - half.var())
        luma = half
    shares = np.array(energy) / sum(energy)
    assert shares.min() > 0.01
    assert shares[3:].sum() > 0.4, "nothing bold"


@pytest.mark.parametrize("name", ["mosaic", "woodcut"])
def test_a_seed_is_a_picture(name: str) -> None:
    first, again, other = styles.draw(name, 7), styles.draw(name, 7), styles.draw(name, 8)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_cells_are_the_nearest_points() -> None:
    random = np.random.default_rng(0)
    points = canvas.scatter(random, 200, 100)
    x, y = (field[::64, ::64] for field in canvas.grid())
    away = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    nearest = np.sort(away, axis=-1)
    owner, border = canvas.cells(points, *canvas.grid(), 300)
    assert (owner[::64, ::64] == away.argmin(-1)).all()
    expected = (nearest[..., 1] - nearest[..., 0]) / 2
    np.testing.assert_allclose(border[::64, ::64], expected, atol=1e-2)
