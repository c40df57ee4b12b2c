"""One other radiomics package, timed in its own interpreter: `python rival.py fastrad case.npz`.

Stands alone, so that the package may live in an environment of its own: NumPy and the rival are
all it imports. It answers every line on standard input with one timed run as a line of JSON, and
its first line says `ready`. No rival has the wavelet of pyradiomics: all are given the nine
images ready made, which is left out of their time.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

Features = dict[str, float]
Case = dict[str, np.ndarray]
TEXTURES = ["firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]


def fastrad_on(case: Case) -> Callable[[], Features]:
    """All classes of fastrad on every image, shape once; CPU, float64, bin width as given."""
    import fastrad  # type: ignore[import-not-found]  # noqa: PLC0415  each rival is only in its own environment
    import torch  # noqa: PLC0415  same

    spacing = tuple(float(s) for s in case["spacing"])
    mask = fastrad.Mask(torch.tensor(case["mask"][None]).double(), spacing)
    images = {
        str(name): fastrad.MedicalImage(torch.tensor(image[None]).double(), spacing)
        for name, image in zip(case["names"], case["images"], strict=True)
    }
    bin_width = float(case["bin_width"])

    def run() -> Features:
        found: Features = {}
        for name, image in images.items():
            classes = TEXTURES + (["shape"] if name == "original" else [])
            settings = fastrad.FeatureSettings(
                feature_classes=classes, bin_width=bin_width, device="cpu"
            )
            values = fastrad.FeatureExtractor(settings).extract(image, mask)
            found |= {f"{name}_{feature}": float(value) for feature, value in values.items()}
        return found

    return run


def nyxus_on(case: Case) -> Callable[[], Features]:
    """Nyxus' 2D groups nearest to pyradiomics' classes, on every image, two threads at most."""
    from nyxus import Nyxus  # type: ignore[import-not-found]  # noqa: PLC0415  each rival is only in its own environment

    groups = ["*ALL_INTENSITY*", "*ALL_GLCM*", "*ALL_GLRLM*", "*ALL_GLSZM*", "*ALL_GLDM*"]
    extractor = Nyxus([*groups, "*ALL_NGTDM*"])
    labels = np.repeat(case["mask"][None].astype(np.uint32), len(case["images"]), axis=0)
    # Nyxus takes whole numbers from 0 and bins by count: its values are not pyradiomics'
    images = np.stack([np.round(i - i.min()) + 1 for i in case["images"]]).astype(np.uint32)

    def run() -> Features:
        table = extractor.featurize(images, labels)
        numbers = table.select_dtypes("number")
        return {f"{row}_{n}": float(v) for n in numbers for row, v in enumerate(numbers[n])}

    return run


def pictologics_on(case: Case) -> Callable[[], Features]:
    """Pictologics' families nearest to pyradiomics' classes on every image, morphology once.

    Moran's I and Geary's C, which compare every pair of pixels, and the local intensity peaks are
    left out: pyradiomics has neither. It takes as many threads as the machine has cores.
    """
    import pictologics  # type: ignore[import-not-found]  # noqa: PLC0415  each rival is only in its own environment

    spacing = tuple(float(s) for s in case["spacing"][::-1])
    bin_width = float(case["bin_width"])

    def volume(plane: np.ndarray) -> object:
        """Pictologics lays its arrays out as x, y, z."""
        voxels = np.ascontiguousarray(plane.T[..., None])
        return pictologics.Image(array=voxels, spacing=spacing, origin=(0.0, 0.0, 0.0))

    pipeline = pictologics.RadiomicsPipeline(deduplicate=False, load_standard=False)
    images = {str(n): i for n, i in zip(case["names"], case["images"], strict=True)}
    for name, image in images.items():
        lowest = float(image[case["mask"]].min())
        families = ["intensity", "histogram", "glcm", "glrlm", "glszm", "ngldm", "ngtdm"]
        options = {
            "families": families + (["morphology"] if name == "original" else []),
            "include_spatial_intensity": False,
            "include_local_intensity": False,
        }
        bins = {"method": "FBS", "bin_width": bin_width, "min_val": lowest - lowest % bin_width}
        pipeline.add_config(
            name,
            [
                {"step": "discretise", "params": bins},
                {"step": "extract_features", "params": options},
            ],
        )
    mask = volume(case["mask"].astype(np.uint8))
    volumes = {name: volume(image) for name, image in images.items()}

    def run() -> Features:
        found: Features = {}
        for name, image in volumes.items():
            values = pipeline.run(image, mask, config_names=[name])[name]
            found |= {f"{name}_{feature}": float(value) for feature, value in values.items()}
        return found

    return run


RIVALS = {"fastrad": fastrad_on, "nyxus": nyxus_on, "pictologics": pictologics_on}


def main() -> None:
    """Answer each line of standard input with one timed run."""
    rival, path = sys.argv[1:]
    with np.load(path) as case:
        run = RIVALS[rival](dict(case))
    run()
    # the package may print on its own: only lines that begin with @ are ours
    sys.stdout.write("@ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        features = run()
        answer = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "features": features,
        }
        sys.stdout.write("@" + json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
