/* The tensors of a state dict, named.
 *
 * Nested dicts join their keys with '.': {"model": {"0": {"weight": T}}} holds "model.0.weight". Lists and tuples count as dicts with the
 * keys 0, 1, ...; integer keys are written in decimal. A file that holds a single tensor lists it as "tensor".
 * Other values (numbers, strings, None) are skipped: they are no weights. So are empty dicts.
 * Errors: nesting beyond LIMIT_TORCH_DEPTH (which self-containing values exceed), a key that is set twice, a tensor or dict under a key that is
 * neither string nor integer, names beyond LIMIT_TORCH_NAME bytes, and sharing of dicts that would list more than the file's size explains.
 */
#ifndef LATHE_TORCH_STATE_H
#define LATHE_TORCH_STATE_H

#include "base/limits.h"
#include "formats/pickle.h"

struct torch_named {
    const char *name;
    const struct pickle_tensor *tensor;
};
/* In the order of the file, allocated in *mem. n_bytes: size of the pickle, which bounds the visits. */
enum status torch_list_state(const struct pickle *p, size_t n_bytes, const char *path, struct arena *mem,
                             struct torch_named **out, size_t *n, struct error *err);

#endif
