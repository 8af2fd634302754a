# Every target needs Go, git and make; e2e and bench say themselves what else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# All packages of the workspace.
packages := ./... ./sdk/... ./e2e/cluster/...
# The packages that have tests with the build tag e2e.
e2e := ./e2e ./e2e/modproxy ./e2e/bench ./internal/bench/history ./internal/facts/exe ./internal/image/attach ./internal/image/compile ./internal/kube/chart
# Those that start clusters, of which two at a time would disturb each other.
clusters := ./e2e/cluster/... ./e2e/controlplane ./e2e/fullcluster
crds := deploy/chart/files/crds
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
	.ci/gotest $(packages)
	@state=$$(go run ./e2e/controlplane/built); \
	if [ "$$state" != built ]; then echo "$$state"; else .ci/gotest -tags controlplane -count=1 ./e2e/controlplane; fi

.PHONY: check
check: format vet lint arch generated tidy-check cross sdk-oldest self ## check everything that is not a test

.PHONY: format
format:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	@echo "format: ok"

.PHONY: vet
vet:
	go vet $(packages)
	go vet -tags e2e $(e2e) $(clusters)

.PHONY: lint
lint:
	@linter=$$(GOWORK=off go tool -modfile=tools.mod -n golangci-lint); \
	"$$linter" run ./... ./sdk/... && (cd e2e/cluster && "$$linter" run ./...)

.PHONY: arch
arch:
	go test -count=1 .

.PHONY: generate
generate: ## regenerate docs/cli, docs/man and the schemas and tables of docs/formats
	go run ./internal/cli/gendocs
	$(call controller-gen,$(crds),api/k8s/v1alpha1)

.PHONY: generated
generated:
	go run ./internal/cli/gendocs -check
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	$(call controller-gen,"$$dir/crds","$$dir/api"); \
	diff -r "$$dir/crds" $(crds) && diff "$$dir/api/zz_generated.deepcopy.go" api/k8s/v1alpha1/zz_generated.deepcopy.go || \
	{ echo "not up to date, run make generate"; exit 1; }
	@echo "generated: ok"

# The definitions of custom resources go to the first directory, the methods of
# their Go types to the second.
controller-gen = "$$(GOWORK=off go tool -modfile=tools.mod -n controller-gen)" \
	object crd paths=./api/k8s/... output:crd:dir=$(1) output:object:dir=$(2)

.PHONY: tidy-check
tidy-check:
	.ci/tidy -diff

.PHONY: tidy
tidy: ## tidy go.mod and go.sum of all modules
	.ci/tidy

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
	.ci/gotest -tags e2e -count=1 -timeout 60m -p 1 $(clusters)

.PHONY: bench
bench: build ## measure speed and memory against other tools
	bench/run

.PHONY: bench-kube
bench-kube: build ## measure admission beside Kyverno, and the fleet, on a real control plane
	bench/run admission fleet

.PHONY: bench-cgo
bench-cgo: ## measure what a call through cgo costs
	CGO_ENABLED=1 go run ./bench/cgo

.PHONY: bench-gate-study
bench-gate-study: build ## measure how often the benchmark gate is wrong (100 min, resumable)
	go run ./bench/gatestudy

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist
