/* What follows from the configuration of a family built like GPT-2. */
#include "models/gpt_line.h"

enum status gpt_line_derive(struct hparams *hp, struct error *err)
{
    TRY(hparams_split_width(hp, err));
    if (hp->n_ff == 0) hp->n_ff = 4 * hp->n_embd;
    if (!hp->scale_attn) hp->attn_scale = 1;
    hp->attn_bias = hp->mlp_bias = true;
    return STATUS_OK;
}
