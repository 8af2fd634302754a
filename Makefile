# Every target needs Go, git and make; e2e and bench say themselves what else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

module := github.com/gopherwood-dev/gopherwood
# The packages that have tests with the build tag e2e.
e2e := ./e2e/... ./internal/facts/exe ./internal/image/attach ./internal/image/compile
platforms := linux/amd64 linux/arm64 darwin/arm64 windows/amd64

.PHONY: help
help: ## show this
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 14

.PHONY: build
build: ## build bin/gopherwood
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/gopherwood

.PHONY: demo
demo: build ## show what gopherwood does, on real programs
	go run ./internal/cli/demo bin/gopherwood$$(go env GOEXE)

.PHONY: test
test: ## run the tests that need no more than Go
	.ci/gotest ./... ./sdk/...

.PHONY: check
check: format vet lint arch generated tidy-check cross sdk-oldest self ## check everything that is not a test

.PHONY: format
format:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	@echo "format: ok"

.PHONY: vet
vet:
	go vet ./... ./sdk/...
	go vet -tags e2e $(e2e)

.PHONY: lint
lint:
	@linter=$$(GOWORK=off go tool -modfile=tools.mod -n golangci-lint); \
	"$$linter" run ./... ./sdk/...

.PHONY: arch
arch:
	go test -count=1 .

.PHONY: generate
generate: ## regenerate docs/cli, docs/man and the schemas and tables of docs/formats
	go run ./internal/cli/gendocs

.PHONY: generated
generated:
	go run ./internal/cli/gendocs -check

# The tree requires a version of sdk that is published after it: tidy looks at
# the sdk of the tree instead, in a copy of go.mod.
.PHONY: tidy-check
tidy-check:
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cp go.mod go.sum "$$dir"; \
	go mod edit -replace=$(module)/sdk=./sdk "$$dir/go.mod"; \
	GOWORK=off go mod tidy -diff -modfile="$$dir/go.mod"
	@cd sdk && GOWORK=off go mod tidy -diff
	@echo "tidy: ok"

.PHONY: tidy
tidy: ## tidy go.mod and go.sum of both modules
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cp go.mod go.sum "$$dir"; \
	go mod edit -replace=$(module)/sdk=./sdk "$$dir/go.mod"; \
	GOWORK=off go mod tidy -modfile="$$dir/go.mod"; \
	go mod edit -dropreplace=$(module)/sdk "$$dir/go.mod"; \
	cp "$$dir/go.mod" "$$dir/go.sum" .
	@cd sdk && GOWORK=off go mod tidy

.PHONY: cross
cross:
	@for p in $(platforms); do \
		echo "build $$p"; \
		GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 go build -o /dev/null ./cmd/gopherwood; \
	done

# sdk promises to work with the Go of its go.mod: that toolchain, a module, tests it.
.PHONY: sdk-oldest
sdk-oldest:
	cd sdk && GOWORK=off GOTOOLCHAIN=go1.21.13 go test ./...

.PHONY: self
self: build
	bin/gopherwood$$(go env GOEXE) check --self

.PHONY: e2e
e2e: ## run the tests that need Debian, root and the kernel
	e2e/setup.sh
	.ci/gotest -tags e2e -count=1 -timeout 30m $(e2e)

.PHONY: bench
bench: build ## measure speed and memory against other tools
	bench/run

.PHONY: bench-cgo
bench-cgo: ## measure what a call through cgo costs
	CGO_ENABLED=1 go run ./bench/cgo

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
