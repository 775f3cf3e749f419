# Nightshift: `make help` lists what there is to do.
.DEFAULT_GOAL := help
export GOFLAGS := -buildvcs=false
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 30s

# Programs of this repository run on this machine, also while `make package GOOS=windows` builds for another.
HERE := env -u GOOS -u GOARCH go run

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

AZURITE := deploy/local/azurite/node_modules/.package-lock.json
$(AZURITE): deploy/local/azurite/package-lock.json
	cd deploy/local/azurite && npm ci --no-audit --no-fund
	@touch $@

# Without install scripts: only the grammar's WebAssembly is used, its native module would want a compiler.
POWERSHELL := deploy/lint/powershell/node_modules/.package-lock.json
$(POWERSHELL): deploy/lint/powershell/package-lock.json
	cd deploy/lint/powershell && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: tools
tools: $(AZURITE) ## install the storage emulator (needs Node.js, not root)

# The race detector needs a C compiler. CI=true makes what is missing an error; without it, tests say what they skip.
.PHONY: test-tools
test-tools: tools
	@command -v "$$(go env CC)" >/dev/null || { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; }
	@deploy/local/ftpd/install.sh || [ "$$CI" != true ]
	@deploy/local/pywinrm/install.sh || [ "$$CI" != true ]

# Debian has no PowerShell: this test runs where one is found (NIGHTSHIFT_PWSH, or pwsh on the PATH).
EXCUSED := TestRealPowerShell

.PHONY: test
test: test-tools ## every test, with the race detector; installs what it needs (as root on Debian)
	@go test -race -json -timeout 20m ./... | go run ./deploy/testreport $(EXCUSED)
	@mkdir -p build
	@echo "every benchmark once, so that none rots (numbers: make bench)"
	@go test -run '^$$' -bench . -benchtime 1x ./... >build/benchmarks.txt || { cat build/benchmarks.txt; exit 1; }

.PHONY: package
package: ## pack for Azure: build/apps/<app>/ and a zip (APP=ftppull GOOS=windows GOARCH=amd64)
	@$(HERE) ./deploy/pack/cmd/pack -os "$(or $(GOOS),linux)" -arch "$(or $(GOARCH),amd64)" $(APP)

# ONCE=1 ends by itself and fails when something is not as expected; the five FTP settings name a server of your own.
.PHONY: run
run: tools ## the estate on this machine, until Ctrl-C (ONCE=1, ADDRESS=127.0.0.1:7171, LIMIT=1h)
	@env -u GOOS -u GOARCH go build -o build/local ./deploy/local
	@exec build/local $(if $(ONCE),-once) $(if $(ADDRESS),-address $(ADDRESS)) $(if $(LIMIT),-limit $(LIMIT))

.PHONY: bench
bench: test-tools ## measure against the limits: a table (minutes; installs rclone into build/; ONLY=small)
	@$(HERE) ./deploy/bench $(if $(ONLY),-only $(ONLY))
	@$(if $(ONLY),,go test -run '^$$' -bench . -benchmem ./... | grep -E '^(pkg|Benchmark)')

.PHONY: fuzz
fuzz: ## every fuzz target, for FUZZTIME=30s each
	@for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target" && go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

.PHONY: lint
lint: $(POWERSHELL) ## gofmt, vet (also for Windows), staticcheck, go.mod; PowerShell scripts
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	go vet ./...
	GOOS=windows go vet ./...
	go mod tidy -diff
	go run $(STATICCHECK) ./...
	@mkdir -p build
	@node --test deploy/lint/powershell/*.test.js >build/lint-powershell.txt || { cat build/lint-powershell.txt; exit 1; }
	node deploy/lint/powershell/lint.js

.PHONY: clean
clean: ## remove what was built (not the installed emulator)
	rm -rf build
