# make run and make test are all that a fresh Debian or Ubuntu with git, make and Python 3.11 needs.

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --constraint constraints.txt --build-constraint constraints.txt

STORE ?= var/store
PORT ?= 8000
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install run test check bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## create .venv with the project and its web assets

run: install ## convert the sample slide and serve it on 127.0.0.1 (PORT=8000, STORE=var/store)
	$(BIN)/dicomize sample_data/ihc-8k.svs --pyramid --uids deterministic --skip-existing --store $(STORE)
	$(BIN)/wsi-dicom serve --store $(STORE) --port $(PORT)

# Without the programs the run goes on: every test that needs one names it and fails.
test: .venv/.tested ## run the tests (ARGS="-k viewer")
	@scripts/debian-packages dciodvfy:dicom3tools dcmdump:dcmtk chromium:chromium tiffinfo:libtiff-tools \
		file:file nginx:nginx-light \
		|| [ "$$CI" != true ]
	$(BIN)/pytest -n 2 $(ARGS)

check: .venv/.tested .venv/.checked ## style, types and the import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy benchmarks sample_data build_assets.py hatch_build.py scripts/screenshots.py
	$(BIN)/lint-imports

bench: .venv/.tested ## measure against cp, libvips, nginx, IIPImage and Orthanc (figures: docs/performance.md)
	@scripts/debian-packages nginx:nginx-light wrk:wrk Orthanc:orthanc OrthancWSIDicomizer:orthanc-wsi \
		/usr/lib/iipimage-server/iipsrv.fcgi:iipimage-server
	$(BIN)/python benchmarks/bench_startup.py
	$(BIN)/python benchmarks/bench_open.py
	$(BIN)/python benchmarks/bench_copy.py
	$(BIN)/python benchmarks/bench_tiff.py
	$(BIN)/python benchmarks/bench_rebuild.py
	$(BIN)/python benchmarks/bench_codecs.py
	$(BIN)/python benchmarks/bench_openslide.py
	$(BIN)/python benchmarks/bench_batch.py
	$(BIN)/python benchmarks/bench_archive.py
	$(BIN)/python benchmarks/bench_serve.py
	$(BIN)/python benchmarks/bench_decoded.py
	$(BIN)/python benchmarks/bench_many.py

# hatchling builds in an environment of its own; here it is only to be pinned
lock: .venv/.tested .venv/.checked ## write the versions now in .venv to constraints.txt
	$(INSTALL) hatchling
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude setuptools | grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' \
		> constraints.txt

clean: ## remove what make, build and tests leave behind, except var/ (slides and stores)
	rm -rf .venv dist build artifacts server/wsi_dicom_server/static/vendor tests/vendor
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find wsi_dicom cli server tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Debian keeps ensurepip, which venv needs, in a package of its own.
.venv/bin/python:
	@python=$$(scripts/find-python) && \
	{ $$python -c 'import ensurepip' 2>/dev/null || \
	  scripts/debian-packages ensurepip:$$($$python -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); } && \
	rm -rf .venv && $$python -m venv .venv

# --group and --build-constraint need a newer pip than Python 3.11 brings
.venv/.pip: constraints.txt | .venv/bin/python
	$(PIP) install --constraint constraints.txt --upgrade pip
	@touch $@

# the build hook fetches the web assets, with npm from the PATH or else from PyPI
.venv/.installed: pyproject.toml constraints.txt package.json build_assets.py hatch_build.py | .venv/.pip
	$(INSTALL) --editable .
	@touch $@

.venv/.tested: .venv/.installed package.json build_assets.py
	$(INSTALL) --group test
	$(BIN)/python build_assets.py --tests
	@touch $@

.venv/.checked: .venv/.installed
	$(INSTALL) --group check
	@touch $@
