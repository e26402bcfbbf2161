/* lathe-convert: any supported checkpoint to the unified format. */
#ifndef LATHE_CONVERT_H
#define LATHE_CONVERT_H

/* Exit status: 0 done, 2 could not. */
int convert_main(int argc, char **argv);

#endif
