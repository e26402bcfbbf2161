#include "core/restore_build.h"
enum status restore_by_rules(struct restore *r, struct error *err)
{
    (void)r;
    return error_set(err, STATUS_UNSUPPORTED, "no receipt");
}
