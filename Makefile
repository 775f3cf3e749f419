# Nightshift: `make help` lists what there is to do.
.DEFAULT_GOAL := help
export GOFLAGS := -buildvcs=false
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

AZURITE := deploy/local/azurite/node_modules/.package-lock.json
$(AZURITE): deploy/local/azurite/package-lock.json
	cd deploy/local/azurite && npm ci --no-audit --no-fund
	@touch $@

.PHONY: tools
tools: $(AZURITE) ## install the storage emulator

.PHONY: test
test: tools ## every test, with the race detector
	go test -race ./...

.PHONY: lint
lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...
