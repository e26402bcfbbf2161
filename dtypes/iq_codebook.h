/* The codebooks of IQ1, IQ2 and IQ3: sets of points with 8 or 4 small coordinates, and what an encoder needs to find the best point.
 *
 * A coordinate is a digit: 0..2 (IQ1, IQ2) or 0..7 (IQ3); the digits of a point are packed, the first lowest, 2 or 3 bits each. What a digit stands
 * for when decoding differs from type to type; the encoder counts with 2 * digit + 1.
 */
#ifndef LATHE_IQ_CODEBOOK_H
#define LATHE_IQ_CODEBOOK_H

#include <stdint.h>

/* iq_grids.c */
extern const uint16_t iq1_points[2048], iq2_xxs_points[256], iq2_xs_points[512], iq2_s_points[1024];
extern const uint16_t iq3_xxs_points[256], iq3_s_points[512];

struct codebook {
    const uint16_t *points;
    int n_points;
    int n_coords, bits; /* 8 of 2 bits, 4 of 3 bits */
    int n_shells;       /* neighbours of a vector: the points at its n_shells least distances */
    /* search tables, complete after codebook_ready */
    int32_t *map;         /* [packed digits]: the index of a point, or -1 - where its neighbours begin in `neighbours` */
    uint16_t *neighbours; /* lists: number, then the digits of those points by distance, at equal distance by index; filled up with the first to
                             whole NEIGHBOUR_VECTORs */
};

enum { NEIGHBOUR_VECTOR = 16 };

enum codebook_id {
    CODEBOOK_IQ1,
    CODEBOOK_IQ2_XXS,
    CODEBOOK_IQ2_XS,
    CODEBOOK_IQ2_S,
    CODEBOOK_IQ3_XXS,
    CODEBOOK_IQ3_S,
    CODEBOOK_COUNT
};

/* The codebook with its search tables: computed at the first call (some milliseconds), by one thread while others wait. They lie in static memory,
 * which the system provides when it is first touched. */
const struct codebook *codebook_ready(enum codebook_id id);

#endif
