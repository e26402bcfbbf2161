#include "tests/unit/torch_writer.h"

#include "base/cursor.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void put(struct buf *b, const char *op, uint32_t v)
{
    unsigned char n[4];
    le_put32(n, v);
    buf_puts(b, op);
    buf_append(b, n, sizeof n);
}

static void put_string(struct buf *b, const char *s)
{
    put(b, "X", (uint32_t)strlen(s));
    buf_puts(b, s);
}

void torch_writer_open(struct torch_writer *w, const char *key)
{
    put_string(&w->value, key);
    buf_puts(&w->value, "}(");
}

void torch_writer_close(struct torch_writer *w)
{
    buf_puts(&w->value, "u");
}

void torch_writer_number(struct torch_writer *w, const char *key, int n)
{
    put_string(&w->value, key);
    put(&w->value, "J", (uint32_t)n);
}

void torch_writer_alias(struct torch_writer *w, const char *key, int n_dims, const int64_t *shape,
                        size_t storage)
{
    struct buf *b = &w->value;
    char name[16];
    int64_t strides[8] = {1};
    for (int i = n_dims - 1; i >= 0; i--) strides[i] = i + 1 < n_dims ? strides[i + 1] * shape[i + 1] : 1;
    snprintf(name, sizeof name, "%zu", storage);
    put_string(b, key);
    buf_puts(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put_string(b, "storage");
    buf_puts(b, "ctorch\nFloatStorage\n");
    put_string(b, name);
    put_string(b, "cpu");
    put(b, "J", (uint32_t)w->n_elements[storage]);
    buf_puts(b, "NtQ");
    put(b, "J", 0);
    buf_puts(b, "(");
    for (int i = 0; i < n_dims; i++) put(b, "J", (uint32_t)shape[i]);
    buf_puts(b, "t(");
    for (int i = 0; i < n_dims; i++) put(b, "J", (uint32_t)strides[i]);
    buf_puts(b, "t\x89"
                "ccollections\nOrderedDict\n)RtR");
}

size_t torch_writer_tensor(struct torch_writer *w, const char *key, int n_dims, const int64_t *shape,
                           const float *data)
{
    unsigned char count[8];
    int64_t n = 1;
    char name[16];
    size_t storage = w->n_storages++;
    assert_in_range(storage, 0, 255);
    for (int i = 0; i < n_dims; i++) n *= shape[i];
    w->n_elements[storage] = n;
    le_put64(count, (uint64_t)n);
    buf_append(&w->data, count, sizeof count);
    buf_append(&w->data, data, (size_t)n * sizeof *data);
    snprintf(name, sizeof name, "%zu", storage);
    put_string(&w->keys, name);
    torch_writer_alias(w, key, n_dims, shape, storage);
    return storage;
}

void torch_writer_write(struct torch_writer *w, const char *path)
{
    static const char head[] = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    struct error err;
    struct buf b = {0};
    buf_append(&b, head, sizeof head - 1);
    buf_puts(&b, "\x80\x02}(");
    buf_append(&b, w->value.data, w->value.len);
    buf_puts(&b, "u.\x80\x02](");
    buf_append(&b, w->keys.data, w->keys.len);
    buf_puts(&b, "e.");
    buf_append(&b, w->data.data, w->data.len);
    assert_false(b.failed || w->value.failed || w->keys.failed || w->data.failed);
    if (file_write_whole(path, OUTFILE_REPLACE, b.data, b.len, &err) != STATUS_OK) fail_msg("%s", err.text);
    buf_clear(&b);
    buf_clear(&w->value);
    buf_clear(&w->keys);
    buf_clear(&w->data);
    *w = (struct torch_writer){0};
}
