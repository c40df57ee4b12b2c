# Thin targets; the work is in deploy/*.sh and in the commands of `crdl`.
.PHONY: demo test setup bench sbom
VENV := .venv

demo: $(VENV)/.ready
	$(VENV)/bin/python -m deploy.demo

test: $(VENV)/.ready-test
	sh deploy/check.sh

setup: $(VENV)/.ready

bench: $(VENV)/.ready-test
	sh deploy/bench.sh

sbom: $(VENV)/.ready-test
	sh deploy/sbom.sh

$(VENV)/.ready: pyproject.toml deploy/constraints.txt deploy/setup.sh
	sh deploy/setup.sh runtime

$(VENV)/.ready-test: $(VENV)/.ready deploy/debian-packages.txt
	sh deploy/setup.sh test
