/* What may be wrong with one operation of B, and whether that explains what was seen. One row of the table in hypotheses.c per hypothesis; the
 * functions behind the rows stand by what they look at: the layout of rows (hypotheses_layout.c), numbers of the configuration
 * (hypotheses_config.c), whole tensors (hypotheses_tables.c). */
#ifndef LATHE_HYPOTHESES_H
#define LATHE_HYPOTHESES_H

#include "verify/suspect.h"

/* out->cause and out->explanation; "unknown" when nothing fits. */
enum status hypotheses_try(struct suspect *s, struct trace_result *out, struct error *err);

/* *fits, which is false before: with this repair the difference vanishes; why (256 bytes) then says what it was. */
typedef enum status hypothesis_fn(struct suspect *s, bool *fits, char *why, struct error *err);
hypothesis_fn hypothesis_row_order, hypothesis_head_grouping, hypothesis_halves_swapped, hypothesis_transpose;
hypothesis_fn hypothesis_norm_offset, hypothesis_epsilon, hypothesis_activation, hypothesis_window;
hypothesis_fn hypothesis_rope_base, hypothesis_rope_dim, hypothesis_rope_scaling;
hypothesis_fn hypothesis_missing_bias, hypothesis_head_tying, hypothesis_embedding_offset, hypothesis_output_offset;

#endif
