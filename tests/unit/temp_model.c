#include "tests/unit/temp_model.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[256];

static void remove_dir(void)
{
    struct error err;
    struct arena a = {0};
    char **names, path[600];
    size_t n;
    if (dir_list(dir, &a, &names, &n, &err) == STATUS_OK) {
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "%s/%s", dir, names[i]);
            unlink(path);
        }
    }
    arena_clear(&a);
    rmdir(dir);
}

const char *temp_dir(void)
{
    if (dir[0]) return dir;
    const char *base = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/lathe-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    atexit(remove_dir);
    return dir;
}

const char *temp_path(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", temp_dir(), name);
    return p;
}

float temp_value(uint64_t i)
{
    return (float)((int64_t)(i * 40503 % 65536) - 32768);
}

static void write_tensor(struct outfile *o, const struct gguf_out_tensor *out, const struct temp_tensor *t)
{
    static const char zeros[64];
    struct error err;
    float *made = NULL;
    if (!t->data) {
        assert_int_equal(t->dtype, DTYPE_F32);
        made = malloc(out->size_bytes + 1);
        for (uint64_t i = 0; i < out->size_bytes / 4; i++) made[i] = temp_value(i);
    }
    assert_int_equal(
        outfile_write_at(o, out->off_file, made ? (const void *)made : t->data, out->size_bytes, &err),
        STATUS_OK);
    assert_int_equal(outfile_write_at(o, out->off_file + out->size_bytes, zeros,
                                      out->padded_bytes - out->size_bytes, &err),
                     STATUS_OK);
    free(made);
}

struct checkpoint *temp_model(const char *name, const struct temp_tensor *tensors, size_t n)
{
    struct error err;
    struct gguf_writer w = {0};
    struct outfile *o;
    struct checkpoint *c;
    gguf_put_string(&w, "general.architecture", "llama");
    for (size_t i = 0; i < n; i++)
        assert_int_equal(
            gguf_add_tensor(&w, tensors[i].name, tensors[i].dtype, tensors[i].n_dims, tensors[i].shape, &err),
            STATUS_OK);
    assert_int_equal(gguf_layout(&w, &err), STATUS_OK);
    const char *path = temp_path(name);
    assert_int_equal(outfile_create(&o, path, OUTFILE_REPLACE, w.size_bytes, &err), STATUS_OK);
    assert_int_equal(outfile_write_at(o, 0, w.header.data, w.header.len, &err), STATUS_OK);
    for (size_t i = 0; i < n; i++) write_tensor(o, &w.tensors[i], &tensors[i]);
    assert_int_equal(outfile_commit(o, &err), STATUS_OK);
    gguf_writer_clear(&w);
    if (ckpt_open(&c, path, &err) != STATUS_OK) fail_msg("%s: %s", path, err.text);
    return c;
}
