/* Whole tools, called in this process, over one file or folder: for fuzz targets.
 *
 *     static const char *const lines[] = {"convert %f -o %o/x.gguf --quiet", "verify %f %o/x.gguf --weights --quiet", NULL};
 *     tool_steps(lines, path);
 *
 * %f is that path, %o a folder for outputs, emptied afterwards, %i a file of six ids. A line runs when those before ended with 0. A tool that ends otherwise than with 0, 1
 * or 2, that refuses with anything but one line (and its hint), that says something although it does not refuse, or leaves something behind where the
 * first line refuses, ends the program.
 */
#ifndef LATHE_FUZZ_TOOL_RUN_H
#define LATHE_FUZZ_TOOL_RUN_H

/* Returns how many lines ended with 0. */
int tool_steps(const char *const *lines, const char *in);

#endif
