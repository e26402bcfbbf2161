/* For the tests of containers: scratch folders and files, paths of committed vectors, checks on errors. */
#ifndef LATHE_TEST_CONTAINER_SUPPORT_H
#define LATHE_TEST_CONTAINER_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/container.h"

/* cmocka group setup and teardown: a scratch folder, removed with all files in it. */
int scratch_make(void **state);
int scratch_remove(void **state);
/* The folder; a name in it. Static memory: several results stay valid at a time. */
const char *scratch_dir(void);
const char *scratch_path(const char *name);
void scratch_clear(void); /* removes the files */
void scratch_write(const char *name, const void *bytes, size_t n);
const char *vector_path(const char *name); /* below tests/vectors */

/* status as expected and text (NULL: any) inside the error line; fails the test naming `what` otherwise */
void expect_error(const char *what, enum status got, const struct error *err, enum status expected,
                  const char *text);
/* Opens bytes as a file: must fail so. */
void expect_refused(const char *what, const void *bytes, size_t n, enum status expected, const char *text);
/* Bytes of a whole committed file, *n of them; free() it. */
unsigned char *slurp(const char *path, size_t *n);
/* All bytes of a tensor, read in pieces of `step` bytes (0: at once); free() it. Fails the test on error. */
unsigned char *tensor_bytes(struct container *c, const struct tensor *t, size_t step);

#endif
