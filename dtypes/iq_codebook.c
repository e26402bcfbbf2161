/* Search tables of the codebooks. */
#include "dtypes/iq_codebook.h"

#include <pthread.h>
#include <stdbool.h>

enum {
    MAP_2BIT = 0xAAAA + 1, /* the last vector has all digits 2 */
    MAP_3BIT = 4096,
};

/* The lengths of all lists of neighbours together follow from the points: a unit test holds these numbers. */
#define CODEBOOK(ID, NAME, N, COORDS, BITS, SHELLS, MAP, NEIGHBOURS)                                         \
    static int32_t NAME##_map[MAP];                                                                          \
    static uint16_t NAME##_neighbours[NEIGHBOURS];
#define CODEBOOKS(X)                                                                                         \
    X(CODEBOOK_IQ1, iq1, 2048, 8, 2, 3, MAP_2BIT, 366865)                                                   \
    X(CODEBOOK_IQ2_XXS, iq2_xxs, 256, 8, 2, 2, MAP_2BIT, 167441)                                            \
    X(CODEBOOK_IQ2_XS, iq2_xs, 512, 8, 2, 2, MAP_2BIT, 236609)                                              \
    X(CODEBOOK_IQ2_S, iq2_s, 1024, 8, 2, 1, MAP_2BIT, 106113)                                               \
    X(CODEBOOK_IQ3_XXS, iq3_xxs, 256, 4, 3, 2, MAP_3BIT, 66272)                                            \
    X(CODEBOOK_IQ3_S, iq3_s, 512, 4, 3, 3, MAP_3BIT, 62880)
CODEBOOKS(CODEBOOK)
#undef CODEBOOK

#define CODEBOOK(ID, NAME, N, COORDS, BITS, SHELLS, MAP, NEIGHBOURS)                                         \
    [ID] = {NAME##_points, N, COORDS, BITS, SHELLS, NAME##_map, NAME##_neighbours},
static const struct codebook codebooks[CODEBOOK_COUNT] = {CODEBOOKS(CODEBOOK)};
#undef CODEBOOK

static int digit(const struct codebook *c, unsigned packed, int i)
{
    return (int)(packed >> c->bits * i) & ((1 << c->bits) - 1);
}

enum { HALF = 256, DISTANCES = 4 * 7 * 7 + 1 };

/* Squared distances of one half of a vector to all halves; in digits, a quarter of what 2 * digit + 1 would give. */
static void half_distances(const struct codebook *c, unsigned half, int out[HALF])
{
    int n_coords = c->n_coords / 2;
    for (unsigned h = 0; h < 1u << c->bits * n_coords; h++) {
        out[h] = 0;
        for (int i = 0; i < n_coords; i++) {
            int d = digit(c, h, i) - digit(c, half, i);
            out[h] += d * d;
        }
    }
}

/* Writes the list for a vector that is no point; returns the room it takes. */
static int list_neighbours(const struct codebook *c, unsigned vector, uint16_t *list)
{
    int shift = c->bits * c->n_coords / 2, mask = (1 << shift) - 1;
    int low[HALF], high[HALF], d[2048], n = 0;
    bool occurs[DISTANCES] = {false};
    half_distances(c, vector & (unsigned)mask, low);
    half_distances(c, vector >> shift, high);
    for (int j = 0; j < c->n_points; j++) {
        d[j] = low[c->points[j] & mask] + high[c->points[j] >> shift];
        occurs[d[j]] = true;
    }
    for (int at = 0, shell = 0; shell < c->n_shells; at++) {
        if (!occurs[at]) continue;
        shell++;
        for (int j = 0; j < c->n_points; j++)
            if (d[j] == at) list[++n] = c->points[j];
    }
    list[0] = (uint16_t)n;
    while (n % NEIGHBOUR_VECTOR) list[++n] = list[1];
    return n + 1;
}

/* Vectors with the digit 3 occur in the 2-bit map only as gaps. */
static bool is_vector(const struct codebook *c, unsigned packed)
{
    return c->bits != 2 || (packed & packed >> 1 & 0x5555) == 0;
}

static void fill_tables(const struct codebook *c)
{
    unsigned n_map = c->bits == 2 ? MAP_2BIT : MAP_3BIT;
    for (unsigned u = 0; u < n_map; u++) c->map[u] = -1;
    for (int j = 0; j < c->n_points; j++) c->map[c->points[j]] = j;
    int at = 0;
    for (unsigned u = 0; u < n_map; u++) {
        if (c->map[u] >= 0 || !is_vector(c, u)) continue;
        c->map[u] = -1 - at;
        at += list_neighbours(c, u, c->neighbours + at);
    }
}

/* pthread_once takes no argument: one function for each codebook. */
#define FILL(ID, NAME, ...)                                                                                  \
    static void fill_##NAME(void)                                                                            \
    {                                                                                                        \
        fill_tables(&codebooks[ID]);                                                                         \
    }
CODEBOOKS(FILL)
#undef FILL

const struct codebook *codebook_ready(enum codebook_id id)
{
    static struct {
        pthread_once_t once;
        void (*fill)(void);
    } state[CODEBOOK_COUNT] = {
#define STATE(ID, NAME, ...) [ID] = {PTHREAD_ONCE_INIT, fill_##NAME},
        CODEBOOKS(STATE)
#undef STATE
    };
    pthread_once(&state[id].once, state[id].fill);
    return &codebooks[id];
}
