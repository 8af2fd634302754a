module github.com/gopherwood-dev/gopherwood/e2e/cluster

go 1.26.0

require github.com/gopherwood-dev/gopherwood/sdk v0.1.0
