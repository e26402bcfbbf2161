/* What config.json says about weights that another tool has quantized. Small floats with scales (FP8) are understood; every other scheme is
 * refused by its name. The weights themselves decide what is scaled: models/bind_scales.c.
 */
#ifndef LATHE_CONFIG_QUANT_H
#define LATHE_CONFIG_QUANT_H

#include "base/json.h"

#include <stdint.h>

struct quant {
    const char *method; /* "fp8", "compressed-tensors", ...; NULL: the config speaks of none */
    int64_t block_rows, block_cols; /* elements that share a scale where scales form a grid; 0: not said */
};
/* quantization_config, or compression_config as compressed-tensors named it once. */
enum status quant_read(struct quant *q, const struct json *doc, struct error *err);

#endif
