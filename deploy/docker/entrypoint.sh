#!/bin/sh
# The root file system is read-only: the compiled kernels go where they can be read and, after an
# upgrade of numba, written. The copy takes some megabytes of the scratch space.
set -eu
if [ ! -d "$NUMBA_CACHE_DIR" ] && [ -d /opt/crdl/kernels ]; then
    cp -R --preserve=timestamps /opt/crdl/kernels "$NUMBA_CACHE_DIR"
fi
exec crdl "$@"
