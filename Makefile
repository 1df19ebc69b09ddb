# bonedge: what there is to do.
#
#   make demo                 try it: runtime environment, example radiographs, verdicts
#   make test                 full environment and the whole test suite
#   make lint                 ruff, mypy, import arrows
#   make test-runtime         the runtime's tests where TensorFlow is not installed
#   make test-tflite-runtime  the same bundle under tflite-runtime 2.14 and numpy 1 (needs Python 3.11)
#   make train                a pair of the released kind from a seed: phantoms, training and conversion, in runs
#   make study                networks and classical systems under one protocol, as a page and tables in runs/study;
#                             once its phantoms are there, the same command in a second terminal shares the work
#   make compare-quantizers   the tools' own int8 beside ours, as a table in docs/comparisons
#   make compare-engines      inference by the runtimes' own benchmark tools beside ours, as a table in docs/comparisons
#   make compare-decoding     large phantoms decoded whole and reduced, as a table in docs/comparisons
#   make compare-orthanc      Orthanc with its Python plugin beside the daemon, as a table in docs/comparisons
#   make compare-daemon       what the daemon costs, and how that grows, as a table in docs/comparisons
#   make soak                 the daemon's proofs in full: hours, and as root also disks, mounts and systemd
#   make soak-convert         models that collapse in int8 through the whole conversion: rescued or refused
#   make install-system       the daemon as a systemd service on this machine, in /opt/bonedge (as root)
#   make uninstall-system     remove it; configuration, ledger and results stay
#   make clean                remove what the others made, environments included

# Any Python from 3.11 on.
PYTHON ?= python3
# What make demo runs; empty is the bundle that is shipped.
BUNDLE ?=
# A pair of the released kind, from data to bundle.
TRAINING_SEED ?= 1
TRAINING_COUNT ?= 4000
# Training is quicker so where the processor can; `make train BFLOAT16=` trains as one that cannot.
BFLOAT16 ?= $(shell grep -qswE "amx_bf16|avx512_bf16" /proc/cpuinfo && echo --bfloat16)
# PIXELS:EPOCHS in order, for a shorter training; empty is what bonedge train takes by itself.
SEGMENTER_STAGES ?=
CLASSIFIER_STAGES ?=
# Of the phantoms that the model card's figures are of.
EVALUATION_SEED ?= 20261125
DATA ?= data/phantoms
MODELS ?= runs/models
CONVERTED ?= runs/bundle
# The pair that make study finds regions with and make compare-quantizers converts.
RELEASED ?= models/released
STUDY ?= runs/study
# Phantoms that the released segmenter has not seen either: it finds the regions.
STUDY_DATA ?= data/study-training
STUDY_SEED ?= 20261102
STUDY_COUNT ?= 1500
STUDY_TEST ?= data/study-test
STUDY_TEST_SEED ?= 20261101
STUDY_TEST_COUNT ?= 600
STUDY_REGIONS ?= knee leg ankle forearm shoulder hip hand
# full needs an accelerator.
PROTOCOL ?= reduced

RUNTIME := .venv
FULL := .venv-full
BARE := .venv-bare
TFLITE := .venv-tflite
PIP := -m pip install --quiet --disable-pip-version-check
# Most of what the tests install is never imported: to compile all of it takes 40 s.
UNCOMPILED := $(PIP) --no-compile
# Side by side; what a file's tests share is made once, for a file stays with one worker. In the order that tests/conftest.py
# gives: xdist by itself begins with the files of many tests and ends with the few that take minutes.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test lint test-runtime test-tflite-runtime train study compare-quantizers compare-engines compare-decoding compare-orthanc compare-daemon soak soak-convert install-system uninstall-system \
	clean check-python
.DELETE_ON_ERROR:

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

# Environments -----------------------------------------------------------------------------------------------------
# Editable, so that a changed source is what runs; the stamp is older than pyproject.toml only when it changed.

check-python:
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.11 or later, or name it: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; name a later one: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) cannot make environments; on Debian: sudo apt-get install python3-venv" >&2; exit 2; }

$(RUNTIME)/.stamp: pyproject.toml | check-python
	@echo "Creating the runtime environment in $(RUNTIME) (no TensorFlow) ..."
	@$(PYTHON) -m venv $(RUNTIME)
	@$(RUNTIME)/bin/python $(PIP) --editable .
	@touch $@

$(FULL)/.stamp: pyproject.toml | check-python
	@echo "Creating the full environment in $(FULL) (TensorFlow, Keras, NNCF and the checkers) ..."
	@$(PYTHON) -m venv $(FULL)
	@$(FULL)/bin/python $(UNCOMPILED) --editable '.[data,study,test]'
	@touch $@

$(BARE)/.stamp: pyproject.toml | check-python
	@echo "Creating an environment without TensorFlow for the tests in $(BARE) ..."
	@$(PYTHON) -m venv $(BARE)
	@$(BARE)/bin/python $(UNCOMPILED) --editable '.[test]'
	@touch $@

# tflite-runtime stopped at Python 3.11 and numpy 1; pyjpegls and the later openjpeg codec need numpy 2.
$(TFLITE)/.stamp: pyproject.toml
	@echo "Creating an environment with tflite-runtime and numpy 1 in $(TFLITE) ..."
	@python3.11 -m venv $(TFLITE)
	@$(TFLITE)/bin/python $(PIP) tflite-runtime==2.14.0 'numpy<2' 'opencv-python-headless<4.12' 'openvino>=2025.3' \
		click pydantic 'pydicom>=3.0.1' pillow pylibjpeg pylibjpeg-libjpeg pylibjpeg-rle rich
	@$(TFLITE)/bin/python $(PIP) --no-deps --editable .
	@touch $@

# What to do with them ---------------------------------------------------------------------------------------------

demo: $(RUNTIME)/.stamp
	@rm -rf demo
	@echo "Simulating six examinations, written as a modality exports them, to demo/export ..."
	@$(RUNTIME)/bin/bonedge phantom --count 6 --seed 20261 --regime overt --regime typical --output demo/export \
		--label normal --label benign --label malignant --label abstain --label benign --label malignant
	@$(RUNTIME)/bin/bonedge predict demo/export/*.dcm --output demo/results $(if $(BUNDLE),--bundle $(BUNDLE))
	@echo
	@echo "The truth:"
	@sed -E 's/.*"file": "([^"]*)".*"label": "([^"]*)".*"family": "([^"]*)".*/  \1  \2 (\3)/; s/abstain \(/not a limb (/' demo/export/index.jsonl
	@echo
	@echo "Overlay pictures: demo/results/*.overlay.png. On your own files: $(RUNTIME)/bin/bonedge predict IMAGE..."

test: $(FULL)/.stamp
	@$(FULL)/bin/python -m pytest $(PARALLEL) $(PYTEST)

lint: $(FULL)/.stamp
	@$(FULL)/bin/ruff check
	@$(FULL)/bin/ruff format --check
	@$(FULL)/bin/mypy
	@$(FULL)/bin/lint-imports

test-runtime: $(BARE)/.stamp
	@! $(BARE)/bin/python -c 'import tensorflow' 2>/dev/null || { echo "make: TensorFlow is in $(BARE); run make clean" >&2; exit 2; }
	@$(BARE)/bin/python -m pytest -m 'not full' $(PARALLEL) $(PYTEST)

test-tflite-runtime: $(FULL)/.stamp $(TFLITE)/.stamp
	@BONEDGE_TFLITE_RUNTIME_PYTHON=$(CURDIR)/$(TFLITE)/bin/python \
		$(FULL)/bin/python -m pytest tests/edge/engines/test_tflite_runtime.py $(PYTEST)

train: $(FULL)/.stamp
	$(FULL)/bin/bonedge phantom --count $(TRAINING_COUNT) --seed $(TRAINING_SEED) --format png --output $(DATA)
	$(FULL)/bin/bonedge train segmenter --data $(DATA) --seed $(TRAINING_SEED) --gentle 4 $(BFLOAT16) \
		$(SEGMENTER_STAGES:%=--stage %) --output $(MODELS)
	$(FULL)/bin/bonedge train classifier --data $(DATA) --seed $(TRAINING_SEED) --gentle 4 \
		$(CLASSIFIER_STAGES:%=--stage %) --output $(MODELS)
	$(FULL)/bin/bonedge train operation --data $(DATA) --run $(MODELS) --turned
	$(FULL)/bin/bonedge convert $(MODELS) --int8 --output $(CONVERTED)
	$(FULL)/bin/bonedge evaluate --bundle $(CONVERTED) --phantoms 600 --seed $(EVALUATION_SEED) --engine tflite --json \
		> $(MODELS)/evaluation.json
	$(FULL)/bin/bonedge card $(CONVERTED) --evaluation $(MODELS)/evaluation.json
	@echo "The pair is in $(MODELS), its bundle in $(CONVERTED). To see it at work: make demo BUNDLE=$(CONVERTED)"

# An interrupted study goes on.
study: $(FULL)/.stamp $(STUDY_DATA)/index.jsonl $(STUDY_TEST)/index.jsonl
	$(FULL)/bin/bonedge study --data $(STUDY_DATA) --test $(STUDY_TEST) --segmenter $(RELEASED)/segmenter.keras \
		--protocol $(PROTOCOL) $(BFLOAT16) --output $(STUDY)
	cp $(STUDY)/study.md docs/comparisons/study.md

$(STUDY_DATA)/index.jsonl: | $(FULL)/.stamp
	$(FULL)/bin/bonedge phantom --count $(STUDY_COUNT) --seed $(STUDY_SEED) $(STUDY_REGIONS:%=--region %) --output $(STUDY_DATA)

$(STUDY_TEST)/index.jsonl: | $(FULL)/.stamp
	$(FULL)/bin/bonedge phantom --count $(STUDY_TEST_COUNT) --seed $(STUDY_TEST_SEED) $(STUDY_REGIONS:%=--region %) --output $(STUDY_TEST)

compare-quantizers: $(FULL)/.stamp
	$(FULL)/bin/python docs/comparisons/quantizers.py --models $(RELEASED) --cache data/comparison

compare-decoding: $(FULL)/.stamp
	$(FULL)/bin/python docs/comparisons/reduction.py

# Needs Debian's orthanc, orthanc-python and dcmtk.
compare-orthanc: $(FULL)/.stamp
	$(FULL)/bin/python docs/comparisons/orthanc.py

compare-engines: $(FULL)/.stamp
	$(FULL)/bin/python docs/comparisons/engines.py

compare-daemon: $(FULL)/.stamp
	$(FULL)/bin/python docs/comparisons/daemon.py

# BONEDGE_SOAK_SECONDS and BONEDGE_SOAK_KILLS shorten endurance and kills; PYTEST="-k power" picks a proof.
soak: $(BARE)/.stamp
	BONEDGE_SOAK=1 $(BARE)/bin/python -m pytest tests/e2e/watch -s $(PYTEST)

soak-convert: $(FULL)/.stamp
	BONEDGE_SOAK=1 $(FULL)/bin/python -m pytest tests/convert/test_hostile.py -s $(PYTEST)

# The service --------------------------------------------------------------------------------------------------------
# DESTDIR installs below another root and leaves users, folders and systemd of this machine alone.

SYSTEM := $(DESTDIR)/opt/bonedge

install-system: check-python
	@test -n "$(DESTDIR)" || test "$$(id -u)" = 0 || { echo "make: install-system needs root: sudo make install-system" >&2; exit 2; }
	@case "$$($(PYTHON) -c 'import os, sys; print(os.path.realpath(sys.executable))')" in \
		/home/*|/root/*) echo "make: the service cannot see a Python in a home; use the system's: make install-system PYTHON=/usr/bin/python3" >&2; \
		test -n "$(DESTDIR)" || exit 2;; esac
	$(PYTHON) -m venv $(SYSTEM)
	$(SYSTEM)/bin/python $(PIP) --upgrade .
	install -D -m 0644 systemd/bonedge.service $(DESTDIR)/etc/systemd/system/bonedge.service
	install -D -m 0644 systemd/sysusers.conf $(DESTDIR)/etc/sysusers.d/bonedge.conf
	install -D -m 0644 systemd/tmpfiles.conf $(DESTDIR)/etc/tmpfiles.d/bonedge.conf
	install -D -m 0644 -t $(DESTDIR)/usr/share/doc/bonedge docs/install.md systemd/bonedge.toml systemd/drop-ins/*.conf
	test -e $(DESTDIR)/etc/bonedge/bonedge.toml || install -D -m 0644 systemd/bonedge.toml $(DESTDIR)/etc/bonedge/bonedge.toml
	test -n "$(DESTDIR)" || { systemd-sysusers bonedge.conf && systemd-tmpfiles --create bonedge.conf && systemctl daemon-reload; }
	@echo "Now: edit /etc/bonedge/bonedge.toml, then: systemctl enable --now bonedge"

uninstall-system:
	@test -n "$(DESTDIR)" || test "$$(id -u)" = 0 || { echo "make: uninstall-system needs root" >&2; exit 2; }
	test -n "$(DESTDIR)" || systemctl disable --now bonedge || true
	rm -rf $(SYSTEM) $(DESTDIR)/usr/share/doc/bonedge
	rm -f $(DESTDIR)/etc/systemd/system/bonedge.service $(DESTDIR)/etc/sysusers.d/bonedge.conf $(DESTDIR)/etc/tmpfiles.d/bonedge.conf
	test -n "$(DESTDIR)" || systemctl daemon-reload
	@echo "Left where they are: /etc/bonedge, /var/lib/bonedge (ledger) and the results. docs/install.md says how to remove them."

clean:
	rm -rf demo build dist *.egg-info $(RUNTIME) $(FULL) $(BARE) $(TFLITE) \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
