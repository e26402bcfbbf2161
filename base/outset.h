/* An output of several files that appear together: a new folder, or numbered parts beside each other.
 *
 *     struct outset *s;
 *     TRY(outset_folder(&s, "model/", false, err));             or outset_beside(&s, "models/", flags, err)
 *     TRY(outset_add(s, "config.json", n, &file, err)) ...      each file is written as any outfile; the set owns it
 *     st = outset_commit(s, err);                               frees s in every case; or outset_discard(s)
 *
 * A folder is made under a temporary name beside the target, which is renamed when all files in it are whole: the target is there with all of
 * them, or not at all. An empty folder under the target's name is replaced. With `replace` so is one that holds nothing but files for which
 * `ours` is true; another one is refused, since nobody asked for their removal.
 * Files beside each other get their names at the end, the last one first: whoever finds the first finds all. A failure in between takes those back
 * that have theirs already (outfiles_commit).
 */
#ifndef LATHE_OUTSET_H
#define LATHE_OUTSET_H

#include "base/file.h"

struct outset;
enum status outset_folder(struct outset **out, const char *path, bool replace, bool (*ours)(const char *name), struct error *err);
/* dir: "" for the current one; flags as of outfile_create, for each file */
enum status outset_beside(struct outset **out, const char *dir, unsigned flags, struct error *err);
/* name is a bare one. *file stays the set's. */
enum status outset_add(struct outset *s, const char *name, uint64_t size_bytes, struct outfile **file, struct error *err);
enum status outset_commit(struct outset *s, struct error *err);
void outset_discard(struct outset *s); /* NULL is allowed */
/* What outset_folder would refuse, before the work. */
enum status outset_check_folder(const char *path, bool replace, bool (*ours)(const char *name), struct error *err);

#endif
