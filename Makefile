SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMG ?= ghcr.io/livestream-operator/livestream-operator:$(VERSION)
WORKER_IMG ?= ghcr.io/livestream-operator/worker:$(VERSION)
TOOLS := bin/tools
FUZZTIME ?= 30s
CRDS := $(addprefix config/crd/bases/livestream-operator.io_,livestreams.yaml pushdomains.yaml)
MODULES := . hack/controlplane/components hack/node/components hack/tools hack/tools/minio hack/tools/golangci hack/tools/kubeapilinter hack/tools/gitleaks hack/tools/govulncheck
export CGO_ENABLED ?= $(shell go env CGO_ENABLED)

##@ Everyday

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"} /^[a-zA-Z0-9_-]+:.*?##/ {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Play the main job on a control plane of its own; MEDIA=1 records a real push; HOLD=1 stays up. The first run builds Kubernetes: about 10 minutes on two cores.
	@go run ./hack/demo

.PHONY: test
test: build ## Run all tests but the end-to-end ones. The first run gets or builds Kubernetes: about 10 minutes on two cores.
	@assets="$$(hack/envtest-assets.sh)"; \
	go run ./hack/controlplane build; \
	KUBE_CACHE_MUTATION_DETECTOR=true KUBEBUILDER_ASSETS="$$assets" go test -timeout 20m $(TESTFLAGS) ./...

.PHONY: test-race
test-race: ## Run the tests with the race detector (needs a C compiler).
	@$(MAKE) --no-print-directory test CGO_ENABLED=1 TESTFLAGS=-race

.PHONY: test-e2e
test-e2e: build $(TOOLS)/minio $(if $(E2E_KUBECONFIG),,out/node/bin/kubelet) ## Real RTMP in, real Pods on a real node, real files out: as root on Debian, or E2E_KUBECONFIG=your cluster; about 8 minutes once built. RUN=regexp does a part.
	@hack/media-packages.sh $(if $(E2E_KUBECONFIG),,node)
	@$(if $(E2E_KUBECONFIG),,go run ./hack/controlplane build)
	@go test -tags e2e -timeout 40m -count 1 -parallel 4 -v ./test/e2e $(if $(RUN),-run '$(RUN)')

out/node/bin/kubelet: hack/node/components/go.mod hack/node/components/main.go hack/node/pause/main.go
	@echo "building the kubelet, about a minute after the control plane, once ..."
	@go build -trimpath -ldflags "-s -w" -o out/node/bin/pause ./hack/node/pause
	@cd hack/node/components && go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37" -o ../../../out/node/bin/kubelet .

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s). What one finds is kept in testdata/fuzz: mend it, and name a test for it.
	@hack/fuzz.sh $(FUZZTIME)

CHAOS_RUN := $(if $(RUN),$(RUN),$(if $(SEED),TestRandomCampaign,$(if $(MUTANTS),Mutant,.)))
.PHONY: chaos
chaos: ## Have everything go wrong around the operator. FULL=1 plays all calls, many seeds and a long storm; MUTANTS=1, SEED=n, RUN=regexp do a part.
	@$(if $(FULL),$(if $(RUN)$(SEED)$(MUTANTS),,$(MAKE) --no-print-directory refusals))
	@go run ./hack/controlplane build
	@status=0; go test -tags chaos -count 1 -v -timeout $(if $(FULL),3h,90m) -parallel $(or $(PARALLEL),8) ./test/chaos -run '$(CHAOS_RUN)' \
		$(if $(FULL),-chaos.full) $(if $(SEED),-chaos.seed=$(SEED)) $(if $(MUTANTS),-chaos.mutants) $(if $(LOGS),-chaos.logs) \
		| grep --line-buffered -Ev '^=== (RUN|PAUSE|CONT)' || status=$$?; \
	cat out/chaos.json; exit $$status

.PHONY: refusals
refusals: ## Have the receiver refuse a million requests, and see that nothing is left behind: about 2 minutes.
	@assets="$$(hack/envtest-assets.sh)"; \
	KUBEBUILDER_ASSETS="$$assets" REFUSALS=1000000 go test -count 1 -v -timeout 20m ./webhook -run TestHundredsOfThousandsOfRefusalsLeaveNothingBehind

.PHONY: bench
bench: build ## Measure what a callback costs. QUICK=1 measures less, ONLY=ack,job a part, GATE=1 holds the CPU for an event against a bound.
	@go run ./hack/controlplane build
	@mkdir -p out/bench
	@go build -o out/bench/bench ./test/bench
	@out/bench/bench $(if $(QUICK),-quick) $(if $(ONLY),-only=$(ONLY)) $(if $(GATE),-gate) $(if $(OPERATOR_ENV),-operator-env=$(OPERATOR_ENV))

.PHONY: build
build: ## Build bin/manager and bin/worker.
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/manager ./cmd
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/worker ./cmd/worker

##@ Before a commit

.PHONY: generate
generate: $(TOOLS)/controller-gen $(TOOLS)/crd-ref-docs ## Generate deep copies and the tables of fields in docs/spec.
	@$(TOOLS)/controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
	@hack/fields/write.sh

.PHONY: manifests
manifests: $(TOOLS)/controller-gen ## Generate CRDs and roles from markers.
	@$(TOOLS)/controller-gen crd:generateEmbeddedObjectMeta=true paths=./api/... output:crd:dir=config/crd/bases
	@for crd in $(CRDS); do go run ./hack/crdtrim $$crd job; done
	@$(TOOLS)/controller-gen rbac:roleName=livestream-receiver paths=./webhook/... output:rbac:dir=config/rbac/receiver
	@$(TOOLS)/controller-gen rbac:roleName=livestream-reconciler paths="{./controllers/...,./internal/operator/...}" output:rbac:dir=config/rbac/reconciler

.PHONY: fmt
fmt: ## Format the code.
	@gofmt -w api cmd controllers hack internal test webhook

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Lint the code.
	@$(TOOLS)/golangci-lint run ./...
	@$(TOOLS)/golangci-lint run --build-tags chaos ./test/chaos/...
	@$(TOOLS)/golangci-lint run --build-tags e2e ./test/e2e/...

.PHONY: lint-api
lint-api: $(TOOLS)/kubeapilinter ## Lint the API types.
	@$(TOOLS)/kubeapilinter run -c .golangci-kal.yml ./api/...

.PHONY: verify
verify: verify-format verify-modules verify-generated verify-layout leaks lint lint-api ## Check formatting, modules, generated files, layout, leaks and lint.

.PHONY: leaks
leaks: $(TOOLS)/gitleaks ## Look for credentials in the tree, and in the history where there is one.
	@$(TOOLS)/gitleaks dir --no-banner --log-level warn --redact --verbose .
	@if git rev-parse --git-dir >/dev/null 2>&1; then $(TOOLS)/gitleaks git --no-banner --log-level warn --redact --verbose .; fi

.PHONY: vulncheck
vulncheck: $(TOOLS)/govulncheck ## Look for known vulnerabilities in what is called; needs the network, and is no part of verify.
	@status=0; $(TOOLS)/govulncheck ./... || status=$$?; \
	case $$status in \
	0) ;; \
	3) echo "known vulnerabilities are called; see above"; exit 1 ;; \
	*) echo "NOT CHECKED: govulncheck could not do its work, which mostly means that vuln.go.dev cannot be reached from here; nothing is known of vulnerabilities"; exit 1 ;; \
	esac

.PHONY: verify-format
verify-format:
	@unformatted="$$(gofmt -l api cmd controllers hack internal test webhook)"; \
	if [ -n "$$unformatted" ]; then echo "run make fmt; not formatted:"; echo "$$unformatted"; exit 1; fi

.PHONY: verify-modules
verify-modules:
	@for module in $(MODULES); do (cd $$module && go mod tidy -diff) || { echo "run go mod tidy in $$module"; exit 1; }; done

.PHONY: verify-generated
verify-generated: $(TOOLS)/controller-gen $(TOOLS)/crd-ref-docs
	@hack/verify-generated.sh

.PHONY: verify-layout
verify-layout:
	@if [ -e internal/controller ] || [ -e internal/webhook ]; then echo "reconcilers live in controllers/, the receiver in webhook/: see docs/adr/0001-layout.md"; exit 1; fi

##@ Clusters

.PHONY: controlplane
controlplane: ## Build etcd, kube-apiserver and the rest into out/ (about 10 minutes on two cores, once).
	@go run ./hack/controlplane build

.PHONY: image
image: ## Build the images IMG (the operator) and WORKER_IMG (what records and transcodes) with docker.
	docker build --build-arg VERSION=$(VERSION) --target manager -t $(IMG) .
	docker build --build-arg VERSION=$(VERSION) --target worker -t $(WORKER_IMG) .

.PHONY: push
push: ## Push IMG and WORKER_IMG to their registries.
	docker push $(IMG)
	docker push $(WORKER_IMG)

.PHONY: install
install: ## Install the CRDs into the current cluster.
	kubectl apply -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRDs, and all LiveStreams with them.
	! kubectl get crd livestreams.livestream-operator.io > /dev/null 2>&1 || kubectl delete livestreams.livestream-operator.io --all --all-namespaces
	kubectl delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: ## Install everything into the current cluster, with the images IMG and WORKER_IMG; the manifests are those of out/deploy.
	@mkdir -p out/deploy
	@hack/overlay.sh ../../config/default $(IMG) $(WORKER_IMG) > out/deploy/kustomization.yaml
	kubectl apply -k out/deploy

.PHONY: undeploy
undeploy: ## Remove everything from the current cluster: all LiveStreams, with what they run, while the operator gives their shares back, and then the operator.
	! kubectl get crd livestreams.livestream-operator.io > /dev/null 2>&1 || kubectl delete livestreams.livestream-operator.io --all --all-namespaces
	kubectl delete --ignore-not-found -k config/crd
	kubectl delete --ignore-not-found -k config/default

.PHONY: clean
clean: ## Remove what was built, Kubernetes included.
	rm -rf bin out

# Tools are built from modules of their own, so that theirs never mix with the operator's.
$(TOOLS)/controller-gen: hack/tools/go.mod
	@go build -modfile=hack/tools/go.mod -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(TOOLS)/crd-ref-docs: hack/tools/go.mod
	@go build -modfile=hack/tools/go.mod -o $@ github.com/elastic/crd-ref-docs

$(TOOLS)/minio: hack/tools/minio/go.mod
	@echo "building MinIO, about 4 minutes on two cores, once ..."
	@go build -modfile=hack/tools/minio/go.mod -o $@ github.com/minio/minio

$(TOOLS)/setup-envtest: hack/tools/go.mod
	@go build -modfile=hack/tools/go.mod -o $@ sigs.k8s.io/controller-runtime/tools/setup-envtest

$(TOOLS)/golangci-lint: hack/tools/golangci/go.mod
	@echo "building golangci-lint, about 4 minutes on two cores, once ..."
	@go build -modfile=hack/tools/golangci/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TOOLS)/kubeapilinter: hack/tools/kubeapilinter/go.mod
	@echo "building kube-api-linter, about 2 minutes on two cores, once ..."
	@go build -modfile=hack/tools/kubeapilinter/go.mod -o $@ sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter

$(TOOLS)/gitleaks: hack/tools/gitleaks/go.mod
	@echo "building gitleaks, about a minute on two cores, once ..."
	@go build -modfile=hack/tools/gitleaks/go.mod -o $@ github.com/zricethezav/gitleaks/v8

$(TOOLS)/govulncheck: hack/tools/govulncheck/go.mod
	@go build -modfile=hack/tools/govulncheck/go.mod -o $@ golang.org/x/vuln/cmd/govulncheck
