# iMSG: every command a person needs. Each sets up by itself what it wants, once, and is quick from then on.
.DEFAULT_GOAL := help
UV := .uv/bin/uv
VENV := .venv/bin

# What is compiled is kept, whatever the environment says: every start and every test process would compile it again.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE

# Names a download that lasts longer than ten seconds.
SLOWLY = scripts/announce-slow 10 "$$(scripts/in-language \
	'fetching packages, 200 MB in all; a slow network takes minutes ...' '正在下载软件包，共 200 MB；网速慢时需要几分钟……')"

# Four at once on two processors, because tests wait for servers. The tests of a file run together and share fixtures,
# and so do the files of an `xdist_group`.
# The files come in the order of `testpaths`, the slow ones first, so that no process ends long after the others.
TEST := $(VENV)/pytest -n 4 --dist loadgroup --no-loadscope-reorder

# What is installed follows from these; a stamp older than one of them is out of date.
PROJECTS := pyproject.toml uv.lock $(wildcard */pyproject.toml shared/*/pyproject.toml clients/*/pyproject.toml)

# An environment whose interpreter has gone is none.
ifneq ($(shell $(VENV)/python -c 'print("whole")' 2>/dev/null),whole)
  $(shell rm -f .venv/.to-run .venv/.to-test)
endif

.PHONY: help pictures backup restore run wheel release docs test test-changed test-long test-release test-rare test-order test-stalls mutants slowest check style types dependencies format generate openapi isolation test-fault test-fault-quick test-kubernetes test-compose up down roll logs ps clean bench bench-quick bench-history bench-pair compare-requests

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

run: .venv/.to-run ## run iMSG here, in one process, until Ctrl-C
	@exec $(VENV)/imsg up

# What `make test` runs beside `check`.
QUICK := -m 'not long and not fault and not release'

test: check .venv/.servers ## check, and every test but the long ones
	@$(TEST) --junit-xml=.reports/test.xml $(QUICK)

test-changed: .venv/.to-test .venv/.servers ## the tests that an edit can break, the nearest first, for half a minute (SINCE=REV; ALL=yes: as long as it takes)
	@$(VENV)/python -m imsg_testing.changed $(if $(SINCE),--since $(SINCE)) $(if $(ALL),--all) \
		-n 4 --dist loadgroup $(QUICK)

test-long: .venv/.to-test .venv/.long-servers .venv/.to-bench .venv/.rules ## the long tests: pages in a browser, killed workers, SDKs, Java, the fuzzer, the quick faults, each bench row for seconds
	@$(TEST) --junit-xml=.reports/test-long.xml -m 'long and not release'

test-release: .venv/.to-test ## what a release is held to, in hours: faults, upgrades, containers, isolation, stalls, random order, mutants, the bench (PARTS="faults bench": these alone)
	@$(VENV)/python -m imsg_testing.release_run $(PARTS)

test-rare: .venv/.to-test .venv/.long-servers .venv/.rules # the tests marked `release`
	@$(TEST) --junit-xml=.reports/test-rare.xml -m release

test-order: .venv/.to-test .venv/.servers # the tests of `make test`, their files in random order (SEED=N repeats a run)
	@seed=$${SEED:-$$(od -An -N2 -tu2 /dev/urandom | tr -d ' ')}; echo "make test-order SEED=$$seed"; \
		$(TEST) --random-files=$$seed --junit-xml=.reports/test-order.xml $(QUICK)

test-stalls: .venv/.to-test .venv/.servers ## tests with real servers, while their processes are stopped at random for up to 2.5 s (SEED=N repeats a run)
	@$(VENV)/python -m imsg_testing.stalls $(if $(SEED),--seed $(SEED)) -n 3 --dist loadgroup --no-loadscope-reorder \
		--junit-xml=.reports/test-stalls.xml $(QUICK) tests/contract tests/e2e

slowest: ## print which files of the last runs took longest, and the start of their servers
	@$(VENV)/python -m imsg_testing.durations

check: .venv/.to-test ## format, lint, types, imports, declared dependencies
	@$(MAKE) --no-print-directory --jobs=2 types style dependencies

style: # how it is written, and who imports whom
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/lint-imports --no-logo --no-cache

types: # the senders' tests by themselves: a hyphen is no package, so their modules have equal names
	$(VENV)/mypy --num-workers 2 || { [ $$? = 2 ] && rm -f .mypy_worker.* && $(VENV)/mypy; } # 2: a busy machine started no worker in time
	for tests in sender-*/tests; do $(VENV)/mypy $$tests || exit 1; done

dependencies: # what a package imports it declares; `make isolation` tries it, and takes longer
	@for project in $(filter-out pyproject.toml tests/% bench/%,$(filter %.toml,$(PROJECTS))); do \
		$(VENV)/deptry --no-ansi --config $$project $${project%/*}/src >.venv/dependencies 2>&1 || { cat .venv/dependencies; exit 1; }; \
	done; echo "dependencies: every package declares what it imports"

format: .venv/.to-test ## put the code into its form
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .

generate: .venv/.to-test ## write what follows from channels and settings: compose, Caddy, Kubernetes, tables, docs/settings.md, docs/openapi.json
	$(VENV)/python -m imsg_testing.generate

pictures: .venv/.to-test ## take the READMEs' pictures of the web page anew (needs Chromium)
	$(VENV)/python -m imsg_testing.pictures

openapi: .venv/.to-test ## write docs/openapi.json alone, as the services describe themselves
	$(VENV)/python -m imsg_testing.openapi

wheel: .venv/.to-test ## build the one wheel of `pip install imsg`, and the clients' library, into dist
	@cd deploy/wheel && ../../$(VENV)/hatchling build --target wheel --directory ../../dist
	@$(UV) build --quiet --wheel --package imsg-client --out-dir dist

release: .venv/.to-test ## make what a release consists of, in dist/release, of a commit that passed test-release: wheels, archives, SBOM, offline archives, images, checksums
	@$(VENV)/python -m imsg_testing.release_run --recorded
	@$(SLOWLY) scripts/release

docs: $(UV) ## build the site of the documents, in Chinese and English, into dist/docs; every link is checked
	@UV_PROJECT_ENVIRONMENT=.uv/docs $(SLOWLY) $(UV) sync --quiet --frozen --only-group docs
	@echo "imsg: $$(scripts/in-language 'building the site, half a minute ...' '正在生成站点，约半分钟……')" >&2
	@NO_MKDOCS_2_WARNING=1 PYTHONWARNINGS=ignore .uv/docs/bin/mkdocs build --quiet
	@echo "imsg: dist/docs/$$(scripts/in-language index.html zh/index.html)" >&2

mutants: .venv/.to-test .venv/.servers ## change the rules that must not be wrong one operator at a time; nearly each change must fail a test (ROOMS="decide claims": these alone)
	@UV_PROJECT_ENVIRONMENT=.uv/mutants $(SLOWLY) $(UV) sync --quiet --frozen --only-group mutants
	@.uv/mutants/bin/python tests/src/imsg_testing/mutation.py $(ROOMS)

isolation: $(UV) ## each package alone with what it declares: a part of test-release
	scripts/isolation

test-fault: .venv/.to-test .venv/.long-servers ## inject every fault, reconcile, write docs/fault-tolerance.md
	$(VENV)/python -m imsg_testing.fault_run

test-fault-quick: .venv/.to-test .venv/.servers ## every process killed once: a part of test-long
	$(VENV)/pytest -m quick tests/fault

test-kubernetes: .venv/.to-test .venv/.long-servers ## build the manifests with kustomize, and check them by Kubernetes' schemas
	@$(VENV)/pytest tests/contract/test_kubernetes.py

test-compose: .venv/.to-test ## run the containers: scale, roll, kill them at random for two minutes
	@scripts/test-compose

bench: .venv/.to-bench isolation ## measure beside floors and a peer (25 min); writes bench/results
	@$(VENV)/python -m imsg_bench

bench-quick: .venv/.to-bench isolation ## the same in 7 minutes, to see where one stands
	@$(VENV)/python -m imsg_bench --quick

bench-history: .venv/.to-bench isolation ## history alone, with 5,000,000 messages
	@$(VENV)/python -m imsg_bench --history

bench-pair: .venv/.to-bench ## two trees in turn: make bench-pair A=REV B=REV ROWS="A D" (ROUNDS=5)
	@$(VENV)/python -m imsg_bench pair $(A) $(B) $(ROWS) $(if $(ROUNDS),--rounds $(ROUNDS))

compare-requests: .venv/.to-test .venv/.servers ## ask two revisions, or trees, the same 6,700 raw requests: make compare-requests A=REV B=REV (ONLY=part of a name)
	@$(VENV)/python -m imsg_testing.compare_requests $(A) $(B) --only "$(ONLY)"

up: ## run iMSG as containers (docker compose)
	@scripts/compose-up

down: ## end the containers; what they keep stays
	docker compose --profile '*' down

roll: ## restart SERVICE replica by replica, without a failed request
	@scripts/roll "$(SERVICE)"

backup: ## copy what must last of the containers: make backup TO=FOLDER
	@scripts/backup "$(TO)"

restore: ## bring a backup back, into new volumes: make restore FROM=FOLDER
	@scripts/restore "$(FROM)"

logs: ## follow the containers' logs
	docker compose logs --follow --tail=100

ps: ## show the containers
	docker compose ps

clean: ## remove what was set up here, but no data
	rm -rf .uv .venv tests/browser/node_modules .screenshots .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(UV):
	@scripts/install-uv

# Running wants no test tools; an environment that has them already is left as it is.
.venv/.to-run: $(PROJECTS) | $(UV)
	@echo "imsg: $$(scripts/in-language 'setting up, once ...' '正在准备环境，仅此一次……')" >&2
	@UV_PROJECT_ENVIRONMENT=.venv $(SLOWLY) $(UV) sync --quiet --locked --no-dev --inexact --package imsg
	@touch $@

.venv/.to-test: $(PROJECTS) | $(UV)
	@echo "imsg: $$(scripts/in-language 'setting up to test, once ...' '正在准备测试环境，仅此一次……')" >&2
	@UV_PROJECT_ENVIRONMENT=.venv $(SLOWLY) $(UV) sync --quiet --locked --all-packages
	@touch .venv/.to-run $@

.venv/.to-bench: scripts/install-bench bench/pyproject.toml | .venv/.to-test .venv/.servers
	@scripts/install-bench
	@touch $@

.venv/.servers: scripts/install-servers | .venv/.to-test
	@scripts/install-servers
	@touch $@

.venv/.long-servers: scripts/install-servers | .venv/.to-test
	@scripts/install-servers long
	@touch .venv/.servers $@

# The accessibility rules (axe-core) that the browser tests hold every page to; npm checks them against the lock's hash.
.venv/.rules: tests/browser/package-lock.json | .venv/.long-servers
	@npm --prefix tests/browser ci --loglevel=error --no-audit --no-fund --ignore-scripts
	@touch $@
