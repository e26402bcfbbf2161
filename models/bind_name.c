#include "models/bind_parts.h"

#include <stdio.h>
#include <string.h>

/* What training scripts wrap weights in: {"model": ...}, {"state_dict": ...}, DataParallel's and DeepSpeed's module, and these together. */
static const char *const wrappers[] = {"",
                                       "model.",
                                       "state_dict.",
                                       "module.",
                                       "model_state_dict.",
                                       "model.module.",
                                       "state_dict.module.",
                                       "model_state_dict.module.",
                                       "module.module.",
                                       "state_dict.model.",
                                       "_forward_module.",
                                       NULL};

/* {p} → prefix, {i} → layer, behind the wrapper. Patterns are our own and short. */
void bind_name(const char *pattern, const char *wrapper, const char *prefix, int64_t layer, char name[BIND_NAME_BYTES])
{
    size_t n = (size_t)snprintf(name, BIND_NAME_BYTES, "%s", wrapper);
    for (const char *s = pattern; *s && n < BIND_NAME_BYTES - 24;) {
        if (strncmp(s, "{p}", 3) == 0) {
            n += (size_t)snprintf(name + n, 24, "%s", prefix);
            s += 3;
        } else if (strncmp(s, "{i}", 3) == 0) {
            n += (size_t)snprintf(name + n, 24, "%lld", (long long)layer);
            s += 3;
        } else {
            name[n++] = *s++;
        }
    }
    name[n] = 0;
}

static bool has_all(const struct checkpoint *ckpt, const struct arch *arch, const char *wrapper,
                    const char *prefix)
{
    for (const char *const *d = arch->detect_tensors; *d; d++) {
        char name[BIND_NAME_BYTES];
        bool wanted = **d != '!';
        bind_name(wanted ? *d : *d + 1, wrapper, prefix, 0, name);
        if ((ckpt_find(ckpt, name) != NULL) != wanted) return false;
    }
    return true;
}

const char *bind_prefix(const struct checkpoint *ckpt, const struct arch *arch, const char **wrapper)
{
    for (const char *const *w = wrappers; *w; w++)
        for (const char *const *p = arch->prefixes; *p; p++)
            if (has_all(ckpt, arch, *w, *p)) {
                *wrapper = *w;
                return *p;
            }
    *wrapper = "";
    return NULL;
}

bool bind_looks_like(const struct checkpoint *ckpt, const struct arch *arch)
{
    const char *wrapper, *prefix = bind_prefix(ckpt, arch, &wrapper);
    const char *pattern = arch->detect_wide ? arch->detect_wide : arch->detect_tall;
    if (!prefix || !pattern) return prefix != NULL;
    char name[BIND_NAME_BYTES];
    bind_name(pattern, wrapper, prefix, 0, name);
    const struct ckpt_tensor *t = ckpt_find(ckpt, name);
    if (!t || t->t->n_dims != 2) return false;
    return arch->detect_wide ? t->t->shape[1] > t->t->shape[0] : t->t->shape[0] > t->t->shape[1];
}

const struct tensor *config_tensor(const struct config_reader *r, const char *pattern, int64_t layer)
{
    char name[BIND_NAME_BYTES];
    if (!r->ckpt) return NULL;
    bind_name(pattern, r->wrapper, r->prefix, layer, name);
    const struct ckpt_tensor *t = ckpt_find(r->ckpt, name);
    return t ? t->t : NULL;
}
