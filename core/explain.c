#include "core/explain.h"

#include <string.h>

static const struct {
    const char *code, *text;
} entries[] = {
    {"adapter-base-layer",
     "peft keeps the base's own embedding beside a pair of matrices for it. llama.cpp's adapter file has no place for whole tensors, so it is left out,\n"
     "as llama.cpp's converter does. That matters only if the embedding was itself changed or resized: then merge the adapter (--merge-lora).\n"},
    {"cast-flushed",
     "Some weights are not zero in the source and become zero in the output's type: they are smaller than "
     "half of its smallest number\n"
     "(F16: 3e-8), or, in a block type, all of a block is that small beside the steps of its scale.\n"
     "To keep them: --type keep, bf16 or f32. Weights that small rarely matter; lathe-verify measures "
     "whether they do.\n"},
    {"cast-overflow", "Some finite weights are beyond the range of the output's type (F16 ends at 65504) and "
                      "are stored as infinity because\n"
                      "--allow-overflow was given. Such a model usually computes NaN. --type keep, bf16 or "
                      "f32 hold the values.\n"},
    {"cast-subnormal",
     "Some weights fall into the subnormal range of the output's type (F16: below 6.1e-5) and are stored "
     "with fewer bits.\n"
     "Common when a BF16 model is stored as F16. To keep every bit: --type keep, bf16 or f32.\n"},
    {"chat-template-differs", "The folder holds a chat template as a file and another one in "
                              "tokenizer_config.json. The file wins, as in transformers.\n"},
    {"config-key-unused", "config.json has a key that lathe neither uses nor knows to be without effect on "
                          "the model's output. If the key changes how the model\n"
                          "computes, the conversion lacks that. The receipt keeps config.json as a whole. "
                          "--strict makes this an error.\n"},
    {"config-keys-differ", "config.json says one thing twice, under two names, with different values. The "
                           "first spelling is used, as transformers does.\n"},
    {"config-of-another-family",
     "The weights are those of one generation of GLM and config.json has the keys of another; all of them call themselves 'chatglm' or "
     "'glm'.\nThe tensors decide which family it is; numbers come from the config where it has them, else from shapes.\n"},
    {"family-from-tensors", "The configuration names neither a model type nor an architecture. The family was recognised by the names of the\n"
                            "tensors, and keys that the configuration lacks have that family's defaults.\n"},
    {"files-rebuilt",
     "A GGUF without a full receipt does not hold the source's config.json and tokenizer files. They were made from the metadata: they say the\n"
     "same to transformers, in other words.\n"},
    {"fp8-dequantized", "The checkpoint holds matrices as 8-bit floats with scales. The output holds element times scale, formed as a 32-bit float and\n"
                        "rounded to the output's type (BF16 unless --type says otherwise; f32 keeps all of it). The source's bytes cannot be made from that;\n"
                        "the receipt names them and their digests. Activations that a runtime of the source would quantize as well are not.\n"},
    {"imatrix-missing",
     "The importance matrix has no entry for some tensors, so they are quantized as without one. Usual causes: it was made for another model,\n"
     "or the text never reached some experts. llama-quantize goes on, too; types that are of no use without weights are refused instead.\n"},
    {"lm-head-missing", "The configuration does not tie the output matrix to the token embedding, but there "
                        "is no output matrix in the checkpoint. transformers\n"
                        "would start with random numbers; lathe takes the model as tied.\n"},
    {"merged-requantized",
     "The adapter was added to tensors that are quantized: they were decoded, merged, and encoded again in their type. The second error comes on\n"
     "top of the first. Merging into the unquantized model and quantizing the result loses less.\n"},
    {"merged-tied",
     "The adapter adds to the token embedding of a model whose output matrix is that same table. Merged, both change: so does peft's merged model, while\n"
     "peft's model with the adapter beside it changes the embedding only. Where that matters, merge into a copy with an output matrix of its own.\n"},
    {"meta-context-guessed", "Meta's params.json does not say for which context a model was trained. lathe takes that of the release with this "
                             "vocabulary, rope_theta,\nnorm_eps and size; only context_length in the output depends on it. A copy of the file with "
                             "max_position_embeddings, given by --config, decides.\n"},
    {"meta-ffn-differs", "The width of the feed-forward layer follows from dim, multiple_of and ffn_dim_multiplier (or hidden_dim) of params.json, "
                         "and is another\none than the tensors have. The tensors count.\n"},
    {"meta-rope-factor-guessed", "Meta's params.json says that rotary positions are scaled, but not by which factor: 32 in the small models of LLaMA 3.2, "
                                 "8 in others.\nlathe goes by the model's size. A copy of the file with rope_scaling_factor, given by --config, decides.\n"},
    {"not-brought-back",
     "The source had tensors that no GGUF holds: buffers that its code computes anew (masks, tables of frequencies), heads of other tasks, what a\n"
     "training script saved beside the weights. The folder is without them; transformers does not miss them.\n"},
    {"requantized", "Tensors that were quantized already became another type because --allow-requantize was given. Both errors add up: start from\n"
                    "the unquantized model where there is one.\n"},
    {"restored-differs",
     "The receipt has the SHA-256 of every tensor of the source, and some of those written now have another one, although the GGUF's type holds\n"
     "every value of the source's. Somebody changed weights after the conversion: a merged adapter, an edit, damage. lathe-verify --weights\n"
     "compares with the source.\n"},
    {"restored-products",
     "The source held 8-bit floats or integers with scales; the GGUF holds the products, and so does the folder now. config.json has lost its\n"
     "quantization_config, since it would no longer be true.\n"},
    {"restored-rounded",
     "Some tensors come back in the source's type, but not with its bytes: on the way to the GGUF they were quantized, cast to a narrower type,\n"
     "or had a scale folded in, and rounded.\n"},
    {"rope-blocks-differ",
     "config.json has both rope_scaling and rope_parameters, and they differ. rope_scaling is used.\n"},
    {"rope-context-unused", "--rope-context was given for a model whose rotary positions are the same for every length of text. The file is "
                            "the one without the option.\n"},
    {"rope-original-context-differs",
     "The context that the model was trained with before its RoPE scaling is given twice with different values. "
     "The one at top level is used, as transformers does.\n"},
    {"rope-source-differs",
     "A GGUF describes its rotary positions twice: in keys and tensors that llama.cpp reads, and as the source's own block (lathe.rope.source). "
     "Here the first give\nother angles than the second, though they could give the same: something was lost or changed. "
     "What llama.cpp reads is what is computed with.\n"},
    {"rope-theta-differs", "The base of the rotary positions is given twice with different values. The one "
                           "inside the block is used, as transformers does.\n"},
    {"rope-types-differ", "The RoPE block gives its type twice, as type and as rope_type, with different "
                          "words. rope_type is used, as transformers does.\n"},
    {"rope-value-rounded", "A RoPE value does not fit GGUF's 32-bit float exactly. The source's block stands "
                           "in lathe.rope.source with every digit.\n"},
    {"nextn-layers-missing",
     "GLM-4.5's config tells of layers that predict the token after next. They are no part of the model's output, and files saved by "
     "transformers\nleave them out. The output is written without them, and says so.\n"},
    {"rope-ratio-divides",
     "rope_ratio has two meanings: it multiplies the base of the rotation, or, in ChatGLM2-6B-32K alone, it divides positions. The code "
     "beside the\nweights (modeling_chatglm.py, which is read and never run) or the model's name says that it divides: written as linear "
     "scaling.\n"},
    {"runtime-ignores-activation", "llama.cpp computes another activation function for this architecture "
                                   "than the model was trained with. The difference is small for\n"
                                   "the two forms of GELU (at most 5e-4 per value), and whatever it is for others: a ReLU model does not run right. lathe-verify uses the "
                                   "right one, which the file keeps.\n"},
    {"runtime-ignores-rope",
     "The model scales its rotary positions in a way that llama.cpp cannot be told for this architecture. It will answer as the model does up to "
     "the original\ncontext at best. The file keeps the source's block, from which lathe-verify computes what the model means. For scaling "
     "that depends on the\nlength of the text, --rope-context N makes a file that is right for one length.\n"},
    {"runtime-ignores-window",
     "In some or all layers of the model a query sees only a window of keys. llama.cpp's architecture has no window, so beyond that many positions its "
     "answers are\nnot the model's. The file says the window; lathe-verify computes with it.\n"},
    {"runtime-refuses-bias", "The model has a bias that llama.cpp's loader does not expect for its architecture: llama.cpp refuses the file. lathe's own tools "
                             "read it.\n"},
    {"runtime-refuses-shape", "The heads of the model do not make up its width, which llama.cpp's loader insists on for this architecture: llama.cpp refuses the "
                              "file.\nlathe's own tools read it.\n"},
    {"runtime-unknown-architecture",
     "No architecture of llama.cpp computes what models of this family do, so the file has one of lathe's own "
     "(docs/format.md). It holds all of the\n"
     "model, lathe's tools read it, and others refuse it by its name.\n"},
    {"scale-folded",
     "The model scales its attention scores otherwise than the runtime, whose scale is fixed. The rows that make "
     "queries are multiplied by the quotient,\n"
     "which gives the same scores, but rounds each of these weights: undoing it gives the source's bytes only "
     "where rounding allows (the receipt's digest tells).\n"},
    {"source-f64", "Weights are stored as 64-bit floats. GGUF can hold them, but no runtime computes with "
                   "them, so matrices become F32.\n"},
    {"source-f8", "Weights are stored as 8-bit floats without scales. GGUF has no such type; BF16 holds each "
                  "of their values exactly.\n"},
    {"source-inf", "The source has infinite weights; they are in the output as they were. The checkpoint is "
                   "probably broken.\n"},
    {"source-nan", "The source has weights that are NaN; they are in the output as they were. The checkpoint "
                   "is probably broken.\n"},
    {"special-ids-unknown",
     "GLM's positions and masks follow from special tokens (<|startofpiece|>, [MASK], ...), whose ids no file of this folder tells: there is "
     "no\nadded_tokens.json, and the vocabulary's size is no published one. Texts are run as plain ones, from left to right.\n"},
    {"task-head-dropped", "The checkpoint holds the head of another task (classification, say) beside the "
                          "language model. It is left out.\n"},
    {"tensor-type-unused", "A --tensor-type pattern matches no tensor that the recipe would quantize, or the recipe is one of plain floats, where\n"
                           "patterns are not looked at (as in llama-quantize). Probably a typing mistake; --dry-run shows the tensors' names.\n"},
    {"tensors-beside-dropped", "A PyTorch file holds tensors that are no weights of the model, of an optimizer, say, beside the state dict. They are\n"
                               "left out; lathe-inspect lists them.\n"},
    {"tied-head-differs", "The configuration ties the output matrix to the token embedding, but the "
                          "checkpoint stores both and they differ. Both are kept and\n"
                          "the output is untied, as transformers reads such a file.\n"},
    {"tied-head-dropped", "The checkpoint stores the output matrix although it equals the token embedding. "
                          "It is stored once; runtimes use the embedding.\n"},
    {"tokenizer-duplicate", "Two ids of the vocabulary have one text. llama.cpp insists on different texts, "
                            "so the later one is renamed. It was never produced.\n"},
    {"tokenizer-id-twice", "An id is given to two tokens. The first keeps it, the other one is left out.\n"},
    {"tokenizer-ignore-merges", "tokenizer.json says whether a word that is a token is left whole before "
                                "merges are tried; llama.cpp decides that by the name of the\n"
                                "pre-tokenizer and decides otherwise. Some words may be cut differently.\n"},
    {"tokenizer-merge-malformed", "A line of the merges is not two parts. It is left out.\n"},
    {"tokenizer-missing", "There are no tokenizer files beside the weights, so the output has no vocabulary "
                          "and runtimes cannot turn text into ids. Put\n"
                          "tokenizer.json (or tokenizer.model, or vocab.json and merges.txt) into the folder "
                          "and convert again.\n"},
    {"tokenizer-no-merges", "The vocabulary comes without merges: text is encoded byte by byte.\n"},
    {"tokenizer-normalizer", "The tokenizer changes the form of text (Unicode normalisation, say) before it "
                             "cuts it; llama.cpp does not. Text that is in that form\n"
                             "already, as most is, gives the same ids.\n"},
    {"tokenizer-not-rebuilt",
     "The GGUF's tokenizer is none that a tokenizer.json can say. The folder is without tokenizer files; those of the model's publisher fit.\n"},
    {"tokenizer-pre-unknown", "The rules by which text is cut into words are none that llama.cpp has a name "
                              "for. The nearest is written; some text may be encoded\n"
                              "differently. The source's tokenizer.json is in the receipt.\n"},
    {"tokenizer-special-missing",
     "A special token (end of text, say) is named in the configuration but is not in the vocabulary.\n"},
    {"tokenizer-special-range",
     "A special token's id is beyond the rows of the token embedding. It is left out.\n"},
    {"tokenizer-spm-no-bytes", "A SentencePiece vocabulary without tokens for single bytes: characters it "
                               "does not know become the unknown token.\n"},
    {"tokenizer-token-empty",
     "A token has no text. It gets a name, because llama.cpp insists on one. It was never produced.\n"},
    {"tokenizer-token-replaced", "An added token takes the id of another one, whose text is lost.\n"},
    {"tokenizer-too-many", "The tokenizer has more tokens than the token embedding has rows. The ones beyond "
                           "could not be used and are left out.\n"},
    {"tokenizer-unsupported", "The tokenizer is of a kind that GGUF has no model for. The output has no "
                              "vocabulary; the files themselves are in the receipt.\n"},
    {"type-fallback", "A block type needs rows that are a multiple of its block (32 or 256 weights). These "
                      "tensors have other rows and get the type that\n"
                      "llama.cpp's quantizer takes instead, mostly with more bits. The file is right, but "
                      "larger than the recipe's name suggests.\n"},
    {"vocab-size-differs",
     "The metadata's vocabulary size is not the number of rows of the token embedding. The rows count.\n"},
    {"window-not-reached", "The two sides let a query see different numbers of keys, but the run was too short for that to show. --context with a "
                           "longer window of ids does.\n"},
};
enum { N_ENTRIES = sizeof entries / sizeof entries[0] };

const char *explain_text(const char *code)
{
    for (size_t i = 0; i < N_ENTRIES; i++)
        if (strcmp(entries[i].code, code) == 0) return entries[i].text;
    return NULL;
}

int explain_run(const struct tool *tool)
{
    struct buf b = {0};
    struct error err;
    const char *text = explain_text(tool->explain);
    bool list = strcmp(tool->explain, "list") == 0;
    for (size_t i = 0; list && i < N_ENTRIES; i++) buf_printf(&b, "%s\n", entries[i].code);
    if (text) buf_printf(&b, "%s\n\n%s", tool->explain, text);
    if (!list && !text)
        error_set(&err, STATUS_USAGE, "no warning has the code '%s'; --explain list shows all codes",
                  tool->explain);
    int code = list || text ? tool_finish(tool, &b, 0) : tool_fail(tool, &err);
    buf_clear(&b);
    return code;
}
