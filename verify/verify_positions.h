/* Where the ids of a window stand, and the probe of far positions.
 *
 * Rotary positions enter the scores by differences, so ids that stand next to each other at a far place tell no more than at the start, and
 * those of a short window say little about a scaling that changes slow turns only. Ids that stand far apart do, and a window of any
 * length can: position k of it is first + k * step.
 */
#ifndef LATHE_VERIFY_POSITIONS_H
#define LATHE_VERIFY_POSITIONS_H

#include "models/model.h"

struct positions {
    int64_t first, step, count;
};
static inline int64_t positions_last(const struct positions *p)
{
    return p->first + (p->count - 1) * p->step;
}
/* "START:END" or "START:END:STEP", END excluded, as in Python. STATUS_USAGE otherwise, and for more than 2^31. */
enum status positions_parse(struct positions *p, const char *text, struct error *err);

enum { PROBE_POSITIONS = 64 };
struct probe {
    struct positions at;
    int64_t original_context;
};
/* Is there a scaling of rotary positions on either side that the run of plain windows may not show? Then positions as far as twice the
 * original context, or as far as a side was baked for. */
bool probe_plan(struct probe *p, const struct model *a, const struct model *b);

#endif
