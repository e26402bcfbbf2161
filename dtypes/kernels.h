/* The hot loops, one set per instruction set, chosen once at run time.
 *
 * Every set gives the same bits as `ref`; sets differ in speed only. Entries may be NULL in a set other than `ref`: the dispatcher fills
 * them from the sets below it, at last from the type table. Only files named *_avx2.c and *_avx512.c are compiled for those instruction sets.
 */
#ifndef LATHE_KERNELS_H
#define LATHE_KERNELS_H

#include "base/status.h"
#include "dtypes/dtype.h"

struct kernels {
    const char *name; /* "ref", "portable", "avx2", "avx512" */
    bool (*supported)(void);
    /* decode and encode of a type, indexed by enum dtype; same contracts as in struct dtype_info */
    void (*decode_f32[DTYPE_COUNT])(const void *src, float *dst, int64_t n);
    void (*encode_f32[DTYPE_COUNT])(const float *src, void *dst, int64_t n);
    void (*encode_row_weighted[DTYPE_COUNT])(const float *row, const float *weights, void *dst, int64_t n);
};

/* The set in use: the best supported one until kernels_select names another. */
const struct kernels *kernels_active(void);
/* "auto", "ref", "portable", "avx2", "avx512"; STATUS_USAGE for an unknown or unsupported name, listing the supported ones. Call before threads start. */
enum status kernels_select(const char *name, struct error *err);
/* Encoders whose multiplications and additions are fused, instead of the set in use, and back: what builds of ggml write whose compiler was not told
 * to keep them apart. For recognising their files only. false when this machine cannot. Call while no other thread uses kernels. */
enum fuse_style { FUSE_NOT, FUSE_AS_GCC, FUSE_AS_CLANG, FUSE_STYLES };
bool kernels_fuse(enum fuse_style style);
/* Names of the supported sets, NULL at the end. */
const char *const *kernels_names(void);

#endif
