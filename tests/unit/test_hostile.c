/* The table of malformed files (tests/hostile/hostile.h): one test for each, each prefix of small good files, damaged copies of these, and each byte of
 * some changed. With --dump DIR [GROUP] the files are
 * written instead: DIR/GROUP/CASE/FILE, with what lies beside it, and a line "GROUP CASE FILE STATUS WORD" in DIR/LIST. */
#include "base/file.h"
#include "tests/hostile/folder.h"
#include "tests/hostile/hostile.h"
#include "tests/hostile/meter.h"
#include "tests/hostile/mutate.h"
#include "tests/hostile/pack.h"
#include "tests/hostile/readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* What a reader may take, beside a multiple of the bytes of its file, and for how long. Generous: a machine may be busy. */
enum { FLOOR_BYTES = 24 << 20, TIMES_FILE = 96, LIMIT_MS = 4000 };

struct one {
    const struct hostile_group *group;
    const struct hostile_case *item;
};
static struct {
    size_t cases, accepted, by_status[STATUS_COUNT], peak, peak_ms;
    const char *peak_of, *peak_ms_of;
} seen;

static const char *put_file(const struct reader *r, const char *name, const void *bytes, size_t n)
{
    static const struct reader *made;
    static const char *dir;
    if (made != r) dir = folder_make(r->name);
    made = r;
    folder_write(r->folder ? r->file : name, bytes, n);
    return r->folder ? dir : folder_path(name);
}

static void note(const char *name, size_t n_bytes, struct meter m)
{
    if (m.peak_bytes > seen.peak) {
        seen.peak = m.peak_bytes;
        seen.peak_of = name;
    }
    if (m.ms > seen.peak_ms) {
        seen.peak_ms = m.ms;
        seen.peak_ms_of = name;
    }
    if (meter_under_valgrind()) return;
    if (m.peak_bytes > FLOOR_BYTES + TIMES_FILE * n_bytes) fail_msg("%s: %zu bytes of memory for a file of %zu", name, m.peak_bytes, n_bytes);
    if (m.ms > LIMIT_MS) fail_msg("%s: %zu ms", name, m.ms);
}

static void run_case(void **state)
{
    const struct one *o = *state;
    const struct reader *r = reader_find(o->group->reader);
    struct error err = {0};
    struct buf b = {0};
    hostile_build(o->group, o->item, &b);
    const char *path = put_file(r, o->group->file, b.data, b.len);
    size_t n = b.len;
    buf_clear(&b);
    meter_start();
    enum status st = r->run(path, &err);
    struct meter m = meter_stop();
    if (st != o->item->want) fail_msg("status %s, expected %s: %s", status_name(st), status_name(o->item->want), err.text);
    if (st == STATUS_OK) {
        seen.accepted++;
    } else {
        char line[2048];
        error_format(&err, "test", line, sizeof line);
        assert_int_equal(err.status, st);
        if (!err.text[0] || !strstr(line, o->item->word)) fail_msg("no '%s' in: %s", o->item->word, line);
        for (const char *c = line; *c; c++) assert_true((unsigned char)*c >= 0x20);
    }
    note(o->item->name, n, m);
    seen.cases++;
    seen.by_status[st]++;
}

/* --- prefixes --- */

struct cut {
    const char *reader, *file; /* below the root; NULL: the good file of the folder */
    bool any;                  /* a prefix may be a legal file */
    bool format;               /* each is refused with STATUS_FORMAT */
};
static const struct cut cuts[] = {
    {"container", "tests/vectors/gguf/all_types.gguf", false, true},
    {"container", "tests/vectors/gguf/metadata_only.gguf", false, true},
    {"container", "tests/vectors/gguf/align64.gguf", false, true},
    {"container", "tests/vectors/torch/tied.safetensors", false, false},
    {"container", "tests/vectors/torch/dtypes.safetensors", false, false},
    {"container", "tests/vectors/torch/little.pt", false, false},
    {"container", "tests/vectors/torch/nested.pt", false, false},
    {"container", "tests/vectors/torch/views_deflated.pt", false, false},
    {"container", "tests/vectors/torch/legacy_nested.pt", false, false},
    {"container", "tests/vectors/torch/legacy_views.pt", false, false},
    {"container", "tests/vectors/torch/legacy_parts.pt", false, false},
    {"container", "tests/vectors/families/llama-biases/model.safetensors", false, false},
    {"container", "tests/data/tiny-llama/model.safetensors", false, false},
    {"container", "tests/data/tiny-gpt2/pytorch_model.bin", false, false},
    {"audit", "tests/vectors/torch/refused/sparse.pt", true, false},
    {"audit", "tests/vectors/torch/legacy_nested.pt", true, false},
    {"json", "tests/data/tiny-llama/config.json", false, false},
    {"npy", "tests/vectors/npy/int32_2d.npy", false, false},
    {"npy", "tests/vectors/npy/version2.npy", false, false},
    {"index", NULL, false, false},
    {"config", NULL, false, false},
    {"sentencepiece", NULL, true, false},
    {"tokenizer-json", NULL, false, false},
    {"tokenizer-config", NULL, false, false},
    {"merges", NULL, true, false},
    {"vocab", NULL, false, false},
};
enum { N_CUTS = sizeof cuts / sizeof cuts[0], ALL_UP_TO = 4096, STRIDE = 61, FAR = 64 << 10, FAR_STRIDE = 65537 };

static size_t n_prefixes;

/* Every length of a small file; of a larger one those near its ends, and a sample */
static size_t next_length(size_t n, size_t whole)
{
    if (n < ALL_UP_TO || whole - n <= 256) return n + 1;
    size_t step = n < FAR ? STRIDE : FAR_STRIDE;
    return n + step < whole - 256 ? n + step : whole - 256;
}

/* The good file; free() it. */
static char *load_good(const struct cut *c, size_t *n)
{
    char path[600];
    struct buf b = {0};
    struct error err;
    if (!c->file) return folder_good(c->reader, n);
    const char *root = getenv("LATHE_ROOT");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", c->file);
    assert_int_equal(file_read_all(&b, path, 1 << 26, &err), STATUS_OK);
    *n = b.len;
    return b.data;
}

static void run_prefixes(void **state)
{
    const struct cut *c = *state;
    const struct reader *r = reader_find(c->reader);
    struct error err;
    size_t whole;
    char *good = load_good(c, &whole);
    /* a text may be whole before its last newline */
    while (whole > 0 && good[whole - 1] == '\n') whole--;
    for (size_t n = 0; n < whole; n = next_length(n, whole)) {
        memset(&err, 0, sizeof err);
        meter_start();
        enum status st = r->run(put_file(r, "cut", good, n), &err);
        note(c->file ? c->file : c->reader, n, meter_stop());
        if (st == STATUS_OK ? !c->any : st == STATUS_IO || st == STATUS_NOMEM || !err.text[0] || (c->format && st != STATUS_FORMAT))
            fail_msg("%zu of %zu bytes: status %s: %s", n, whole, status_name(st), err.text);
        n_prefixes++;
    }
    if (r->run(put_file(r, "cut", good, whole), &err) != STATUS_OK) fail_msg("the whole file: %s", err.text);
    free(good);
}

/* --- mutants --- */

static struct {
    size_t run, accepted;
} mutants;

static size_t n_mutants(size_t n_bytes)
{
    return n_bytes < 64 << 10 ? 1500 : 150;
}

/* Whatever the verdict: one line, and time and memory that follow the bytes. */
static void run_mutants(void **state)
{
    const struct cut *c = *state;
    const struct reader *r = reader_find(c->reader);
    size_t whole, n;
    char *good = load_good(c, &whole), line[2048];
    for (size_t i = 0; i < n_mutants(whole); i++) {
        struct error err = {0};
        char *bad = mutate(good, whole, i << 8 | (size_t)(c - cuts), &n);
        meter_start();
        enum status st = r->run(put_file(r, "mutant", bad, n), &err);
        note(c->file ? c->file : c->reader, n, meter_stop());
        free(bad);
        error_format(&err, "test", line, sizeof line);
        for (const char *ch = line; st != STATUS_OK && *ch; ch++) assert_true((unsigned char)*ch >= 0x20);
        if (st == STATUS_OK)
            mutants.accepted++;
        else if (st == STATUS_IO || st == STATUS_NOMEM || !err.text[0])
            fail_msg("mutant %zu: status %s: %s", i, status_name(st), err.text);
        mutants.run++;
    }
    free(good);
}

/* --- folders of fixtures --- */

/* Folders whose files are cut, each: at every length up to SMALL and of the last LAST bytes, and at a sample between. */
static const struct shelf {
    const char *reader, *dir, *ending;
} shelves[] = {{"container", "tests/vectors/gguf", ".gguf"},          {"container", "tests/vectors/torch", ".pt"}, {"container", "tests/vectors/torch", ".safetensors"},
               {"container", "tests/vectors/torch/refused", ".pt"}, {"container", "tests/vectors/meta/llama3", ".pth"}, {"container", "tests/vectors/meta/llama2/two", ".pth"},
               {"npy", "tests/vectors/npy", ".npy"}};
enum { N_SHELVES = sizeof shelves / sizeof shelves[0], SMALL = 512, LAST = 128, SMALL_STRIDE = 7 };
static size_t n_shelved;

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static void cut_file(const struct reader *r, const char *path)
{
    struct buf b = {0};
    struct error err = {0};
    size_t step;
    if (file_read_all(&b, path, 1 << 26, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (size_t n = 0; n < b.len; n += step) {
        bool near = n < SMALL || b.len - n <= LAST;
        step = near ? 1 : n + SMALL_STRIDE < b.len - LAST ? SMALL_STRIDE : b.len - LAST - n;
        err.text[0] = 0;
        enum status st = r->run(put_file(r, "cut", b.data, n), &err);
        if (st == STATUS_OK || st == STATUS_IO || st == STATUS_NOMEM || !err.text[0]) fail_msg("%s: %zu of %zu bytes: status %s: %s", path, n, b.len, status_name(st), err.text);
        n_prefixes++;
    }
    n_shelved++;
    buf_clear(&b);
}

static void run_shelf(void **state)
{
    const struct shelf *s = *state;
    const char *root = getenv("LATHE_ROOT");
    struct arena mem = {0};
    struct error err;
    char **names;
    size_t n, before = n_shelved;
    char *dir = path_join(&mem, root ? root : ".", s->dir);
    if (dir_list(dir, &mem, &names, &n, &err) != STATUS_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < n; i++)
        if (ends_with(names[i], s->ending)) cut_file(reader_find(s->reader), path_join(&mem, dir, names[i]));
    assert_true(n_shelved > before);
    arena_clear(&mem);
}

/* --- changes --- */

/* Good files of the table, of which each byte becomes something else, one at a time: whatever is accepted keeps the reader's promises (readers.c). */
static const struct good {
    const char *group, *name;
} goods[] = {{"gguf", "a-little-of-everything"}, {"vocabulary", "good"}, {"safetensors", "good"}, {"zip", "good"},       {"torch-legacy", "good"}, {"json", "good"},
             {"index", "good"},                  {"sentencepiece", "good"}, {"npy", "good"},      {"imatrix", "good"}, {"receipt", "good"},      {"receipt-gguf", "good"}};
enum { N_SOUND = sizeof goods / sizeof goods[0] };
static size_t n_changes;

static const struct hostile_case *find_case(const struct good *g, const struct hostile_group **group)
{
    for (size_t k = 0; k < n_hostile_groups; k++)
        for (size_t i = 0; i < *hostile_groups[k].n; i++) {
            *group = &hostile_groups[k];
            if (strcmp((*group)->name, g->group) == 0 && strcmp((*group)->cases[i].name, g->name) == 0) return &(*group)->cases[i];
        }
    fail_msg("no case %s/%s", g->group, g->name);
    return NULL;
}

static void run_changes(void **state)
{
    static const unsigned char values[] = {0, 1, 0x7F, 0x80, 0xFF};
    const struct hostile_group *group = NULL;
    const struct hostile_case *item = find_case(*state, &group);
    const struct reader *r = reader_find(group->reader);
    struct buf b = {0};
    size_t n_accepted = 0, n_runs = 0;
    hostile_build(group, item, &b);
    for (size_t i = 0; i < b.len; i++) {
        char old = b.data[i];
        for (size_t v = 0; v < sizeof values; v++, n_runs++) {
            struct error err = {0};
            b.data[i] = (char)values[v];
            enum status st = r->run(put_file(r, group->file, b.data, b.len), &err);
            n_accepted += st == STATUS_OK;
            if (st != STATUS_OK && (st == STATUS_IO || st == STATUS_NOMEM || !err.text[0]))
                fail_msg("byte %zu, %02x: status %s: %s", i, values[v], status_name(st), err.text);
        }
        b.data[i] = old;
    }
    struct error err = {0};
    if (n_accepted == n_runs) fail_msg("all %zu accepted", n_runs);
    if (r->run(put_file(r, group->file, b.data, b.len), &err) != STATUS_OK) fail_msg("unchanged: %s", err.text);
    n_changes += n_runs;
    buf_clear(&b);
}

/* What a file that is large, but holds nothing, announces is held against the limits. */
static void run_sparse(void **state)
{
    (void)state;
    const struct reader *r = reader_find("container");
    struct error err = {0};
    struct buf b = {0};
    pack(&b, "'GGUF' 4:3 8:0 8:1 n('k') 4:8 8:2^31");
    const char *path = put_file(r, "x.gguf", b.data, b.len);
    assert_int_equal(truncate(path, INT64_C(3) << 30), 0);
    meter_start();
    assert_int_equal(r->run(path, &err), STATUS_RANGE);
    struct meter m = meter_stop();
    assert_non_null(strstr(err.text, "limit for metadata"));
    assert_true(m.peak_bytes <= FLOOR_BYTES);
    assert_int_equal(truncate(path, 0), 0);
    buf_clear(&b);
}

/* --- the program --- */

static int print_counts(void **state)
{
    (void)state;
    print_message("%zu cases: %zu accepted", seen.cases, seen.accepted);
    for (int s = 1; s < STATUS_COUNT; s++)
        if (seen.by_status[s]) print_message(", %zu %s", seen.by_status[s], status_name((enum status)s));
    print_message("; %zu prefixes of %zu files; %zu mutants, %zu accepted; %zu changes; at most %zu KB (%s), %zu ms (%s)\n", n_prefixes, n_shelved + N_CUTS,
                  mutants.run, mutants.accepted, n_changes, seen.peak >> 10, seen.peak_of ? seen.peak_of : "-", seen.peak_ms,
                  seen.peak_ms_of ? seen.peak_ms_of : "-");
    return 0;
}

static void dump_folder(const char *dir, const struct hostile_group *g, const struct hostile_case *c, FILE *list)
{
    char path[700];
    struct buf b = {0};
    const struct reader *r = reader_find(g->reader);
    hostile_build(g, c, &b);
    snprintf(path, sizeof path, "%s/%s", dir, g->name);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", dir, g->name, c->name);
    mkdir(path, 0777);
    if (r->folder) folder_copy(r->name, path);
    snprintf(path, sizeof path, "%s/%s/%s/%s", dir, g->name, c->name, g->file);
    FILE *f = fopen(path, "wb");
    if (!f || (b.len && fwrite(b.data, 1, b.len, f) != b.len) || fclose(f) != 0) exit(99);
    fprintf(list, "%s %s %s %s\n", g->name, c->name, g->file, status_name(c->want));
    buf_clear(&b);
}

/* only: one group; NULL: all */
static int dump(const char *dir, const char *only)
{
    char path[700];
    snprintf(path, sizeof path, "%s/LIST", dir);
    mkdir(dir, 0777);
    FILE *list = fopen(path, "w");
    if (!list) return 1;
    for (size_t g = 0; g < n_hostile_groups; g++)
        for (size_t i = 0; i < *hostile_groups[g].n && (!only || strcmp(only, hostile_groups[g].name) == 0); i++)
            dump_folder(dir, &hostile_groups[g], &hostile_groups[g].cases[i], list);
    return fclose(list) == 0 ? 0 : 1;
}

static size_t count_cases(void)
{
    size_t n = 0;
    for (size_t g = 0; g < n_hostile_groups; g++) n += *hostile_groups[g].n;
    return n;
}

static const char *test_name(const char *group, const char *name)
{
    size_t n = strlen(group) + strlen(name) + 2;
    char *s = malloc(n);
    if (!s) exit(99);
    snprintf(s, n, "%s/%s", group, name);
    return s;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "--dump") == 0) return dump(argv[2], argv[3]);
    if (argc == 2) cmocka_set_test_filter(argv[1]);
    size_t n = 0, total = count_cases() + 2 * N_CUTS + N_SHELVES + N_SOUND + 1;
    struct CMUnitTest *tests = calloc(total, sizeof *tests);
    struct one *ones = calloc(total, sizeof *ones);
    if (!tests || !ones) return 99;
    for (size_t g = 0; g < n_hostile_groups; g++)
        for (size_t i = 0; i < *hostile_groups[g].n; i++, n++) {
            ones[n] = (struct one){&hostile_groups[g], &hostile_groups[g].cases[i]};
            tests[n] = (struct CMUnitTest){test_name(hostile_groups[g].name, hostile_groups[g].cases[i].name), run_case, NULL, NULL, &ones[n]};
        }
    for (size_t i = 0; i < N_CUTS; i++, n++)
        tests[n] = (struct CMUnitTest){test_name("prefixes", cuts[i].file ? cuts[i].file : cuts[i].reader), run_prefixes, NULL, NULL, (void *)(uintptr_t)&cuts[i]};
    for (size_t i = 0; i < N_CUTS; i++, n++)
        tests[n] = (struct CMUnitTest){test_name("mutants", cuts[i].file ? cuts[i].file : cuts[i].reader), run_mutants, NULL, NULL, (void *)(uintptr_t)&cuts[i]};
    for (size_t i = 0; i < N_SHELVES; i++, n++)
        tests[n] = (struct CMUnitTest){test_name(shelves[i].dir, shelves[i].ending), run_shelf, NULL, NULL, (void *)(uintptr_t)&shelves[i]};
    for (size_t i = 0; i < N_SOUND; i++, n++)
        tests[n] = (struct CMUnitTest){test_name("changes", goods[i].group), run_changes, NULL, NULL, (void *)(uintptr_t)&goods[i]};
    tests[n++] = (struct CMUnitTest){test_name("sparse", "string-2^31"), run_sparse, NULL, NULL, NULL};
    int bad = _cmocka_run_group_tests("hostile", tests, n, NULL, print_counts);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)tests[i].name);
    free(tests);
    free(ones);
    return bad;
}
