#include "verify/verify.h"

#include "core/explain.h"
#include "core/plan_report.h"
#include "verify/requantize_main.h"
#include "verify/verify_call.h"

#include <math.h>
#include <stdio.h>

static void print_warnings(const struct call *c)
{
    struct buf b = {0};
    if (!c->tool->quiet) report_warnings(&c->warnings, c->tool->name, &b);
    if (b.data) fputs(b.data, stderr);
    buf_clear(&b);
}

/* Exit status of a command line that was understood */
static int run(struct call *c)
{
    struct error err = {0};
    struct buf out = {0};
    int code = 0;
    if (c->tool->explain) return explain_run(c->tool);
    if (c->o->requantize)
        return requantize_main(&(struct requantize_call){.tool = c->tool, .imatrix = c->o->imatrix, .config = c->o->config});
    if (call_run(c, &code, &out, &err) == STATUS_OK) {
        print_warnings(c);
        code = tool_finish(c->tool, &out, code);
    } else {
        code = tool_fail(c->tool, &err);
    }
    buf_clear(&out);
    return code;
}

int verify_main(int argc, char **argv)
{
    struct verify_options o = {.context = CONTEXT_NOT_GIVEN, .tolerance = NAN};
    const struct option_spec specs[] = {
        {"tokens", 't', "FILE", OPTION_STRING, &o.tokens,
         "token ids: numbers separated by white space, or a .npy array", "What to run"},
        {"prompt", 'p', "TEXT", OPTION_STRING, &o.prompt, "a text, through A's tokenizer (B's if A has none)",
         NULL},
        {"text", 0, "FILE", OPTION_STRING, &o.text, "a file of text, the same way", NULL},
        {"context", 'c', "N", OPTION_INT, &o.context,
         "positions per window (default: the model's, at most 512)", NULL},
        {"positions", 0, "model|causal|START:END[:STEP]", OPTION_STRING, &o.positions,
         "positions and mask as the model's code builds them from the ids (default); counted and causal; or "
         "placed there, END excluded",
         NULL},
        {"precision", 0, "f32|f64", OPTION_CHOICE, &o.precision,
         "arithmetic of the forward pass (default f32)", NULL},
        {"config", 0, "FILE", OPTION_STRING, &o.config,
         "config.json (or params.json) to use for sides that are no GGUF", NULL},
        {"tolerance", 0, "X", OPTION_DOUBLE, &o.tolerance,
         "largest max |Δlogit| / max |logit| that agrees (default: from the types of the weights)",
         "What to report"},
        {"ppl-style", 0, "all|llama", OPTION_CHOICE, &o.ppl_style,
         "ids that perplexity counts: all but each window's first, or each window's second half, as "
         "llama-perplexity does",
         NULL},
        {"save-logits", 0, "FILE.npy", OPTION_STRING, &o.save_logits,
         "write A's logits, float32 (float64 with --precision f64), shape (positions, vocabulary)", NULL},
        {"plot", 0, "FILE.png", OPTION_STRING, &o.plot,
         "draw the difference by position, with the worst tokens, and how it is distributed", NULL},
        {"points", 0, "FILE.csv", OPTION_STRING, &o.points, "write what was measured at each position as a table", NULL},
        {"weights", 0, NULL, OPTION_FLAG, &o.weights,
         "tensor by tensor, no forward pass: exact, exact after cast, quantized, different, missing, extra", NULL},
        {"trace", 0, NULL, OPTION_FLAG, &o.trace,
         "compare after every operation; name the first that is off, and the likely cause", NULL},
        {"requantize", 0, NULL, OPTION_FLAG, &o.requantize,
         "A is the source of the quantized GGUF B: derive B's tensors again and compare the bytes", "Quantized files"},
        {"imatrix", 0, "FILE", OPTION_STRING, &o.imatrix, "importance matrix that B was made with", NULL},
        {0},
    };
    struct tool tool = {
        .name = "lathe-verify",
        .usage = "A [B]",
        .summary = "Runs the same tokens through two forms of a model and compares the logits.",
        .examples = "  lathe-verify SmolLM2-135M/ smollm2.gguf\n"
                    "  lathe-verify SmolLM2-135M/ smollm2.gguf --tokens ids.txt --json\n"
                    "  lathe-verify SmolLM2-135M/ smollm2-q4.gguf --text wiki.txt\n"
                    "  lathe-verify gpt2/ --tokens ids.npy --save-logits logits.npy --precision f64\n",
        .specs = specs,
        .n_min = 1,
        .n_max = 2,
    };
    struct call c = {.tool = &tool, .o = &o};
    struct error err = {0};
    signals_install();
    enum tool_parsed parsed = tool_parse(&tool, argc, argv, &err);
    int code = parsed == TOOL_RUN ? run(&c) : parsed == TOOL_MISUSE ? tool_fail(&tool, &err) : 0;
    call_close(&c);
    tool_clear(&tool);
    return code;
}
