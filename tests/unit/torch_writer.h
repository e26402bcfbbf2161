/* PyTorch files in the form before zip, made in code. F32 tensors.
 *
 *     struct torch_writer w = {0};
 *     torch_writer_open(&w, "state_dict");                      a dict inside, up to torch_writer_close
 *     size_t s = torch_writer_tensor(&w, "a", 2, shape, data);
 *     torch_writer_alias(&w, "b", 2, shape, s);                 the same storage once more
 *     torch_writer_close(&w);
 *     torch_writer_number(&w, "epoch", 3);
 *     torch_writer_write(&w, path);                             and frees
 */
#ifndef LATHE_TEST_TORCH_WRITER_H
#define LATHE_TEST_TORCH_WRITER_H

#include "base/memory.h"

struct torch_writer {
    struct buf value, keys, data;
    size_t n_storages;
    int64_t n_elements[256]; /* of each storage */
};
void torch_writer_open(struct torch_writer *w, const char *key);
void torch_writer_close(struct torch_writer *w);
void torch_writer_number(struct torch_writer *w, const char *key, int n);
size_t torch_writer_tensor(struct torch_writer *w, const char *key, int n_dims, const int64_t *shape,
                           const float *data);
void torch_writer_alias(struct torch_writer *w, const char *key, int n_dims, const int64_t *shape,
                        size_t storage);
void torch_writer_write(struct torch_writer *w, const char *path);

#endif
