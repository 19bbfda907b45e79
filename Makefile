# Each target sets up what it needs: Python packages in .venv, in the versions of constraints.txt, and, when run by
# root, Debian packages.
PYTHON ?= python3
BIN := .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt
RUNTIME := .venv/runtime.stamp
DEVELOPMENT := .venv/development.stamp
LIBVIRT_PYTHON := .venv/libvirt-python.stamp
ANSIBLE := .venv/ansible.stamp

PACKAGES_UNIT := libxml2-utils libvirt0 fuse3 strace intel-cmt-cat logrotate qemu-system-x86 systemd prometheus prometheus-alertmanager jq openssl tmux chromium emacs-nox jing trang bash-completion zsh fish vim man-db mandoc git openssh-server iproute2
PACKAGES_LIBVIRT := libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 fuse3
PACKAGES_KERNEL := qemu-system-x86 busybox-static zstd
PACKAGES_DEB := debhelper python3 python3-pip
PACKAGES_INSTALL := $(PACKAGES_DEB) lintian mmdebstrap openssh-client

PYTEST = $(BIN)/python -m pytest --benchmark-disable -n
# For two cores. Where tests wait for programs, a third worker uses the time.
WAITING := 3
COMPUTING := 2
UNIT := not kernel and not libvirt and not install and not soak

.PHONY: help demo check lint lint-code spelling types docs test-fast test test-unit test-libvirt test-kernel test-install coverage soak mutants \
	conformance libvirt-answers bench man dist deb clean
.DELETE_ON_ERROR:

help:
	@echo "make demo             show the whole pipeline on a simulated host"
	@echo "make check            run lint and the fast tests and build the manual, in parallel: before each commit"
	@echo "make lint             run ruff, codespell and mypy"
	@echo "make docs             build the manual in build/site, with its links checked"
	@echo "make test             run all tests: test-unit, test-libvirt (a real libvirt), test-kernel (real kernels in VMs), test-install (fresh Debian roots)"
	@echo "make coverage         run the unit tests with coverage, subprocesses included, and report per package"
	@echo "make bench            measure, each row next to a comparable tool"
	@echo "make soak             run the large tests, then random domains, operations, failures and kills for MINUTES=30"
	@echo "make mutants          measure how many changes of the code the tests notice, for MINUTES=30 (ONLY=a module)"
	@echo "make conformance      record how real kernels answer (an hour or less; one: CONFIGURATIONS=6.12-cdp)"
	@echo "make libvirt-answers  record how libvirt answers, from Debian 12 and its backports (10 minutes)"
	@echo "make man              write the manual pages in build/man"
	@echo "make dist             build the wheel and the source archive in dist/"
	@echo "make deb              build the Debian package for this release of Debian in dist/"
	@echo "make clean            remove .venv and all generated files"

demo: $(RUNTIME)
	@$(BIN)/cachetune demo

check: $(DEVELOPMENT)
	@$(MAKE) --no-print-directory -j 4 -O lint-code spelling types docs test-fast

lint: lint-code spelling types

lint-code: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

spelling: $(DEVELOPMENT)
	$(BIN)/codespell

types: $(DEVELOPMENT)
	$(BIN)/mypy

# Warnings, such as links without targets and pages without a place in the navigation, are errors.
docs: $(DEVELOPMENT)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

test-fast: $(DEVELOPMENT)
	$(PYTEST) $(COMPUTING) -q --dist loadfile -m "$(UNIT) and not slow"

test: test-unit test-libvirt test-kernel test-install

test-unit: $(DEVELOPMENT) $(LIBVIRT_PYTHON) $(ANSIBLE)
	@sh tests/debian-packages.sh $(PACKAGES_UNIT)
	$(PYTEST) $(WAITING) --dist loadgroup -m "$(UNIT)"

# Each module has its own host with its own libvirtd and mounts.
test-libvirt: $(DEVELOPMENT) $(LIBVIRT_PYTHON)
	@sh tests/debian-packages.sh $(PACKAGES_LIBVIRT)
	$(PYTEST) $(WAITING) --dist loadgroup -m "libvirt and not soak" tests/libvirt

# The modules of a process share its machines; loadfile keeps a module in one process.
test-kernel: $(DEVELOPMENT)
	@sh tests/debian-packages.sh $(PACKAGES_KERNEL) strace
	$(PYTEST) $(COMPUTING) --dist loadfile -m "kernel and not soak" tests/kernel

# The tests of a release stay together: they share a root.
test-install: $(DEVELOPMENT) $(ANSIBLE)
	@sh tests/debian-packages.sh $(PACKAGES_INSTALL)
	$(PYTEST) $(COMPUTING) --dist loadgroup -m "install and not soak" tests/debian

# Tests that count imports or system calls fail under coverage; the report is printed anyway.
coverage: $(DEVELOPMENT) $(LIBVIRT_PYTHON) $(ANSIBLE)
	@sh tests/debian-packages.sh $(PACKAGES_UNIT)
	@rm -rf .coverage && mkdir .coverage
	-$(BIN)/python -m coverage run -m pytest -q -n 2 --benchmark-disable --dist loadgroup -m "$(UNIT)"
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report
	@$(BIN)/python -m tests.coverage

# First the large runs, which are too long for make test.
soak: $(DEVELOPMENT) $(LIBVIRT_PYTHON) $(ANSIBLE)
	@sh tests/debian-packages.sh $(PACKAGES_UNIT) $(PACKAGES_LIBVIRT) $(PACKAGES_INSTALL)
	@sh tests/debian-packages.sh --must $(PACKAGES_KERNEL) strace
	$(PYTEST) $(COMPUTING) --dist loadgroup -m soak
	$(BIN)/python -m tests.soak $(MINUTES)

mutants: $(DEVELOPMENT)
	$(BIN)/python -m tests.soak.mutation $(MINUTES) $(ONLY:%=--only %)

conformance: $(DEVELOPMENT)
	@sh tests/debian-packages.sh --must $(PACKAGES_KERNEL) fuse3
	$(BIN)/python -m tests.conformance.record $(CONFIGURATIONS)

libvirt-answers: $(DEVELOPMENT)
	@sh tests/debian-packages.sh --must $(PACKAGES_LIBVIRT)
	$(BIN)/python -m tests.libvirt.record
	$(BIN)/python -m tests.libvirt.record --backports

bench: $(DEVELOPMENT)
	@sh tests/debian-packages.sh libxml2-utils libvirt0 fuse3 strace
	@$(BIN)/python -m tests.bench

# The pages in build/man have the date of SOURCE_DATE_EPOCH, if that is set.
man: $(RUNTIME)
	rm -rf build/man
	$(BIN)/python -m cachetune.cli.manual.write build/man docs

dist: $(DEVELOPMENT)
	$(BIN)/python -m build

# Built in a copy, because Debian's tools write beside the directory of the sources.
deb:
	@sh tests/debian-packages.sh --must $(PACKAGES_DEB)
	@rm -rf build/deb dist/cachetune_*.deb && mkdir -p build/deb/cachetune dist
	@tar -c --exclude-vcs --exclude=./.venv --exclude=./build --exclude=./dist . | tar -x -C build/deb/cachetune
	cd build/deb/cachetune && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps
	@mv build/deb/*.deb dist/ && rm -r build/deb

clean:
	rm -rf .venv dist build .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cachetune needs Python 3.11 or later")'
	@echo "creating .venv"
	@$(PYTHON) -m ensurepip --version >/dev/null 2>&1 || sh tests/debian-packages.sh --must python3-venv
	@$(PYTHON) -m venv .venv

# The pip of Debian 12 knows neither dependency groups nor build constraints.
$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing cachetune in .venv"
	@$(PIP) --upgrade pip
	@$(PIP) --build-constraint constraints.txt -e .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	@echo "installing the development tools in .venv"
	@$(PIP) --group dev
	@touch $@

# What tests and checks the Ansible collection. Linting and the types of its code need none of it.
$(ANSIBLE): $(DEVELOPMENT)
	@echo "installing Ansible in .venv"
	@$(PIP) --group ansible
	@touch $@

# libvirt-python has no wheels; it is compiled against this machine's libvirt. Tests that need it skip or fail without.
$(LIBVIRT_PYTHON): $(DEVELOPMENT)
	@sh tests/debian-packages.sh gcc libc6-dev pkgconf python3-dev libvirt-dev
	@echo "installing libvirt-python in .venv"
	@$(PIP) libvirt-python && touch $@ || echo "libvirt-python is not available" >&2
