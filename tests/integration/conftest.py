"""A receiver's desk, shared by the tests that send to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.receive.parser import HeaderParser
from tests.receive_fixtures import Desk, a_desk_in, listening


@pytest.fixture(scope="module")
def a_parser() -> Iterator[HeaderParser]:
    with HeaderParser() as parser:
        parser.warm_up()
        yield parser


@pytest.fixture
def a_desk(tmp_path: Path, a_parser: HeaderParser) -> Desk:
    return a_desk_in(tmp_path, a_parser)


@pytest.fixture
def a_receiver(a_desk: Desk) -> Iterator[tuple[str, int]]:
    with listening(a_desk) as address:
        yield address


@pytest.fixture
def a_desk_with(tmp_path: Path, a_parser: HeaderParser) -> Callable[..., Desk]:
    return lambda **node: a_desk_in(tmp_path, a_parser, **node)
