/* Status values and the error that travels with them.
 *
 *     enum status load(const char *path, struct error *err)
 *     {
 *         struct file f;
 *         TRY(file_open(&f, path, err));
 *         ...
 *     }
 *
 * A function that can fail returns `enum status`; when that is not STATUS_OK it has filled *err (err is never
 * NULL). Library code never prints, exits, or asserts on file content: tools print `tool: path: tensor 'x':
 * text`. A struct error is plain memory without ownership; it may be copied. Not shared between threads.
 */
#ifndef LATHE_STATUS_H
#define LATHE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum status {
    STATUS_OK = 0,
    STATUS_USAGE,       /* the command line is wrong */
    STATUS_IO,          /* the system refused: open, read, write, no space */
    STATUS_NOMEM,       /* an allocation failed */
    STATUS_FORMAT,      /* bytes that break the rules of their format */
    STATUS_UNSUPPORTED, /* valid, but nothing here can express it */
    STATUS_RANGE,       /* an argument or a stored number outside its bounds */
    STATUS_MISMATCH,    /* two things that must agree do not (config and tensor, index and shard) */
    STATUS_NOTFOUND,    /* a file, tensor or key that is needed and absent */
    STATUS_EXISTS,      /* the output exists and replacing it was not asked for */
    STATUS_COUNT
};

struct error {
    enum status status;
    char path[512];   /* file the error is about, or "" */
    char tensor[160]; /* tensor it is about, or "" */
    char text[768];   /* what was expected, what was found */
    char hint[256];   /* something to do about it, or "" */
};

/* Fill *err with status s and the printf-style text; path, tensor and hint are emptied. Returns s. */
enum status error_set(struct error *err, enum status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, naming the file and (if not NULL) the tensor. */
enum status error_at(struct error *err, enum status s, const char *path, const char *tensor, const char *fmt,
                     ...) __attribute__((format(printf, 5, 6)));

/* As error_at for a failed system call: text becomes "fmt: strerror(errno)". Returns STATUS_IO
 * (STATUS_NOTFOUND for ENOENT). */
enum status error_errno(struct error *err, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* STATUS_NOMEM for n bytes that could not be had. */
enum status error_nomem(struct error *err, size_t n);

/* Add the hint to an error that is already set. Returns err->status. */
enum status error_hint(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Name the file of an error that names none (all else stays). Returns err->status. */
enum status error_in(struct error *err, const char *path);

/* The one line of `tool: path: tensor 'x': text`, control bytes and invalid UTF-8 escaped as \xNN, into dst
 * (always terminated). */
void error_format(const struct error *err, const char *tool, char *dst, size_t dst_size);

/* text with control characters and invalid UTF-8 as \xNN, cut where dst ends: for names from files that are
 * shown to a person. */
void text_escape(const char *text, char *dst, size_t dst_size);

/* Is it the machine's (memory, input and output), and so no answer about a file? Whoever goes on without what could not be read stops at these. */
bool status_of_machine(enum status s);

/* Short lower-case word for a status: "format", "io", ... */
const char *status_name(enum status s);

#define TRY(expr)                                                                                            \
    do {                                                                                                     \
        enum status try_status_ = (expr);                                                                    \
        if (try_status_ != STATUS_OK) return try_status_;                                                    \
    } while (0)

/* Inside a function with a variable `st` and a label `out`. */
#define TRY_OUT(expr)                                                                                        \
    do {                                                                                                     \
        if ((st = (expr)) != STATUS_OK) goto out;                                                            \
    } while (0)

#endif
