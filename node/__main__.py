"""`python -m node` is `crdl`."""

from node.cli import main

main()
