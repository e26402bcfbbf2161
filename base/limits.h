/* What readers accept at most, in one place. Two rules stand above these numbers: a length, count or offset from a file is compared with the bytes
 * that are left before it is used (base/cursor.h), and nothing recurses deeper than a limit says. So the limits are not what keeps a small file from
 * taking much memory; they bound what a large one may. docs/security.md has the table with reasons; a test compares the two. */
#ifndef LATHE_LIMITS_H
#define LATHE_LIMITS_H

enum {
    /* JSON */
    LIMIT_JSON_DEPTH = 64,
    LIMIT_JSON_NUMBER = 63, /* characters of a number */
    /* safetensors */
    LIMIT_SAFETENSORS_HEADER = 100000000, /* the specification's */
    /* GGUF: the head is bounded by gguf_read.c's rule, 64 MB and a sixteenth of the file, at most 1 GB */
    LIMIT_GGUF_KEY = 65535,
    LIMIT_GGUF_NAME = 63, /* ggml's, which has a terminator beside */
    /* zip */
    LIMIT_ZIP_NAME = 4096,
    LIMIT_ZIP_UNPACK_FREE = 64 << 20, /* may come from any number of compressed bytes */
    LIMIT_ZIP_UNPACK = 256 << 20,     /* a compressed storage; torch never writes one */
    LIMIT_UNPACK_RATIO = 64,          /* beyond LIMIT_ZIP_UNPACK_FREE: weights and texts do not compress like that, bombs do */
    /* pickle */
    LIMIT_PICKLE = 32 << 20,
    LIMIT_PICKLES_ALL = 128 << 20, /* unpacked, of one archive that is audited */
    LIMIT_PICKLE_STACK = 1 << 20, /* Python's pickler empties the stack after 1000 items of a list or dict; only a tuple may put more on it */
    LIMIT_PICKLE_MEMO = 1 << 22,
    LIMIT_PICKLE_NAMES = 1 << 14, /* that an audit lists */
    LIMIT_PICKLE_GLOBAL = 256,
    LIMIT_PICKLE_KEY = 64,
    LIMIT_TORCH_DEPTH = 64,
    LIMIT_TORCH_NAME = 1024,
    /* folders */
    LIMIT_INDEX = 64 << 20,
    LIMIT_PARAMS = 1 << 20,
    LIMIT_ADAPTER_CONFIG = 4 << 20,
    LIMIT_SHARDS = 99999,
    /* tokenizer files */
    LIMIT_TOKENIZER_SMALL = 32 << 20,   /* the JSON files beside a vocabulary */
    LIMIT_TOKENIZER_VOCAB = 512 << 20,  /* tokenizer.json, vocab.json, tokenizer.model */
    LIMIT_TOKENIZER_MERGES = 256 << 20,
    LIMIT_TOKENIZER_RANKS = 64 << 20,
    LIMIT_TOKENIZER_RANK_BYTES = 1024, /* published ones stay below 200; splits are looked up one by one */
    LIMIT_TOKENIZER_PIECE = 64 << 10,
    LIMIT_TEMPLATE = 16 << 20,
    LIMIT_TEMPLATES = 256,
    LIMIT_MODEL_CODE = 4 << 20, /* a model's Python files, which are searched for words */
    /* others */
    LIMIT_NPY_HEADER = 65535,
    LIMIT_TEXT = 256 << 20,          /* a text, or a file of ids */
    LIMIT_CONFIG_EDITED = 16 << 20, /* a config.json that the way back changes; a larger one is written as it came */
    LIMIT_IMATRIX_NAME = 4096,
    LIMIT_RECEIPT_UNPACK_FREE = 16 << 20, /* beyond it LIMIT_UNPACK_RATIO holds, too */
    LIMIT_RECEIPT_LIST = 64 << 20,
    LIMIT_RECEIPT_FILE = 512 << 20,
    LIMIT_JOURNAL = 64 << 20,
    LIMIT_JOURNAL_LINE = 64 << 10,
    LIMIT_LAYOUT_READ = 64 << 20, /* bytes of no tensor that an audit looks at */
};

#endif
