# `make demo` shows the main job on this machine; `make test` is everything CI runs.
export CGO_ENABLED = 0
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
K8S      := $(shell go list -m -f '{{.Version}}' k8s.io/apiserver 2>/dev/null | sed 's/^v0\./v1./')
LDFLAGS  := -s -w -X dhow/cli.version=$(VERSION) -X k8s.io/component-base/version.gitVersion=$(K8S)+dhow
BUILD    := go build -ldflags '$(LDFLAGS)'
# grpcnotrace: gRPC's trace pages use html/template, which has the linker keep every method of everything
SMALL    := nocluster,packed,shimbinary,grpcnotrace
# of the machine that builds, whatever it builds for
PACK     := GOARCH= go run ./internal/packed/pack

.PHONY: build shim whole arm64 demo test lint e2e vm-test vm-clock clients bench bench-images bench-api conformance conformance-api judge runtime-validation podman-test gen clean

build: shim whole ## bin/dhow, static
	$(BUILD) -tags $(SMALL) -o bin/dhow .

shim: ## the part that holds a pod, which build puts into the binary
	go build -ldflags '-s -w' -o container/shimbinary/shim ./container/shimbinary/program
	$(PACK) container/shimbinary/shim container/shimbinary/shim.packed

whole: shim ## the whole program, which build packs into the one that starts fast
	$(BUILD) -tags shimbinary -o bin/dhow-whole .
	$(PACK) bin/dhow-whole cli/whole/program

arm64: export GOARCH = arm64
arm64: shim whole ## bin/dhow-arm64, cross-compiled
	$(BUILD) -tags $(SMALL) -o bin/dhow-arm64 .

demo: build ## the main job, shown end to end, then cleaned up
	bin/dhow demo

# The umask is for what tests make themselves, contexts of builds for instance.
test: build lint ## everything CI runs, with a watch on who writes to shared objects; needs root
	go test -count=1 -tags nocluster -run 'WholeProgram|CommandsOf' ./cli
	go test -count=1 -tags shimbinary -run WhatIsBuiltIn ./container
	umask 022 && go test -count=1 -timeout 25m -tags sharedcheck ./...

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'ed:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go vet -tags nocluster ./cli

e2e: build ## the real binary with real software: nginx, redis, docker-registry
	go test -count=1 -v -timeout 20m ./test/e2e

vm-test: ## what has to do with containers under cgroup v2 alone, with AppArmor, in an emulated machine; ARGS='-test.run Pause'
	test/vm/run $(ARGS)

vm-clock: ## the API server in that machine, whose clock jumps
	PACKAGES=./test/vm/clock test/vm/run

clients: build ## clients that others wrote: kubectl, helm, an operator, the npm client
	cd test/clients && go vet ./... && go test -count=1 -timeout 20m .

bench: build ## our figures beside the peers' that are installed
	bench/run

bench-images: build ## pull and unpack of an image beside podman's, builds beside buildah's
	bench/images/run $(ARGS)

bench-api: build ## our API server beside upstream's; ARGS='-crds 1000 -more-pods 50000' for all of it
	bench/api/run $(ARGS)

conformance: build judge ## upstream's end-to-end suite as judge; FOCUS= SKIP= PROCS=
	cd test/conformance && go test . && go run . --dhow $(CURDIR)/bin/dhow

judge: ## what the runs of others' suites have in common
	cd test/judge && go vet ./... && go test ./...

conformance-api: export SUITE = api
conformance-api: conformance ## the part of it that judges the API server and runs no pods, as CI does

critest: build judge ## cri-tools' suite as judge of our CRI; FOCUS= SKIP=
	cd test/critest && go vet ./... && go test . && go run . --dhow $(CURDIR)/bin/dhow

runtime-validation: build ## others' judge of OCI runtimes; ARGS='-v -run hooks' for some of it
	ln -sf dhow bin/dhow-oci
	cd test/runtime-validation && go vet . && go run . -runtime $(CURDIR)/bin/dhow-oci $(ARGS)

podman-test: build ## Debian's podman with dhow as its runtime, in namespaces of its own
	ln -sf dhow bin/dhow-oci
	unshare --mount --net test/podman/run $(CURDIR)/bin/dhow-oci

gen: ## what is generated from the API types
	go generate ./...
	go test ./assemble -run Graph -update

clean:
	rm -rf bin
