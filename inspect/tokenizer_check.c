#include "inspect/tokenizer_check.h"

#include "core/receipt.h"
#include "formats/encoder.h"
#include "inspect/stress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOURCE_BYTES_MAX = 512 << 20, SHOWN = 8 };
static const char file_prefix[] = "lathe.receipt.file.";

/* One comparison: how many texts differ, and the first of them. */
struct verdict {
    struct encoder *encoder;
    size_t n_differ;
    char text[256];
    size_t at;
    int32_t want[SHOWN], got[SHOWN];
    size_t n_want, n_got;
};
struct check {
    struct text_coder source, embedded;
    struct tokenizer *bare; /* of the GGUF without our keys: what a runtime makes of it */
    struct encoder *bare_encoder;
    char unavailable[256]; /* why there is none */
    struct verdict own, runtime;
    struct id_list want, got;
    size_t n_texts;
    char dir[1024]; /* the receipt's files, unpacked; "" */
};

/* --- the source --- */

static enum status unpack_one(struct check *c, const struct kv *kv, struct error *err)
{
    const char *name = kv->key + strlen(file_prefix);
    char path[1200];
    struct buf text = {0};
    if (kv->type != KV_STRING || !*name || strchr(name, '/') || name[0] == '.' || strlen(name) > 128)
        return error_set(err, STATUS_FORMAT, "%.100s: expected the name of a file, and its text", kv->key);
    TRY(receipt_unpack(&text, kv->v.str.s, kv->v.str.len, SOURCE_BYTES_MAX, err));
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    enum status st = file_write_whole(path, OUTFILE_REPLACE, text.data ? text.data : "", text.len, err);
    buf_clear(&text);
    return st;
}

static enum status source_from_receipt(struct check *c, const char *path, struct error *err)
{
    const struct container *g = c->embedded.gguf;
    size_t n = 0;
    const char *where = getenv("TMPDIR");
    if (!where || !*where || strlen(where) > sizeof c->dir / 2) where = "/tmp";
    snprintf(c->dir, sizeof c->dir, "%s/lathe-tokenizer-XXXXXX", where);
    if (!mkdtemp(c->dir)) {
        enum status st = error_errno(err, c->dir, "cannot make a folder");
        c->dir[0] = 0;
        return st;
    }
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strncmp(g->kvs[i].key, file_prefix, strlen(file_prefix)) == 0) {
            TRY(unpack_one(c, &g->kvs[i], err));
            n++;
        }
    if (n == 0) {
        error_at(err, STATUS_NOTFOUND, path, NULL, "no files of its source are in it");
        return error_hint(err, "name the source, too: lathe-inspect SOURCE OUT.gguf --tokenizer-check");
    }
    return text_coder_open(&c->source, c->dir, err);
}

static void remove_unpacked(struct check *c)
{
    struct arena mem = {0};
    char **names;
    size_t n;
    struct error ignored;
    if (!c->dir[0]) return;
    if (dir_list(c->dir, &mem, &names, &n, &ignored) == STATUS_OK)
        for (size_t i = 0; i < n; i++) {
            const char *path = path_join(&mem, c->dir, names[i]);
            if (path) unlink(path);
        }
    rmdir(c->dir);
    arena_clear(&mem);
}

/* --- the GGUF as a runtime reads it --- */

static enum status open_bare(struct check *c, struct error *err)
{
    const struct container *g = c->embedded.gguf;
    struct container without = *g;
    struct error why = {0};
    TRY(mem_alloc((void **)&without.kvs, g->n_kvs + 1, sizeof *g->kvs, err));
    without.n_kvs = 0;
    for (size_t i = 0; i < g->n_kvs; i++)
        if (strncmp(g->kvs[i].key, "lathe.", 6) != 0) without.kvs[without.n_kvs++] = g->kvs[i];
    enum status st = tokenizer_from_gguf(&c->bare, &without, &why);
    if (st == STATUS_OK) st = encoder_new(&c->bare_encoder, c->bare, &why);
    free(without.kvs);
    if (st == STATUS_NOMEM) return error_nomem(err, 1);
    if (st != STATUS_OK) snprintf(c->unavailable, sizeof c->unavailable, "%.250s", why.text);
    return STATUS_OK;
}

/* --- comparing --- */

static size_t copy_from(int32_t *dst, const struct id_list *ids, size_t at)
{
    size_t n = 0;
    while (n < SHOWN && at + n < ids->n) {
        dst[n] = ids->ids[at + n];
        n++;
    }
    return n;
}

static void note_difference(struct check *c, struct verdict *v, const char *text)
{
    size_t at = 0;
    while (at < c->want.n && at < c->got.n && c->want.ids[at] == c->got.ids[at]) at++;
    if (v->n_differ++ > 0) return;
    text_escape(text, v->text, sizeof v->text);
    v->at = at;
    v->n_want = copy_from(v->want, &c->want, at);
    v->n_got = copy_from(v->got, &c->got, at);
}

static enum status compare_text(void *arg, const char *text, size_t n, struct error *err)
{
    struct check *c = arg;
    struct verdict *verdicts[] = {&c->own, &c->runtime};
    c->want.n = 0;
    TRY(encoder_encode(c->source.encoder, text, n, ENCODE_SPECIAL, &c->want, err));
    for (size_t i = 0; i < 2; i++) {
        if (!verdicts[i]->encoder) continue;
        c->got.n = 0;
        TRY(encoder_encode(verdicts[i]->encoder, text, n, ENCODE_SPECIAL, &c->got, err));
        if (c->got.n != c->want.n || (c->want.n > 0 && memcmp(c->got.ids, c->want.ids, c->want.n * sizeof *c->want.ids) != 0))
            note_difference(c, verdicts[i], text);
    }
    c->n_texts++;
    return STATUS_OK;
}

/* --- reporting --- */

static void put_ids(struct buf *out, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) buf_printf(out, " %d", (int)ids[i]);
    if (n == 0) buf_puts(out, " (end)");
}

static void verdict_text(const struct verdict *v, const char *what, const struct check *c, struct buf *out)
{
    if (!v->encoder) {
        buf_printf(out, "  %-22s cannot be run here: %s\n", what, c->unavailable);
        return;
    }
    if (v->n_differ == 0) {
        buf_printf(out, "  %-22s the same ids\n", what);
        return;
    }
    buf_printf(out, "  %-22s %zu texts have other ids; the first, from id %zu on:\n    text   \"%s\"\n    source", what, v->n_differ,
               v->at, v->text);
    put_ids(out, v->want, v->n_want);
    buf_puts(out, "\n    here  ");
    put_ids(out, v->got, v->n_got);
    buf_puts(out, "\n");
}

static void ids_json(struct jwriter *w, const char *key, const int32_t *ids, size_t n)
{
    jw_begin_array(w, key);
    for (size_t i = 0; i < n; i++) jw_int(w, NULL, ids[i]);
    jw_end_array(w);
}

static void verdict_json(const struct verdict *v, const char *key, const struct check *c, struct jwriter *w)
{
    jw_begin_object(w, key);
    jw_string(w, "unavailable", v->encoder ? NULL : c->unavailable);
    jw_int(w, "mismatches", (int64_t)v->n_differ);
    if (v->n_differ > 0) {
        jw_begin_object(w, "first");
        jw_string(w, "text", v->text);
        jw_int(w, "position", (int64_t)v->at);
        ids_json(w, "source", v->want, v->n_want);
        ids_json(w, "here", v->got, v->n_got);
        jw_end_object(w);
    }
    jw_end_object(w);
}

static void report(const struct check *c, struct buf *out, struct jwriter *w)
{
    if (w) {
        jw_begin_object(w, NULL);
        jw_int(w, "texts", (int64_t)c->n_texts);
        jw_bool(w, "same", c->own.n_differ == 0);
        verdict_json(&c->own, "embedded", c, w);
        verdict_json(&c->runtime, "runtime", c, w);
        jw_end_object(w);
        return;
    }
    buf_printf(out, "%s: %zu texts through the source's tokenizer and the embedded one\n", c->own.n_differ ? "differ" : "same",
               c->n_texts);
    verdict_text(&c->own, "embedded", c, out);
    verdict_text(&c->runtime, "llama.cpp's keys alone", c, out);
}

static enum status run(struct check *c, const char *const *paths, int n_paths, struct error *err)
{
    const char *gguf = paths[n_paths - 1];
    TRY(text_coder_open(&c->embedded, gguf, err));
    if (!c->embedded.gguf)
        return error_at(err, STATUS_USAGE, gguf, NULL, "expected a GGUF, whose tokenizer is compared with the source's");
    if (n_paths == 2)
        TRY(text_coder_open(&c->source, paths[0], err));
    else
        TRY(source_from_receipt(c, gguf, err));
    TRY(open_bare(c, err));
    c->own.encoder = c->embedded.encoder;
    c->runtime.encoder = c->bare_encoder;
    return stress_texts(c->source.tokenizer, compare_text, c, err);
}

enum status tokenizer_check_run(const char *const *paths, int n_paths, int *code, struct buf *out,
                                struct jwriter *w, struct error *err)
{
    struct check c = {0};
    enum status st = run(&c, paths, n_paths, err);
    if (st == STATUS_OK) {
        report(&c, out, w);
        *code = c.own.n_differ > 0;
    }
    remove_unpacked(&c);
    id_list_clear(&c.want);
    id_list_clear(&c.got);
    encoder_free(c.bare_encoder);
    tokenizer_free(c.bare);
    text_coder_close(&c.source);
    text_coder_close(&c.embedded);
    return st;
}
