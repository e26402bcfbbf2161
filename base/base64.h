/* Base64 (RFC 4648 section 4): the alphabet with + and /, padded with =, no line breaks, unused bits zero. */
#ifndef LATHE_BASE64_H
#define LATHE_BASE64_H

#include "base/memory.h"

void base64_append(struct buf *out, const unsigned char *src, size_t n);
/* Appends what n characters stand for; false for anything but strict base64, then `out` may hold a part. */
bool base64_decode(struct buf *out, const char *text, size_t n);

#endif
