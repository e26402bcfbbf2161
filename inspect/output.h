/* Where a picture goes: into a PNG or SVG file, an array of numbers, or onto the terminal. */
#ifndef LATHE_OUTPUT_H
#define LATHE_OUTPUT_H

#include "base/json.h"
#include "base/options.h"
#include "plots/png.h"
#include "plots/terminal.h"

enum output_format { OUTPUT_TERMINAL, OUTPUT_PNG, OUTPUT_SVG, OUTPUT_NPY };
/* By the end of the name; no name: the terminal. STATUS_USAGE for any other. */
enum status output_format_of(enum output_format *f, const char *path, struct error *err);
/* Writes the bytes into a file, which the tool keeps (tool_keep); an existing one is replaced. */
enum status output_write(const struct tool *t, const char *path, const struct buf *bytes, struct error *err);
/* The same for the canvas, which was drawn with texts_apart for SVG. */
enum status output_save(const struct tool *t, const char *path, enum output_format f, const struct canvas *c,
                        const struct png_note *notes, int n_notes, struct error *err);
/* What a kind of picture can be told as */
struct output_kind {
    enum status (*save)(const void *ctx, enum output_format f, struct buf *line, struct error *err); /* *line: what was written, for people */
    enum status (*print)(const void *ctx, const struct terminal *t, struct buf *out, struct error *err);
    void (*json)(const void *ctx, struct jwriter *w);
};
/* Into the file, unless f is the terminal; then, as the tool was asked: the JSON document, the picture as text, or the line. */
enum status output_put(const struct tool *t, const struct output_kind *k, const void *ctx, enum output_format f, struct buf *out,
                       struct jwriter *json, struct error *err);
/* The last part of a path, escaped: what a title calls a file or folder */
void output_source_name(const char *path, char *dst, size_t size);
/* "0 to 1 in 241 levels, viridis" */
void output_colors(char *dst, size_t size, const struct color_scale *s, enum colormap map);

#endif
