SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# What runs beside others: sockets, goroutines, processes. Everything else is pure and has nothing to race.
DRIVERS := ./internal/loop/... ./internal/proxy/... ./internal/obs/... ./internal/admin/... ./internal/postgres/... \
	./internal/pgtest/... ./internal/peer/... ./internal/takeover/... ./internal/app/... ./internal/cli/... ./internal/demo/... ./probe/...

# Where buffers are lent: with this tag they are checked, and scribbled over when their lifetime ends.
LENDERS := ./internal/loop/... ./internal/proxy/... ./internal/engine/... ./internal/sim/...

SEED ?=
FROM ?= 0
N ?= 2000
ARGS ?=
WORLDS ?= (Sim|Cluster)

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/cancello, one static file
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -o bin/cancello ./cmd/cancello

.PHONY: demo
demo: build cache ## a throwaway PostgreSQL, Cancello before it, a tour of cancel (ARGS=--once)
	@bin/cancello demo $(ARGS)

.PHONY: test
test: cache ## all tests; 2,000 seeds of the simulation are among them
	@scripts/go-test -timeout 20m ./...

.PHONY: check
check: ## formatting, vet, staticcheck, modules, the rules of internal/arch, what a query costs
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "gofmt -w these:"; echo "$$bad"; exit 1; fi
	go vet ./...
	go vet -tags invariants ./...
	go tool staticcheck ./...
	cd test/drivers/go && go vet ./...
	cd probe/testdata/psqlwire && go vet ./...
	go mod verify
	go mod tidy -diff
	go test ./internal/arch/...
	@$(BUILD_BUDGET)
	bin/budget
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: its rules were not looked at"; fi

# What a query costs, in instructions and allocations: the same on every run, so that it can be held to a figure.
BUILD_BUDGET = mkdir -p bin && CGO_ENABLED=0 go build -trimpath -o bin/budget ./bench/budget

.PHONY: budget
budget: ## write bench/budget/budget.json anew: what a query may cost, which `make check` holds it to
	@$(BUILD_BUDGET)
	bin/budget -write

.PHONY: race
race: cache ## drivers under the race detector, buffers under the invariants tag
	CGO_ENABLED=1 scripts/go-test -race -shuffle=on $(DRIVERS)
	scripts/go-test -tags invariants -shuffle=on $(LENDERS)

.PHONY: sim
sim: ## the simulation alone: N=2000 worlds and clusters, or the one of SEED= with a trace: it replays exactly (WORLDS=Sim or Cluster: these alone)
	go test ./internal/sim -run '^Test$(WORLDS)$$' -count=1 -v $(if $(SEED),-seed=$(SEED),-seeds=$(N) -from=$(FROM))

.PHONY: bench
bench: build cache ## what Cancello is held to, beside PgBouncer, interleaved, on this machine: 25 minutes, into docs/performance
	go run ./bench -out docs/performance $(ARGS)

.PHONY: bench-full
bench-full: build cache ## all the rest, beside every pooler found, into docs/performance; and cancels
	go run ./bench -full -out docs/performance $(ARGS)
	go run ./bench cancel -rounds 3 -out docs/performance

.PHONY: bench-quick
bench-quick: build cache ## each kind of thing once: two minutes, and rough
	go run ./bench -quick $(ARGS)

.PHONY: bench-cancel
bench-cancel: build cache ## cancels: PostgreSQL itself, Cancello, PgBouncer in one run (ARGS=-quick: under a minute)
	go run ./bench cancel $(ARGS)

.PHONY: others
others: ## look at PgBouncer, Pgpool-II, PGlite and psql-wire with `cancello check`, write down what they do
	@scripts/check-others

.PHONY: pg
pg: ## PostgreSQL 15 and 18, psql, pgbench, pgbouncer, haproxy, valgrind, chromium: installs what is missing
	@scripts/install-debian
	@scripts/fetch-postgres

.PHONY: drivers
drivers: ## psycopg, asyncpg, pgjdbc, node-postgres, postgres.js, pgx, lib/pq; PGlite, psql-wire: installs what is missing
	@scripts/install-drivers

.PHONY: drivers-report
drivers-report: cache ## docs/compatibility.md anew, from what the drivers do
	go test ./test -run '^TestDrivers$$' -count=1 -update

# PostgreSQL 18 in the cache. Nothing is installed; where it can't be had, what needs it says so itself.
.PHONY: cache
cache:
	@scripts/fetch-postgres --optional
