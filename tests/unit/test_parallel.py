"""Spreading calls over this machine or a cluster, through joblib."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from joblib import parallel_config, register_parallel_backend
from joblib._parallel_backends import ThreadingBackend

from models.errors import ModelsError
from models.features.radiomics import extract, extract_many
from models.parallel import BackendError, in_parallel


class ACluster(ThreadingBackend):  # type: ignore[misc]  # joblib has no types
    """Stands for Dask: takes an option, and answers when everything is done."""

    supports_return_generator = False
    seen: tuple[str, ...] = ()

    def __init__(self, scheduler_host: str = "", **rest: object) -> None:
        super().__init__(**rest)
        type(self).seen += (scheduler_host,)


@pytest.fixture
def a_cluster() -> type[ACluster]:
    ACluster.seen = ()
    register_parallel_backend("cluster", ACluster)
    return ACluster


def _thread_of(item: int) -> tuple[int, int]:
    return item, threading.get_ident()


def test_threads_answer_in_the_order_of_the_items() -> None:
    gate = threading.Barrier(2, timeout=10)

    def meet(item: int) -> int:
        gate.wait()  # passes only while two calls run at a time
        return item

    assert list(in_parallel(meet, range(6), jobs=2, backend="threading")) == list(range(6))


def test_an_outcome_comes_before_the_last_item_is_read() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(500):
            read.append(item)
            yield item

    outcomes = in_parallel(abs, items(), jobs=2, backend="threading")
    assert next(outcomes) == 0
    assert len(read) < 500
    assert list(outcomes) == list(range(1, 500))


def test_the_callers_joblib_configuration_holds_where_no_backend_is_named(
    a_cluster: type[ACluster],
) -> None:
    with parallel_config(backend="cluster", scheduler_host="tcp://there:1"):
        assert list(in_parallel(abs, [-1, -2], jobs=2)) == [1, 2]
    assert a_cluster.seen == ("tcp://there:1",)


def test_a_backend_is_named_with_its_options_and_need_not_stream(
    a_cluster: type[ACluster],
) -> None:
    where = "cluster,scheduler_host=tcp://there:8786"
    outcomes = list(in_parallel(_thread_of, range(4), jobs=2, backend=where))
    assert [item for item, _ in outcomes] == [0, 1, 2, 3]
    assert a_cluster.seen[0] == "tcp://there:8786"
    assert threading.get_ident() not in {thread for _, thread in outcomes}


@pytest.mark.parametrize("backend", ["nowhere", "dask"])
def test_a_backend_that_cannot_be_had_is_refused(backend: str) -> None:
    with pytest.raises(BackendError, match=backend):
        list(in_parallel(abs, [1], backend=backend))
    assert issubclass(BackendError, ModelsError)


def test_lesions_are_measured_alike_wherever(a_cluster: type[ACluster]) -> None:
    y, x = np.indices((30, 30))
    item = ((7 * y * y + 13 * x) % 200, (y - 15) ** 2 + (x - 15) ** 2 < 81, (0.2, 0.2))
    expected = extract(*item)
    for backend in ("threading", "cluster,scheduler_host=x"):
        assert extract_many([item, item], jobs=2, backend=backend) == [expected, expected]
    assert a_cluster.seen
