/* Two sides of one model of every family, and faults to put into the second one: for test_trace_faults. Whether a fault applies is a property of the
 * model (has it rotary positions, a bias, a square matrix ...), said by the fault's own function.
 *
 *     scene_open(&s, &family_models[i], "f32", convert_main);
 *     s.view = *s.b;
 *     if (faults[k].inject(&s)) ...            s.view is B with the fault, which must show at s.tap of s.layer
 *     scene_undo(&s);
 *     scene_close(&s);
 *
 * The healthy side is the checkpoint, the other one the GGUF that lathe-convert makes of it. Faults of tensors are made in the file's bytes, those
 * of numbers in the configuration as it was read. Failures of the helper itself end the test.
 */
#ifndef LATHE_TESTS_FAULTS_H
#define LATHE_TESTS_FAULTS_H

#include "tests/unit/family_models.h"
#include "verify/trace.h"

enum { N_IDS = 24, UNDO_MAX = 16 };
struct scene {
    struct family_model family;
    char gguf[300];
    const char *type; /* of its matrices */
    int (*convert)(int, char **); /* lathe-convert */
    struct model *a, *b, *untied, *unbiased; /* NULL: the family has no such form */
    struct workers *workers;
    int32_t ids[N_IDS];
    /* one fault */
    struct model view; /* B with other numbers */
    struct dialect dialect;
    const char *tap; /* where it must be found */
    int64_t layer;
    struct {
        const struct ckpt_tensor *t;
        void *bytes;
    } undo[UNDO_MAX];
    size_t n_undo;
};

/* type: of B's matrices; tool: convert_main, which not every test is linked with */
void scene_open(struct scene *s, const struct family_row *row, const char *type, int (*tool)(int, char **));
void scene_close(struct scene *s);
void scene_undo(struct scene *s); /* B's file is as it was */

struct fault {
    const char *cause, *what;
    bool (*inject)(struct scene *s);
    const char *needs; /* what a model without it lacks */
};
extern const struct fault faults[];
extern const size_t n_faults;

#endif
