# Every target has one line of help behind ##; `make` alone prints them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
REGISTRY ?= localhost:5000
export REGISTRY
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Bytecode saves half of every Ansible start.
unexport PYTHONDONTWRITEBYTECODE
PIP := .venv/bin/pip -qq --disable-pip-version-check
SETUP := .venv/controller.done
DEV := .venv/dev.done
OTHERS := .cache/others.done
AUDIT := .cache/audit.done
# Whoever `prepare` has just added to group docker belongs to it from the next login on; this command does not wait.
DOCKED := scripts/with-docker.sh
BECOME = $(shell [ "$$(id -u)" = 0 ] || sudo -n true 2>/dev/null || echo --ask-become-pass)

.PHONY: help setup prepare base registry images dev-image image-sizes demo demo-run demo-down render test test-unit \
	test-commands test-browser test-gpu quality audit test-images test-molecule test-homelab test-nightly bench mutation docs requirements

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SETUP) ## Make .venv with Ansible and kinfra, and collections/

.venv/bin/pip:
	@scripts/venv.sh $(PYTHON)

$(SETUP): .venv/bin/pip requirements/controller.txt requirements/collections.txt scripts/kinfra.sh
	@echo "Installing Ansible into .venv"
	@$(PIP) install --require-hashes --requirement requirements/controller.txt
	@scripts/collections.sh
	@scripts/kinfra.sh
	@touch $@

$(DEV): $(SETUP) requirements/dev.txt
	@echo "Installing the tests' tools into .venv"
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@scripts/torch.sh
	@touch $@

# Other people's ways to start Ansible: in a place of their own, which the tests' tools do not have to agree with.
$(OTHERS): $(SETUP) requirements/others.txt
	@echo "Installing ansible-runner, ansible-navigator and ARA into .cache/others"
	@.venv/bin/python -m venv --clear .cache/others
	@.cache/others/bin/pip -qq --disable-pip-version-check install --require-hashes --requirement requirements/others.txt
	@touch $@

$(AUDIT): .venv/bin/pip requirements/audit.txt
	@echo "Installing pip-audit into .cache/audit"
	@.venv/bin/python -m venv --clear .cache/audit
	@.cache/audit/bin/pip -qq --disable-pip-version-check install --require-hashes --requirement requirements/audit.txt
	@touch $@

prepare: $(SETUP) ## Install and start Docker Engine and Compose v2 on the inventory's hosts where missing
	@ansible-playbook playbooks/prepare.yml $(BECOME)

base: $(SETUP) ## Find out what images are built on, and make it where Docker Hub is not reached
	@$(DOCKED) scripts/base-images.sh

registry: base ## Run the registry on localhost:5000
	@$(DOCKED) scripts/registry.sh

# In small letters nobody would hear it.
ifeq ($(origin sha),command line)
$(error It is SHA, in capitals: make images SHA=$(sha))
endif

images: registry ## Build the three images and push them (SHA=abc1234 names the commit)
	@SHA_GIVEN=$(SHA) $(DOCKED) scripts/images.sh

dev-image: base ## Build ktrdr-backend:dev, which deploy/environments/local and sandboxes run
	@$(DOCKED) scripts/dev-image.sh

image-sizes: ## Print unpacked and compressed size of each image beside its budget
	@$(DOCKED) scripts/image-sizes.sh

demo: prepare ## Everything on this machine: engine, registry, images, rollout, status
	@$(DOCKED) $(MAKE) --no-print-directory demo-run
	@docker info > /dev/null 2>&1 || echo "You were added to group docker: log out and in before the next ansible-playbook."

demo-run: images ## The demo where `make prepare` was done: images, rollout, status
	@scripts/demo-inventory.sh
	@ansible-playbook rollout.yml
	@ansible-playbook status.yml
	@echo; echo "Next: . .venv/bin/activate; make images SHA=abc1234; ansible-playbook rollout.yml -e sha=abc1234"; echo "To remove it all: make demo-down"

demo-down: ## Remove all that the demo made, except installed packages
	@$(DOCKED) scripts/demo-down.sh

render: $(SETUP) ## Write deploy/environments/homelab from the templates
	@ansible-playbook --inventory inventory/homelab playbooks/render.yml

# The engine comes first: without Compose, tests of the compose files would be skipped.
test: prepare test-unit quality test-commands test-browser test-gpu test-molecule ## All that CI runs

# Half of what they do is waiting for processes: two for each processor.
PYTEST = pytest -n $$(($$(getconf _NPROCESSORS_ONLN) * 2)) --dist worksteal

test-unit: $(DEV) ## Tests of the code (a minute and a half on two cores)
	@scripts/test-packages.sh
	@$(PYTEST) tests/unit

test-commands: $(DEV) $(OTHERS) ## Playbooks and the documentation's commands, typed as anybody would, on an engine that is simulated
	@$(PYTEST) tests/commands

test-browser: $(DEV) ## The report in headless Chromium; SHOTS=DIRECTORY keeps the screenshots
	@scripts/test-browser.sh
	@pytest tests/browser -rs

test-gpu: $(DEV) ## The torch check on this machine's NVIDIA card; skipped, with the reason, where there is none
	@pytest tests/gpu -rs

quality: $(DEV) ## ruff, bandit, mypy, ansible-lint, yamllint, shellcheck, hadolint, zizmor, ansible-config
	@scripts/quality.sh

audit: $(AUDIT) ## Known vulnerabilities of the locked packages; says skipped if no database is reached
	@.cache/audit/bin/python scripts/audit.py

test-images: $(DEV) prepare ## Build the images that the scenarios need
	@$(DOCKED) scripts/test-images.sh

test-molecule: test-images ## Scenarios on real Docker engines (24 minutes)
	@$(DOCKED) scripts/molecule.sh

test-homelab: test-images ## The scenario with four hosts over SSH alone
	@$(DOCKED) scripts/molecule.sh homelab

test-nightly: export NIGHTLY := 1
test-nightly: test-images $(AUDIT) ## What CI leaves out, part by part; an interrupted run goes on (PART=name; docs/nightly.md)
	@$(DOCKED) .venv/bin/python scripts/nightly.py $(PART)

bench: registry ## This project beside what people use instead (RUNS=5; ONLY=rollout,floor; HOSTS=4; SSH=1)
	@$(DOCKED) bench/images.sh
	@set -a; . .cache/base.env; $(DOCKED) .venv/bin/python -m bench --runs $(or $(RUNS),5) --only "$(ONLY)" --hosts $(or $(HOSTS),1) $(if $(SSH),--ssh)

mutation: .venv/bin/pip ## Mutate the torch verdict and NVIDIA's rules; prints the mutants that no test kills (ten minutes)
	@scripts/mutation.sh

docs: $(SETUP) ## Write the tables of docs/ from the roles' argument_specs and the code's refusals
	@.venv/bin/python scripts/inventory_docs.py
	@.venv/bin/python scripts/refusal_docs.py

requirements: $(DEV) ## Pin the requirement files anew (needs uv)
	@scripts/requirements.sh

.PHONY: bench-growth
bench-growth: test-images ## Rollouts of SIMULATED hosts: HOSTS=1,4,16,64 RUNS=1 FORKS=16 SERIAL=1,16
	@$(DOCKED) .venv/bin/python -m bench.growth $(if $(HOSTS),--hosts $(HOSTS)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(FORKS),--forks $(FORKS)) $(if $(SERIAL),--serial $(SERIAL))
