# Everything from a clean clone on Debian 12. `make demo` to see it, `make test` to check it.
# What is missing is installed once; the stamps in .venv make a second run fast.

PACKAGES := keepalived iproute2 iputils-ping nftables procps tcpdump openssl python3-venv
# For the tests alone: a Debian that boots in a container, an image, man pages, another clock,
# a browser.
TEST_PACKAGES := debootstrap systemd-container podman groff-base libfaketime \
	chromium fonts-dejavu-core
PYTHON := .venv/bin/python
PROMETHEUS := .venv/prometheus/usr/bin/prometheus
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: demo test test-system lint wheel deb manual bench round-robin histories soak fuzz root

demo: .venv/.installed $(PROMETHEUS)
	@$(SUDO) $(PYTHON) -m havrrpd.lab.demo $(if $(ONCE),--once)

test: root lint $(PROMETHEUS) .venv/.test-packages
	@$(PYTHON) -m pytest --dist loadscope --tx '3*popen//python=tests/worker $(PYTHON)'

# A part of `make test`: real systemd, the package, the image, every fault.
test-system: root .venv/.installed .venv/.test-packages
	@$(PYTHON) -m pytest tests/system

lint: .venv/.installed
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

# dist/havrrpd-VERSION-py3-none-any.whl; setuptools leaves in build/ what it once put there.
wheel: .venv/.installed
	@rm -rf build
	@$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps -w dist .

# dist/havrrpd_VERSION_ARCH.deb, for the Debian that it is made on.
deb:
	@$(call install,python3-venv)
	@package/deb/build

# The man pages and the completion, after a change of the commands or of config/havrrpd.toml.
manual: .venv/.installed
	@$(PYTHON) -m package.manual

# About 40 minutes: writes docs/benchmarks.md. Neutron's monitors are fetched from PyPI once.
bench: root .venv/.installed
	@$(PYTHON) -m tests.bench.run

# About 25 minutes; `OPTIONS="--by havrrpd"` makes half of it, `OPTIONS=--quick` four rows.
round-robin: root .venv/.installed
	@$(PYTHON) -m tests.bench.round_robin $(OPTIONS)

# About half an hour: three tests of so many random histories each.
histories: .venv/.installed
	@HAVRRPD_HISTORIES=20000 $(PYTHON) -m pytest tests/simulation/test_invariants.py

# About 40 minutes, most of it for keepalived.conf: a million inputs for each decode.
# `TARGETS=netlink OPTIONS="--seed 7"` for one.
fuzz: .venv/.installed
	@$(PYTHON) -m tests.fuzz $(OPTIONS) $(TARGETS)

# MINUTES=30, SEED=1: random faults of docs/faults.md on fifty routers with real keepalived.
soak: root .venv/.installed .venv/.test-packages
	@$(PYTHON) -m tests.soak.run $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

root:
	@test "$$(id -u)" = 0 || { echo "This needs root, for network namespaces of its own: sudo make test" >&2; exit 1; }

.venv/.installed: pyproject.toml constraints.txt .venv/.packages
	@test -x $(PYTHON) -a -x .venv/bin/pip || python3 -m venv .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Debian's, for the lab, unpacked and not installed: so no service of it runs on this machine.
$(PROMETHEUS): .venv/.packages
	@echo "fetching: prometheus"; directory=$$(mktemp -d) && cd $$directory && \
		{ apt-get download -qq prometheus 2>/dev/null || \
			{ $(SUDO) apt-get update -qq && apt-get download -qq prometheus; }; } && \
		dpkg -x prometheus_*.deb prometheus && rm -rf $(CURDIR)/.venv/prometheus && \
		mv prometheus $(CURDIR)/.venv/ && rm -r $$directory
	@touch $@

# Debian starts services that it installs. keepalived.service has ConditionFileNotEmpty on
# /etc/keepalived/keepalived.conf, which a fresh install has not, so nothing runs on this machine.
.venv/.packages: Makefile
	@$(call install,$(PACKAGES))
	@mkdir -p .venv && touch $@

# Of these Debian starts podman's socket and its timer, which wait until somebody has containers.
.venv/.test-packages: Makefile
	@$(call install,$(TEST_PACKAGES))
	@mkdir -p .venv && touch $@

install = missing=; for package in $(1); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
			|| missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing >/dev/null || exit 1; \
	fi
