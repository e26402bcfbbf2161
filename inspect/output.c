#include "inspect/output.h"

#include "base/file.h"
#include "plots/svg.h"

#include <stdio.h>
#include <string.h>

enum status output_format_of(enum output_format *f, const char *path, struct error *err)
{
    static const char *const ends[] = {[OUTPUT_PNG] = ".png", [OUTPUT_SVG] = ".svg", [OUTPUT_NPY] = ".npy"};
    size_t n = path ? strlen(path) : 0;
    *f = OUTPUT_TERMINAL;
    if (!path) return STATUS_OK;
    for (*f = OUTPUT_PNG; *f <= OUTPUT_NPY; ++*f)
        if (n > 4 && strcmp(path + n - 4, ends[*f]) == 0) return STATUS_OK;
    return error_set(err, STATUS_USAGE, "-o %s: expected a name that ends in .png, .svg or .npy", path);
}

enum status output_write(const struct tool *t, const char *path, const struct buf *bytes, struct error *err)
{
    struct outfile *o;
    TRY(buf_check(bytes, err));
    TRY(outfile_create(&o, path, OUTFILE_REPLACE, bytes->len, err));
    enum status st = outfile_write_at(o, 0, bytes->data, bytes->len, err);
    if (st == STATUS_OK) return tool_keep(t, o, err);
    outfile_discard(o);
    return st;
}

enum status output_save(const struct tool *t, const char *path, enum output_format f, const struct canvas *c,
                        const struct png_note *notes, int n_notes, struct error *err)
{
    struct buf bytes = {0};
    enum status st = f == OUTPUT_PNG ? png_encode(&bytes, c, notes, n_notes, err) : svg_encode(&bytes, c, notes, n_notes, err);
    if (st == STATUS_OK) st = output_write(t, path, &bytes, err);
    buf_clear(&bytes);
    return st;
}

enum status output_put(const struct tool *t, const struct output_kind *k, const void *ctx, enum output_format f, struct buf *out,
                       struct jwriter *json, struct error *err)
{
    struct buf line = {0};
    enum status st = f == OUTPUT_TERMINAL ? STATUS_OK : k->save(ctx, f, &line, err);
    if (st == STATUS_OK && t->json) {
        k->json(ctx, json);
    } else if (st == STATUS_OK && f == OUTPUT_TERMINAL) {
        struct terminal terminal;
        terminal_detect(&terminal, tool_color(t));
        st = k->print(ctx, &terminal, out, err);
    } else if (st == STATUS_OK && !t->quiet) {
        buf_append(out, line.data, line.len);
        out->failed |= line.failed;
    }
    buf_clear(&line);
    return st;
}

void output_source_name(const char *path, char *dst, size_t size)
{
    char part[256];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t first = n;
    while (first > 0 && path[first - 1] != '/') first--;
    snprintf(part, sizeof part, "%.*s", (int)(n - first < 255 ? n - first : 255), path + first);
    text_escape(part, dst, size);
}

void output_colors(char *dst, size_t size, const struct color_scale *s, enum colormap map)
{
    snprintf(dst, size, "%.17g to %.17g in %d levels, %s", s->lo, s->hi, N_LEVELS, colormap_name(map));
}
