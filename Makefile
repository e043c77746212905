# qanat: build, test, install.  `make help` lists the targets.
#
# MODE=release|debug|san  V=1 shows commands  CI=true makes warnings errors
MODE   ?= release
PREFIX ?= /usr/local
T      ?= 60
B      := build/$(MODE)
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo 0.1)

CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
ifeq ($(origin AR)$(findstring gcc,$(CC)),defaultgcc)
AR      := gcc-ar
endif
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-5s %s\n' $1 $2)

LAYERS := base proto discovery circuit node
dir.base := proto/base
$(foreach l,proto discovery circuit node,$(eval dir.$l := $l))
below.base      := base
below.proto     := proto base
below.discovery := discovery proto base
below.circuit   := circuit proto base
below.node      := node circuit discovery proto base

PKGS := libngtcp2 libngtcp2_crypto_gnutls libnghttp3 gnutls libprotobuf-c \
	lmdb libuv inih jansson libmicrohttpd libcurl libsodium
ifeq ($(filter deps clean help demo,$(MAKECMDGOALS)),)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null || echo '-lmissing-run-make-deps')
endif

# Faster packet protection, loaded at run time; `make IPSEC_MB=` builds without.
# Another major version has another ABI.
IPSEC_MB ?= $(shell printf '%b' '\043include <intel-ipsec-mb.h>\n' \
	'\043if IMB_VERSION_NUM >> 16 != 1\n\043error\n\043endif\n' | \
	$(CC) -E -x c - >/dev/null 2>&1 && echo yes)
IPSEC_MB := $(IPSEC_MB)

# Instrumented code confuses gcc's flow analysis; the other modes keep it.
warn.san := -Wno-maybe-uninitialized
WARN := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wimplicit-fallthrough $(warn.$(MODE)) $(if $(CI),-Werror)
HARDEN := -fstack-protector-strong -fPIE $(if $(findstring gcc,$(CC)),-fstack-clash-protection)
# Layers are small functions that call each other for each packet: across them
# the compiler sees only at link time.  Clang would want an archiver of its own.
lto.release := $(if $(findstring gcc,$(CC)),-flto=auto)
flags.release := -O2 $(lto.release) -D_FORTIFY_SOURCE=2
flags.debug   := -O0
flags.san     := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-fno-omit-frame-pointer
link.san      := -fsanitize=address,undefined
flags.fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined
link.fuzz     := -fsanitize=fuzzer,address,undefined
ALL_CFLAGS := -std=c11 -g -D_GNU_SOURCE -I. -I$(B)/gen $(if $(IPSEC_MB),-DHAVE_IPSEC_MB) $(HARDEN) $(flags.$(MODE)) \
	$(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS := -pie -Wl,-z,relro,-z,now $(lto.$(MODE)) $(link.$(MODE)) $(LDFLAGS)

SCHEMAS := $(wildcard proto/schema/*.proto)
GEN_C   := $(SCHEMAS:%.proto=$(B)/gen/%.pb-c.c)
GEN_H   := $(GEN_C:.c=.h)
GEN_O   := $(GEN_C:.c=.o)
# In one object of its own, so that a commit compiles nothing else anew.
VERSION_O := $(B)/gen/version.o

# A layer is a folder and those inside it, but for what is a layer itself.
dirs = $1 $(filter-out proto/base,$(patsubst %/,%,$(wildcard $1/*/)))
objs = $(patsubst %.c,$(B)/%.o,$(sort $(foreach d,$1,$(wildcard $d/*.c))))
libs = $(foreach l,$(below.$1),$(B)/lib$l.a)
COMMANDS := qanatd qanat
BINS     := $(COMMANDS:%=$(B)/%)

.PHONY: all deps check unit sim fuzz replay e2e bench demo lint format clean \
	install help tests sim-smoke sim-report always
.SECONDARY:
all: $(BINS)

help:
	@sed -n 's/^#: //p' Makefile

#: deps      install what is missing (Debian 12, 13)
deps:
	@.ci/deps

# Fakes stand in for a part of the node in the tests which include them: they
# come before the archive that holds the real one.
ordered = $(filter %.o,$1) $(filter %libfake.a,$1) $(filter-out %.o %libfake.a,$1)

define layer
$(B)/lib$1.a: $(call objs,$(call dirs,$(dir.$1))) $(if $(filter proto,$1),$(GEN_O))
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
$(B)/tests/unit/$1/%_test: $(B)/tests/unit/$1/%_test.o $(B)/libsupport.a $(call libs,$1) | $(VERSION_O)
	$$(call say,LD,$$@)
	$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$(call ordered,$$^) $(VERSION_O) $$(PKG_LIBS) -lcmocka -lm
UNIT_TESTS += $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/unit/$1/*_test.c)))
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$l)))
$(foreach t,$(UNIT_TESTS),$(eval $t.o: | $(GEN_H)))
$(patsubst %.c,$(B)/%,$(shell grep -l '"tests/support/fake_' tests/unit/*/*.c)): $(B)/libfake.a

FAKES := $(sort $(wildcard tests/support/fake_*.c))
$(B)/libsupport.a: $(filter-out $(FAKES:%.c=$(B)/%.o),$(call objs,tests/support))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/libfake.a: $(FAKES:%.c=$(B)/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/qanatd: $(call objs,cmd/qanatd) $(VERSION_O) $(call libs,node)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm
$(B)/qanat: $(call objs,cmd/qanat) $(VERSION_O) $(call libs,proto)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(B)/tests/sim/sim: $(call objs,tests/sim) $(B)/libsupport.a $(call libs,circuit) $(B)/libdiscovery.a $(call libs,proto)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(B)/tests/sim/report/report: $(call objs,tests/sim/report) $(B)/libsupport.a $(call libs,circuit) $(B)/libdiscovery.a $(call libs,proto)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(B)/%.o: %.c | $(GEN_H)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(WARN) -MMD -MP -c -o $@ $<

# Generated code is compiled without our warnings.
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: %.proto
	$(call say,GEN,$<)
	@mkdir -p $(B)/gen
	$(Q)protoc-c --c_out=$(B)/gen $<
$(B)/gen/%.o: $(B)/gen/%.c
	$(Q)$(CC) $(ALL_CFLAGS) -w -c -o $@ $<
# Looked at by every make, but written only when the version has changed.
$(B)/gen/version.c: always
	@mkdir -p $(@D)
	@text='const char qanat_version[] = "$(VERSION)";'; \
	echo "$$text" | cmp -s - $@ || echo "$$text" >$@

#: fuzz      run each fuzz target for T seconds (clang)
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAYS := $(FUZZERS:%=$(B)/tests/fuzz/replay_%)
$(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/main.o $(B)/libsupport.a $(call libs,node)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm
fuzz:
	$(Q)$(MAKE) --no-print-directory MODE=fuzz CC=clang fuzz-run
$(B)/tests/fuzz/live_%: $(B)/tests/fuzz/fuzz_%.o $(B)/libsupport.a $(call libs,node)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm
.PHONY: fuzz-run
fuzz-run: $(FUZZERS:%=$(B)/tests/fuzz/live_%)
	$(Q)tests/fuzz/run $(B)/tests/fuzz $(T) $(FUZZERS)

tests: $(UNIT_TESTS) $(B)/tests/sim/sim $(B)/tests/sim/report/report $(REPLAYS)

#: unit      unit tests only
unit: $(UNIT_TESTS)
	$(Q)tests/run unit $(UNIT_TESTS)
#: sim       the simulations, 1000 random graphs
sim: $(B)/tests/sim/sim
	$(Q)$(B)/tests/sim/sim
#: sim-smoke   a network of each kind at 200 nodes, held to its counts
sim-smoke: $(B)/tests/sim/report/report
	$(Q)$(B)/tests/sim/report/report --smoke
#: sim-report  the figures of docs/routing.md, measured (QUICK=1: smaller)
sim-report: $(B)/tests/sim/report/report
	$(Q)$(B)/tests/sim/report/report $(if $(QUICK),--quick,--write docs/routing.md)
#: lint      the include rule and the format
.PHONY: lint-layers lint-format list-unit list-fuzzers
lint: lint-layers lint-format
list-unit:
	@echo $(UNIT_TESTS)
list-fuzzers:
	@echo $(FUZZERS)
lint-layers:
	$(Q)awk -f tests/lint/layers.awk docs/layers.txt $$(git ls-files '*.c' '*.h' | grep -v '^tests/')
lint-format:
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
format:
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i
#: check     everything: lint, unit, sim, replay under ASan+UBSan, then end to end
check:
	$(Q)MAKE='$(MAKE)' tests/run check

#: demo      a cluster of network namespaces, shown step by step (root)
demo:
	$(Q)tests/e2e/demo $(if $(KEEP),--keep)
#: bench     figures beside those of rivals (root)
#:           RIVALS=1 installs them and measures them too; QUICK=1 a few minutes
BENCH_TOOLS := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/bench/*.c)))
$(BENCH_TOOLS): $(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libsupport.a $(call libs,node)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka -lm
.PHONY: bench-tools
bench-tools: $(BENCH_TOOLS)
bench: all bench-tools
	$(if $(RIVALS),$(Q).ci/deps --rivals)
	$(Q)tests/bench/run $(B) $(if $(RIVALS),--rivals) $(if $(QUICK),--quick,--page)

#: install   DESTDIR= PREFIX=/usr/local
install: all
	install -D -m 0755 $(B)/qanatd $(DESTDIR)$(PREFIX)/sbin/qanatd
	install -D -m 0755 $(B)/qanat $(DESTDIR)$(PREFIX)/bin/qanat
	install -D -m 0644 docs/qanat.conf.example $(DESTDIR)$(PREFIX)/share/doc/qanat/qanat.conf.example
	install -D -m 0644 README.md $(DESTDIR)$(PREFIX)/share/doc/qanat/README.md
clean:
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
