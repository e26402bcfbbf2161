/* Numbers of the configuration: B's step once more with A's. */
#include "verify/hypotheses.h"

#include <stdio.h>

/* A norm whose weights are stored as what is added to 1, or the reverse. */
enum status hypothesis_norm_offset(struct suspect *s, bool *fits, char *why, struct error *err)
{
    for (int add = -1; !*fits && add <= 1; add += 2) {
        TRY(suspect_fits_view(s, &(struct step_view){.model = s->trace->b, .norm_offset = add}, fits, err));
        snprintf(why, 256, "with weights %s 1 it fits", add > 0 ? "plus" : "minus");
    }
    return STATUS_OK;
}

enum status hypothesis_epsilon(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    if (view.hp.norm_eps == s->trace->a->hp.norm_eps) return STATUS_OK;
    view.hp.norm_eps = s->trace->a->hp.norm_eps;
    snprintf(why, 256, "with A's epsilon %g instead of %g it fits", view.hp.norm_eps,
             s->trace->b->hp.norm_eps);
    return suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

enum status hypothesis_rope_base(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    if (view.hp.rope.theta == s->trace->a->hp.rope.theta) return STATUS_OK;
    view.hp.rope.theta = s->trace->a->hp.rope.theta;
    view.hp.rope.runtime = NULL;
    snprintf(why, 256, "with A's base %g instead of %g it fits", view.hp.rope.theta,
             s->trace->b->hp.rope.theta);
    return suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

enum status hypothesis_rope_dim(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    if (view.hp.rope.dim == s->trace->a->hp.rope.dim) return STATUS_OK;
    view.hp.rope.dim = s->trace->a->hp.rope.dim;
    view.hp.rope.runtime = NULL;
    snprintf(why, 256, "with %lld rotated dimensions as in A instead of %lld it fits",
             (long long)view.hp.rope.dim, (long long)s->trace->b->hp.rope.dim);
    return suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

enum status hypothesis_rope_scaling(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    view.hp.rope = s->trace->a->hp.rope;
    view.hp.position_2d = s->trace->a->hp.position_2d;
    snprintf(why, 256, "with A's scaling (%s) instead of B's (%s) it fits",
             rope_type_name(s->trace->a->hp.rope.type), rope_type_name(s->trace->b->hp.rope.type));
    return suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err);
}

enum status hypothesis_activation(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    for (int k = 0; !*fits && k < ACTIVATION_COUNT; k++) {
        if ((enum activation)k == s->trace->b->hp.activation) continue;
        view.hp.activation = (enum activation)k;
        TRY(suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err));
    }
    snprintf(why, 256, "with the activation %s instead of %s it fits", activation_name(view.hp.activation),
             activation_name(s->trace->b->hp.activation));
    return STATUS_OK;
}

enum status hypothesis_window(struct suspect *s, bool *fits, char *why, struct error *err)
{
    struct model view = *s->trace->b;
    int64_t layer = s->tap->layer;
    view.hp.window = s->trace->a->hp.window;
    view.hp.local = s->trace->a->hp.local;
    snprintf(why, 256, "with a window of %lld keys as in A instead of %lld it fits (0: all)",
             (long long)hparams_window(&s->trace->a->hp, layer),
             (long long)hparams_window(&s->trace->b->hp, layer));
    return suspect_fits_view(s, &(struct step_view){.model = &view}, fits, err);
}
