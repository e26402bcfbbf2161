/* lathe-verify --requantize SOURCE QUANTIZED */
#ifndef LATHE_REQUANTIZE_MAIN_H
#define LATHE_REQUANTIZE_MAIN_H

#include "base/options.h"

struct requantize_call {
    const struct tool *tool; /* two positionals */
    const char *imatrix, *config;
};
/* 0: the same; 1: it differs; 2: it could not be derived */
int requantize_main(const struct requantize_call *c);

#endif
