# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# make demo   three lab sites on this machine, a VM that moves between them live, and the proof that nothing was lost
# make demo GUEST=debian   with a full Debian guest, set up by cloud-init and reached by SSH at both sites
# make test   every check and test          make bench   against the tools that a user would otherwise pick
# make slow   what make test leaves out for its time: full guests, three sites, a control plane that moves, a timer, an exit rehearsed
# make faults every fault in every phase of every mode
# make e2e-kubernetes SOURCE_KUBECONFIG=es.yaml TARGET_KUBECONFIG=de.yaml   a whole application between two real clusters
# make e2e-k3s K3S_BINARY=k3s   the role k3s_cluster with a real k3s in place of the stand-in, on hosts of its own
# make compliance   evidence of the lab judged by all controls; the report is in build/compliance
# make lab    the three sites, provisioned   make clean   takes away all that the others made

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= /usr/bin/python3
BUILD := build
VENV := $(BUILD)/venv
BIN := $(CURDIR)/$(VENV)/bin
COLLECTION := $(BUILD)/collections/ansible_collections/virt8ra/federation
INSTALLED := $(BUILD)/installed
export PATH := $(BIN):$(PATH)
export ANSIBLE_HOME := $(CURDIR)/$(BUILD)/ansible
export ANSIBLE_FORCE_COLOR ?= $(if $(shell test -t 1 && echo tty),1,)
export PYTHONUNBUFFERED := 1
export LC_ALL := C.UTF-8

.PHONY: help demo lab compliance test slow bench faults clean lint sanity unit integration e2e-kubernetes e2e-k3s second-core

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(BUILD)/.packages: bindep.txt
	@mkdir -p $(BUILD)
	@missing=$$(sed -n 's/^\([a-z0-9.+-]\+\) *\[platform:dpkg\].*/\1/p' bindep.txt | while read -r package; do \
	    dpkg-query -W -f '$${db:Status-Status}' "$$package" 2>/dev/null | grep -qx installed || echo "$$package"; done); \
	if [ -n "$$missing" ]; then \
	    echo "==> installing OS packages from bindep.txt:" $$missing; \
	    apt-get -qq update; \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $$missing > $(BUILD)/packages.log; \
	else echo "==> all OS packages of bindep.txt are there"; fi
	@touch $@

$(VENV)/.ready: requirements.txt $(BUILD)/.packages
	@echo "==> making the virtual environment $(VENV) from requirements.txt"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --requirement requirements.txt
	@touch $@

$(VENV)/.test-ready: tests/requirements.txt $(VENV)/.ready
	@echo "==> adding tests/requirements.txt to $(VENV)"
	@$(BIN)/pip install --quiet --requirement tests/requirements.txt
	@touch $@

# Debian's, unless there is another one, whose package the same file would break.
$(BUILD)/.kubectl: bindep.txt
	@mkdir -p $(BUILD)
	@if ! command -v kubectl > /dev/null; then \
	    package=$$(sed -n 's/^\([a-z0-9.+-]\+\) *\[platform:dpkg kubectl\].*/\1/p' bindep.txt); \
	    echo "==> installing the OS package $$package for kubectl"; \
	    apt-get -qq update; \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $$package > $(BUILD)/packages.log; \
	fi
	@touch $@

# Only the tests of pages need it.
$(BUILD)/.chromium: bindep.txt
	@mkdir -p $(BUILD)
	@if ! command -v chromium chromium-browser google-chrome > /dev/null; then \
	    package=$$(sed -n 's/^\([a-z0-9.+-]\+\) *\[platform:dpkg chromium\].*/\1/p' bindep.txt); \
	    echo "==> installing the OS package $$package"; \
	    apt-get -qq update; \
	    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $$package fonts-dejavu-core > $(BUILD)/packages.log; \
	fi
	@touch $@

# The link by which ansible.cfg finds this checkout as the collection virt8ra.federation.
$(COLLECTION):
	@mkdir -p $(dir $@)
	@ln -sfn ../../../.. $@

READY := $(VENV)/.ready $(COLLECTION)
TEST_READY := $(VENV)/.test-ready $(COLLECTION)

# Before the lab is there, no site is to be asked.
lab: $(READY)
	@echo "==> making the three lab sites and provisioning them"
	VIRT8RA_DISCOVER=false ansible-playbook playbooks/lab.yml playbooks/provision.yml

ifeq ($(GUEST),debian)
demo: lab
	@echo "==> deploying a full Debian, reaching it by SSH, moving it live, and reaching it again"
	ansible-playbook playbooks/demo_debian.yml
else
demo: lab
	@echo "==> deploying a guest, moving it live, and counting its writes"
	ansible-playbook playbooks/demo.yml
	@cat $(BUILD)/demo.txt
endif

# Containers of one machine are not where their sites are declared to be, and say so; it is told, and does not fail the run.
compliance: lab
	@echo "==> measuring between the sites, gathering evidence, and judging it"
	ansible-playbook playbooks/measure_latency.yml
	ansible-playbook playbooks/compliance.yml -e fail_on=never

clean: $(if $(wildcard $(VENV)/.ready),$(COLLECTION))
	@if command -v ansible-playbook > /dev/null; then \
	    VIRT8RA_DISCOVER=false ansible-playbook playbooks/lab.yml -e lab_site_state=absent -e lab_site_remove_image=true; fi
	rm -rf $(BUILD) .pytest_cache .ruff_cache .mypy_cache .ansible

lint: $(TEST_READY)
	ruff format --check .
	ruff check .
	mypy
	cd roles/compliance_schedule/files && mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache --package compliance_run
	yamllint --strict .
	ansible-lint --offline

# The checks run on what a user installs: the built artefact.
$(INSTALLED)/.built: $(TEST_READY) $(shell git ls-files 2>/dev/null | grep -v ' ')
	@rm -rf $(INSTALLED) && mkdir -p $(INSTALLED)
	ansible-galaxy collection build --output-path $(INSTALLED)
	ansible-galaxy collection install --no-deps --force --collections-path $(INSTALLED) $(INSTALLED)/virt8ra-federation-*.tar.gz
	@touch $@

sanity: $(INSTALLED)/.built
	bash tests/sanity/run.sh $(INSTALLED)/ansible_collections/virt8ra/federation

second-core: lab $(TEST_READY)
	bash tests/second_core.sh

unit: $(TEST_READY)
	pytest tests/unit

integration: lab $(TEST_READY) $(BUILD)/.chromium
	pytest tests/integration

# Without kubeconfigs the pair is two doubles of an API server.
e2e-kubernetes: $(TEST_READY) $(BUILD)/.kubectl
	E2E_SOURCE_KUBECONFIG=$(abspath $(SOURCE_KUBECONFIG)) E2E_SOURCE_CONTEXT=$(SOURCE_CONTEXT) \
	E2E_TARGET_KUBECONFIG=$(abspath $(TARGET_KUBECONFIG)) E2E_TARGET_CONTEXT=$(TARGET_CONTEXT) pytest tests/e2e

e2e-k3s: $(TEST_READY)
	K3S_BINARY=$(abspath $(K3S_BINARY)) pytest tests/integration/test_k3s_cluster.py

GUESTLESS_TESTS := tests/e2e $(wildcard $(addprefix tests/integration/test_,cluster*.py kubernetes_*.py k3s_*.py \
    migrate_datastore.py migrate_nodes.py volume_mover.py awx_*.py compliance_*.py))
LAB_TESTS := $(filter-out $(GUESTLESS_TESTS),$(wildcard tests/integration/test_*.py))

# What needs no guests goes beside all that follows the lab, whose image its hosts have too, and is shown after it.
test: lint lab $(BUILD)/.kubectl $(BUILD)/.chromium
	@echo "==> what needs no guests goes beside all others, and is shown after them"
	@setsid pytest -m "not slow" $(GUESTLESS_TESTS) > $(BUILD)/guestless.log 2>&1 & guestless=$$!; trap 'kill -INT -- -$$guestless 2> /dev/null || true' EXIT; failed=0; \
	    { $(MAKE) sanity second-core unit && pytest -m "not slow" $(LAB_TESTS); } || failed=1; \
	    wait $$guestless || failed=1; trap - EXIT; \
	    cat $(BUILD)/guestless.log; exit $$failed

slow: lab $(TEST_READY)
	pytest -m slow tests/integration

faults: lab $(TEST_READY)
	python -m tests.faults

bench: lab $(TEST_READY) $(BUILD)/.kubectl
	python -m tests.benchmarks
