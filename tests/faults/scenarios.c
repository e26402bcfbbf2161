#include "tests/faults/scenarios.h"

#define MODEL "%s/model"
#define GGUF "%s/model.gguf"
#define PARTED "%s/m-00001-of-00003.gguf"
#define WEIGHTS "model/model.safetensors"

const struct scenario scenarios[] = {
    /* convert: a file, parts, a folder, an adapter */
    {"convert", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--quiet"}, "x.gguf", WEIGHTS, 0, NULL},
    {"convert-replace", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--force", "--type", "f16", "--quiet"}, "x.gguf", WEIGHTS, REPLACES, "old"},
    {"convert-one-pass", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--type", "q4_k_m", "--imatrix", "%s/imatrix.gguf", "--threads", "2", "--quiet"}, "x.gguf", WEIGHTS, 0, NULL},
    {"convert-meta", {"lathe-convert", "tests/vectors/meta/llama2/two", "-o", "%o/x.gguf", "--quiet"}, "x.gguf", NULL, 0, NULL},
    {"convert-resume", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--type", "q8_0", "--resume", "--quiet"}, "x.gguf", NULL, RESUMES, NULL},
    {"convert-resumed", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--type", "q8_0", "--resume", "--quiet"}, "x.gguf", NULL, RESUMES, "interrupted-convert"},
    {"split", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--split-max-size", "100K", "--quiet"}, "x-00001-of-00003.gguf", WEIGHTS, PARTS, NULL},
    {"split-replace", {"lathe-convert", GGUF, "-o", "%o/x.gguf", "--split-max-size", "100K", "--force", "--quiet"}, "x-00001-of-00003.gguf", "model.gguf", PARTS | REPLACES, "old-parts"},
    {"split-anew", {"lathe-convert", PARTED, "-o", "%o/x.gguf", "--split-max-size", "200K", "--quiet"}, "x-00001-of-00002.gguf", "m-00002-of-00003.gguf", PARTS, NULL},
    {"join", {"lathe-convert", PARTED, "-o", "%o/x.gguf", "--quiet"}, "x.gguf", "m-00003-of-00003.gguf", 0, NULL},
    {"back", {"lathe-convert", GGUF, "-o", "%o/x", "--quiet"}, "x", "model.gguf", 0, NULL},
    {"back-shards", {"lathe-convert", PARTED, "-o", "%o/x", "--split-max-size", "100K", "--quiet"}, "x", "m-00002-of-00003.gguf", 0, NULL},
    {"back-rebuilt", {"lathe-convert", "%s/q8.gguf", "-o", "%o/x", "--receipt", "none", "--type", "f16", "--quiet"}, "x", "q8.gguf", 0, NULL},
    {"back-replace", {"lathe-convert", GGUF, "-o", "%o/x", "--force", "--quiet"}, "x", "model.gguf", REPLACES, "old-folder"},
    {"adapter", {"lathe-convert", "%s/adapter", "--lora-base", MODEL, "-o", "%o/x.gguf", "--quiet"}, "x.gguf", "adapter/adapter_model.safetensors", 0, NULL},
    {"merge-lora", {"lathe-convert", MODEL, "--merge-lora", "%s/adapter", "-o", "%o/x.gguf", "--quiet"}, "x.gguf", WEIGHTS, 0, NULL},
    {"merge-lora-quantized", {"lathe-convert", "%s/q8.gguf", "--merge-lora", "%s/adapter", "-o", "%o/x.gguf", "--quiet"}, "x.gguf", "q8.gguf", 0, NULL},
    {"convert-told", {"lathe-convert", MODEL, "-o", "%o/x.gguf", "--json"}, "x.gguf", WEIGHTS, TIMES, NULL},
    /* quantize: a file, parts, an importance matrix */
    {"quantize", {"lathe-quantize", GGUF, "%o/x.gguf", "q4_k_m", "--threads", "2", "--quiet"}, "x.gguf", "model.gguf", 0, NULL},
    {"quantize-replace", {"lathe-quantize", GGUF, "%o/x.gguf", "q4_k_m", "--imatrix", "%s/imatrix.gguf", "--force", "--damage", "--quiet"}, "x.gguf", "model.gguf", REPLACES, "old"},
    {"quantize-parts", {"lathe-quantize", PARTED, "%o/x.gguf", "q8_0", "--keep-split", "--quiet"}, "x-00001-of-00003.gguf", "m-00002-of-00003.gguf", PARTS, NULL},
    {"quantize-parts-replace", {"lathe-quantize", PARTED, "%o/x.gguf", "q4_k", "--keep-split", "--force", "--quiet"}, "x-00001-of-00003.gguf", NULL, PARTS | REPLACES, "old-parts"},
    {"quantize-resume", {"lathe-quantize", GGUF, "%o/x.gguf", "q4_k_m", "--resume", "--quiet"}, "x.gguf", NULL, RESUMES, NULL},
    {"quantize-resumed", {"lathe-quantize", GGUF, "%o/x.gguf", "q4_k_m", "--resume", "--quiet"}, "x.gguf", NULL, RESUMES, "interrupted-quantize"},
    {"collect-imatrix", {"lathe-quantize", "--collect-imatrix", GGUF, "--tokens", "%s/ids.txt", "-o", "%o/x.gguf", "--quiet"}, "x.gguf", "model.gguf", 0, NULL},
    {"collect-imatrix-text", {"lathe-quantize", "--collect-imatrix", MODEL, "--text", "%s/text.txt", "-o", "%o/x.gguf", "--quiet"}, "x.gguf", WEIGHTS, 0, NULL},
    {"collect-imatrix-told", {"lathe-quantize", "--collect-imatrix", GGUF, "--tokens", "%s/ids.txt", "-o", "%o/x.gguf"}, "x.gguf", NULL, TIMES, NULL},
    /* inspect: standard output in all its forms, pictures, numbers, the page */
    {"inspect", {"lathe-inspect", GGUF}, NULL, NULL, 0, NULL},
    {"inspect-folder", {"lathe-inspect", MODEL, "--json"}, NULL, NULL, 0, NULL},
    {"inspect-table", {"lathe-inspect", MODEL, GGUF, PARTED}, NULL, NULL, LISTS, NULL},
    {"inspect-tensors", {"lathe-inspect", "tests/vectors/torch/nested.pt", "--tensors", "--hash", "--json"}, NULL, NULL, 0, NULL},
    {"inspect-metadata", {"lathe-inspect", GGUF, "--metadata", "--config", "--all"}, NULL, NULL, 0, NULL},
    {"inspect-stats", {"lathe-inspect", MODEL, "--stats", "--hash", "--csv"}, NULL, WEIGHTS, 0, NULL},
    {"inspect-audit", {"lathe-inspect", "tests/vectors/torch/nested.pt", "--audit", "--all"}, NULL, NULL, 0, NULL},
    {"inspect-legacy", {"lathe-inspect", "tests/vectors/torch/legacy_nested.pt", "--stats"}, NULL, NULL, 0, NULL},
    {"inspect-diff", {"lathe-inspect", MODEL, GGUF, "--diff"}, NULL, NULL, 0, NULL},
    {"tokenize", {"lathe-inspect", GGUF, "--tokenize-file", "%s/text.txt"}, NULL, NULL, 0, NULL},
    {"detokenize", {"lathe-inspect", MODEL, "--detokenize", "31 2 30"}, NULL, NULL, 0, NULL},
    {"tokenizer-check", {"lathe-inspect", GGUF, "--tokenizer-check"}, NULL, NULL, 0, NULL},
    {"heatmap-png", {"lathe-inspect", MODEL, "--heatmap", "model.norm.weight", "-o", "%o/x.png"}, "x.png", WEIGHTS, REPLACES | DRAWS, "old-picture"},
    {"heatmap-against", {"lathe-inspect", MODEL, "--heatmap", "model.norm.weight", "--against", "%s/q8.gguf", "-o", "%o/x.svg"}, "x.svg", WEIGHTS, REPLACES | DRAWS, NULL},
    {"heatmap-npy", {"lathe-inspect", GGUF, "--heatmap", "output_norm.weight", "-o", "%o/x.npy"}, "x.npy", "model.gguf", REPLACES, NULL},
    {"heatmap-terminal", {"lathe-inspect", GGUF, "--heatmap", "blk.0.attn_q.weight"}, NULL, "model.gguf", 0, NULL},
    {"grid", {"lathe-inspect", MODEL, "--grid", "attn_norm", "-o", "%o/x.png"}, "x.png", WEIGHTS, REPLACES | DRAWS, NULL},
    {"histogram", {"lathe-inspect", MODEL, "--histogram", "model.norm.weight", "-o", "%o/x.svg"}, "x.svg", WEIGHTS, REPLACES | DRAWS, NULL},
    {"attention-png", {"lathe-inspect", MODEL, "--attention", "--tokens", "%s/ids.txt", "--layer", "0", "--head", "1", "-o", "%o/x.png"}, "x.png", WEIGHTS, REPLACES | DRAWS, NULL},
    {"attention-npy", {"lathe-inspect", GGUF, "--attention", "--prompt", "the cat", "-o", "%o/x.npy"}, "x.npy", "model.gguf", REPLACES, NULL},
    {"html", {"lathe-inspect", MODEL, "--html", "%o/x.html", "--prompt", "the cat", "--against", "%s/q8.gguf"}, "x.html", WEIGHTS, REPLACES | DRAWS, NULL},
    /* verify: standard output, logits, a table, a picture */
    {"verify-logits", {"lathe-verify", MODEL, GGUF, "--tokens", "%s/ids.txt", "--save-logits", "%o/x.npy", "--quiet"}, "x.npy", WEIGHTS, REPLACES, NULL},
    {"verify-plot", {"lathe-verify", MODEL, GGUF, "--text", "%s/text.txt", "--plot", "%o/x.png", "--points", "%o/x.csv", "--quiet"}, "x.png", WEIGHTS, REPLACES | DRAWS | PARTS, "old-picture"},
    {"verify-told", {"lathe-verify", MODEL, GGUF, "--tokens", "%s/ids.txt", "--save-logits", "%o/x.npy", "--json"}, "x.npy", WEIGHTS, REPLACES | TIMES, NULL},
    {"verify-weights", {"lathe-verify", MODEL, "%s/q8.gguf", "--weights", "--quiet"}, NULL, WEIGHTS, 0, NULL},
    {"verify-trace", {"lathe-verify", MODEL, GGUF, "--trace", "--prompt", "the cat", "--quiet"}, NULL, WEIGHTS, 0, NULL},
    {"verify-requantize", {"lathe-verify", GGUF, "%s/q4.gguf", "--requantize", "--imatrix", "%s/imatrix.gguf", "--quiet"}, NULL, "model.gguf", 0, NULL},
};
const size_t n_scenarios = sizeof scenarios / sizeof scenarios[0];
