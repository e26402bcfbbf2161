/* lathe-quantize: a GGUF file with smaller weights. */
#ifndef LATHE_QUANTIZE_H
#define LATHE_QUANTIZE_H

/* Exit status: 0 done, 2 could not. */
int quantize_main(int argc, char **argv);

#endif
