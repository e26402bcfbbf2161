/* lathe-quantize --collect-imatrix */
#ifndef LATHE_IMATRIX_MAIN_H
#define LATHE_IMATRIX_MAIN_H

#include "base/options.h"

struct imatrix_options {
    const char *model, *tokens, *text, *output;
    int64_t n_context; /* 0: by the model */
    bool force;
};
int imatrix_main(const struct tool *tool, const struct imatrix_options *o);

#endif
