"""One sentence of wording.toml, and how numbers stand in it."""

from __future__ import annotations

from sr_templates.errors import TemplateError
from sr_templates.templates import table


def say(section: str, sentence: str, **blanks: str) -> str:
    """Return one sentence of wording.toml with its blanks filled in.

    Raises:
        TemplateError: If there is no such sentence, or it asks for a blank that nobody fills.
    """
    try:
        template: str = table("wording.toml")[section][sentence]
        return template.format(**blanks)
    except (KeyError, ValueError, IndexError) as error:
        raise TemplateError(f"wording.toml: [{section}] {sentence}: {error}") from error


def percent(share: float) -> str:
    """Print a share of 0..1 in percent with one decimal, as every sentence does."""
    return f"{100 * share:.1f}"


def closed(sentence: str) -> str:
    """Return a sentence with its full stop; "" stays empty."""
    return sentence if not sentence or sentence.endswith((".", "。")) else f"{sentence}."
