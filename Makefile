# All that is needed: Python 3.10 to 3.13 (with venv and pip) and make.
#   make train                      the shortest way to a trained agent
#   make train PYTHON=python3.12    with another interpreter (delete .venv first)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
# Bytecode is written after the installation, on all cores; pip uses one.
BYTECODE := $(BIN)/python -W ignore -m compileall -q -q -j 0 $(VENV)/lib || true

.PHONY: help train setup setup-dev lint format test test-slow tables docs bench-peers
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1   \2/p' Makefile

train: setup ## set up, train DQN on CartPole-v1 until it is solved, test it and film it
	$(BIN)/python main.py reward_threshold=475 online_eval_episode=20
	$(BIN)/python main.py mode=test load_path=latest render_mode=rgb_array online_eval_episode=20
	@echo
	@echo "The trained agent at work: tasks/latest/videos/video.gif. Try next:"
	@echo "  . $(BIN)/activate"
	@echo "  python main.py preset=CartPole-v1/PPO            another algorithm, with tuned settings"
	@echo "  python main.py -m seed=1,2,3 algo_name=DQN,PPO max_env_step=20000   six runs, one table and one figure"
	@echo "  tensorboard --logdir tasks                       all curves"
	@echo "  python main.py --help                            everything else"

setup: $(VENV)/.runtime ## make .venv and install requirements.lock into it

setup-dev: $(VENV)/.dev ## the same, with what the tests need

lint: setup-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-dev ## mend the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The tests start many short processes: they share bytecode, even where Python is told to write none.
test test-slow: export PYTHONDONTWRITEBYTECODE :=

test: lint ## lint and the test suite
	$(BIN)/python -m pytest -n 3 --dist loadgroup

test-slow: setup-dev ## the tests that learn for many minutes
	$(BIN)/python -m pytest -m slow

tables: setup ## take finished verifications over into docs/results.md, write docs/presets.md, settings.md and quickstart.ipynb
	$(BIN)/python -m framework.commands.pages.preset_tables
	$(BIN)/python -m framework.commands.pages.settings_page
	$(BIN)/python -m framework.commands.pages.notebook

docs: $(VENV)/.docs ## make the site of the pages and of the API, with search: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "Open site/index.html; a web server is not needed."

PEERS := sb3 sbx tianshou rllib
bench-peers: $(PEERS:%=.peers/%/.done) ## install the libraries that benchmarks/speed.py compares with, in .peers/

.peers/%/.done: benchmarks/peers/%.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip --disable-pip-version-check install --quiet --no-compile -r $<
	@.peers/$*/bin/python -W ignore -m compileall -q -q -j 0 .peers/$*/lib || true
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "Joyride needs Python 3.10 or newer: make PYTHON=<path of one>" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps say which lock was installed last: pip runs again only once a lock has changed.
$(VENV)/.runtime: requirements.lock | $(BIN)/python
	$(PIP) -r requirements.lock
	@$(BYTECODE)
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock | $(BIN)/python
	$(PIP) -r requirements-dev.lock
	@$(BYTECODE)
	@touch $(VENV)/.runtime $@

$(VENV)/.docs: requirements-docs.lock | $(BIN)/python
	$(PIP) -r requirements-docs.lock
	@$(BYTECODE)
	@touch $@
