"""How every kernel is compiled: without the GIL, as NumPy divides, kept on disk.

A kernel never calls a kernel of another file. numba checks the on-disk cache of a kernel against
its own source file only, so a caller elsewhere would keep running the old code after an upgrade.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

KERNELS: list[Any] = []
"""Every compiled kernel, so that a test can ask which signatures exist."""


def kernel(function: Function) -> Function:
    """Compile `function` with numba on its first call.

    The cache lies in `NUMBA_CACHE_DIR` if set, else beside the source file, else in the user's
    cache folder. Where none of these can be written the kernel is compiled in memory only.
    """
    try:
        compiled = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba's "no locator available": nowhere to keep the cache
        warnings.warn(
            f"{inspect.getfile(function)}: no folder for compiled kernels can be written; "
            "set NUMBA_CACHE_DIR, or every start compiles for some seconds",
            stacklevel=2,
        )
        compiled = njit(nogil=True, error_model="numpy")(function)
    KERNELS.append(compiled)
    return cast("Function", compiled)  # numba's dispatcher is called as the function was
