# make demo | make test | make setup | make lint | make bench | make clean | make distclean
# The first five make .venv where it is missing or older than the files that describe it.

VENV := .venv
STAMP := $(VENV)/.made
BIN := $(VENV)/bin
# The first Python 3.11 found; `make PYTHON=/path/to/python3.11 setup` names another.
PYTHON = $(or $(shell for p in python3.11 python3 /usr/bin/python3.11 /usr/local/bin/python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	&& command -v "$$p" && break; done),python3)
# Rendering needs no display.
export PYOPENGL_PLATFORM ?= egl
export PYGLET_HEADLESS ?= 1

.PHONY: demo test setup lint bench libraries detectron2 clean distclean
.NOTPARALLEL:

demo: setup
	$(BIN)/python tools/quickstart.py $(ARGS)

# pytest takes more arguments: make test ARGS='-k procrustes'. Two processes, a file in each.
test: lint
	@$(BIN)/python tools/setup/system_libraries.py --browser
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q --noconftest tests/test_layering.py

# Speed, as ratios within one run, on a machine that does nothing else: benchmarks/README.md.
bench: setup
	$(BIN)/python benchmarks/bench_training_step.py
	$(BIN)/python benchmarks/bench_rendering.py --model chair:1 --model chair:7-8 --out benchmarks/results/rendering.json
	$(BIN)/python benchmarks/bench_loading.py
	$(BIN)/python benchmarks/bench_pose2seg.py
	$(BIN)/python benchmarks/bench_loop.py

setup: libraries $(STAMP)

# Before anything is downloaded, and each time: it takes 0.1 s.
libraries: ANY_PYTHON = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
libraries:
	@$(ANY_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo 'error: Python 3.11 is needed, $(ANY_PYTHON) is not one. Type' >&2; \
	  echo '    sudo apt-get install -y python3.11 python3.11-venv' >&2; \
	  echo 'or name one: make PYTHON=/path/to/python3.11 setup' >&2; \
	  [ ! -e .venv ] || echo 'or, as .venv is of another Python: make distclean' >&2; exit 1; }
	@$(ANY_PYTHON) -S tools/setup/system_libraries.py

$(STAMP): setup.cfg pyproject.toml constraints.txt $(wildcard tools/setup/*.py)
	$(PYTHON) tools/setup/environment.py
	@touch $@

# After `.venv/bin/pip uninstall detectron2`: make detectron2 [DETECTRON2=official]
detectron2: setup
	$(BIN)/python tools/setup/install_detectron2.py

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find keypointnet kp2seg tools tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .cache
