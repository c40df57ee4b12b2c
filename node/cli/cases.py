"""`crdl cases list|assign`: what waits for an image, and a person's answer."""

from __future__ import annotations

from typing import Annotated

import typer

from node.audit import schema
from node.case import FrameReference
from node.cli.jobs import COLUMNS, desk
from node.cli.output import ConfigOption, JsonOption, print_rows
from node.config import load_settings
from node.database import open_engine
from node.jobs import admin

app = typer.Typer(help="Cases that wait for an image, or for a person to name it.")


@app.command("list")
def list_(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the SEGs that are held or wait for an image."""
    database = open_engine(load_settings(config).database_url)
    schema.upgrade(database)
    print_rows(admin.held_cases(database), COLUMNS, as_json=as_json)


@app.command()
def assign(
    seg: Annotated[str, typer.Argument(help="SOP Instance UID of the SEG.")],
    image: Annotated[str, typer.Argument(help="SOP Instance UID of the image it belongs to.")],
    frame: Annotated[int, typer.Option(min=1, help="Frame number, from 1.")] = 1,
    config: ConfigOption = None,
) -> None:
    """Say which image a SEG without source references was drawn on."""
    with desk(config) as the_desk:
        the_desk.assign(seg, FrameReference(image, frame))
    print(f"SEG {seg} belongs to frame {frame} of {image}")
