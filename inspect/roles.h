/* What each tensor of a subject is for, as the model in it says.
 *
 *     struct tensor_roles r;
 *     TRY(roles_init(&r, subject, err));
 *     if (r.n && r.items[i].role != ROLE_COUNT) ... subject->ckpt->tensors[i]
 *     roles_clear(&r);
 */
#ifndef LATHE_ROLES_H
#define LATHE_ROLES_H

#include "inspect/subject.h"

struct tensor_role {
    enum role role; /* ROLE_COUNT: none (scales, buffers, a second copy of a tied matrix) */
    enum part part;
    int64_t layer; /* -1: in none */
};
struct tensor_roles {
    struct tensor_role *items; /* by tensor */
    size_t n;                  /* 0: no model */
};
enum status roles_init(struct tensor_roles *r, const struct subject *s, struct error *err);
void roles_clear(struct tensor_roles *r);
/* "attn_q", or with a part other than the weight "attn_q.bias" */
const char *tensor_role_name(const struct tensor_role *r, char dst[64]);

#endif
