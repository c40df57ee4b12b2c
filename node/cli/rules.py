"""`crdl rules test|fields`: which routing rule fires for files, and why; nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.config import load_settings
from node.errors import ConfigurationError

if TYPE_CHECKING:
    from node.pipeline.assess import Pipeline
    from node.route.decide import RuleVerdict
    from node.route.fields import Moment

app = typer.Typer(help="Routing rules: try them on files, see what they may ask for.")


@app.command("test")
def try_(
    files: Annotated[list[Path], typer.Argument(help="A SEG and its images, or folders of them.")],
    rules: Annotated[
        Path | None, typer.Option(help="File of rules; without it that of [rules] file.")
    ] = None,
    sender: Annotated[
        str, typer.Option("--from", help="AE title that sent them, or AE@ADDRESS.")
    ] = "UNKNOWN",
    assess: Annotated[
        bool, typer.Option("--assess", help="Run the model too, for rules about results.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say of every rule whether it fires for these files, and why or why not."""
    from node.route.load import load_rules  # noqa: PLC0415
    from node.service.offline import read_instances  # noqa: PLC0415 - torch on demand
    from node.service.routing import check_bundles, rulebook, try_files  # noqa: PLC0415

    settings = load_settings(config)
    if rules is None and settings.rules.file is None:
        raise ConfigurationError("there are no rules: set [rules] file, or give --rules FILE")
    names = [destination.name for destination in settings.destination]
    book = rulebook(settings) if rules is None else load_rules(rules, names)
    check_bundles(book, rules or settings.rules.file)

    def load(bundle: str) -> Pipeline:
        from node.pipeline.assess import Pipeline  # noqa: PLC0415

        chosen = bundle or settings.model.bundle
        return Pipeline.load(settings.model.model_copy(update={"bundle": chosen}))

    told = try_files(
        read_instances(files),
        settings,
        book,
        sender if "@" in sender else f"{sender}@",
        load if assess else None,
    )
    if as_json:
        print_json([one.to_json() for one in told])
        return
    for one in told:
        print(f"{one.seg}")
        _print("before the assessment", one.before, "before")
        _print("after it", one.after, "after")


@app.command("fields")
def fields_(as_json: JsonOption = False) -> None:
    """List what a rule may ask for in `when`."""
    from node.route.fields import fields  # noqa: PLC0415

    columns = ("name", "known", "kind", "meaning")
    rows = [{key: getattr(field, key) for key in columns} for field in fields().values()]
    print_rows(rows, columns, as_json=as_json)


def _print(head: str, verdicts: tuple[RuleVerdict, ...], moment: Moment) -> None:
    print(f"  {head}:")
    if not any(one.fires for one in verdicts):
        print("    no rule fires: everything as configured")
    for one in verdicts:
        mark = "fires" if one.fires else "     "
        print(f"    {mark}  line {one.rule.line}, {one.rule.name!r}: {one.why}")
        if one.fires:
            for name, value in one.rule.action.told(moment).items():
                shown = ", ".join(value) or "none" if isinstance(value, list) else value
                print(f"           {name} = {shown}")
