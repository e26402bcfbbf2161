/* params.json of Meta's LLaMA releases (and of Mistral's own layout), told as a config.json.
 *
 *     if (meta_is_params(doc)) TRY(meta_config(&config, doc, ckpt, warn, err));
 *
 * What the file does not say comes from the tensors (vocabulary, width of the feed-forward layer) or from what is known of the releases: the
 * trained context, and the factor of LLaMA 3.1's RoPE scaling. A params.json of one's own may say both: max_position_embeddings,
 * rope_scaling_factor. Keys that are not known are passed on, so that the family's reader reports them.
 * Warnings: meta-context-guessed, meta-rope-factor-guessed, meta-ffn-differs (the widths of tensors and formula).
 */
#ifndef LATHE_META_PARAMS_H
#define LATHE_META_PARAMS_H

#include "base/json.h"
#include "base/warnings.h"
#include "formats/checkpoint.h"

/* Keys of a params.json and none of a config.json. */
bool meta_is_params(const struct json *doc);
/* The new document has params' path. STATUS_UNSUPPORTED for releases with parts that no family here has (vision, LoRA, quantized, experts). */
enum status meta_config(struct json **out, const struct json *params, const struct checkpoint *ckpt,
                        struct warnings *warn, struct error *err);

#endif
