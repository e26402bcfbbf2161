/* The tokenizer's files beside a checkpoint, as far as a look at headers goes: the vocabulary itself is megabytes. */
#ifndef LATHE_TOKENIZER_FILES_H
#define LATHE_TOKENIZER_FILES_H

#include "formats/checkpoint.h"

enum { TOKENIZER_FILES = 8 };
extern const char *const tokenizer_file_names[TOKENIZER_FILES];

struct tokenizer_files {
    bool there[TOKENIZER_FILES];
    char class[80];         /* as tokenizer_config.json says; "": not given, or the file is none that can be read */
    int64_t template_bytes; /* of the chat template; -1: none */
};
/* Fails only where the machine does. Of a GGUF there is none. */
enum status tokenizer_files_look(struct tokenizer_files *t, const struct checkpoint *c, struct error *err);

#endif
