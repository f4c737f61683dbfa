# make demo    set up, train on real digits, evaluate, predict: under five minutes on two cores
# make test    set up what tests need, and run them
# make native  build the native half into the source tree, for work on it without an installation
# make lint    formatting, types, who imports whom
# make docs    the documentation and the API reference as a site, in build/site
PYTHON ?= python3
VENV ?= .venv

# On Linux pip brings PyTorch's build for NVIDIA GPUs, which is several gigabytes; without such a GPU, and where the index
# of the builds for processors answers, it is asked too. PIP_FLAGS= takes whatever pip is set up for.
CPU_BUILDS := https://download.pytorch.org/whl/cpu
ANSWERS ?= $(PYTHON) -c "from urllib.request import urlopen; urlopen('$(CPU_BUILDS)/torch/', timeout=10)"
WANTS_CPU = test "$$(uname -s)" = Linux && ! command -v nvidia-smi >/dev/null && $(ANSWERS) >/dev/null 2>&1
PIP_FLAGS ?= $(shell $(WANTS_CPU) && echo --extra-index-url $(CPU_BUILDS))
BIN := $(VENV)/bin

PYTHON_NOW ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))

.PHONY: demo test native lint docs format clean

# An environment is made anew when what it holds has changed. The demonstration needs less than the tests.
$(VENV)/.demo: pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*.* native/*/*.*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[train]"
	touch $@

# Zig first: it compiles the engine to WebAssembly where the package is built.
$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet -c constraints.txt ziglang
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[train,formats,data,ray,serve,dev]"
	touch $@

demo: $(VENV)/.demo
	$(BIN)/mobilenets fit digits --output runs/digits --force
	$(BIN)/mobilenets evaluate runs/digits/model.safetensors digits
	$(BIN)/python docs/demo.py runs/digits/image.png
	$(BIN)/mobilenets predict runs/digits/model.safetensors runs/digits/image.png
	@echo "The model, its figures and its report are in runs/digits."

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal

native:
	cmake -S . -B build/in-place -DMOBILENETS_IN_PLACE=ON -DPython_EXECUTABLE=$(shell command -v $(PYTHON_NOW))
	cmake --build build/in-place --parallel

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -p no:cacheprovider tests/test_import_direction.py

$(VENV)/.docs: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e ".[train,docs]"
	touch $@

docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/site/index.html"

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist runs
