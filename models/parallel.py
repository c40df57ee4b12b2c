"""Many calls at once: on the cores of this machine, or on a cluster that joblib knows.

The one way to spread measurements: whoever measures many cases takes a `backend` and hands it to
`in_parallel`. It is text, so that it can stand in a configuration or behind `--backend`:

- `loky` (processes), `threading`, `multiprocessing`: this machine;
- `dask,scheduler_host=tcp://HOST:8786`: a Dask cluster, with `distributed` installed here and on
  its workers, which also need this package and the files of the cases under the same paths;
- any other name that was registered before, as `ray.util.joblib.register_ray()` registers `ray`.

Without a backend the caller's `joblib.parallel_config(...)` decides, and without one joblib does.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config

from models.errors import ModelsError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class BackendError(ModelsError):
    """The calls cannot be sent to the backend that was asked for."""


def in_parallel(
    function: Callable[[Item], Outcome],
    items: Iterable[Item],
    *,
    jobs: int = -1,
    backend: str | None = None,
) -> Iterator[Outcome]:
    """Call a function with every item.

    Args:
        function: What to do; it and the items are pickled unless the backend is of threads.
        items: Read as they are needed.
        jobs: Calls at a time, -1 for one on each core (each worker of a cluster).
        backend: `NAME` or `NAME,OPTION=VALUE,...` with the options of joblib's backend; None
            leaves the choice to the caller's `joblib.parallel_config`.

    Yields:
        The outcomes in the order of the items: each when it is there, except on a backend that
        only answers when all are done (Dask).

    Raises:
        BackendError: There is no such backend, it does not take the options, or it cannot be
            reached.
    """
    try:
        with nullcontext() if backend is None else _configured(backend):
            parallel = _parallel(jobs)
    except (ImportError, OSError, TypeError, ValueError) as error:
        raise BackendError(f"no parallel backend {backend!r}: {error}") from error
    yield from parallel(delayed(function)(item) for item in items)


def _configured(backend: str) -> parallel_config:
    name, *options = backend.split(",")
    pairs = (option.partition("=") for option in options)
    return parallel_config(backend=name, **{key: value for key, _, value in pairs})


def _parallel(jobs: int) -> Parallel:
    try:
        return Parallel(n_jobs=jobs, return_as="generator")
    except ValueError:  # joblib's word for a backend that cannot answer one by one
        return Parallel(n_jobs=jobs)
