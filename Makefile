# Each verb brings what it needs: only python3 (3.11 or newer), make and the package registries are assumed.
PYTHON ?= python3
# Each test worker has a control plane of its own; on two processors the second saves a third of the time.
WORKERS ?= 2
BIN := .venv/bin
CODE := sharedvip cluster webhook reconciler certs simulator localcluster cli bench soak tests scripts

.PHONY: help demo test check soak bench-admission bench-reconcile format binaries environment clean

help: ## Show the verbs.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

demo: environment ## Show the main job: real control plane, simulated Avi Controller, real kubectl.
	@$(BIN)/sharedvip demo

test: binaries ## Run every test.
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile $(PYTEST)

check: environment ## Format, lint, types, import contracts, spelling, documents.
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check --no-cache $(CODE)
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/pytest -q -m "not e2e" tests/repo

# The second half runs also where the first found something broken, and either makes the verb fail.
soak: binaries ## Try the guarantees a thousand times, spoil every call to Avi; writes docs/reference (hours).
	@$(BIN)/python -m soak; admission=$$?; $(BIN)/python -m soak.reconcile --write && exit $$admission

bench-admission: binaries ## Admission against its floor, OPA and a ValidatingAdmissionPolicy; writes docs/reference.
	$(BIN)/python -m bench.admission

bench-reconcile: binaries ## 1,000 groups from nothing, restarts, resyncs; writes docs/reference.
	$(BIN)/python -m bench.reconcile

format: environment ## Rewrite the code as the check wants it.
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

binaries: environment ## Build the local control plane, once.
	@$(BIN)/python -m localcluster build

environment:
	@$(PYTHON) scripts/environment.py

clean: ## Remove the environment; the caches under ~/.cache/sharedvip stay.
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
