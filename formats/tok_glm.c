/* Tokenizers of the GLM line. Their special tokens stand in no vocabulary file but in the code beside it: the tables here. Which generation a
 * folder is of: config.json or tokenizer_config.json says that it is GLM, the vocabulary's file says the rest.
 *
 *   ice_text.model               ChatGLM-6B: SentencePiece, ids counted from num_image_tokens on
 *   tokenizer.model, protobuf    ChatGLM2 and 3; which of them does not show in the file
 *   tokenizer.model, ranks       GLM-4-9B
 *   cog-pretrain.model           GLM (2021), Chinese
 *   vocab.json + merges.txt      GLM (2021), English
 *   tokenizer.json               GLM-4 and later in transformers' own form: all tokens are in it
 */
#include "base/file.h"
#include "base/limits.h"
#include "formats/tok_build.h"

#include <stdio.h>
#include <string.h>

enum { APPENDED_MAX = 16, IMAGE_TOKENS = 20000 };

struct glm_kind {
    const char *appended[APPENDED_MAX]; /* ids from the end of the vocabulary on; "" leaves one out */
    const char *text[SPECIAL_COUNT];    /* what the code calls so unless a file says otherwise */
    const char *before[TOKENIZER_AROUND_MAX], *after[TOKENIZER_AROUND_MAX]; /* tokens that the code puts around a text */
    const char *pre;                                    /* NULL: as the split is */
};

#define MASKS_AND_PIECES(sop, eop) "[MASK]", "[gMASK]", "[sMASK]", sop, eop
#define ROLES                      "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"
#define BLANKS                     [SPECIAL_MASK] = "[MASK]", [SPECIAL_GMASK] = "[gMASK]"

static const struct glm_kind kinds[] = {
    [GLM_2021_CHINESE] = {.appended = {"<|endoftext|>", "[SEP]", "[CLS]", "[MASK]", "[UNK]", "", "<|startofpiece|>",
                                       "<|endofpiece|>", "[sMASK]", "[gMASK]"},
                          .text = {BLANKS, [SPECIAL_EOS] = "<|endoftext|>", [SPECIAL_PAD] = "<|endoftext|>",
                                   [SPECIAL_CLS] = "[CLS]", [SPECIAL_SEP] = "[SEP]", [SPECIAL_UNK] = "[UNK]"},
                          .before = {"[CLS]"},
                          .after = {"<|endoftext|>"}},
    [GLM_2021_ENGLISH] = {.text = {BLANKS, [SPECIAL_EOS] = "<|endoftext|>", [SPECIAL_PAD] = "<|endoftext|>",
                                   [SPECIAL_CLS] = "[CLS]", [SPECIAL_SEP] = "[SEP]", [SPECIAL_UNK] = "[UNK]"},
                          .before = {"[CLS]"},
                          .after = {"<|endoftext|>"}},
    [GLM_CHAT1] = {.text = {BLANKS, [SPECIAL_BOS] = "<sop>", [SPECIAL_EOS] = "<eop>", [SPECIAL_PAD] = "<pad>",
                            [SPECIAL_UNK] = "<unk>"},
                   .after = {"[gMASK]", "<sop>"},
                   .pre = "chatglm1"},
    [GLM_CHAT2] = {.appended = {MASKS_AND_PIECES("sop", "eop")},
                   .text = {BLANKS},
                   .before = {"[gMASK]", "sop"},
                   .pre = "chatglm-spm"},
    [GLM_CHAT3] = {.appended = {MASKS_AND_PIECES("sop", "eop"), ROLES},
                   .text = {BLANKS},
                   .before = {"[gMASK]", "sop"},
                   .pre = "chatglm-spm"},
    [GLM_4_RANKS] = {.appended = {"<|endoftext|>", MASKS_AND_PIECES("<sop>", "<eop>"), ROLES, "<|begin_of_image|>",
                                  "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"},
                     .text = {BLANKS, [SPECIAL_EOS] = "<|endoftext|>", [SPECIAL_UNK] = "<|endoftext|>",
                              [SPECIAL_PAD] = "<|endoftext|>", [SPECIAL_EOT] = "<|user|>",
                              [SPECIAL_EOM] = "<|observation|>"},
                     .before = {"[gMASK]", "<sop>"}},
    [GLM_4_JSON] = {.text = {BLANKS, [SPECIAL_EOS] = "<|endoftext|>", [SPECIAL_UNK] = "<|endoftext|>",
                             [SPECIAL_PAD] = "<|endoftext|>", [SPECIAL_EOT] = "<|user|>",
                             [SPECIAL_EOM] = "<|observation|>"}},
};

/* --- which --- */

static const char *string_of(const struct json *doc, const char *key)
{
    return doc ? json_string(json_get(json_root(doc), key)) : NULL;
}

static bool is_one_of(const char *s, const char *const *list)
{
    for (; s && *list; list++)
        if (strcmp(s, *list) == 0) return true;
    return false;
}

static bool is_glm(const struct tok_build *b)
{
    static const char *const types[] = {"glm", "chatglm", "glm4", "glm4_moe", NULL};
    static const char *const classes[] = {"ChatGLMTokenizer",  "ChatGLM4Tokenizer", "GLMChineseTokenizer",
                                          "GLMGPT2Tokenizer",  "GLMBertTokenizer",  "GLMRobertaTokenizer", NULL};
    return is_one_of(string_of(b->model_config, "model_type"), types) ||
           is_one_of(string_of(b->config, "tokenizer_class"), classes);
}

/* The code beside the vocabulary is read as text, for the names of tokens in it; nothing is run. */
static bool code_has_roles(const struct tok_build *b, bool *found)
{
    char path[4096];
    struct buf text = {0};
    struct error ignored;
    bool has = false;
    snprintf(path, sizeof path, "%s/tokenization_chatglm.py", b->dir);
    *found = file_exists(path) && file_read_all(&text, path, LIMIT_MODEL_CODE, &ignored) == STATUS_OK;
    if (*found && text.len > 0) has = memmem(text.data, text.len, "<|observation|>", 15) != NULL;
    buf_clear(&text);
    return has;
}

/* ChatGLM2's files and ChatGLM3's differ in nothing but the code. Without it a name may tell; else 3, whose tokens include 2's. */
static enum glm_tokenizer chat2_or_3(const struct tok_build *b)
{
    const char *names[] = {string_of(b->model_config, "_name_or_path"), string_of(b->config, "name_or_path"), b->dir};
    bool found, roles = code_has_roles(b, &found);
    if (found) return roles ? GLM_CHAT3 : GLM_CHAT2;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] && strstr(names[i], "chatglm2")) return GLM_CHAT2;
    return GLM_CHAT3;
}

static size_t n_appended(const struct glm_kind *k)
{
    size_t n = 0;
    while (n < APPENDED_MAX && k->appended[n]) n++;
    return n;
}

/* Ids of ChatGLM-6B's pieces begin behind tokens for images, which later files have not. */
static int64_t image_tokens(const struct tok_build *b)
{
    struct error ignored;
    int64_t n;
    const struct jvalue *v = b->config ? json_get(json_root(b->config), "num_image_tokens") : NULL;
    if (json_is(v, JTYPE_NUMBER) && json_int(b->config, v, &n, &ignored) == STATUS_OK && n >= 0 && n < INT32_MAX / 2)
        return n;
    return b->n_rows > IMAGE_TOKENS && b->n_rows >= 150000 ? IMAGE_TOKENS : 0;
}

void tok_glm_identify(struct tok_build *b, enum glm_file file)
{
    static const enum glm_tokenizer by_file[] = {
        [GLM_FILE_ICE] = GLM_CHAT1,         [GLM_FILE_COG] = GLM_2021_CHINESE, [GLM_FILE_SPM] = GLM_CHAT3,
        [GLM_FILE_RANKS] = GLM_4_RANKS,     [GLM_FILE_JSON] = GLM_4_JSON,      [GLM_FILE_VOCAB] = GLM_2021_ENGLISH,
    };
    if (!is_glm(b) && file != GLM_FILE_ICE && file != GLM_FILE_COG) return;
    b->glm = file == GLM_FILE_SPM ? chat2_or_3(b) : by_file[file];
    b->n_appended = (int64_t)n_appended(&kinds[b->glm]);
    if (b->glm == GLM_CHAT1) b->first_id = image_tokens(b);
    if (b->glm == GLM_CHAT2 || b->glm == GLM_CHAT3) b->default_ids[SPECIAL_PAD] = 0;
}

/* --- tokens --- */

static enum status fill_images(struct tok_build *b, struct error *err)
{
    char name[32];
    for (int64_t id = 0; id < b->first_id; id++) {
        int n = snprintf(name, sizeof name, "<image_%d>", (int)id);
        TRY(tok_set(b, id, tok_text(b, name, (size_t)n), TOKEN_UNUSED, 0, b->dir, err));
    }
    return STATUS_OK;
}

enum status tok_glm_append(struct tok_build *b, struct error *err)
{
    const struct glm_kind *k = &kinds[b->glm];
    TRY(fill_images(b, err));
    for (size_t i = 0; i < n_appended(k); i++) {
        int64_t id = b->n_pieces + (int64_t)i;
        struct added_token a = {.id = id, .special = true};
        if (!k->appended[i][0] || (id < b->n_rows && (b->flags[id] & TOK_PRESENT))) continue;
        a.text = tok_text(b, k->appended[i], strlen(k->appended[i]));
        TRY(tok_add(b, &a, b->dir, err));
    }
    return STATUS_OK;
}

const char *tok_glm_text(const struct tok_build *b, enum special_token s)
{
    return kinds[b->glm].text[s];
}

const char *tok_glm_pre(const struct tok_build *b)
{
    return kinds[b->glm].pre;
}

static size_t find_ids(const struct tok_build *b, const char *const texts[TOKENIZER_AROUND_MAX], int32_t *ids)
{
    size_t n = 0, id;
    for (size_t i = 0; i < TOKENIZER_AROUND_MAX && texts[i]; i++)
        if (strmap_find(&b->by_text, texts[i], &id)) ids[n++] = (int32_t)id;
    return n;
}

void tok_glm_around(struct tok_build *b)
{
    struct tokenizer *t = b->t;
    if (b->glm == GLM_NONE) return;
    /* tokenizer.json says itself what it puts around a text */
    const char *const *before = b->glm == GLM_4_JSON ? b->template_before : kinds[b->glm].before;
    t->n_before = find_ids(b, before, t->before);
    t->n_after = find_ids(b, kinds[b->glm].after, t->after);
    t->add_bos = t->add_eos = SAID_NO;
}
