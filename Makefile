# SPDX-License-Identifier: GPL-2.0
# The one entry point: `make help` lists every target. The kernel's build system reads Kbuild, not this file.
# Everything is written under build/ and the cache folder (VMTP_CACHE, default ~/.cache/vmtp).

KB := vmtp/kbuild
OUT := build/out
export KERNEL VMTP_CACHE
export PREFIX ?= /usr/local
export DESTDIR
# An empty KERNEL or VMTP_CACHE means the default, as an absent one.
ifeq ($(strip $(KERNEL)),)
unexport KERNEL
endif
ifeq ($(strip $(VMTP_CACHE)),)
unexport VMTP_CACHE
endif

# CLIPPY=1 and V=1 are the kernel's; W=1 too. With clippy every warning is an error.
kernel-flags := $(if $(CLIPPY),CLIPPY=$(CLIPPY) W=e$(W)) $(if $(V),V=$(V)) $(if $(CLIPPY),,$(if $(W),W=$(W)))
# `make` uses all processors unless told otherwise with -j.
jobs = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
in-tree = +@tree=$$($(KB)/make-tree) && mkdir -p build/module && \
	CLIPPY_CONF_DIR="$$tree" $(KB)/in-root $(MAKE) --no-print-directory $(jobs) -C "$$tree" M="$(CURDIR)" MO="$(CURDIR)/build/module" $(kernel-flags)

harness := $(KB)/in-root python3 selftests/vm

.PHONY: all module tools libraries install deb test-deb artifacts help root kernel-latest tree shell load unload clean distclean rfc \
	selftests demo demo-groups vm test test-fast test-dissector test-vm test-netem test-debug test-debug-short bench fuzz-kernel soak profile simulate \
	fuzz coverage mutants module-debug rust-analyzer vm-packages
.DEFAULT_GOAL := all

all: module ## vmtp.ko for the Debian kernel, in build/out/ (the default)

module:
	$(in-tree) modules
	@mkdir -p $(OUT)
	@cmp -s build/module/vmtp.ko $(OUT)/vmtp.ko || cp build/module/vmtp.ko $(OUT)/vmtp.ko
	@$(KB)/in-root $(KB)/check-module $(OUT)/vmtp.ko

tools: ## our programs, static, in build/out/bin/
	@$(KB)/make-tools

libraries: ## libvmtp and libvmtprpc (ONC RPC), in build/lib/
	@$(KB)/need-packages test
	@$(KB)/in-root $(MAKE) --no-print-directory -s -C userspace-tools/lib

install: tools libraries ## tools, libraries, headers and manual pages, to DESTDIR and below PREFIX (/usr/local)
	@$(MAKE) --no-print-directory -s -C userspace-tools/lib install
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(OUT)/bin/vmtp $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/share/vmtp $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(OUT)/bin/vmtp completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vmtp
	install -m 644 userspace-tools/wireshark/vmtp.lua userspace-tools/scapy/vmtp_scapy.py $(DESTDIR)$(PREFIX)/share/vmtp
	for section in 1 3 7; do \
		install -d $(DESTDIR)$(PREFIX)/share/man/man$$section && \
		install -m 644 userspace-tools/man/*.$$section $(DESTDIR)$(PREFIX)/share/man/man$$section || exit 1; done

deb: ## Debian packages: the module through DKMS, tools, libraries, in build/out/deb/
	@$(KB)/make-deb

test-deb: deb artifacts ## the packages in a clean Debian 13 root: installed, built by DKMS, used, upgraded, purged; its module in a guest
	@mkdir -p build/results
	@$(KB)/test-deb build/results/test-deb
	@$(harness)/autoload.py build/test-deb/vmtp.ko

artifacts: module tools vm-packages ## what guests boot: vmlinuz, rootfs.cpio.gz, vmtp.ko, bin/ in build/out/
	@$(harness)/rootfs.py

vm-packages:
	@$(KB)/need-packages test

demo: artifacts ## two virtual machines with the stock kernel talk VMTP; first run on a new machine: some 10 minutes
	@$(harness)/demo.py

demo-groups: artifacts ## three virtual machines: a replicated store as a VMTP group; a replica is killed, another moves
	@$(harness)/demo_groups.py

vm: artifacts ## a shell in a virtual machine with the stock kernel and vmtp.ko loaded
	@$(harness)/shell.py

test: ## test-fast, test-dissector, the module, test-vm, test-debug-short; ends with `N passed, N failed`
	@$(KB)/test-all

test-fast: ## tests without virtual machines: cargo fmt, clippy, the requirement table, nextest
	@mkdir -p build/results
	@$(KB)/test-cargo build/results/test-fast

rfc: ## which tests show which requirement of RFC 1045 (FULL=1: each of them); fails where table and tests disagree
	@$(KB)/cargo run --quiet -p vmtp-rfc -- --root $(CURDIR) $(if $(FULL),--full)

selftests: module
	@$(KB)/make-selftests

test-vm: artifacts selftests ## kselftests in virtual machines with the stock kernel; TESTS='module.sh ...' for some
	@mkdir -p build/results
	@$(harness)/run_tests.py --count build/results/test-vm $(TESTS)

test-dissector: ## the Wireshark dissector in tshark, and the scapy layer
	@$(KB)/need-packages test
	@mkdir -p build/results
	@rm -f build/results/test-dissector build/results/dissector-*
	@rc=0; for tool in wireshark scapy; do \
		$(KB)/in-root python3 -B userspace-tools/$$tool/test.py build/results/dissector-$$tool || rc=1; done; \
	cat build/results/dissector-* | awk '{ p += $$1; f += $$2 } END { print p + 0, f + 0 }' >build/results/test-dissector; \
	[ $$rc -eq 0 ]

test-netem: artifacts selftests ## 10,000 transactions for each kind of harm that a network does; some minutes
	@mkdir -p build/results
	@$(harness)/run_tests.py --verbose --count build/results/test-netem netem-full

# build/module-debug/kernel is the debug kernel that the module there is for: with another it is built from the beginning.
module-debug:
	@debug=$$($(KB)/make-debug) && \
	{ [ "$$(readlink build/module-debug/kernel)" = "$$debug" ] || rm -rf build/module-debug; } && \
	mkdir -p build/module-debug && ln -sfn "$$debug" build/module-debug/kernel && \
	$(KB)/in-root $(MAKE) --no-print-directory $(jobs) -C "$$debug/source" O="$$debug" LLVM=-19 \
		M="$(CURDIR)" MO="$(CURDIR)/build/module-debug" $(kernel-flags) modules

test-debug: artifacts selftests module-debug ## the same and faults in the debug kernel: KASAN, lockdep, kmemleak ... (built once, half an hour)
	@mkdir -p build/results
	@$(harness)/run_tests.py --debug --count build/results/test-debug $(TESTS)

test-debug-short: artifacts selftests module-debug ## a part of test-debug; of make test, if the debug kernel was built
	@mkdir -p build/results
	@$(harness)/run_tests.py --debug --count build/results/test-debug-short socket-calls raw-client raw-server

fuzz-kernel: artifacts selftests $(if $(DEBUG),module-debug) ## a million packets and hostile system calls for the module in a guest (SECONDS=n SEED=n DEBUG=1)
	@$(harness)/fuzz.py $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(DEBUG),--debug)

soak: artifacts selftests $(if $(DEBUG),module-debug) ## three hosts use every feature over a network that changes, for HOURS=n; a line a minute (SEED=n DEBUG=1)
	@$(harness)/soak.py $(if $(HOURS),--hours $(HOURS)) $(if $(SEED),--seed $(SEED)) $(if $(DEBUG),--debug)

bench: artifacts selftests ## VMTP beside UDP, TCP, TIPC, RxRPC, SCTP and ONC RPC: build/out/bench.json, .svg; BENCH='icount loss ...' for parts
	@$(KB)/need-packages bench
	@$(harness)/bench.py $(BENCH)

profile: artifacts selftests ## where the instructions of a transaction go, by function; PROFILE='udp 1024' for another
	@$(harness)/profile.py $(PROFILE)

simulate: ## HOSTS=n: what a transaction costs among up to n hosts [LOSS=percent CALLS=n SEED=n]; SEED=n [CLASS=name]: replays a scenario
	@$(KB)/cargo run --quiet --release -p vmtp-simulator -- $(if $(HOSTS)$(SEED)$(CLASS),$(if $(HOSTS),--hosts $(HOSTS)),--hosts 1000) \
		$(if $(LOSS),--loss $(LOSS)) $(if $(CALLS),--calls $(CALLS)) $(if $(SEED),--seed $(SEED)) $(if $(CLASS),--class $(CLASS))

fuzz: ## libFuzzer on the parsers and on a host, SECONDS=n (60); REPLAY=file: one input; KEEP=1: the corpus takes what was found
	@$(KB)/fuzz $(if $(REPLAY),--replay $(REPLAY),$(if $(KEEP),--keep,$(SECONDS)))

coverage: ## the branches of the protocol's client and server that the simulator alone takes
	@$(KB)/coverage

mutants: ## changes of vmtp/proto that no test notices, SECONDS=n (600) [FILES='client/mod.rs ...']
	@$(KB)/mutants $(or $(SECONDS),600) $(FILES)

rust-analyzer: module ## rust-project.json, from which editors know the module's crate and the kernel's
	@$(KB)/rust-project rust-project.json

root: ## the Debian 13 root with toolchain and kernel packages, in the cache (made by itself when needed)
	@$(KB)/make-root

tree: ## the build tree: kernel headers and Rust metadata, in the cache (made by itself when needed)
	@$(KB)/make-tree

kernel-latest: ## asks Debian's archive for a newer kernel and changes to it
	@$(KB)/make-root --latest
	@$(KB)/make-tree

shell: ## a shell where the toolchain is (the Debian 13 root)
	@$(KB)/make-root
	@$(KB)/in-root "$${SHELL:-/bin/bash}" || true

load: ## loads build/out/vmtp.ko into this machine's kernel (as root)
	@$(KB)/load $(OUT)/vmtp.ko

unload: ## removes vmtp from this machine's kernel (as root)
	@$(KB)/load --unload

clean: ## removes build/
	rm -rf build

distclean: clean ## removes build/ and everything that was fetched or built into the cache
	@$(KB)/clean-cache

help: ## this list
	@echo 'usage: make [TARGET] [KERNEL=7.2.x] [VMTP_CACHE=FOLDER] [CLIPPY=1] [V=1] [TESTS='NAME...']'
	@echo
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort | \
		while IFS="$$(printf '\t')" read -r target text; do printf '  %-16s %s\n' "$$target" "$$text"; done
