# Two commands on a bare machine (Python 3.11+, pip, make): make demo, make test.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: install demo test lint types layers unit check-learning check-engines check-ecosystem leaks calibrate experiments prove bench bench-backtests \
        bench-forecasts bench-peers bench-significance bench-training format lock clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Foretrade needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install  ## the main job on the embedded default: S&P 500, daily
	$(BIN)/foretrade run

test: lint types layers unit

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

layers: install
	$(BIN)/lint-imports

unit: install
	$(BIN)/pytest -n 2

check-learning: install  ## trains to convergence; minutes, not seconds
	$(BIN)/pytest -m learning

bench: install  ## speed, after a check of equal results; read the ratios (ARGS=--write puts them into docs/speed.md)
	$(BIN)/python tests/benchmarks/environments.py $(ARGS)

bench-forecasts: install  ## the same of the forecasters (ARGS=--write: docs/speed_forecasts.md)
	$(BIN)/python tests/benchmarks/forecasts.py $(ARGS)

bench-significance: install  ## the same of the tests of significance, beside arch (ARGS=--write: docs/significance.md)
	$(BIN)/python tests/benchmarks/significance.py $(ARGS)

bench-backtests: install  ## the same of sweeps (ARGS=--write: docs/speed_backtests.md)
	$(BIN)/python tests/benchmarks/backtests.py $(ARGS)

bench-training: install  ## the same of training, and the time to a known optimum (ARGS=--write: docs/speed_training.md)
	$(BIN)/python tests/benchmarks/training.py $(ARGS)

leaks: install  ## what the no-peek check catches (ARGS=--write: docs/no_peeking.md)
	cd tests && ../$(BIN)/python -m canaries.detection $(ARGS)

calibrate: install  ## how often the verdict is wrong on noise, and its power (ARGS=--write: docs/calibration.md)
	$(BIN)/python -m foretrade.calibration $(ARGS)

experiments: install  ## the price of peeking, and from skill to profit (ARGS=--write: docs/peeking.md, docs/skill.md)
	$(BIN)/foretrade peek $(ARGS)
	$(BIN)/foretrade skill --ppo $(ARGS)

prove: install  ## PPO on markets with known answers (ARGS=--quick; ARGS=--write: docs/proof.md, examples/proof.svg)
	$(BIN)/foretrade prove $(ARGS)

bench-peers: .venv-peers/installed .venv-engines/installed bench bench-backtests bench-training  ## all three beside rivals

check-engines: install .venv-engines/installed  ## the ledger against vectorbt, bt and backtrader
	$(BIN)/pytest -m engines tests/parity

check-ecosystem: install  ## videos by moviepy, and a collector of tianshou, on the environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/envs/ecosystem.txt
	$(BIN)/pytest tests/envs/test_ecosystem.py

.venv-peers/installed: tests/benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet 'torch==2.13.0'
	.venv-peers/bin/python -m pip install --quiet --no-deps -r $<
	@touch $@

.venv-engines/installed: tests/parity/engines.txt
	$(PYTHON) -m venv .venv-engines
	.venv-engines/bin/python -m pip install --quiet -r $<
	@touch $@

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## resolve anew within the ranges of pyproject.toml, and pin what came out
	rm -rf .venv && $(PYTHON) -m venv .venv && $(BIN)/python -m pip install -e '.[dev]' 'torch==2.13.0'
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf .venv .venv-peers .venv-engines build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
