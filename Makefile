# Every target sets up what it needs in .venv; `make test` also installs Debian packages where it may.
PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/runtime.stamp
DEVELOPMENT := .venv/development.stamp
LIBVIRT := libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 fuse3
LIBVIRT_PYTHON := .venv/libvirt-python.stamp
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-unit test-libvirt test-kernel soak conformance libvirt-answers lint bench dist clean
.DELETE_ON_ERROR:

help:
	@echo "make demo   the whole pipeline on a simulated host"
	@echo "make test   all tests: the ordinary ones, those with a real libvirt, those on a real kernel in a virtual machine"
	@echo "make soak   half an hour of fresh random domains, operations, failures and deaths (MINUTES=30)"
	@echo "make conformance  record anew what real kernels answer (twenty minutes; CONFIGURATIONS=6.12-cdp for one)"
	@echo "make libvirt-answers  record anew what libvirt answers, that of Debian 12 and that of its backports (10 minutes)"
	@echo "make lint   ruff and mypy"
	@echo "make bench  one table of measurements, each row against a peer"
	@echo "make dist   the wheel and the source archive, in dist/"
	@echo "make clean  remove .venv and everything that was made"

demo: $(RUNTIME)
	@$(BIN)/cachetune demo

test: test-unit test-libvirt test-kernel

test-unit: $(DEVELOPMENT) $(LIBVIRT_PYTHON)
	@sh tests/debian-packages.sh libxml2-utils libvirt0 fuse3 strace intel-cmt-cat qemu-system-x86 systemd
	$(BIN)/python -m pytest -n 2 --dist loadgroup --benchmark-disable -m "not kernel and not libvirt"

# Each module has a host of its own, with its own libvirtd and mounts.
test-libvirt: $(DEVELOPMENT) $(LIBVIRT_PYTHON)
	@sh tests/debian-packages.sh $(LIBVIRT)
	$(BIN)/python -m pytest -n 2 --benchmark-disable --dist loadgroup -m libvirt tests/libvirt

# Each module boots its own machines; loadfile keeps the tests of one boot in one process.
test-kernel: $(DEVELOPMENT)
	@sh tests/debian-packages.sh qemu-system-x86 busybox-static zstd strace linux-image-amd64:available
	$(BIN)/python -m pytest -n 2 --benchmark-disable --dist loadfile -m kernel tests/kernel

soak: $(DEVELOPMENT)
	@sh tests/debian-packages.sh --must qemu-system-x86 busybox-static zstd linux-image-amd64:available
	$(BIN)/python -m tests.soak $(MINUTES)

conformance: $(DEVELOPMENT)
	@sh tests/debian-packages.sh --must qemu-system-x86 busybox-static zstd linux-image-amd64:available fuse3
	$(BIN)/python -m tests.conformance.record $(CONFIGURATIONS)

libvirt-answers: $(DEVELOPMENT)
	@sh tests/debian-packages.sh --must $(LIBVIRT)
	$(BIN)/python -m tests.libvirt.record
	$(BIN)/python -m tests.libvirt.record --backports

lint: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p cachetune -p tests.kernel.vm -p tests.conformance -p tests.libvirt

bench: $(DEVELOPMENT)
	@sh tests/debian-packages.sh libxml2-utils libvirt0 fuse3 strace
	@$(BIN)/python -m tests.bench

dist: $(DEVELOPMENT)
	$(BIN)/python -m build

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cachetune needs Python 3.11 or later")'
	@echo "making .venv"
	@$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || sh tests/debian-packages.sh --must python3-venv
	@$(PYTHON) -m venv .venv

$(RUNTIME): pyproject.toml | $(BIN)/python
	@echo "installing cachetune into .venv"
	@$(BIN)/python -m pip install -q -e .
	@touch $@

# pip knows dependency groups from 25.1 on; Debian 12 has 23.0.
$(DEVELOPMENT): $(RUNTIME)
	@echo "installing the development tools into .venv"
	@$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install -q --group dev
	@touch $@

# There are no wheels: it is compiled against the libvirt of this machine. The tests that need it say when it is missing.
$(LIBVIRT_PYTHON): $(DEVELOPMENT)
	@sh tests/debian-packages.sh gcc libc6-dev pkgconf python3-dev libvirt-dev
	@echo "installing libvirt-python into .venv"
	@$(BIN)/python -m pip install -q libvirt-python && touch $@ || echo "libvirt-python cannot be had" >&2
