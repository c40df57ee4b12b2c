"""The rooms of the extractor one by one, and its public face."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import pywt
import scipy.ndimage
from radiomics import cShape

import models.features.radiomics as public
from models.features.radiomics import (
    FULL_851,
    WELL_POSED_479,
    EmptyMaskError,
    Outcome,
    RadiomicsSettings,
    extract,
    extract_many,
)
from models.features.radiomics.derive_mesh import derive
from models.features.radiomics.discretise import bin_edges, grey_levels
from models.features.radiomics.firstorder import pairwise_sum, quantiles
from models.features.radiomics.hull import diameters
from models.features.radiomics.jit import KERNELS
from models.features.radiomics.mesh import TABLE
from models.features.radiomics.neighbours import count_neighbours
from models.features.radiomics.wavelet import (
    HIGH,
    LOW,
    PLANE_BANDS,
    across_slice,
    band_values,
    tap_order,
    window,
)
from models.features.radiomics.zones import count_zones

Lesion = tuple[np.ndarray, np.ndarray, tuple[float, float]]

ROOT = Path(public.__file__).parents[3]


@pytest.fixture
def a_lesion() -> Lesion:
    y, x = np.indices((40, 44))
    image = np.random.default_rng(3).integers(0, 200, (40, 44)).astype(np.uint8)
    return image, (y - 20) ** 2 + 0.7 * (x - 21) ** 2 < 190, (0.2, 0.25)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 5), (4, 3), (6, 9), (17, 20), (32, 31)])
def test_the_wavelet_equals_pywavelets_to_the_last_bit_at_the_borders_too(
    rows: int, columns: int
) -> None:
    image = np.random.default_rng(rows * columns).normal(90, 50, (rows, columns))
    padded = np.pad(image[None], [(0, 1), (0, rows % 2), (0, columns % 2)], "wrap")
    (expected,) = pywt.swtn(padded, "coif1", level=1, start_level=0, axes=(2, 1, 0))
    block = image[window(0, rows, rows)[:, None], window(0, columns, columns)]
    x_order = np.ascontiguousarray(tap_order(columns + columns % 2)[:columns])
    y_order = np.ascontiguousarray(tap_order(rows + rows % 2)[:rows])
    inside = np.random.default_rng(1).random((rows, columns)) < 0.7
    planes = band_values(block, inside, x_order, y_order, LOW, HIGH)
    for name, plane in zip(PLANE_BANDS, planes, strict=True):
        for letter, taps in (("a", LOW), ("d", HIGH)):
            key = name.replace("L", "a").replace("H", "d") + letter
            found = across_slice(plane, taps)
            assert np.array_equal(found, expected[key][0, :rows, :columns][inside])


def test_the_mesh_table_is_what_pyradiomics_shows() -> None:
    assert derive() == json.loads(TABLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("seed", range(12))
def test_the_diameters_equal_those_over_every_pair_of_vertices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((16, 19), bool)
    mask[1:-1, 1:-1] = rng.random((14, 17)) < rng.choice([0.05, 0.3, 0.9])
    spacing = tuple(rng.uniform(0.1, 3.0, 3))
    volume = np.zeros((3, *mask.shape), bool)
    volume[1] = mask
    expected = cShape.calculate_coefficients(volume, np.array(spacing))[2]
    assert diameters(mask, spacing) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("bin_width", [25.0, 3.3, 0.1])
def test_grey_levels_are_those_between_the_edges(bin_width: float) -> None:
    rng = np.random.default_rng(5)
    mask = rng.random((30, 40)) < 0.6
    values = rng.normal(90, 4 * bin_width, int(mask.sum()))
    edges = bin_edges(float(values.min()), float(values.max()), bin_width)
    # pixels on an edge and next to it
    values[: edges.size - 1] = edges[:-1].clip(values.min())
    values[100 : 98 + edges.size] = np.nextafter(edges[1:-1], -np.inf)
    levels, highest = grey_levels(values, mask, edges)
    expected = np.zeros((32, 42), np.int64)
    expected[1:-1, 1:-1][mask] = np.digitize(values, edges)
    assert np.array_equal(levels, expected)
    assert highest == expected.max()


@pytest.mark.parametrize("n_levels", [1, 2, 5, 40])
def test_zones_are_the_8_connected_regions_of_a_level(n_levels: int) -> None:
    rng = np.random.default_rng(n_levels)
    levels = np.zeros((42, 52), np.int16)
    levels[1:-1, 1:-1] = rng.integers(1, n_levels + 1, (40, 50)) * (rng.random((40, 50)) < 0.9)
    expected: Counter[tuple[int, int]] = Counter()
    for level in range(1, n_levels + 1):
        labels, _ = scipy.ndimage.label(levels == level, np.ones((3, 3)))
        expected.update((level, int(size)) for size in np.bincount(labels.ravel())[1:])
    found = np.stack(count_zones(levels), axis=1).tolist()
    assert {(level, size): count for level, size, count in found} == expected


def test_runs_and_pairs_are_those_counted_one_by_one() -> None:
    rng = np.random.default_rng(8)
    levels = np.zeros((22, 27), np.int16)
    levels[1:-1, 1:-1] = rng.integers(1, 4, (20, 25)) * (rng.random((20, 25)) < 0.8)
    pairs, runs, dependences, pixels, _ = count_neighbours(levels, 3)
    expected = np.zeros_like(runs)
    for direction, (dy, dx) in enumerate([(0, 1), (1, 0), (1, 1), (1, -1)]):
        for y, x in np.argwhere(levels):
            g = levels[y, x]
            if levels[y - dy, x - dx] == g:
                continue
            length = 1
            while levels[y + length * dy, x + length * dx] == g:
                length += 1
            expected[direction, g - 1, length - 1] += 1
        assert pairs[direction].sum() == np.count_nonzero(levels)
    assert np.array_equal(runs, expected)
    assert np.array_equal(pixels, np.bincount(levels.ravel(), minlength=4)[1:])
    assert np.array_equal(dependences.sum(axis=1), pixels)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 127, 128, 129, 1000, 70001])
def test_a_sum_rounds_as_numpys_does(n: int) -> None:
    values = np.random.default_rng(n).normal(0, 1e3, n)
    assert pairwise_sum(values) == np.add.reduce(values)


@pytest.mark.parametrize("n", [2, 3, 10, 11, 999])
@pytest.mark.parametrize("decimals", [-2, 0, 12])
def test_quantiles_are_numpys(n: int, decimals: int) -> None:
    values = np.random.default_rng(n).normal(100, 80, n).round(decimals)
    expected = np.percentile(values, [0, 10, 25, 50, 75, 90, 100])
    assert quantiles(values) == pytest.approx(expected, rel=1e-14)


def test_there_are_851_names_of_which_479_are_well_posed() -> None:
    assert len(set(FULL_851)) == len(FULL_851) == 851
    assert len(WELL_POSED_479) == 479
    assert not any(n.split("_")[0].endswith("H") for n in WELL_POSED_479 if n.startswith("wav"))


def test_the_well_posed_values_do_not_depend_on_the_set_asked_for(a_lesion: Lesion) -> None:
    full = extract(*a_lesion, RadiomicsSettings(feature_set="full851"))
    assert tuple(full) == FULL_851
    assert extract(*a_lesion) == {name: full[name] for name in WELL_POSED_479}


def test_two_threads_give_the_values_of_one(a_lesion: Lesion) -> None:
    assert extract(*a_lesion, threads=2) == extract(*a_lesion)


def test_the_pyradiomics_engine_gives_the_same_values(a_lesion: Lesion) -> None:
    fused = extract(*a_lesion)
    other = extract(*a_lesion, RadiomicsSettings(engine="pyradiomics"))
    assert tuple(other) == tuple(fused)
    assert other == pytest.approx(fused, rel=1e-6)


def test_many_lesions_come_back_in_order_and_a_refusal_stops_none(a_lesion: Lesion) -> None:
    image, mask, spacing = a_lesion
    seen: list[Outcome] = []

    def a_progress_bar(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        for outcome in outcomes:
            seen.append(outcome)
            yield outcome

    items = [(image, mask, spacing), (image, mask & False, spacing), (image + 1, mask, spacing)]
    first, refused, last = extract_many(items, jobs=2, progress=a_progress_bar)
    assert first == extract(image, mask, spacing)
    assert isinstance(refused, EmptyMaskError)
    assert last == extract(image + 1, mask, spacing)
    assert len(seen) == 3


def test_settings_survive_json_and_keep_their_hash() -> None:
    settings = RadiomicsSettings(bin_width=12.5, feature_set="full851")
    again = RadiomicsSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert again.sha256 == settings.sha256
    assert settings.sha256 != RadiomicsSettings().sha256
    assert RadiomicsSettings(bin_width=25).sha256 == RadiomicsSettings().sha256


def test_the_hash_of_the_default_settings_is_pinned() -> None:
    # it stands in bundles and reports: a change here means old tables no longer match
    assert RadiomicsSettings().sha256 == (
        "c0fb31e577dc2f3991410999099cc061fa20c3c8312776fbd7f9544017c142b9"
    )


def test_the_warm_up_compiles_every_kernel_for_production_and_extract_adds_none(
    a_lesion: Lesion,
) -> None:
    public.compile_kernels()
    compiled = {kernel.py_func.__name__: list(kernel.signatures) for kernel in KERNELS}
    # part of the kernels that call them, and never called from outside
    inner = {"extremes", "order_statistics", "pairwise_sum", "sparse"}
    assert all(len(signatures) >= 1 for name, signatures in compiled.items() if name not in inner)
    extract(*a_lesion, RadiomicsSettings(feature_set="full851"))
    assert {k.py_func.__name__: list(k.signatures) for k in KERNELS} == compiled


def test_importing_the_extractor_imports_neither_simpleitk_nor_torch() -> None:
    code = "import sys, models.features.radiomics; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert not {"SimpleITK", "radiomics", "torch"} & set(out.stdout.split())


def test_the_compiled_kernels_go_where_numba_cache_dir_says(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from models.features.radiomics.shape import moments;"
        "moments(np.ones((3, 3), bool))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.rglob("shape.moments*.nbc"))
