/* Choice of the kernel set. */
#include "dtypes/codec.h"
#include "base/cpu.h"

#include <pthread.h>

/* Its entries are the table's own functions. */
static const struct kernels kernels_ref = {.name = "ref", .supported = cpu_has_baseline};
/* Plain C in which the compiler finds the vectors. */
static const struct kernels kernels_portable = {
    .name = "portable",
    .supported = cpu_has_baseline,
    .decode_f32 = {DECODE_BLOCKS(portable)},
    .encode_f32 = {ENCODE_K(portable), ENCODE_32(portable)},
    .encode_row_weighted = {ENCODE_K_WEIGHTED(portable), ENCODE_32_WEIGHTED(portable)},
};

/* In rising order of preference: the last supported one is used, and fills its gaps from those before it, which are then supported as well. */
static const struct kernels *const sets[] = {
    &kernels_ref,
    &kernels_portable,
#if defined(__x86_64__)
    &kernels_avx2,
    &kernels_avx512,
#endif
};
enum { N_SETS = sizeof sets / sizeof sets[0] };

static struct kernels active;
static const char *names[N_SETS + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill(struct kernels *k, const struct kernels *below)
{
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (!k->decode_f32[t]) k->decode_f32[t] = below->decode_f32[t];
        if (!k->encode_f32[t]) k->encode_f32[t] = below->encode_f32[t];
        if (!k->encode_row_weighted[t]) k->encode_row_weighted[t] = below->encode_row_weighted[t];
    }
}

static void fill_from_table(struct kernels *k)
{
    for (int t = 0; t < DTYPE_COUNT; t++) {
        const struct dtype_info *info = dtype_info((enum dtype)t);
        if (!k->decode_f32[t]) k->decode_f32[t] = info->decode_f32;
        if (!k->encode_f32[t]) k->encode_f32[t] = info->encode_f32;
        if (!k->encode_row_weighted[t]) k->encode_row_weighted[t] = info->encode_row_weighted;
    }
}

static void activate(int i)
{
    struct kernels k = *sets[i];
    while (i-- > 0) fill(&k, sets[i]);
    fill_from_table(&k);
    active = k;
}

static void init(void)
{
    int n = 0;
    for (int i = 0; i < N_SETS; i++)
        if (sets[i]->supported()) names[n++] = sets[i]->name;
    for (int i = N_SETS - 1; i >= 0; i--)
        if (sets[i]->supported()) {
            activate(i);
            return;
        }
}

const struct kernels *kernels_active(void)
{
    pthread_once(&once, init);
    return &active;
}

const char *const *kernels_names(void)
{
    pthread_once(&once, init);
    return names;
}

enum status kernels_select(const char *name, struct error *err)
{
    pthread_once(&once, init);
    if (strcmp(name, "auto") == 0) {
        init();
        return STATUS_OK;
    }
    for (int i = 0; i < N_SETS; i++)
        if (strcmp(sets[i]->name, name) == 0 && sets[i]->supported()) {
            activate(i);
            return STATUS_OK;
        }
    char list[128] = "auto";
    for (int i = 0; names[i]; i++) {
        strncat(list, ", ", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    return error_set(err, STATUS_USAGE, "kernels '%.40s': expected one of %s", name, list);
}

bool kernels_fuse(enum fuse_style style)
{
    static struct kernels before;
    pthread_once(&once, init);
    if (before.name) active = before;
    before = active;
    if (style == FUSE_NOT) return true;
#if defined(__x86_64__)
    if (!kernels_fused[style].supported()) return false;
    active = kernels_fused[style];
    fill(&active, &before);
    return true;
#else
    return false;
#endif
}
