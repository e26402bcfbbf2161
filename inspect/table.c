#include "inspect/table.h"

#include "base/progress.h"
#include "inspect/summary_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PATH, FAMILY, WEIGHTS, SIZE, BITS, TYPES, CONTEXT, TOKENIZER, WARNINGS };
static const char *const heads[TABLE_COLUMNS] = {"file", "family", "weights", "size", "bits", "types", "context", "tokenizer", "warnings"};
static const bool right[TABLE_COLUMNS] = {[WEIGHTS] = true, [SIZE] = true, [BITS] = true, [CONTEXT] = true, [WARNINGS] = true};

static const char **new_row(struct table *t, struct error *err)
{
    if (t->n_rows == t->cap_rows) {
        size_t cap = t->cap_rows ? 2 * t->cap_rows : 16;
        const char *(*bigger)[TABLE_COLUMNS] = arena_array(&t->mem, cap, sizeof *bigger);
        if (!bigger) {
            error_nomem(err, cap * sizeof *bigger);
            return NULL;
        }
        if (t->n_rows) memcpy(bigger, t->rows, t->n_rows * sizeof *bigger);
        t->rows = bigger;
        t->cap_rows = cap;
    }
    return t->rows[t->n_rows++];
}

static const char *escaped(struct table *t, const char *text)
{
    char line[512];
    text_escape(text, line, sizeof line);
    return arena_strndup(&t->mem, line, strlen(line));
}

static size_t n_warnings(const struct subject *s)
{
    size_t n = s->model_error.text[0] != 0;
    for (size_t i = 0; i < s->warnings.count; i++) n += !s->warnings.items[i].note;
    return n;
}

enum status table_add(struct table *t, const struct subject *s, struct error *err)
{
    const char **row = new_row(t, err);
    char count[32], size[32];
    struct buf tokenizer = {0}, types = {0};
    if (!row) return err->status;
    summary_count(count, s->n_elements);
    summary_types_short(s, &types);
    if (s->arch) summary_tokenizer_short(s, &tokenizer);
    row[PATH] = escaped(t, s->path);
    row[FAMILY] = s->arch ? s->arch->family : "-";
    row[WEIGHTS] = arena_printf(&t->mem, "%s", count);
    row[SIZE] = arena_printf(&t->mem, "%s", format_bytes(size, s->size_bytes));
    row[BITS] = arena_printf(&t->mem, "%.2f", summary_bits(s));
    row[TYPES] = arena_printf(&t->mem, "%s", types.len ? types.data : "-");
    row[CONTEXT] = s->model ? arena_printf(&t->mem, "%" PRId64, s->model->hp.n_ctx) : "-";
    row[TOKENIZER] = arena_printf(&t->mem, "%s", tokenizer.len ? tokenizer.data : "-");
    row[WARNINGS] = arena_printf(&t->mem, "%zu", n_warnings(s));
    bool failed = tokenizer.failed || types.failed;
    buf_clear(&tokenizer);
    buf_clear(&types);
    if (failed) return error_nomem(err, sizeof size);
    for (int k = 0; k < TABLE_COLUMNS; k++)
        if (!row[k]) return error_nomem(err, 1);
    return STATUS_OK;
}

enum status table_add_error(struct table *t, const char *path, const struct error *why, struct error *err)
{
    const char **row = new_row(t, err);
    if (!row) return err->status;
    row[PATH] = escaped(t, path);
    row[FAMILY] = escaped(t, why->text);
    return row[PATH] && row[FAMILY] ? STATUS_OK : error_nomem(err, 1);
}

/* Characters, which are what columns are counted in */
static int width_of(const char *s)
{
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void cell(struct buf *out, const char *text, int width, bool to_right, bool last)
{
    int pad = width - width_of(text);
    if (pad < 0 || (last && !to_right)) pad = 0;
    buf_printf(out, "%*s%s%*s", to_right ? pad : 0, "", text, to_right ? 0 : pad, "");
    buf_puts(out, last ? "\n" : "  ");
}

void table_text(const struct table *t, struct buf *out)
{
    int width[TABLE_COLUMNS];
    for (int k = 0; k < TABLE_COLUMNS; k++) {
        width[k] = width_of(heads[k]);
        for (size_t i = 0; i < t->n_rows; i++) {
            bool whole = t->rows[i][WEIGHTS] != NULL || k == PATH;
            if (whole && width_of(t->rows[i][k]) > width[k]) width[k] = width_of(t->rows[i][k]);
        }
    }
    for (int k = 0; k < TABLE_COLUMNS; k++) cell(out, heads[k], width[k], right[k], k + 1 == TABLE_COLUMNS);
    for (size_t i = 0; i < t->n_rows; i++) {
        const char *const *row = t->rows[i];
        cell(out, row[PATH], width[PATH], false, false);
        if (!row[WEIGHTS]) buf_printf(out, "error: %s\n", row[FAMILY]);
        for (int k = FAMILY; row[WEIGHTS] && k < TABLE_COLUMNS; k++) cell(out, row[k], width[k], right[k], k + 1 == TABLE_COLUMNS);
    }
}

void table_clear(struct table *t)
{
    arena_clear(&t->mem);
    *t = (struct table){0};
}
