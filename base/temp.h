/* Temporary names that the end of the process removes, by signal too: for the outputs of file.h and outset.h.
 *
 *     struct temp_name *t = temp_create(dir_fd, "out.gguf", false, &fd);       `.out.gguf.partial.<pid>-<count>`, or NULL with errno
 *     ... rename it ... temp_release(t);           or temp_remove(t)
 */
#ifndef LATHE_TEMP_H
#define LATHE_TEMP_H

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Entries are only ever added in front and never freed, so that the signal handler can walk the list at any moment; a process makes few
 * outputs. */
struct temp_name {
    struct temp_name *next;
    int dir_fd;
    bool folder; /* of files only; they go with it */
    /* Of a folder, and of the one that it was exchanged with: open until the end, since a process may have run out of descriptors when it has to
     * clear up; else -1 */
    int fd, fd_other;
    atomic_bool live;
    char name[NAME_MAX + 1];
};
/* A file, open for reading and writing, in *fd; or a folder, opened (which is closed here). ECANCELED while a signal ends the process. What a process
 * that was killed has left under such a name of `name` is taken away first: the process number in it is nobody's, and nobody has its lock. */
struct temp_name *temp_create(int dir_fd, const char *name, bool folder, int *fd);
/* The temporary thing gets `name`, and what stood there the temporary name: temp_remove takes that away then. -1 with errno. A second call takes it back. */
int temp_exchange(struct temp_name *t, const char *name);
/* It is nobody's business any more: renamed. */
void temp_release(struct temp_name *t);
void temp_remove(struct temp_name *t);
/* The signals that remove them wait on this thread from now on; *old is the mask before. */
void signals_block(sigset_t *old);

#endif
