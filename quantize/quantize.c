#include "quantize/quantize.h"
#include "quantize/imatrix_main.h"
#include "base/options.h"
#include "core/emit.h"
#include "core/explain.h"
#include "core/parts.h"
#include "core/plan_report.h"
#include "core/quantize_args.h"
#include "core/rewrite.h"

#include <stdio.h>
#include <string.h>

struct quantize_options {
    const char *input, *output;
    struct quantize_args types;
    struct imatrix_options collect;
    int receipt;
    bool keep_split;
    bool damage, resume, dry_run, force, list_types, strict, allow_overflow;
};
struct quantization {
    const struct tool *tool;
    const struct quantize_options *opt;
    struct checkpoint *ckpt;
    struct plan plan;
    struct warnings warn;
    const char *path; /* for emit_file: the folder of parts; NULL: one file */
    int64_t start_ns;
    bool told;
};

/* --- --list-types --- */

static double bits_per_weight(enum dtype t)
{
    const struct dtype_info *info = dtype_info(t);
    return 8.0 * info->block_bytes / info->block_len;
}

static const char *base_name(const struct recipe *r)
{
    return r->base == DTYPE_COUNT ? "-" : dtype_info(r->base)->name;
}

/* Can a matrix be stored so, with an importance matrix at least? */
static bool writable(const struct dtype_info *info)
{
    enum dtype t = dtype_from_name(info->name);
    return dtype_can_encode(t, false) || dtype_can_encode(t, true);
}

static const char *weights_note(enum dtype_weights w)
{
    static const char *const notes[] = {
        [WEIGHTS_IGNORED] = "", [WEIGHTS_USED] = "  better with an importance matrix", [WEIGHTS_WANTED] = "  needs an importance matrix",
        [WEIGHTS_REQUIRED] = "  needs an importance matrix"};
    return notes[w];
}

static void list_text(struct buf *b)
{
    buf_printf(b, "%-9s %-8s %12s  %s\n", "recipe", "type", "bits/weight", "what it does");
    for (const struct recipe *r = recipe_list; r->name; r++) {
        if (r->base == DTYPE_COUNT)
            buf_printf(b, "%-9s %-8s %12s  %s\n", r->name, "-", "-", r->summary);
        else
            buf_printf(b, "%-9s %-8s %12.4f  %s%s%s%s\n", r->name, base_name(r), bits_per_weight(r->base), r->summary,
                       r->alias ? " (also called " : "", r->alias ? r->alias : "", r->alias ? ")" : "");
    }
    buf_printf(b, "\n%-10s %4s %12s %6s %6s\n", "type", "id", "bits/weight", "block", "bytes");
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (info->ggml_id < 0 || !(info->is_float || info->block_len > 1)) continue;
        buf_printf(b, "%-10s %4d %12.4f %6u %6u%s\n", info->name, info->ggml_id,
                   bits_per_weight((enum dtype)t), info->block_len, info->block_bytes,
                   writable(info) ? weights_note(info->weights) : "  (read only)");
    }
}

static void list_json(struct buf *b)
{
    struct jwriter w = {.out = b};
    jw_begin_object(&w, NULL);
    jw_begin_array(&w, "recipes");
    for (const struct recipe *r = recipe_list; r->name; r++) {
        jw_begin_object(&w, NULL);
        jw_string(&w, "name", r->name);
        jw_string(&w, "alias", r->alias);
        jw_string(&w, "type", r->base == DTYPE_COUNT ? NULL : base_name(r));
        jw_uint(&w, "file_type", r->file_type);
        if (r->base == DTYPE_COUNT)
            jw_null(&w, "bits_per_weight");
        else
            jw_double(&w, "bits_per_weight", bits_per_weight(r->base));
        jw_string(&w, "summary", r->summary);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_begin_array(&w, "types");
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (info->ggml_id < 0 || !(info->is_float || info->block_len > 1)) continue;
        jw_begin_object(&w, NULL);
        jw_string(&w, "name", info->name);
        jw_int(&w, "id", info->ggml_id);
        jw_double(&w, "bits_per_weight", bits_per_weight((enum dtype)t));
        jw_uint(&w, "block", info->block_len);
        jw_uint(&w, "block_bytes", info->block_bytes);
        jw_bool(&w, "can_write", writable(info));
        jw_bool(&w, "needs_imatrix", info->weights >= WEIGHTS_WANTED);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_end_object(&w);
    buf_puts(b, "\n");
}

static int list_types(const struct tool *tool)
{
    struct buf b = {0};
    if (tool->json)
        list_json(&b);
    else
        list_text(&b);
    int code = tool_finish(tool, &b, 0);
    buf_clear(&b);
    return code;
}

/* --- the work --- */

static enum status check_arguments(struct quantize_options *o, const struct tool *tool, struct error *err)
{
    if (tool->n_args != 3) {
        error_set(err, STATUS_USAGE, "expected IN.gguf, OUT.gguf and TYPE, found %d arguments", tool->n_args);
        return error_hint(err, "--list-types shows the types");
    }
    o->input = tool->args[0];
    o->output = tool->args[1];
    o->types.type = tool->args[2];
    TRY(quantize_args_resolve(&o->types, err));
    o->types.options.record = o->receipt != 0;
    o->types.options.keep_order = o->keep_split;
    if (o->keep_split && o->resume) return error_set(err, STATUS_USAGE, "--resume is for one file, not for parts");
    return o->dry_run ? STATUS_OK : emit_check_free(o->output, o->force, err);
}

static enum status lay_out(struct quantization *q, struct error *err)
{
    const char *stem, *folder;
    if (!q->opt->keep_split) return plan_layout(&q->plan, err) == STATUS_OK ? STATUS_OK : error_in(err, q->opt->input);
    TRY(parts_place(&q->plan, q->opt->output, &folder, &stem, err));
    TRY(parts_keep_gguf(&q->plan, stem, q->ckpt, err));
    if (q->plan.n_parts > 0) q->path = folder;
    return STATUS_OK;
}

static enum status make_plan(struct quantization *q, struct error *err)
{
    const struct quantize_options *o = q->opt;
    struct rewrite_options rewrite = {.quantize = &o->types.options, .drop_receipt = o->receipt == 0};
    TRY(ckpt_open(&q->ckpt, o->input, err));
    if (!ckpt_gguf(q->ckpt)) {
        error_at(err, STATUS_FORMAT, o->input, NULL, "expected a GGUF file, found %s", q->ckpt->format);
        return error_hint(err, "lathe-convert makes one, and takes --type too");
    }
    TRY(plan_rewrite(&q->plan, q->ckpt, &rewrite, &q->warn, err));
    TRY(lay_out(q, err));
    report_fallbacks(&q->plan, &q->warn);
    TRY(warnings_check(&q->warn, err));
    return o->strict ? report_strict(&q->warn, o->input, err) : STATUS_OK;
}

static int tell(void *ctx)
{
    struct quantization *q = ctx;
    struct buf text = {0}, notes = {0};
    struct emit_summary summary = {
        .source = q->opt->input,
        .output = q->opt->output,
        .plan = &q->plan,
        .checkpoint = q->ckpt,
        .warn = &q->warn,
        .dry_run = q->opt->dry_run,
        .damage = q->opt->damage,
        .threads = q->tool->threads,
        .start_ns = q->start_ns,
        .input_bytes = q->plan.source_bytes,
    };
    if (q->tool->json)
        emit_json(&summary, &text);
    else if (!q->tool->quiet || q->opt->dry_run)
        emit_text(&summary, &text);
    if (!q->tool->json && !q->tool->quiet) report_warnings(&q->warn, q->tool->name, &notes);
    if (notes.data) fputs(notes.data, stderr);
    int code = tool_finish(q->tool, &text, 0);
    q->told = true;
    buf_clear(&notes);
    buf_clear(&text);
    return code;
}

static enum status quantize(struct quantization *q, struct error *err)
{
    const struct quantize_options *o = q->opt;
    TRY(make_plan(q, err));
    if (o->dry_run) return tell(q) == 0 ? STATUS_OK : error_set(err, STATUS_IO, "%s", "");
    struct emit_options emit = {
        .path = q->path ? q->path : o->output,
        .source = q->ckpt,
        .warn = &q->warn,
        .force = o->force,
        .resume = o->resume,
        .strict = o->strict,
        .finite = true,
        .allow_overflow = o->allow_overflow,
        .threads = q->tool->threads,
        .label = "quantizing",
        .progress = q->tool->progress,
        .quiet = q->tool->quiet,
        .tell = tell,
        .tell_ctx = q,
    };
    return emit_file(&q->plan, &emit, err);
}

static int run(struct tool *tool, struct quantize_options *o)
{
    struct error err = {0};
    if (o->collect.model && !tool->explain && !o->list_types) {
        o->collect.force = o->force;
        return imatrix_main(tool, &o->collect);
    }
    struct quantization q = {.tool = tool, .opt = o, .start_ns = clock_ns()};
    if (tool->explain) return explain_run(tool);
    if (o->list_types) return list_types(tool);
    enum status st = check_arguments(o, tool, &err);
    if (st == STATUS_OK) st = quantize(&q, &err);
    tool->json = tool->json && !q.told; /* one document is enough */
    int code = st == STATUS_OK ? 0 : tool_fail(tool, &err);
    plan_clear(&q.plan);
    ckpt_close(q.ckpt);
    quantize_args_clear(&o->types);
    warnings_clear(&q.warn);
    return code;
}

int quantize_main(int argc, char **argv)
{
    struct quantize_options o = {.receipt = 1};
    const struct option_spec specs[] = {
        QUANTIZE_ARGS_SPECS(o.types),
        {"list-types", 0, NULL, OPTION_FLAG, &o.list_types,
         "print recipes and types with their bits per weight", NULL},
        {"allow-overflow", 0, NULL, OPTION_FLAG, &o.allow_overflow,
         "store infinities where the type cannot hold a weight", NULL},
        {"receipt", 0, "none|keep", OPTION_CHOICE, &o.receipt,
         "keep (default): the input's receipt and what was done; none: no key of our own receipts", NULL},
        {"collect-imatrix", 0, "MODEL", OPTION_STRING, &o.collect.model,
         "make an importance matrix with this model (anything lathe-convert reads) instead of quantizing", "Importance matrix"},
        {"tokens", 't', "FILE", OPTION_STRING, &o.collect.tokens, "token ids to run it on: numbers separated by white space, or a .npy array", NULL},
        {"text", 0, "FILE", OPTION_STRING, &o.collect.text, "text to run it on, through the model's own tokenizer", NULL},
        {"context", 'c', "N", OPTION_INT, &o.collect.n_context, "positions per window (default 512, or the model's if fewer)", NULL},
        {"output", 'o', "FILE", OPTION_STRING, &o.collect.output, "the importance matrix to write", NULL},
        {"force", 'f', NULL, OPTION_FLAG, &o.force, "replace an existing output; never a source", "Output"},
        {"keep-split", 0, NULL, OPTION_FLAG, &o.keep_split,
         "as many parts as the input has, with the same tensors: OUT-00001-of-0000N.gguf", NULL},
        {"resume", 0, NULL, OPTION_FLAG, &o.resume,
         "keep OUT.partial and its journal when interrupted, and go on with them", "Output"},
        {"damage", 0, NULL, OPTION_FLAG, &o.damage, "print what quantization did to each tensor", "Checks"},
        {"dry-run", 'n', NULL, OPTION_FLAG, &o.dry_run, "print the plan with the exact size; write nothing",
         NULL},
        {"strict", 0, NULL, OPTION_FLAG, &o.strict, "warnings, fallback types included, become errors", NULL},
        {0},
    };
    struct tool tool = {
        .name = "lathe-quantize",
        .usage = "IN.gguf OUT.gguf TYPE | --collect-imatrix MODEL --tokens FILE -o FILE",
        .summary =
            "Rewrites a GGUF file with another type for its matrices, as llama-quantize does, byte for byte.",
        .examples = "  lathe-quantize model.gguf model-q4_0.gguf Q4_0\n"
                    "  lathe-quantize model.gguf model-q6_k.gguf Q6_K --dry-run\n"
                    "  lathe-quantize --collect-imatrix model.gguf --tokens ids.txt -o imatrix.gguf\n"
                    "  lathe-quantize model.gguf model-iq2_m.gguf IQ2_M --imatrix imatrix.gguf\n"
                    "  lathe-quantize --list-types\n",
        .specs = specs,
        .n_min = 0,
        .n_max = 3,
    };
    struct error err = {0};
    enum tool_parsed parsed = tool_parse(&tool, argc, argv, &err);
    int code = parsed == TOOL_RUN ? run(&tool, &o) : parsed == TOOL_DONE ? 0 : tool_fail(&tool, &err);
    tool_clear(&tool);
    return code;
}
