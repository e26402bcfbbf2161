/* Both sides through the forward pass in step: window by window, layer by layer. */
#ifndef LATHE_VERIFY_RUN_H
#define LATHE_VERIFY_RUN_H

#include "base/progress.h"
#include "core/metrics.h"
#include "models/forward.h"
#include "core/tokens.h"
#include "verify/verify_positions.h"

struct verify_run {
    const struct model *a, *b; /* b NULL: one side */
    enum precision precision;
    const struct tokens *tokens;
    int64_t n_context;
    int64_t score_from;      /* positions of a window before this one predict nothing that counts */
    bool causal;             /* plain positions and a causal mask, whatever the family builds from the ids */
    struct positions at;     /* of each window; count 0: from 0 on */
    const char *logits_path; /* A's logits are written there; NULL: not kept */
    struct outfile **logits; /* gets that file, whole, to be committed when all else has gone well; NULL: it is committed here */
    struct metrics_point **points; /* gets what was measured at each position, to be freed; NULL: not wanted */
    struct workers *workers;
    struct progress *progress;
};
/* Two models that can be compared have the same vocabulary size and the same number of layers: STATUS_MISMATCH otherwise. */
enum status verify_check_pair(const struct model *a, const struct model *b, struct error *err);
/* Context to use: `wanted`, or the default if it is 0. STATUS_RANGE when a model has fewer learned positions. */
enum status verify_context(int64_t *n_context, const struct model *a, const struct model *b, int64_t wanted,
                           struct error *err);
/* Bytes of weights that the run reads, for progress; once: by one window. */
uint64_t verify_bytes(const struct verify_run *r);
uint64_t verify_bytes_once(const struct verify_run *r);
enum status verify_execute(const struct verify_run *r, struct metrics_result *out, struct error *err);

#endif
