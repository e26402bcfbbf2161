/* What the files that bind a checkpoint share: names, shapes, and the index by role. For models/bind*.c. */
#ifndef LATHE_BIND_PARTS_H
#define LATHE_BIND_PARTS_H

#include "models/bind.h"

/* --- names --- */

enum { BIND_NAME_BYTES = 256 };
/* {p} → prefix, {i} → layer, behind the wrapper. Patterns are our own and short. */
void bind_name(const char *pattern, const char *wrapper, const char *prefix, int64_t layer, char name[BIND_NAME_BYTES]);

/* --- shapes --- */

struct shape {
    int n_dims;
    int64_t dims[TENSOR_DIMS_MAX]; /* -1: any */
};

struct shape shape_parse(const char *text, const struct hparams *hp);
/* In the order that m's file has it */
struct shape shape_expected(const struct tensor_rule *rule, const struct model *m, const struct hparams *hp);
struct shape shape_found(const struct tensor *t);
bool shape_fits(struct shape expected, struct shape found, bool is_gguf);
const char *shape_show(struct shape s, char dst[192]);
/* STATUS_MISMATCH says what was expected and found, and hints at the number of the config that would fit. */
enum status bind_check_shape(const struct model *m, const struct tensor_rule *rule, const struct ckpt_tensor *t,
                             struct error *err);

/* --- by role --- */

/* Builds m->index, for model_weight. */
enum status bind_index(struct model *m, struct error *err);

#endif
