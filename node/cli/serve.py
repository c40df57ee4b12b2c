"""`crdl serve`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from node.cli.output import ConfigOption
from node.config import load_settings


class Role(StrEnum):
    """What a process does; `all` starts one process for each."""

    ALL = "all"
    RECEIVE = "receive"
    WORK = "work"
    DELIVER = "deliver"
    WEB = "web"
    HL7 = "hl7"


def serve(
    role: Annotated[Role, typer.Option(help="Which part of the node to run.")] = Role.ALL,
    config: ConfigOption = None,
) -> None:
    """Run the node. Prints "ready dicom=HOST:PORT web=URL"; SIGTERM drains and exits 0."""
    from node.service import logs  # noqa: PLC0415 - the room of the running node

    settings = load_settings(config)
    logs.configure(settings, "supervisor" if role is Role.ALL else role.value)
    if role is Role.ALL:
        from node.service.compose import lay_foundation  # noqa: PLC0415
        from node.service.supervisor import ROLES, DataFolderLock, Supervisor  # noqa: PLC0415

        lock = DataFolderLock(settings.node.data_dir)
        lay_foundation(settings, "supervisor").close()
        arguments = [] if config is None else ["--config", str(config)]
        listened = ("hl7",) if settings.reading.mllp_port else ()
        more = ("receive",) * (settings.node.receivers - 1)
        more += ("work",) * (settings.worker.processes - 1)
        status = Supervisor(arguments, (*ROLES, *more, *listened)).run()
        lock.release()
        raise typer.Exit(status)
    from node.service import roles  # noqa: PLC0415 - each role imports only what it needs

    roles.run(role.value, settings)
