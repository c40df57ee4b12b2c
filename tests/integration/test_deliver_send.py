"""Sending files: the work behind `crdl send`."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest
from pynetdicom import AllStoragePresentationContexts
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from node.deliver.send import send_files
from node.errors import DeliveryError
from tests.deliver_fixtures import an_archive, an_object
from tests.peers import free_ports


def test_many_files_of_one_class_go_over_one_association(tmp_path: Path) -> None:
    paths = [an_object(tmp_path, number).path for number in range(1, 21)]
    with an_archive() as archive:
        results = send_files(paths, "ARCHIVE", "127.0.0.1", archive.port)
    assert [result.path for result in results] == paths
    assert all(result.stored for result in results)
    assert archive.associations == 1


def test_more_contexts_than_one_association_holds_take_two(tmp_path: Path) -> None:
    known = (context.abstract_syntax for context in AllStoragePresentationContexts)
    # pynetdicom cannot receive the retired ones among those that it lists.
    storage = (uid for uid in known if uid_to_service_class(uid) is StorageServiceClass)
    classes = tuple(islice(storage, 70))
    for number, sop_class in enumerate(classes, 1):
        an_object(tmp_path, number, sop_class=sop_class)
    with an_archive(classes=classes) as archive:
        results = send_files([tmp_path], "ARCHIVE", "127.0.0.1", archive.port)
    assert archive.associations == 2
    assert len(archive.accepted_contexts) == 140
    assert [result.stored for result in results] == [True] * 70


def test_a_file_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    first, second = an_object(tmp_path), an_object(tmp_path, 2)
    with an_archive(answer=lambda uid: 0xA700 * (uid == first.sop_instance_uid)) as archive:
        results = send_files([tmp_path], "ARCHIVE", "127.0.0.1", archive.port)
    assert {(result.path, result.stored, result.detail) for result in results} == {
        (first.path, False, "refused with 0xA700 out of resources"),
        (second.path, True, ""),
    }


def test_a_second_file_with_the_same_uid_is_not_sent_over_the_first(tmp_path: Path) -> None:
    item = an_object(tmp_path)
    twin = tmp_path / "twin.dcm"
    shutil.copy(item.path, twin)
    with an_archive() as archive:
        results = send_files([item.path, twin], "ARCHIVE", "127.0.0.1", archive.port)
    assert {result.path: result.stored for result in results} == {item.path: True, twin: False}
    assert len(archive.received) == 1


def test_a_peer_that_is_down_is_an_error(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with pytest.raises(DeliveryError, match="cannot be reached"):
        send_files([an_object(tmp_path).path], "GONE", "127.0.0.1", port)


def test_an_empty_folder_calls_nobody(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    assert send_files([tmp_path], "GONE", "127.0.0.1", port) == []
