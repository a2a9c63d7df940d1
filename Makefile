# make            builds bin/nlrig
# make run        plays every case on 5.10, 6.1, 6.12, the newest and this kernel
# make test       all tests, VM tests included
# make test-html  the HTML report in a headless Chromium, with axe-core
# make bench      first verdicts, booted and warm, beside the least that a boot takes; the
#                 corpus; a Go test in a VM beside a native one; or those that BENCH matches
# make demo       a Go package with tests of every kind and end, here and on 5.10, 6.1, 6.12 and the newest
# make soak       2,000 warm starts in a row and 50 at once
# make golden     records what six real kernels do, for the tests of the emulated one
# make fuzz       every fuzz target for FUZZTIME
# make bisect-versions   finds changes between the kernels of the cache, beside their
#                 matrix, and one that is seen now and then, 20 times
# make bisect     finds two changes in a made-up history of a real kernel, by building it
# make check      formatting and vet, for every OS that a package is for
#
# What is missing is installed first, with sudo when you are not root.

GO        ?= go
KERNELS   ?= default,local
FUZZTIME  ?= 5m
COUNT     ?= 10
BENCH     ?= .
COMMITS   ?= 8
CASES     ?=
# The agent is built alike wherever it is built: no path, no time, no cgo.
AGENT_ENV   = CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOAMD64=v1 GOFLAGS= GOEXPERIMENT=
AGENT_FLAGS = -trimpath -buildvcs=false -ldflags='-s -w -buildid='

.PHONY: all run test test-html setup-test bench demo soak golden fuzz bisect check setup setup-build clean bisect-versions

all: bin/nlrig

bin/nlrig: FORCE
	@$(AGENT_ENV) $(GO) build $(AGENT_FLAGS) -o initramfs/agent.bin ./guest/agent
	@CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags nlrig_agent -o $@ ./host/nlrig

.PHONY: FORCE
FORCE:

run: setup bin/nlrig
	@bin/nlrig run -k $(KERNELS) $(CASES)

# What a test lacks is a failure here, and not a skip.
test: setup setup-test
	NLRIG_REQUIRE=1 $(GO) test -timeout 20m ./...

# The page of a report in a real browser, at REPORT or at one of this run.
test-html: setup bin/nlrig
	@command -v /usr/bin/chromium >/dev/null && command -v npm >/dev/null || \
		{ echo "test-html wants chromium and npm: apt-get install chromium npm" >&2; exit 3; }
	@dir=$$(mktemp -d) && trap 'rm -rf '$$dir EXIT && cp host/report/browser/* $$dir && \
	if [ -n "$(REPORT)" ]; then bin/nlrig report show -o html=$$dir/report.html $(REPORT) >/dev/null; \
	else bin/nlrig run -k $(KERNELS) -o html=$$dir/report.html >/dev/null; fi && \
	cd $$dir && npm install --silent --no-audit --no-fund --no-package-lock && \
	node check.mjs report.html $(or $(SHOTS),.)

bench: setup bin/nlrig
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(COUNT)x -timeout 60m ./host ./host/nlrig

demo: setup
	NLRIG_DEMO=5.10,6.1,6.12,newest NLRIG_REQUIRE=1 $(GO) test -run TestDemo -count 1 -v -timeout 60m ./host/nlrig

soak: setup
	NLRIG_STARTS=2000 NLRIG_REQUIRE=1 $(GO) test -run ManyStarts -count 1 -v -timeout 30m ./host

# What the emulated kernel is held against where there is no VM.
golden: setup bin/nlrig
	bin/nlrig run -k 5.10,6.1,6.12,6.17,7.1,7.3 -no-seconds -o json=- | gzip -9n > kernels/emulated/testdata/kernels.json.gz

fuzz:
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

# A history of COMMITS commits, 8 or 32, on Debian's source of 6.1, in HISTORY. With
# UML=1 its kernels are of User Mode Linux.
HISTORY ?= bin/history-$(COMMITS)
bisect-versions: setup
	NLRIG_BISECT=$${XDG_CACHE_HOME:-$$HOME/.cache}/nlrig $(GO) test -run 'BisectMatrix|BisectSometimes' -count 1 -v -timeout 60m ./host/nlrig

bisect: setup setup-build bin/nlrig $(HISTORY)
	@for case in rtnetlink/no-caps link/no-kind; do \
		bin/nlrig bisect $(if $(UML),-uml) -git $(HISTORY) -good first -bad last $$case | tee bin/bisect.txt || exit 1; \
		tag=errno; [ $$case = rtnetlink/no-caps ] || tag=text; \
		grep -q "^first bad is $$(git -C $(HISTORY) rev-parse --short=12 $$tag)," bin/bisect.txt || \
			{ echo "bisect: $$case changed with $$tag, and that is not what was found" >&2; exit 1; }; \
	done

$(HISTORY):
	@mkdir -p bin && cd bin && { ls linux-source-6.1_*.deb >/dev/null 2>&1 || apt-get download linux-source-6.1; }
	@cd bin && dpkg-deb --fsys-tarfile linux-source-6.1_*.deb | tar -xO ./usr/src/linux-source-6.1.tar.xz > linux-source-6.1.tar.xz
	@rm -rf $@.tmp && kernels/build/testdata/history.sh bin/linux-source-6.1.tar.xz $@.tmp $(COMMITS) && mv $@.tmp $@

check:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./vmtest/... ./kernels/emulated
	GOOS=windows $(GO) vet ./vmtest/... ./kernels/emulated

# QEMU and xz are all that is needed beyond Go, apt and dpkg.
setup:
	@missing=; \
	command -v qemu-system-x86_64 >/dev/null || missing="$$missing qemu-system-x86"; \
	command -v xz >/dev/null || missing="$$missing xz-utils"; \
	if [ -n "$$missing" ]; then \
		sudo=; [ $$(id -u) = 0 ] || sudo=sudo; \
		echo "installing$$missing: $$sudo apt-get install --no-install-recommends$$missing"; \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null || \
		{ echo "could not install$$missing: see above" >&2; exit 3; }; \
	fi

# The planted faults are a kernel module that is built.
setup-test: setup-build

# What kernels are built with.
setup-build:
	@missing=; \
	for tool in git make gcc flex bison bc; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -e /usr/include/gelf.h ] || missing="$$missing libelf-dev"; \
	[ -e /usr/include/stdio.h ] || missing="$$missing libc6-dev"; \
	if [ -n "$$missing" ]; then \
		sudo=; [ $$(id -u) = 0 ] || sudo=sudo; \
		echo "installing$$missing: $$sudo apt-get install --no-install-recommends$$missing"; \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null || exit 3; \
	fi

clean:
	rm -rf bin initramfs/agent.bin
