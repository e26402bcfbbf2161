/* A scratch folder with the good files that belong beside the one that is changed; removed at the end of the program. */
#ifndef LATHE_TEST_FOLDER_H
#define LATHE_TEST_FOLDER_H

#include <stddef.h>

/* Empties the folder and puts what the reader of that name needs. Returns its path. */
const char *folder_make(const char *reader);
/* name must be a bare name. NULL bytes: the file goes. */
void folder_write(const char *name, const void *bytes, size_t n);
/* The same good files into another folder, which exists. */
void folder_copy(const char *reader, const char *to);
/* Path of a file in it; static memory. */
const char *folder_path(const char *name);
/* The good content of the reader's own file, before anything is changed; free() it. */
char *folder_good(const char *reader, size_t *n);

#endif
