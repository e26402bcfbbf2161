/* Memory that a stretch of code takes at its peak (all of malloc's, libraries' too; 0 under a sanitizer, which has its own), and its time. */
#ifndef LATHE_TEST_METER_H
#define LATHE_TEST_METER_H

#include <stdbool.h>
#include <stddef.h>

struct meter {
    size_t peak_bytes, ms;
};
void meter_start(void);
struct meter meter_stop(void);
/* Of which time and memory say nothing */
bool meter_under_valgrind(void);

#endif
