/* A checkpoint's folder: the bytes up to the first NUL are config.json, those up to the next the header of model.safetensors, the rest its data. */
#include "tests/fuzz/fuzz.h"

#include "base/cursor.h"
#include "tests/hostile/folder.h"

#include <string.h>

static const uint8_t *part_end(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *nul = at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
    return nul ? nul : end;
}

const char *fuzz_folder(const uint8_t *bytes, size_t n)
{
    static const char *dir;
    unsigned char length[8];
    struct buf weights = {0};
    const uint8_t *end = bytes + n, *config_end = part_end(bytes, end), *header = config_end < end ? config_end + 1 : end,
                  *header_end = part_end(header, end), *data = header_end < end ? header_end + 1 : end;
    if (!dir) dir = folder_make("none");
    folder_write("config.json", n ? (const void *)bytes : "", (size_t)(config_end - bytes));
    le_put64(length, (uint64_t)(header_end - header));
    buf_append(&weights, length, sizeof length);
    buf_append(&weights, header, (size_t)(header_end - header));
    buf_append(&weights, data, (size_t)(end - data));
    folder_write("model.safetensors", weights.data, weights.len);
    buf_clear(&weights);
    return dir;
}
