/* An adapter's configuration and its weights; the other file beside it is good (folder.c). */
#include "tests/hostile/hostile.h"

#define LORA(more) "'{`peft_type`: `LORA`, `lora_alpha`: 2, `r`: 1" more "}'"

const struct hostile_case adapter_config_cases[] = {
    {"good", LORA(""), STATUS_OK, NULL},
    {"empty", "", STATUS_FORMAT, "expected a value"},
    {"array", "'[]'", STATUS_UNSUPPORTED, "peft_type"},
    {"type-missing", "'{`lora_alpha`: 2}'", STATUS_UNSUPPORTED, "peft_type: expected LORA, found none"},
    {"type-number", "'{`peft_type`: 1, `lora_alpha`: 2}'", STATUS_UNSUPPORTED, "peft_type"},
    {"type-of-another-kind", "'{`peft_type`: `IA3`, `lora_alpha`: 2}'", STATUS_UNSUPPORTED, "found IA3"},
    {"type-clears-the-screen", "'{`peft_type`: `\\\\u001b[2J`, `lora_alpha`: 2}'", STATUS_UNSUPPORTED, "found \\x1b[2J"},
    {"type-million-bytes", "'{`peft_type`: `' 1000000*'a' '`, `lora_alpha`: 2}'", STATUS_UNSUPPORTED, "peft_type"},
    {"alpha-missing", "'{`peft_type`: `LORA`}'", STATUS_NOTFOUND, "lora_alpha: expected a number"},
    {"alpha-string", "'{`peft_type`: `LORA`, `lora_alpha`: `2`}'", STATUS_FORMAT, "lora_alpha"},
    {"alpha-null", "'{`peft_type`: `LORA`, `lora_alpha`: null}'", STATUS_FORMAT, "lora_alpha"},
    {"alpha-twice", "'{`peft_type`: `LORA`, `lora_alpha`: 2, `lora_alpha`: 3}'", STATUS_FORMAT, "duplicate key"},
    {"alpha-1e400", "'{`peft_type`: `LORA`, `lora_alpha`: 1e400}'", STATUS_FORMAT, "number"},
    {"alpha-negative-is-read", "'{`peft_type`: `LORA`, `lora_alpha`: -2}'", STATUS_OK, NULL},
    {"alpha-zero-is-read", "'{`peft_type`: `LORA`, `lora_alpha`: 0}'", STATUS_OK, NULL},
    {"rank-of-another-size-is-not-read", "'{`peft_type`: `LORA`, `lora_alpha`: 2, `r`: 1000000000}'", STATUS_OK, NULL},
    {"dora", LORA(", `use_dora`: true"), STATUS_UNSUPPORTED, "use_dora"},
    {"dora-number", LORA(", `use_dora`: 1"), STATUS_UNSUPPORTED, "use_dora"},
    {"alpha-pattern", LORA(", `alpha_pattern`: {`q_proj`: 3}"), STATUS_UNSUPPORTED, "alpha_pattern"},
    {"alpha-pattern-empty-is-read", LORA(", `alpha_pattern`: {}"), STATUS_OK, NULL},
    {"bias-all", LORA(", `bias`: `all`"), STATUS_UNSUPPORTED, "bias"},
    {"megatron", LORA(", `megatron_config`: {`a`: 1}"), STATUS_UNSUPPORTED, "megatron_config"},
    {"parameters", LORA(", `target_parameters`: [`x`]"), STATUS_UNSUPPORTED, "target_parameters"},
    {"nested-100000-deep", "100000*'['", STATUS_FORMAT, "nested deeper than 64 levels"},
};
HOSTILE_COUNT(adapter_config_cases)

#define Q "base_model.model.model.layers.0.self_attn.q_proj"
#define AT(name, shape, begin, end) "`" name "`: {`dtype`: `F32`, `shape`: [" shape "], `data_offsets`: [" #begin ", " #end "]}"
#define PAIR(a, b) "n('{" a ", " b "}') 192*x3e"
#define ROW AT(Q ".lora_A.weight", "1, 24", 0, 96)
#define COLUMN AT(Q ".lora_B.weight", "24, 1", 96, 192)

const struct hostile_case adapter_weights_cases[] = {
    {"good", PAIR(ROW, COLUMN), STATUS_OK, NULL},
    {"empty", "", STATUS_NOTFOUND, "no weights in this folder"},
    {"no-tensors", "n('{}')", STATUS_NOTFOUND, "no pair of matrices"},
    {"no-partner", "n('{" ROW "}') 96*x00", STATUS_NOTFOUND, "its lora_B is missing"},
    {"another-name-before-weight-is-read", PAIR(AT(Q ".lora_A.default.weight", "1, 24", 0, 96), AT(Q ".lora_B.default.weight", "24, 1", 96, 192)), STATUS_OK, NULL},
    {"two-adapters-in-one", "n('{" ROW ", " COLUMN ", " AT(Q ".lora_A.other.weight", "1, 24", 192, 288) "}') 288*x00", STATUS_MISMATCH, "several adapters in one file"},
    {"third-matrix", PAIR(ROW, AT(Q ".lora_C.weight", "24, 1", 96, 192)), STATUS_UNSUPPORTED, "expected pairs"},
    {"lora-alone", PAIR(ROW, AT(Q ".lora_", "24, 1", 96, 192)), STATUS_UNSUPPORTED, "expected pairs"},
    {"lora-at-the-start", PAIR(ROW, AT(".lora_B.weight", "24, 1", 96, 192)), STATUS_NOTFOUND, "missing"},
    {"prefix-alone", PAIR(ROW, AT("base_model.model.", "24, 1", 96, 192)), STATUS_UNSUPPORTED, "expected pairs"},
    {"embedding-letter-missing", PAIR(ROW, AT(Q ".lora_embedding_", "24, 1", 96, 192)), STATUS_UNSUPPORTED, "expected pairs"},
    {"embedding-and-linear", PAIR(ROW, AT(Q ".lora_embedding_B", "24, 1", 96, 192)), STATUS_MISMATCH, "several adapters in one file"},
    {"embedding-of-a-matrix-is-read", PAIR(AT(Q ".lora_embedding_A", "1, 24", 0, 96), AT(Q ".lora_embedding_B", "24, 1", 96, 192)), STATUS_OK, NULL},
    {"vector", PAIR(ROW, AT(Q ".lora_B.weight", "24", 96, 192)), STATUS_UNSUPPORTED, "expected a matrix"},
    {"three-dimensions", PAIR(ROW, AT(Q ".lora_B.weight", "24, 1, 1", 96, 192)), STATUS_UNSUPPORTED, "expected a matrix"},
    {"ranks-differ", PAIR(ROW, AT(Q ".lora_B.weight", "12, 2", 96, 192)), STATUS_MISMATCH, "the rank of its lora_A"},
    {"rank-0", "n('{" AT(Q ".lora_A.weight", "0, 24", 0, 0) ", " AT(Q ".lora_B.weight", "24, 0", 0, 0) "}')", STATUS_MISMATCH, "rank"},
    {"rows-fewer", PAIR(ROW, "`" Q ".lora_B.weight`: {`dtype`: `F64`, `shape`: [12, 1], `data_offsets`: [96, 192]}"), STATUS_MISMATCH, "expected matrices for 24 x 24"},
    {"integers", PAIR(ROW, "`" Q ".lora_B.weight`: {`dtype`: `I32`, `shape`: [24, 1], `data_offsets`: [96, 192]}"), STATUS_UNSUPPORTED, "floating-point"},
    {"of-nobody", PAIR(AT("nobody.lora_A.weight", "1, 24", 0, 96), AT("nobody.lora_B.weight", "24, 1", 96, 192)), STATUS_NOTFOUND, "has no weight 'nobody.weight'"},
    {"of-layer-2^63", PAIR(AT("model.layers.9223372036854775808.self_attn.q_proj.lora_A.weight", "1, 24", 0, 96),
                           AT("model.layers.9223372036854775808.self_attn.q_proj.lora_B.weight", "24, 1", 96, 192)),
     STATUS_NOTFOUND, "has no weight"},
    {"base-layer-of-another-shape", "n('{" ROW ", " COLUMN ", " AT(Q ".base_layer.weight", "1", 192, 196) "}') 196*x00", STATUS_MISMATCH, "not of the shape"},
    {"base-layer-of-nobody", "n('{" ROW ", " COLUMN ", " AT("nobody.base_layer.weight", "1", 192, 196) "}') 196*x00", STATUS_NOTFOUND, "has no tensor"},
    {"whole-that-is-not-announced", "n('{" ROW ", " COLUMN ", " AT("model.norm.weight", "24", 192, 288) "}') 288*x00", STATUS_UNSUPPORTED, "expected pairs"},
    {"nan-is-read", "n('{" ROW ", " COLUMN "}') 48*4:0x7fc00000", STATUS_OK, NULL},
};
HOSTILE_COUNT(adapter_weights_cases)
