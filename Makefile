# Everything from a clean clone on Debian 12. `make demo` to see it, `make test` to check it.
# What is missing is installed once; the stamps in .venv make a second run fast.

PACKAGES := keepalived iproute2 iputils-ping nftables procps tcpdump openssl python3-venv \
	chromium fonts-dejavu-core
PYTHON := .venv/bin/python
PROMETHEUS := .venv/prometheus/usr/bin/prometheus
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: demo test lint bench round-robin soak root

demo: .venv/.installed $(PROMETHEUS)
	@$(SUDO) $(PYTHON) -m havrrpd.lab.demo $(if $(ONCE),--once)

test: root lint $(PROMETHEUS)
	@$(PYTHON) -m pytest

lint: .venv/.installed
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

# About half an hour: writes docs/benchmarks.md. Neutron's monitors are fetched from PyPI once.
bench: root .venv/.installed
	@$(PYTHON) -m tests.bench.run

# About 25 minutes; `OPTIONS="--by havrrpd"` makes half of it, `OPTIONS=--quick` four rows.
round-robin: root .venv/.installed
	@$(PYTHON) -m tests.bench.round_robin $(OPTIONS)

# About half an hour: three tests of so many random histories each.
soak: .venv/.installed
	@HAVRRPD_HISTORIES=20000 $(PYTHON) -m pytest tests/simulation/test_invariants.py

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
	@missing=; for package in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
			|| missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing >/dev/null || exit 1; \
	fi
	@mkdir -p .venv && touch $@
