"""Whether a language and a site's templates hold together, asked before any report is built."""

from __future__ import annotations

from pathlib import Path

from sr_templates.codes import code, codes, refusal_code, schemes
from sr_templates.errors import TemplateError
from sr_templates.features import features
from sr_templates.influences import influence_words
from sr_templates.templates import load_templates, table, using
from sr_templates.wording import series_description

_SERIES_LENGTH = 64  # LO (PS3.5 section 6.2)
_SAMPLES = ("clinical_age", "dl_017", "wavelet-LLL_glcm_JointEntropy")


def check_templates(language: str, folder: Path | None) -> None:
    """Let pass templates that every report can be built from.

    Raises:
        TemplateError: There is no such language or folder, or a file in the folder does not fit;
            names file and key.
    """
    with using(load_templates(language, folder)) as templates:
        try:
            codes(templates)
            schemes(templates)
            features()
            code(table("wording.toml")["language"]["code"])
            for reason in table("refusals.toml"):
                refusal_code(reason)
            for name in _SAMPLES:
                influence_words(name)
            _check_series()
        except TemplateError as error:
            raise TemplateError(f"{folder}: {error}" if folder else str(error)) from error


def _check_series() -> None:
    for kind in table("wording.toml")["series"]:
        for simulated in (True, False):
            said = series_description(kind, simulated=simulated)
            if len(said) > _SERIES_LENGTH:
                raise TemplateError(
                    f"wording.toml: [series] {kind}: over {_SERIES_LENGTH} characters: {said}"
                )
