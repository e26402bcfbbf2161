/* Tensors whose parts lie in several files, read as one: a container without a file of its own.
 *
 *     struct container *c;
 *     TRY(joined_new(&c, "LLaMA-13B", err));
 *     TRY(joined_add(c, "layers.0.attention.wo.weight", &(struct joint){.parts = p, .n_parts = 2, .n_copies = 1, .dim = 1}, err));
 *     TRY(joined_finish(c, err));                names unique; from now on container_read and the rest
 *     container_close(c);
 *
 * Nothing is assembled in memory: a read gathers what it asks for from the parts, in steps of JOINED_STEP_BYTES. Where several files hold
 * copies of a part, the first is used and the others are compared with it as it is read; STATUS_MISMATCH names the file that differs.
 * The parts' containers must outlive this one.
 */
#ifndef LATHE_JOINED_H
#define LATHE_JOINED_H

#include "formats/container.h"

enum { JOINED_STEP_BYTES = 1 << 20 };

struct joined_part {
    const struct tensor *t;
    struct container *container;
};
struct joint {
    const struct joined_part
        *parts; /* n_parts * n_copies: copies of part 0, copies of part 1, ...; copied by joined_add */
    size_t n_parts, n_copies;
    int dim; /* parts follow each other along dimension 0 or 1 */
};
enum status joined_new(struct container **out, const char *path, struct error *err);
/* STATUS_MISMATCH for parts of different types or shapes. */
enum status joined_add(struct container *c, const char *name, const struct joint *j, struct error *err);
enum status joined_finish(struct container *c, struct error *err);
/* Of the tensor of that index. */
const struct joint *joined_joint(const struct container *c, size_t index);
/* true if c is such a container */
bool container_is_joined(const struct container *c);

#endif
