#include "tests/faults/sources.h"

#include "base/file.h"
#include "tests/faults/injected.h"
#include "tests/faults/snapshot.h"
#include "tests/unit/fixtures.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Rows of 256, so that every block type has its place; few of them. */
static const struct fixture_sizes sizes = {.vocab = 37, .ctx = 16, .layers = 1, .embd = 256, .ff = 32, .heads = 2, .heads_kv = 1, .head_dim = 8};

/* Letters, and three pairs of them: 37 with the special ones. */
static const char tokenizer[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    "{\"id\":35,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},"
    "{\"id\":36,\"content\":\"</s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true}],"
    "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
    "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},"
    "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
    "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"e\":4,\"f\":5,\"g\":6,\"h\":7,\"i\":8,\"j\":9,\"k\":10,\"l\":11,"
    "\"m\":12,\"n\":13,\"o\":14,\"p\":15,\"q\":16,\"r\":17,\"s\":18,\"t\":19,\"u\":20,\"v\":21,\"w\":22,\"x\":23,\"y\":24,\"z\":25,\"\\u0120\":26,\".\":27,"
    "\",\":28,\"th\":29,\"at\":30,\"the\":31,\"\\u0120s\":32,\"\\u010a\":33,\"!\":34},\"merges\":[\"t h\",\"a t\",\"th e\",\"\\u0120 s\"]}}";
static const char tokenizer_config[] = "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"model_max_length\":32,\"tokenizer_class\":\"PreTrainedTokenizerFast\","
                                       "\"chat_template\":\"{{ bos_token }}{{ messages[0].content }}\"}";

/* What the tools make, each from what stands above it */
static const char *const made[][ARGS_MAX] = {
    {"lathe-convert", "%s/model", "-o", "%s/model.gguf"},
    {"lathe-convert", "%s/model", "-o", "%s/m.gguf", "--split-max-size", "100K"},
    {"lathe-quantize", "%s/model.gguf", "%s/q8.gguf", "q8_0"},
    {"lathe-quantize", "--collect-imatrix", "%s/model.gguf", "--tokens", "%s/ids.txt", "-o", "%s/imatrix.gguf"},
    {"lathe-quantize", "%s/model.gguf", "%s/q4.gguf", "q4_k_m", "--imatrix", "%s/imatrix.gguf"},
    {"lathe-convert", "%s/q8.gguf", "-o", "%s/old-folder/x", "--type", "f16"},
    {"lathe-quantize", "%s/m-00001-of-00003.gguf", "%s/old-parts/x.gguf", "q8_0", "--keep-split"},
};
enum { N_MADE = sizeof made / sizeof made[0] };

/* Runs that are killed, for others to go on from: in front of the n-th write, their outputs in a folder of their own */
static const struct {
    const char *folder, *argv[ARGS_MAX];
    long at;
} killed[] = {
    {"interrupted-quantize", {"lathe-quantize", "%s/model.gguf", "%o/x.gguf", "q4_k_m", "--resume"}, 14},
    {"interrupted-convert", {"lathe-convert", "%s/model", "-o", "%o/x.gguf", "--type", "q8_0", "--resume"}, 14},
};
enum { N_KILLED = sizeof killed / sizeof killed[0] };

static const char *expand(struct arena *mem, const char *word, const struct places *p)
{
    const char *at = strchr(word, '%');
    return at ? arena_printf(mem, "%.*s%s%s", (int)(at - word), word, at[1] == 's' ? p->sources : p->out, at + 2) : word;
}

const char *const *command_expand(struct arena *mem, const char *const *words, const struct places *p)
{
    const char **argv = arena_array(mem, ARGS_MAX + 4, sizeof *argv);
    size_t n = 0;
    bool threads = false;
    for (; words[n]; n++) {
        argv[n] = n == 0 ? arena_printf(mem, "%s/%s", p->bin, words[0]) : expand(mem, words[n], p);
        threads = threads || strcmp(words[n], "--threads") == 0;
    }
    if (!threads) argv[n++] = "--threads", argv[n++] = "1";
    return argv;
}

/* The wait status of one run */
static int run(const char *const *words, const struct places *p, const char *inject, const struct fault_order *order)
{
    struct arena mem = {0};
    struct injected tool;
    struct buf text = {0};
    injected_start(&tool, command_expand(&mem, words, p), inject);
    int status = injected_run(&tool, order);
    injected_said(&tool, true, &text);
    if (!order && status != 0) fail_msg("%s %s: %s", words[0], words[1], text.data);
    injected_stop(&tool);
    buf_clear(&text);
    arena_clear(&mem);
    return status;
}

static const char *in_sources(struct arena *mem, const struct places *p, const char *name)
{
    return arena_printf(mem, "%s/%s", p->sources, name);
}

/* The fixture's files go into a folder of that name, which is returned. */
static const char *settle(struct arena *mem, struct fixture *f, const struct places *p, const char *name)
{
    const char *folder = in_sources(mem, p, name);
    fixture_write(f);
    mkdir(folder, 0700);
    folder_fill(folder, f->dir);
    fixture_clear(f);
    return folder;
}

static void make_model(struct arena *mem, const struct places *p)
{
    struct fixture f;
    fixture_llama(&f, &sizes);
    fixture_file(&f, "tokenizer.json", tokenizer);
    fixture_file(&f, "tokenizer_config.json", tokenizer_config);
    settle(mem, &f, p, "model");
}

static void make_adapter(struct arena *mem, const struct places *p)
{
    static const char config[] = "{\"peft_type\":\"LORA\",\"lora_alpha\":4,\"r\":2}";
    struct fixture f;
    fixture_llama(&f, &sizes);
    while (f.n_tensors > 0) fixture_remove(&f, f.tensors[0].name);
    fixture_add(&f, "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", 2, (int64_t[]){2, 256});
    fixture_add(&f, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", 2, (int64_t[]){16, 2});
    const char *folder = settle(mem, &f, p, "adapter");
    file_put(path_join(mem, folder, "adapter_config.json"), config, strlen(config));
    rename(path_join(mem, folder, "model.safetensors"), path_join(mem, folder, "adapter_model.safetensors"));
    unlink(path_join(mem, folder, "config.json"));
}

static void make_killed(struct places p, const char *inject)
{
    for (size_t i = 0; i < N_KILLED; i++) {
        struct arena mem = {0};
        p.out = in_sources(&mem, &p, killed[i].folder);
        mkdir(p.out, 0700);
        int status = run(killed[i].argv, &p, inject, &(struct fault_order){FAULT_WRITE, killed[i].at, FAULT_SIGNAL + SIGKILL, FAULT_ONCE});
        if (!WIFSIGNALED(status) || !file_exists(path_join(&mem, p.out, "x.gguf.partial.journal"))) fail_msg("%s: was to be interrupted", killed[i].folder);
        arena_clear(&mem);
    }
}

void sources_make(const struct places *p, const char *inject)
{
    static const struct {
        const char *name, *text;
    } texts[] = {
        {"old/x.gguf", "precious\n"},
        {"old-picture/x.png", "precious\n"},
        {"ids.txt", "7 19 31 22 30 17 7 5 18 19 10 7 18 0 33 28 4 1\n"},
        {"text.txt", "the cat sat, the hat\nthat!\n"},
    };
    static const char *const folders[] = {"old", "old-picture", "old-folder", "old-parts"};
    struct arena mem = {0};
    make_model(&mem, p);
    make_adapter(&mem, p);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) mkdir(in_sources(&mem, p, folders[i]), 0700);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) file_put(in_sources(&mem, p, texts[i].name), texts[i].text, strlen(texts[i].text));
    for (size_t i = 0; i < N_MADE; i++) run(made[i], p, inject, NULL);
    make_killed(*p, inject);
    arena_clear(&mem);
}
