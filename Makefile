# make course | lab | site | students | nbgrader | check | test | nightly | reference | benchmark | clean
# Needs Python 3.11 or newer, and pip.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
  && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST ?=
SIDE_BY_SIDE := -n 2 --dist loadgroup --no-loadscope-reorder  # each begins with a part of the course
# A thread of torch that waits sleeps: spinning doubles the CPU time where others use the machine.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: course lab site students nbgrader check test nightly reference benchmark clean

# --- for those who learn and teach

course: $(VENV)/.course
	$(BIN)/ser-course run
	@echo "Open runs/course/report/index.html in a browser."

lab: $(VENV)/.course
	cd notebooks && ../$(BIN)/jupyter lab

site: $(VENV)/.course
	$(BIN)/ser-course run
	$(BIN)/ser-course site runs/course

students: $(VENV)/.course
	$(BIN)/ser-course students runs/students

nbgrader: $(VENV)/.test  # the lessons where nbgrader looks for them; docs/teaching.md goes on
	for lesson in notebooks/*.ipynb; do name=$$(basename $$lesson .ipynb); \
	  mkdir -p source/$$name && cp $$lesson source/$$name/; done
	@echo "Now, with $(BIN) activated: ser-course run; nbgrader generate_assignment 03_calibration"

# --- for those who carry on (CONTRIBUTING.md): minutes 3, 20, and a night

check: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow" $(PYTEST)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST)

nightly: $(VENV)/.test
	$(BIN)/python -m pytest -m "nightly or not benchmark" $(PYTEST)
	$(BIN)/python -m pytest -m benchmark tests/benchmarks
	$(BIN)/python -m tools.mutants

reference: $(VENV)/.test  # what in data/reference is older than lessons, code or encoder
	$(BIN)/python -m tools.collect_reference

benchmark: $(VENV)/.test
	$(BIN)/python -m pytest -m benchmark tests/benchmarks

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11-3.13 here: install one, or make PYTHON=..."; exit 1; }
	@echo "Making $(VENV) with $(PYTHON); the packages follow (a few minutes, once)."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python has no venv here; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.course: pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) install -c requirements.lock -e .
	@touch $@

$(VENV)/.test: pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) install -c requirements.lock -e '.[cluster,test]'
	@touch $@ $(VENV)/.course

clean:
	rm -rf $(VENV) runs/course
