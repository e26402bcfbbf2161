#include "verify/requantize_main.h"
#include "core/plan_report.h"
#include "core/requantize.h"
#include "core/sources.h"
#include "formats/gguf.h"

#include <inttypes.h>
#include <stdio.h>

struct run {
    const struct requantize_call *call;
    struct model *source;
    struct checkpoint *source_gguf, *quantized;
    struct imatrix *imatrix;
    struct workers *workers;
    struct warnings warn;
    struct progress progress;
    struct requantize_result result;
    int64_t start_ns;
};

static enum status open_source(struct run *r, struct error *err)
{
    struct checkpoint *ckpt;
    const struct model_options options = {.config_path = r->call->config};
    TRY(ckpt_open(&ckpt, r->call->tool->args[0], err));
    if (!ckpt_gguf(ckpt)) return model_bind(&r->source, ckpt, &options, &r->warn, err);
    r->source_gguf = ckpt;
    return STATUS_OK;
}

static uint64_t source_bytes(const struct run *r)
{
    const struct checkpoint *c = r->source ? r->source->ckpt : r->source_gguf;
    uint64_t n = 0;
    for (size_t i = 0; i < c->n_tensors; i++) n += c->tensors[i].t->size_bytes;
    return n;
}

static enum status compare(struct run *r, struct error *err)
{
    const struct tool *tool = r->call->tool;
    if (tool->n_args != 2) return error_set(err, STATUS_USAGE, "--requantize: expected the source and the quantized file, found %d arguments", tool->n_args);
    TRY(open_source(r, err));
    TRY(ckpt_open(&r->quantized, tool->args[1], err));
    if (r->call->imatrix) TRY(imatrix_open(&r->imatrix, r->call->imatrix, err));
    TRY(workers_new(&r->workers, (int)tool->threads, err));
    const struct requantize_options options = {.imatrix = r->imatrix, .workers = r->workers, .progress = &r->progress};
    progress_begin(&r->progress, tool->progress, tool->quiet, "deriving", source_bytes(r));
    enum status st = requantize_compare(r->source, r->source_gguf, r->quantized, &options, &r->result, err);
    progress_end(&r->progress);
    if (st == STATUS_OK) st = sources_check(tool, r->source ? r->source->ckpt : r->source_gguf, err);
    return st == STATUS_OK ? sources_check(tool, r->quantized, err) : st;
}

/* --- report --- */

/* The name of the importance matrix that the file says it was made with, if none was given */
static const char *unused_matrix(const struct run *r)
{
    return r->imatrix ? NULL : kv_get_string(container_kv(ckpt_gguf(r->quantized), "quantize.imatrix.file"));
}

static bool mostly(const struct requantize_result *x)
{
    return x->fused_tried && x->n_fused_blocks < x->n_fused_tried / 2;
}

static const char *compiler(const struct requantize_result *x)
{
    return x->style == FUSE_AS_GCC ? "GCC" : "clang";
}

static const char *verdict(const struct requantize_result *x)
{
    if (x->n_different == 0) return x->n_missing > 0 ? "tensors missing" : "identical";
    return x->fused_tried && x->n_fused_blocks == 0 ? "fused" : mostly(x) ? "mostly fused" : "different";
}

static void report_text(const struct run *r, double seconds, struct buf *b)
{
    const struct requantize_result *x = &r->result;
    char name[256];
    if (x->n_different == 0)
        buf_printf(b, "identical: all %zu tensors are what quantizing the source gives, %.1f s\n", x->n_tensors - x->n_missing, seconds);
    else {
        text_escape(x->tensor, name, sizeof name);
        buf_printf(b, "different: %zu of %zu tensors, %" PRIu64 " of %" PRIu64 " blocks, %.1f s\n", x->n_different, x->n_tensors, x->n_different_blocks,
                   x->n_blocks, seconds);
        buf_printf(b, "  first      tensor '%s' (%s): row %" PRId64 ", block %" PRId64 ", byte %" PRId64 "; %" PRIu64 " of its %" PRIu64 " blocks differ\n",
                   name, dtype_info(x->dtype)->ggml_name, x->row, x->block, x->byte, x->tensor_different_blocks, x->tensor_blocks);
    }
    if (x->fused_tried)
        buf_printf(b, "  fused      with multiplications and additions fused as %s does %" PRIu64 " of these %" PRIu64 " blocks differ%s\n", compiler(x),
                   x->n_fused_blocks, x->n_fused_tried,
                   x->n_fused_blocks == 0 ? ": the file was made by a build whose compiler does that"
                   : mostly(x)            ? ": the file was probably made by a build whose compiler does that"
                                          : "");
    if (x->n_missing > 0) {
        text_escape(x->missing, name, sizeof name);
        buf_printf(b, "  not in the source: %zu tensors, first '%s'\n", x->n_missing, name);
    }
    if (unused_matrix(r)) {
        text_escape(unused_matrix(r), name, sizeof name);
        buf_printf(b, "  the file was made with the importance matrix '%s': --imatrix FILE uses it here\n", name);
    }
}

static void report_json(const struct run *r, double seconds, struct buf *b)
{
    const struct requantize_result *x = &r->result;
    struct jwriter w = {.out = b, .pretty = true};
    jw_begin_object(&w, NULL);
    jw_string(&w, "source", r->call->tool->args[0]);
    jw_string(&w, "quantized", r->call->tool->args[1]);
    jw_bool(&w, "identical", x->n_different == 0 && x->n_missing == 0);
    jw_string(&w, "verdict", verdict(x));
    jw_uint(&w, "tensors", x->n_tensors);
    jw_uint(&w, "different_tensors", x->n_different);
    jw_uint(&w, "missing_tensors", x->n_missing);
    jw_uint(&w, "blocks", x->n_blocks);
    jw_uint(&w, "different_blocks", x->n_different_blocks);
    if (x->n_different > 0) {
        jw_begin_object(&w, "first");
        jw_string(&w, "tensor", x->tensor);
        jw_string(&w, "dtype", dtype_info(x->dtype)->ggml_name);
        jw_int(&w, "row", x->row);
        jw_int(&w, "block", x->block);
        jw_int(&w, "byte", x->byte);
        jw_end_object(&w);
    } else {
        jw_null(&w, "first");
    }
    if (x->fused_tried) {
        jw_uint(&w, "fused_tried_blocks", x->n_fused_tried);
        jw_uint(&w, "fused_different_blocks", x->n_fused_blocks);
        jw_string(&w, "fused_as", compiler(x));
    }
    jw_string(&w, "imatrix_not_given", unused_matrix(r));
    jw_double(&w, "seconds", seconds);
    jw_uint(&w, "peak_bytes", memory_peak_bytes());
    jw_end_object(&w);
    buf_puts(b, "\n");
}

int requantize_main(const struct requantize_call *call)
{
    struct run r = {.call = call, .start_ns = clock_ns()};
    struct error err = {0};
    struct buf out = {0};
    int code;
    if (compare(&r, &err) == STATUS_OK) {
        double seconds = (double)(clock_ns() - r.start_ns) * 1e-9;
        if (call->tool->json)
            report_json(&r, seconds, &out);
        else if (!call->tool->quiet)
            report_text(&r, seconds, &out);
        code = tool_finish(call->tool, &out, r.result.n_different == 0 && r.result.n_missing == 0 ? 0 : 1);
    } else {
        code = tool_fail(call->tool, &err);
    }
    buf_clear(&out);
    model_close(r.source);
    ckpt_close(r.source_gguf);
    ckpt_close(r.quantized);
    imatrix_close(r.imatrix);
    workers_free(r.workers);
    warnings_clear(&r.warn);
    return code;
}
