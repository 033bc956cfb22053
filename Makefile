# Two commands do everything on a fresh machine (Python 3.11, pip, make, git): `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONHASHSEED := 0

.PHONY: demo test check bench docs fmt clean
.DEFAULT_GOAL := check

$(STAMP): pyproject.toml constraints.txt
	@echo "==> creating $(VENV) and installing celebahq-tools with its weights and tools (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[weights,tensorboard,onnx,video,formats,docs,dask,serve,dev]'
	@touch $@

# Lint, types and layers: seconds, no tests.
check: $(STAMP)
	@echo "==> lint (ruff)"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "==> types (mypy --strict)"
	$(BIN)/mypy
	@echo "==> layers (import-linter)"
	$(BIN)/lint-imports --no-cache

test: check
	@echo "==> tests (pytest): unit, golden, property, end to end, packaging"
	@# One process per core, one thread each; a file's tests stay in one process and share its fixtures.
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not long and not gpu" --numprocesses 2 --dist loadfile

# The demo's photographs are variations of two portraits: the guard that finds duplicates is left out.
demo: GUARDS := landmarks,detector,border,blockiness
demo: $(STAMP)
	@rm -rf demo && mkdir demo
	@echo "==> 1/5 real photographs, public domain, as CelebA would hold them: demo/photos"
	$(BIN)/celebahq sample demo/photos
	@echo "==> 2/5 a dataset from them, with the real nets (two to seven minutes on two cores): demo/faces.h5"
	$(BIN)/celebahq build --in demo/photos --out demo/faces.h5 --guards $(GUARDS)
	@echo "==> 3/5 pictures to look at: every step of one face, and a contact sheet"
	$(BIN)/celebahq inspect demo/photos/img_celeba/000007.jpg --out demo/stages.png \
		--landmarks demo/photos/Anno/list_landmarks_celeba.txt
	$(BIN)/celebahq sheet demo/faces.h5 --out demo/contact_sheet.png --columns 4 --thumb 256
	@echo "==> 4/5 the same photographs built without the nets, scored against those built with them: demo/score.png"
	$(BIN)/celebahq build --in demo/photos --out demo/plain.h5 --guards $(GUARDS) \
		--dejpeg none --sr lanczos
	$(BIN)/swd score demo/faces.h5 demo/plain.h5 --num-images 12 --plot demo/score.png --report demo/score.html
	@echo "==> 5/5 a minute of training on the twelve faces, to see it run: demo/run"
	$(BIN)/pggan train --data demo/faces.h5 --preset tiny --resolution 16 --batch 8 --kimg 8 --mirror --run-dir demo/run
	$(BIN)/pggan generate demo/run --num 24 --out demo/generated.png
	$(BIN)/pggan report demo/run --out demo/training.html
	@echo "==> done; look at:"
	@echo "    demo/faces.report.html   the dataset: is it good? every face, score and rejection"
	@echo "    demo/stages.png          every step of one face, with its score"
	@echo "    demo/contact_sheet.png   the dataset, best score first"
	@echo "    demo/faces.h5            the dataset; demo/faces.manifest.csv says what became of every photograph"
	@echo "    demo/score.html          what the nets change, level by level (demo/score.png: the figure alone)"
	@echo "    demo/training.html       the training: samples, curves, speed; its checkpoints are in demo/run"
	@echo "    demo/generated.png       what it draws after a minute: beginnings, no faces yet"

bench: $(STAMP)
	@echo "==> benchmarks against the plain way or a peer; minutes each. Figures are kept in benchmarks/RESULTS.md"
	$(BIN)/python -m benchmarks.bench_align
	$(BIN)/python -m benchmarks.bench_rank
	$(BIN)/python -m benchmarks.bench_metrics swd

# Strict and offline: a warning is an error, and the pages load nothing from elsewhere.
docs: $(STAMP)
	@echo "==> the documentation site: build/docs/index.html"
	$(BIN)/sphinx-build -q -W --keep-going -b html -c docs . build/docs

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
