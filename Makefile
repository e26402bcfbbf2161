# lathe: `make` builds, `make demo` shows the main job, `make check` tests. `make help` lists the rest.
#
# One library (build/MODE/liblathe.a) from the rooms below, one program per tool, a folder per mode. Every .c of a room is built;
# adding a file needs no line here.

MODE    ?= release
CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
PREFIX  ?= /usr/local
DESTDIR ?=

ROOMS := base dtypes formats models plots core
TOOLS := convert inspect quantize verify

PKGS  := zlib libzip libcjson libpng libcrypto freetype2 fontconfig libpcre2-8 libutf8proc
ifeq ($(filter deps help clean uninstall fmt man,$(MAKECMDGOALS)),)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
endif

WARN := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
        -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wno-format-nonliteral
ifneq ($(WERROR),)
WARN += -Werror
endif
# No contraction and no fast-math: quantized bytes and reference logits must not depend on the compiler.
STD   := -std=c11 -D_GNU_SOURCE -ffp-contract=off -fno-strict-aliasing -pthread
OPT_release := -O2 -g
OPT_debug   := -O0 -g3
OPT_san     := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# For `make fuzz`, which sets it: clang only
OPT_fuzz    := -O2 -gline-tables-only -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT   := $(OPT_$(MODE))
ifeq ($(OPT),)
$(error MODE must be release, debug, san or fuzz, not '$(MODE)')
endif

# Targets that build first use all cores, unless make was given its own -j.
JOBS = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

CC_NAME := $(notdir $(firstword $(CC)))
B := build/$(MODE)$(if $(filter-out gcc cc,$(CC_NAME)),-$(CC_NAME))

LIB_SRC  := $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))
TOOL_SRC := $(foreach t,$(TOOLS),$(wildcard $(t)/*.c)) $(wildcard lathe/*.c)
# The reference encoders again, with fused multiplications and additions: see dtypes/kernels_fused.c
FUSED    := quant_k quant_k_scales quant_search quant_simple quant_iq4
LIB_OBJ  := $(LIB_SRC:%.c=$(B)/obj/%.o) $(FUSED:%=$(B)/obj/dtypes/fused_gcc/%.o) $(FUSED:%=$(B)/obj/dtypes/fused_clang/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(B)/obj/%.o)
BINS     := $(B)/bin/lathe $(TOOLS:%=$(B)/bin/lathe-%)
PAGES    := $(wildcard docs/lathe-*.md)
TEST_SRC := $(wildcard tests/unit/test_*.c)
TEST_BIN := $(TEST_SRC:tests/unit/%.c=$(B)/tests/%)
TEST_LIB := $(patsubst %.c,$(B)/obj/%.o,$(filter-out $(TEST_SRC),$(wildcard tests/unit/*.c)))

CFLAGS_ALL = $(STD) $(OPT) $(WARN) -I. -MMD -MP $(PKG_CFLAGS) $(CFLAGS)
# Only the kernel files of one instruction set get its flags; they are chosen at run time.
LOOPS := $(if $(filter release,$(MODE)),-O3)
# Files that are loops over numbers, and their likes for an instruction set
LOOP_FILES := models/ops_f32 models/ops_f64 dtypes/quant_k_portable dtypes/quant_k_scales dtypes/quant_32_portable dtypes/decode_portable \
    $(basename $(filter-out %_avx2.c %_avx512.c,$(wildcard dtypes/quant_iq*.c)) $(wildcard dtypes/quant_s*.c dtypes/quant_fp4.c dtypes/quant_ternary.c)) core/metrics_loops core/moments core/damage_portable core/row_distance
$(LOOP_FILES:%=$(B)/obj/%.o): ISA := $(LOOPS)
AVX2   := -mavx2 -mf16c -mfma
AVX512 := $(AVX2) -mavx512f -mavx512bw -mavx512vl -mavx512dq
$(B)/obj/models/%_avx512.o $(B)/obj/core/%_avx512.o: ISA := $(LOOPS) $(AVX512) -mprefer-vector-width=512
$(B)/obj/dtypes/%_avx512.o: ISA := $(LOOPS) $(AVX512)
$(B)/obj/%_avx2.o: ISA := $(LOOPS) $(AVX2)

.DEFAULT_GOAL := all
.PHONY: all help deps demo check check-san check-valgrind faults fuzz interop bench install uninstall man fmt clean

all: $(BINS) $(if $(filter release,$(MODE)),build/bin) ## build the tools (MODE=release|debug|san, CC=gcc|clang); they are in build/bin

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n",$$1,$$2}' $(MAKEFILE_LIST)

deps: ## install the distribution's packages (as root), or print the line that does
	@sh tests/deps.sh

demo: ## install what is missing, build, and run convert, verify, quantize, verify, picture on an embedded model
	@sh tests/deps.sh --if-missing
	@$(MAKE) --no-print-directory -s $(JOBS) all
	@sh tests/demo.sh build/bin

check: ## build and pass the tests (distribution packages only)
	@sh tests/deps.sh --if-missing
	@$(MAKE) --no-print-directory -s $(JOBS) all $(B)/tests.stamp
	@sh tests/check.sh $(B)

check-san: ## the tests under address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory MODE=san check

check-valgrind: ## memcheck over malformed files, fuzz corpus and the tools' main jobs (TESTS="test_a test_b" for those programs instead)
	@sh tests/deps.sh --valgrind
	@$(MAKE) --no-print-directory -s $(JOBS) all $(addprefix $(B)/tests/,$(or $(TESTS),test_hostile test_hostile_tools test_fuzz_corpus))
	@sh tests/valgrind.sh $(B) $(TESTS)

faults: ## every call of the tools that can fail, failing once each (make check has a sample)
	@$(MAKE) --no-print-directory -s $(JOBS) all $(B)/tests/test_faults
	@LATHE_ROOT=$(CURDIR) sh tests/faults/run.sh $(B)/tests/test_faults

fuzz: ## run the fuzz targets for SECONDS each (clang with its compiler-rt; TARGETS="gguf json" for some)
	@sh tests/deps.sh --fuzz
	@$(MAKE) --no-print-directory -s $(JOBS) MODE=fuzz CC=clang build/fuzz-clang/fuzz
	@sh tests/fuzz/run.sh build/fuzz-clang $(or $(SECONDS),60) $(TARGETS)

interop: ## compare with transformers, llama.cpp and gguf in an own Python environment
	@sh tests/deps.sh --interop
	@$(MAKE) --no-print-directory -s $(JOBS) all $(B)/tests/test_hostile
	@sh tests/interop/run.sh build/bin

bench: ## speed and memory beside cp and the field's converters
	@$(MAKE) --no-print-directory -s $(JOBS) all
	@sh bench/run.sh build/bin

install: all man ## install into $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(BINS) $(DESTDIR)$(PREFIX)/bin
	@[ ! -d build/man ] || install -v -m 644 build/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,$(notdir $(BINS)))
	rm -f $(PAGES:docs/%.md=$(DESTDIR)$(PREFIX)/share/man/man1/%.1)

man: ## build the manual pages from docs/lathe-*.md (where go-md2man is installed)
	@command -v go-md2man >/dev/null || { echo "man: no go-md2man, manual pages are left out"; exit 0; }; \
	mkdir -p build/man; for p in $(PAGES:docs/%.md=%); do \
	    go-md2man -in docs/$$p.md -out build/man/$$p.1 && sed -i 's/\\fC//g' build/man/$$p.1 || exit 1; done

fmt: ## format the C sources
	clang-format -i $(wildcard $(addsuffix /*.[ch],$(ROOMS) $(TOOLS) lathe tests/unit bench))

clean: ## remove the build
	rm -rf build

build/bin: FORCE
	@mkdir -p build && ln -sfn $(notdir $(B))/bin $@

FORCE:

$(B)/liblathe.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# lathe holds all four tools; lathe-NAME is the same front end with one of them.
$(B)/bin/lathe: $(TOOL_OBJ) $(B)/liblathe.a
	@mkdir -p $(@D)
	$(CC) $(STD) $(OPT) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

$(TOOLS:%=$(B)/bin/lathe-%): $(B)/bin/lathe
	@ln -f $< $@

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(ISA) -c -o $@ $<

# The parts of --html's page are compiled in as they stand.
$(B)/obj/inspect/html_files.o: $(wildcard inspect/html/*)

# Other names for all that they define, so that both can be in one program.
$(B)/fused_names.h: $(FUSED:%=$(B)/obj/dtypes/%.o)
	@(echo '#define FUSED_PASTE(a, b) a##_##b'; echo '#define FUSED_WITH(a, b) FUSED_PASTE(a, b)'; \
	nm -g --defined-only $^ | awk 'NF == 3 && $$3 ~ /^[a-z][a-z0-9_]*$$/ {print "#define " $$3 " FUSED_WITH(LATHE_FUSED, " $$3 ")"}' | sort -u) > $@

FUSE = -O3 -fno-tree-vectorize -mavx2 -mfma -ffp-contract=fast -include $(B)/fused_names.h
$(B)/obj/dtypes/fused_gcc/%.o: dtypes/%.c $(B)/fused_names.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(FUSE) -DLATHE_FUSED=fused_gcc -c -o $@ $<

$(B)/obj/dtypes/fused_clang/%.o: dtypes/%.c $(B)/fused_names.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(FUSE) -fno-inline -DLATHE_FUSED=fused_clang -c -o $@ $<

$(B)/tests/%: $(B)/obj/tests/unit/%.o $(TEST_LIB) $(TOOL_TEST_OBJ) $(B)/liblathe.a
	@mkdir -p $(@D)
	$(CC) $(STD) $(OPT) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(PKG_LIBS) -lcmocka -lm

# The plain encoders as a compiler makes them that may fuse multiplications and additions: the self-test must notice.
FUSED_SRC := $(filter-out %_avx2.c %_avx512.c %_portable.c,$(wildcard dtypes/quant_*.c))
FUSED_OBJ := $(FUSED_SRC:%.c=$(B)/obj/fused/%.o)
$(FUSED_OBJ): ISA := -O2 -ffp-contract=fast $(if $(filter x86_64,$(shell uname -m)),-mfma)
$(B)/obj/fused/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(ISA) -c -o $@ $<
$(B)/tests/test_fused: $(FUSED_OBJ)

# Tests that reach into a tool
$(B)/tests/test_inspect $(B)/tests/test_pictures: $(patsubst %.c,$(B)/obj/%.o,$(wildcard inspect/*.c))
$(B)/tests/test_verify $(B)/tests/test_verify_plot $(B)/tests/test_rules: $(patsubst %.c,$(B)/obj/%.o,$(wildcard verify/*.c))
$(B)/tests/test_inspect: $(patsubst %.c,$(B)/obj/%.o,$(wildcard convert/*.c))
$(B)/tests/test_weights $(B)/tests/test_weight_damage $(B)/tests/test_glm_line $(B)/tests/test_glm_damage $(B)/tests/test_trace_faults $(B)/tests/test_trace_casts: $(patsubst %.c,$(B)/obj/%.o,$(wildcard convert/*.c verify/*.c))
$(B)/tests/test_trace_casts $(B)/tests/test_weight_damage: $(patsubst %.c,$(B)/obj/%.o,$(wildcard quantize/*.c))

# A failing world: what tests/unit/test_faults.c preloads into the tools, and what else it is made of
FAULTS_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tests/faults/inject.c,$(wildcard tests/faults/*.c)))
$(B)/inject.so: tests/faults/inject.c tests/faults/order.h
	@mkdir -p $(@D)
	$(CC) -std=c11 -I. -O1 -g -Wall -Wextra -fPIC -shared $(if $(filter san,$(MODE)),-DFAULT_NO_ALLOC) -o $@ $< -ldl
$(B)/tests/test_faults: $(FAULTS_OBJ) $(B)/inject.so $(BINS)

# Malformed files and fuzz targets: tables and readers that their tests share
HOSTILE_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/hostile/*.c))
FUZZ_OBJ    := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tests/fuzz/engine.c,$(wildcard tests/fuzz/*.c)))
MAIN_OBJ    := $(patsubst %.c,$(B)/obj/%.o,$(foreach t,$(TOOLS),$(wildcard $(t)/*.c)))
$(B)/tests/test_hostile: $(HOSTILE_OBJ)
$(B)/tests/test_fuzz_corpus: $(HOSTILE_OBJ) $(FUZZ_OBJ) $(MAIN_OBJ)
$(B)/tests/test_hostile_tools: $(HOSTILE_OBJ) $(BINS)
$(B)/fuzz: $(HOSTILE_OBJ) $(FUZZ_OBJ) $(MAIN_OBJ) $(B)/obj/tests/fuzz/engine.o $(B)/liblathe.a
	@mkdir -p $(@D)
	$(CC) $(STD) $(OPT) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm

# Programs that measure against a peer's library; built when asked for.
$(B)/bench/%: $(B)/obj/bench/%.o $(B)/liblathe.a
	@mkdir -p $(@D)
	$(CC) $(STD) $(OPT) $(LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm -ldl

$(B)/tests.stamp: $(TEST_BIN)
	@touch $@

-include $(LIB_OBJ:.o=.d) $(HOSTILE_OBJ:.o=.d) $(FAULTS_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) $(FUSED_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(TEST_BIN:$(B)/tests/%=$(B)/obj/tests/unit/%.d)
