"""Features of a model in words, by the dictionary influences.toml."""

from __future__ import annotations

from sr_templates.errors import TemplateError
from sr_templates.templates import table


def influence_words(name: str) -> str:
    """Say what a feature is: `wavelet-LLL_glcm_JointEntropy` is texture.

    Args:
        name: As in a bundle: `clinical_...`, `dl_017`, or radiomics `<image>_<class>_<feature>`;
            any other name is returned as it is.

    Raises:
        TemplateError: If a sentence of the dictionary asks for a blank that nobody fills.
    """
    words = table("influences.toml")
    try:
        if name in words["clinical"]:
            return str(words["clinical"][name])
        family, _, rest = name.partition("_")
        if family == "dl" and rest.isdigit():
            return str(words["form"]["deep"]).format(number=int(rest))
        kind, _, feature = rest.partition("_")
        if kind not in words["class"]:
            return name
        known = words["feature"]
        said = str(words["form"]["radiomics"]).format(
            kind=words["class"][kind],
            feature=known.get(f"{kind}_{feature}", known.get(feature, feature)),
            matrix=words["matrix"].get(kind, ""),
        )
        if family in words["image"]:
            said += str(words["form"]["filtered"]).format(image=words["image"][family])
    except (KeyError, ValueError, IndexError) as error:
        raise TemplateError(f"influences.toml: {name}: {error}") from error
    return said
