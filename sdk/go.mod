module github.com/gopherwood-dev/gopherwood/sdk

go 1.21
