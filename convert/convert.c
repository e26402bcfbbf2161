#include "convert/convert.h"

#include "base/options.h"
#include "base/outset.h"
#include "convert/adapters.h"
#include "core/emit.h"
#include "core/explain.h"
#include "core/model_plan.h"
#include "core/parts.h"
#include "core/plan_report.h"
#include "core/quantize_args.h"
#include "core/restore.h"
#include "core/rewrite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROPE_CONTEXT_NOT_GIVEN INT64_MIN
/* transformers 5: save_pretrained(max_shard_size="50GB") */
#define SHARD_BYTES 50000000000u

struct convert_options {
    const char *source, *output, *config, *lora_base;
    struct string_list loras;
    struct double_list lora_scales; /* one for each, or none */
    struct quantize_args types;
    int64_t rope_context;
    uint64_t split_bytes; /* 0: not given */
    int receipt;
    bool back; /* the output is a folder */
    bool damage, resume, dry_run, strict, force, allow_overflow;
    const struct plan_quantize_options *quantize; /* NULL: keep */
    struct restore_options restore;               /* of a folder */
};
struct conversion {
    const struct tool *tool;
    const struct convert_options *opt;
    struct model *model; /* NULL for a GGUF whose tensors are taken as they are */
    struct restore *restore;
    struct lora *lora; /* that is converted */
    struct adapters adapters; /* that are merged */
    const struct checkpoint **others; /* what is read beside `ckpt` */
    size_t n_others;
    struct model *base; /* of an adapter, or of the GGUF that one is merged into */
    const char *path; /* for emit_file: the output, or the folder of its parts */
    struct checkpoint *gguf;
    const struct checkpoint *ckpt; /* of either */
    struct plan plan;
    struct warnings warn;
    int64_t start_ns;
    bool told;
};

/* --- options --- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static enum status check_output(const struct convert_options *o, struct error *err)
{
    if (!o->output) {
        if (o->dry_run) return STATUS_OK;
        error_set(err, STATUS_USAGE, "no output given");
        return error_hint(err, "-o OUT.gguf names it; --dry-run shows the plan without one");
    }
    if (o->dry_run) return STATUS_OK;
    if (!o->back && o->split_bytes > 0) return STATUS_OK; /* names of parts depend on their number */
    if (o->back) return outset_check_folder(o->output, o->force, model_file_name, err);
    return emit_check_free(o->output, o->force, err);
}

/* Numbers of a folder are plain floats. */
static enum status check_back_options(struct convert_options *o, struct error *err)
{
    enum dtype type = dtype_from_name(o->types.type);
    bool keep = strcmp(o->types.type, "keep") == 0;
    if (quantize_args_any(&o->types) || o->resume || o->loras.count > 0 || o->config || o->rope_context != ROPE_CONTEXT_NOT_GIVEN || o->damage)
        return error_at(err, STATUS_USAGE, o->output, NULL,
                        "a folder takes --type, --receipt, --split-max-size and --allow-overflow; other options are for a .gguf file");
    o->restore = (struct restore_options){
        .rebuild = o->receipt == RECEIPT_NONE,
        .type = keep ? DTYPE_COUNT : type,
        .shard_bytes = o->split_bytes > 0 ? o->split_bytes : SHARD_BYTES,
    };
    if (keep || type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16) return check_output(o, err);
    return error_at(err, STATUS_USAGE, o->output, NULL, "--type %s: a folder takes keep, f32, f16 or bf16", o->types.type);
}

static enum status check_options(struct convert_options *o, struct error *err)
{
    if (o->rope_context != ROPE_CONTEXT_NOT_GIVEN && (o->rope_context < 1 || o->rope_context > INT32_MAX))
        return error_set(err, STATUS_USAGE, "option '--rope-context': expected 1 to %d positions", INT32_MAX);
    o->back = o->output && (file_is_dir(o->output) || !ends_with(o->output, ".gguf"));
    if (o->back) return check_back_options(o, err);
    if (o->split_bytes > 0 && o->resume) return error_set(err, STATUS_USAGE, "--resume is for one file, not for parts");
    if (o->loras.count > 0 && o->resume) return error_set(err, STATUS_USAGE, "--resume does not go with --merge-lora");
    TRY(adapters_check(&o->loras, &o->lora_scales, err));
    if (strcmp(o->types.type, "keep") == 0) {
        if (quantize_args_any(&o->types)) return error_set(err, STATUS_USAGE, "options about types need a --type");
        TRY(quantize_args_kernels(&o->types, err));
        return check_output(o, err);
    }
    TRY(quantize_args_resolve(&o->types, err));
    o->types.options.record = o->receipt != RECEIPT_NONE;
    o->quantize = &o->types.options;
    return check_output(o, err);
}

/* --- the work --- */

static enum status plan_gguf(struct conversion *c, struct error *err)
{
    const struct convert_options *o = c->opt;
    if (o->config)
        return error_at(err, STATUS_USAGE, o->source, NULL,
                        "--config is for checkpoints; a GGUF file has its own");
    if (o->rope_context != ROPE_CONTEXT_NOT_GIVEN)
        return error_at(err, STATUS_USAGE, o->source, NULL,
                        "--rope-context is for checkpoints; the rotary positions of a GGUF file stay as they are");
    struct rewrite_options rewrite = {
        .quantize = o->quantize,
        .drop_receipt = o->receipt == RECEIPT_NONE,
    };
    return plan_rewrite(&c->plan, c->ckpt, &rewrite, &c->warn, err);
}

static enum status plan_model(struct conversion *c, struct error *err)
{
    const struct convert_options *o = c->opt;
    struct plan_quantize_options quantize;
    if (o->quantize) {
        quantize = *o->quantize;
        quantize.in_place = !recipe_quantizes(quantize.recipe);
        if (quantize.recipe->base == DTYPE_COUNT)
            return error_at(err, STATUS_USAGE, o->source, NULL, "--type %s is for GGUF files; keep does that here", quantize.recipe->name);
    }
    struct model_plan_options options = {
        .quantize = o->quantize ? &quantize : NULL,
        .receipt = (enum receipt_level)o->receipt,
        .rope_context = o->rope_context == ROPE_CONTEXT_NOT_GIVEN ? 0 : o->rope_context,
    };
    return model_plan(&c->plan, c->model, &options, &c->warn, err);
}

static enum status open_source(struct conversion *c, struct error *err)
{
    struct checkpoint *ckpt;
    struct model_options options = {.config_path = c->opt->config};
    TRY(ckpt_open(&ckpt, c->opt->source, err));
    c->ckpt = ckpt;
    if (c->opt->back && !ckpt_gguf(ckpt)) {
        ckpt_close(ckpt);
        error_at(err, STATUS_USAGE, c->opt->output, NULL, "a folder is written from a GGUF file, and '%.200s' is none", c->opt->source);
        return error_hint(err, "expected the name of a .gguf file to write");
    }
    if (ckpt_gguf(ckpt) && !c->opt->back) {
        c->gguf = ckpt;
        return STATUS_OK;
    }
    return model_bind(&c->model, ckpt, &options, &c->warn, err);
}

/* An adapter by itself becomes llama.cpp's file of one; the base tells names, sizes and order of rows. */
static enum status plan_adapter(struct conversion *c, struct error *err)
{
    const struct convert_options *o = c->opt;
    if (!o->lora_base) {
        error_at(err, STATUS_USAGE, o->source, NULL, "is an adapter: its base model is needed");
        return error_hint(err, "--lora-base MODEL names it; lathe-convert MODEL --merge-lora ADAPTER merges both");
    }
    if (o->back || o->loras.count > 0 || o->quantize || o->split_bytes > 0)
        return error_at(err, STATUS_USAGE, o->source, NULL, "an adapter takes no --type, --merge-lora, --split-max-size and no folder as output");
    TRY(model_open(&c->base, o->lora_base, &(struct model_options){.config_path = o->config}, &c->warn, err));
    TRY(lora_open(&c->lora, o->source, 1, err));
    c->ckpt = lora_checkpoint(c->lora);
    TRY(lora_bind(c->lora, c->base, err));
    TRY(lora_plan(c->lora, &c->plan, &c->warn, err));
    return plan_layout(&c->plan, err);
}

static enum status merge_adapters(struct conversion *c, struct error *err)
{
    const struct convert_options *o = c->opt;
    if (!c->model) TRY(model_open(&c->base, o->source, &(struct model_options){0}, &c->warn, err));
    TRY(adapters_open(&c->adapters, &o->loras, &o->lora_scales, c->model ? c->model : c->base, err));
    return adapters_merge(&c->adapters, &c->plan, &c->warn, err);
}

static enum status lay_out(struct conversion *c, struct error *err)
{
    if (c->opt->loras.count > 0) TRY(merge_adapters(c, err));
    const char *stem;
    if (c->opt->split_bytes == 0) return plan_layout(&c->plan, err) == STATUS_OK ? STATUS_OK : error_in(err, c->opt->source);
    TRY(parts_place(&c->plan, c->opt->output ? c->opt->output : "model.gguf", &c->path, &stem, err));
    return parts_split_gguf(&c->plan, stem, c->opt->split_bytes, err);
}

static enum status make_plan(struct conversion *c, struct error *err)
{
    bool adapter = lora_is_adapter(c->opt->source);
    if (!adapter) TRY(open_source(c, err));
    if (adapter) {
        TRY(plan_adapter(c, err));
    } else if (c->opt->back) {
        TRY(restore_plan(&c->restore, &c->plan, c->model, &c->opt->restore, &c->warn, err));
    } else {
        TRY(c->model ? plan_model(c, err) : plan_gguf(c, err));
        TRY(lay_out(c, err));
    }
    report_fallbacks(&c->plan, &c->warn);
    TRY(warnings_check(&c->warn, err));
    return c->opt->strict ? report_strict(&c->warn, c->opt->source, err) : STATUS_OK;
}

static void print_notes(const struct conversion *c)
{
    struct buf b = {0};
    const struct checkpoint *ckpt = c->ckpt;
    for (size_t i = 0; i < ckpt->notes.count; i++) {
        char text[1024];
        text_escape(ckpt->notes.items[i], text, sizeof text);
        buf_printf(&b, "%s: note: %s\n", c->tool->name, text);
    }
    report_warnings(&c->warn, c->tool->name, &b);
    if (b.data) fputs(b.data, stderr);
    buf_clear(&b);
}

static int tell(void *ctx)
{
    struct conversion *c = ctx;
    struct buf text = {0};
    struct emit_summary summary = {
        .source = c->opt->source,
        .output = c->opt->output,
        .plan = &c->plan,
        .checkpoint = c->ckpt,
        .warn = &c->warn,
        .dry_run = c->opt->dry_run,
        .damage = c->opt->damage,
        .threads = c->tool->threads,
        .start_ns = c->start_ns,
    };
    if (c->tool->json)
        emit_json(&summary, &text);
    else if (!c->tool->quiet || c->opt->dry_run)
        emit_text(&summary, &text);
    if (!c->tool->json && !c->tool->quiet) print_notes(c);
    int code = tool_finish(c->tool, &text, 0);
    c->told = true;
    buf_clear(&text);
    return code;
}

/* The base of an adapter, and adapters that are merged */
static enum status list_others(struct conversion *c, struct error *err)
{
    void *mem;
    TRY(mem_alloc(&mem, c->adapters.n + 1, sizeof *c->others, err));
    c->others = mem;
    if (c->base) c->others[c->n_others++] = c->base->ckpt;
    for (size_t i = 0; i < c->adapters.n; i++) c->others[c->n_others++] = lora_checkpoint(c->adapters.items[i]);
    return STATUS_OK;
}

static enum status convert(struct conversion *c, struct error *err)
{
    const struct convert_options *o = c->opt;
    TRY(make_plan(c, err));
    TRY(list_others(c, err));
    if (o->dry_run) return tell(c) == 0 ? STATUS_OK : error_set(err, STATUS_IO, "%s", "");
    struct emit_options emit = {
        .path = c->path,
        .source = c->ckpt,
        .others = c->others,
        .n_others = c->n_others,
        .warn = &c->warn,
        .force = o->force,
        .resume = o->resume,
        .strict = o->strict,
        .hash = c->model && !o->back && o->receipt != RECEIPT_NONE,
        .check = o->back ? restore_check : NULL,
        .check_ctx = c->restore,
        .casts_checked = o->back && o->restore.type == DTYPE_COUNT,
        .allow_overflow = o->allow_overflow,
        .threads = c->tool->threads,
        .label = "converting",
        .progress = c->tool->progress,
        .quiet = c->tool->quiet,
        .tell = tell,
        .tell_ctx = c,
    };
    return emit_file(&c->plan, &emit, err);
}

int convert_main(int argc, char **argv)
{
    struct convert_options o = {.types = {.type = "keep"}, .receipt = RECEIPT_FULL, .rope_context = ROPE_CONTEXT_NOT_GIVEN};
    const struct option_spec specs[] = {
        {"output", 'o', "OUT", OPTION_STRING, &o.output, "file to write, OUT.gguf; or a folder, for the way back from a GGUF", "Output"},
        {"split-max-size", 0, "BYTES", OPTION_SIZE, &o.split_bytes, "numbered parts of at most so many bytes of tensors (a folder: default 50 GB)", NULL},
        {"receipt", 0, "none|lean|full", OPTION_CHOICE, &o.receipt,
         "how much of the source to record (default full)", NULL},
        {"force", 'f', NULL, OPTION_FLAG, &o.force, "replace an existing output; never a source", NULL},
        {"type", 0, "TYPE", OPTION_STRING, &o.types.type,
         "storage of the matrices: keep (default), f32, f16, bf16, Q8_0, Q4_K_M, ... (lathe-quantize --list-types)", "Types"},
        QUANTIZE_ARGS_SPECS(o.types),
        {"allow-overflow", 0, NULL, OPTION_FLAG, &o.allow_overflow,
         "store infinities where the type cannot hold a weight", NULL},
        {"config", 0, "FILE", OPTION_STRING, &o.config, "config.json to use instead of the folder's",
         "Source"},
        {"merge-lora", 0, "ADAPTER", OPTION_LIST, &o.loras, "add a PEFT adapter (folder) to the weights; may be repeated", NULL},
        {"lora-scale", 0, "S", OPTION_DOUBLES, &o.lora_scales, "times this (default 1); of several adapters one for each, in their order", NULL},
        {"lora-base", 0, "MODEL", OPTION_STRING, &o.lora_base, "SRC is an adapter: the model that it was made for", NULL},
        {"rope-context", 0, "N", OPTION_INT, &o.rope_context,
         "fix rotary positions that depend on the length as they are for a context of N", NULL},
        {"resume", 0, NULL, OPTION_FLAG, &o.resume,
         "keep OUT.partial and its journal when interrupted, and go on with them", "Output"},
        {"damage", 0, NULL, OPTION_FLAG, &o.damage, "print what quantization did to each tensor", "Checks"},
        {"dry-run", 'n', NULL, OPTION_FLAG, &o.dry_run, "print the plan with the exact size; write nothing",
         NULL},
        {"strict", 0, NULL, OPTION_FLAG, &o.strict, "warnings become errors", NULL},
        {0},
    };
    struct tool tool = {
        .name = "lathe-convert",
        .usage = "SRC -o OUT.gguf|DIR",
        .summary =
            "Converts a checkpoint (folder, index, shard or file; safetensors, PyTorch, GGUF) to GGUF, and a GGUF back to a folder.",
        .examples = "  lathe-convert SmolLM2-135M/ -o smollm2.gguf\n"
                    "  lathe-convert gpt2/ -o gpt2.gguf --type f16 --dry-run\n"
                    "  lathe-convert smollm2.gguf -o SmolLM2-again/\n",
        .specs = specs,
        .n_min = 1,
        .n_max = 1,
    };
    struct error err = {0};
    enum tool_parsed parsed = tool_parse(&tool, argc, argv, &err);
    if (parsed != TOOL_RUN) {
        int code = parsed == TOOL_DONE ? 0 : tool_fail(&tool, &err);
        tool_clear(&tool);
        return code;
    }
    if (tool.explain) {
        int code = explain_run(&tool);
        tool_clear(&tool);
        return code;
    }
    o.source = tool.args[0];
    struct conversion c = {.tool = &tool, .opt = &o, .path = o.output, .start_ns = clock_ns()};
    enum status st = check_options(&o, &err);
    if (st == STATUS_OK) st = convert(&c, &err);
    tool.json = tool.json && !c.told; /* one document is enough */
    int code = st == STATUS_OK ? 0 : tool_fail(&tool, &err);
    plan_clear(&c.plan);
    lora_close(c.lora);
    adapters_close(&c.adapters);
    free(c.others);
    if (c.base) model_close(c.base);
    restore_free(c.restore);
    if (c.model) model_close(c.model);
    ckpt_close(c.gguf);
    quantize_args_clear(&o.types);
    warnings_clear(&c.warn);
    tool_clear(&tool);
    return code;
}
