/* The built-in scores of uint8 images, and the best patch of each, in one pass per image.
 *
 * Computes what exact.hat, exact.gradient_magnitude, exact.correlate_separable and
 * hashing.rolling_hash define, bit for bit: sums and products of integers, modulo a power of two or
 * in doubles too small to round, which no order of evaluation changes. One image stays in the cache
 * from its first byte to its best patch. native.py calls it.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define PAIRS /* of numbers are multiplied and added by one instruction */
#endif

#ifdef _MSC_VER
#define restrict __restrict /* MSVC knows the keyword in its C11 mode only */
#endif

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define INLINE static inline __attribute__((always_inline))
#define INDEPENDENT _Pragma("GCC ivdep")
#define FUSED __attribute__((optimize("fp-contract=fast"))) /* where nothing is rounded */
#else
#define VECTORISED
#define INLINE static inline
#define INDEPENDENT
#define FUSED
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define UNROLLED _Pragma("GCC unroll 32")
#else
#define UNROLLED
#endif

#define LANES 16 /* columns smoothed together: one cache line of int32 */
#define TILE_ROWS 4 /* of scores summed together, so that what is read serves all four */
#define TILE_COLUMNS 8

enum { HASH, HAT, SALIENCY, SEPARABLE };

/* Filled by native.py, field by field. */
typedef struct {
    int64_t kind, nms, cyclic, subpixel;
    int64_t channels, height, width;
    int64_t channel_stride, row_stride, column_stride;
    int64_t patch_height, patch_width;
    int64_t shift, arm_y, arm_x, count_y, count_x;
    int64_t steps[128]; /* count_y of them down, then count_x across */
} Plan;

typedef struct {
    int64_t height, width; /* of the image, with what is repeated of it on the torus */
    int64_t rows, columns; /* of the map */
    char *map; /* int32 or int64, see is_wide */
    int64_t *row_best;
    int64_t *most;      /* of three rows, with room for one column more at each side */
    uint8_t *summit;    /* which columns of a row are local maxima, eight at a time */
    int32_t *sums[2];   /* channel sums of two neighbouring rows */
    uint32_t *line;     /* one row of the field */
    uint32_t *smooth;   /* the smoothed field, or the hash of every row */
    int64_t stride;     /* of smooth */
    uint32_t *strip;    /* LANES columns of smooth, one below the other */
    uint64_t *powers;   /* powers and inverse powers for the hash */
    uint64_t *column;   /* running hash of every column */
    double *products;   /* both row filters' output, for SEPARABLE */
    double *taps;       /* u and g down, with TILE_ROWS - 1 zeros before, between and after them */
} Scratch;

/* --- the field: one row of channel sums, or of gradient magnitudes ---------------------------- */

INLINE void channel_sums(const Plan *p, const Scratch *s, const uint8_t *image, int64_t y,
                         int32_t *restrict out)
{
    const uint8_t *restrict row = image + (y < p->height ? y : y - p->height) * p->row_stride;
    const int64_t width = p->width, step = p->channel_stride;
    if (p->channels == 3 && p->column_stride == 1) {
        for (int64_t x = 0; x < width; x++)
            out[x] = row[x] + row[step + x] + row[2 * step + x];
    } else if (p->channels == 3 && p->column_stride == 3 && step == 1) {
        for (int64_t x = 0; x < width; x++)
            out[x] = row[3 * x] + row[3 * x + 1] + row[3 * x + 2];
    } else {
        for (int64_t x = 0; x < width; x++)
            out[x] = row[x * p->column_stride];
        for (int64_t c = 1; c < p->channels; c++)
            for (int64_t x = 0; x < width; x++)
                out[x] += row[c * step + x * p->column_stride];
    }
    for (int64_t x = width; x < s->width; x++)
        out[x] = out[x - width];
}

INLINE int32_t magnitude(int32_t difference) { return difference < 0 ? -difference : difference; }

INLINE void gradients(const int32_t *restrict here, const int32_t *restrict below, int64_t width,
                      uint32_t *restrict out)
{
    for (int64_t x = 0; x + 1 < width; x++)
        out[x] = magnitude(below[x] - here[x]) + magnitude(here[x + 1] - here[x]);
}

/* --- the Mexican hat (exact.hat) -------------------------------------------------------------- */

INLINE void smooth_row(const Plan *p, Scratch *s, int64_t y, int64_t width)
{
    uint32_t *line = s->line, *restrict out = s->smooth + y * s->stride;
    const int64_t *steps = p->steps + p->count_y;
    for (int64_t i = 0; i < p->count_x; i++) {
        const int64_t step = steps[i];
        width -= step;
        INDEPENDENT
        for (int64_t x = 0; x < width; x++)
            line[x] += line[x + step];
    }
    for (int64_t x = 0; x < width; x++)
        out[x] = (uint32_t)((int32_t)line[x] >> p->shift);
    for (int64_t x = width; x < s->stride; x++)
        out[x] = 0;
}

/* Strip by strip, in separate memory: rows of a large image lie too far apart for the processor to
 * remember where their pages are. */
INLINE int64_t smooth_columns(const Plan *p, Scratch *s, int64_t height)
{
    int64_t rows = height;
    uint32_t *strip = s->strip;
    for (int64_t left = 0; left < s->stride; left += LANES) {
        uint32_t *column = s->smooth + left;
        for (int64_t y = 0; y < height; y++)
            memcpy(strip + y * LANES, column + y * s->stride, LANES * sizeof *strip);
        rows = height;
        for (int64_t i = 0; i < p->count_y; i++) {
            rows -= p->steps[i];
            const uint32_t *ahead = strip + p->steps[i] * LANES;
            INDEPENDENT
            for (int64_t x = 0; x < rows * LANES; x++)
                strip[x] += ahead[x];
        }
        for (int64_t y = 0; y < rows; y++)
            memcpy(column + y * s->stride, strip + y * LANES, LANES * sizeof *strip);
    }
    return rows;
}

VECTORISED static void hat(const Plan *p, const uint8_t *image, Scratch *s)
{
    const int64_t edge = p->kind == SALIENCY;
    const int64_t height = s->height - edge, width = s->width - edge;
    int64_t columns = width;
    for (int64_t i = 0; i < p->count_x; i++)
        columns -= p->steps[p->count_y + i];
    if (edge)
        channel_sums(p, s, image, 0, s->sums[0]);
    for (int64_t y = 0; y < height; y++) {
        if (edge) {
            channel_sums(p, s, image, y + 1, s->sums[(y + 1) & 1]);
            gradients(s->sums[y & 1], s->sums[(y + 1) & 1], s->width, s->line);
        } else {
            channel_sums(p, s, image, y, (int32_t *)s->line);
        }
        smooth_row(p, s, y, width);
    }
    const int64_t rows = smooth_columns(p, s, height);
    const int64_t top = (rows - s->rows) / 2, left = (columns - s->columns) / 2;
    const int64_t up = p->arm_y * s->stride, side = p->arm_x;
    for (int64_t y = 0; y < s->rows; y++) {
        const uint32_t *restrict from = s->smooth + (top + y) * s->stride + left;
        int32_t *restrict out = (int32_t *)s->map + y * s->columns;
        for (int64_t x = 0; x < s->columns; x++)
            out[x] = (int32_t)(4 * from[x] - from[x - up] - from[x + up] - from[x - side] -
                               from[x + side]);
    }
}

/* --- two pairs of symmetric filters (exact.correlate_separable) -------------------------------- */

static const int32_t no_pixels[LANES];

INLINE void add_products(double *restrict sum, const double *g, const double *u, double u_tap,
                         double g_tap)
{
    for (int x = 0; x < TILE_COLUMNS; x++) {
        sum[x] += g[x] * u_tap;
        sum[x] += u[x] * g_tap;
    }
}

/* `filters` holds g and u across, then u and g down: the sum of g across u down and u across g down.
 * Across, pixels with equal weights on both sides of the middle are added before they are
 * multiplied. */
FUSED VECTORISED static void separable(const Plan *p, const uint8_t *image, Scratch *s,
                                       const int32_t *filters)
{
    const int64_t height = p->patch_height, width = p->patch_width, stride = s->stride;
    const int32_t *g_across = filters, *u_across = filters + width;
    double *g_rows = s->products, *u_rows = s->products + s->height * stride;
    int32_t *line = (int32_t *)s->line;
    for (int64_t y = 0; y < s->height; y++) {
        channel_sums(p, s, image, y, line);
        for (int64_t left = 0; left < s->columns; left += LANES) {
            int32_t g[LANES] = {0}, u[LANES] = {0};
            for (int64_t i = 0; i < (width + 1) / 2; i++) {
                const int64_t opposite = width - 1 - i;
                const int32_t *first = line + left + i;
                const int32_t *last = opposite == i ? no_pixels : line + left + opposite;
                for (int x = 0; x < LANES; x++) {
                    const int32_t sum = first[x] + last[x];
                    g[x] += sum * g_across[i];
                    u[x] += sum * u_across[i];
                }
            }
            for (int x = 0; x < LANES; x++) {
                g_rows[y * stride + left + x] = g[x];
                u_rows[y * stride + left + x] = u[x];
            }
        }
    }
    const double *u_down = s->taps + TILE_ROWS - 1, *g_down = u_down + height + TILE_ROWS - 1;
    for (int64_t y = 0; y < s->rows; y += TILE_ROWS) {
        for (int64_t left = 0; left < s->columns; left += TILE_COLUMNS) {
            double sums[TILE_ROWS][TILE_COLUMNS] = {{0}};
            for (int64_t i = 0; i < height + TILE_ROWS - 1; i++) {
                const double *g = g_rows + (y + i) * stride + left;
                const double *u = u_rows + (y + i) * stride + left;
                add_products(sums[0], g, u, u_down[i], g_down[i]);
                add_products(sums[1], g, u, u_down[i - 1], g_down[i - 1]);
                add_products(sums[2], g, u, u_down[i - 2], g_down[i - 2]);
                add_products(sums[3], g, u, u_down[i - 3], g_down[i - 3]);
            }
            const int64_t rows = s->rows - y < TILE_ROWS ? s->rows - y : TILE_ROWS;
            const int64_t rest = s->columns - left;
            for (int64_t r = 0; r < rows; r++)
                for (int64_t x = 0; x < (rest < TILE_COLUMNS ? rest : TILE_COLUMNS); x++)
                    ((int64_t *)s->map)[(y + r) * s->columns + left + x] = (int64_t)sums[r][x];
        }
    }
}

/* --- the rolling hash (hashing.rolling_hash) -------------------------------------------------- */

/* The constants of hashing.py: odd multipliers of rows and columns, and the one that mixes. */
static uint64_t ROW, COLUMN, MIX;

static uint64_t inverse(uint64_t odd)
{
    uint64_t x = odd; /* right to 3 bits; every step doubles them */
    for (int i = 0; i < 5; i++)
        x *= 2 - odd * x;
    return x;
}

INLINE void fill_powers(uint64_t base, int64_t count, uint64_t *out)
{
    uint64_t power = 1;
    for (int64_t i = 0; i < count; i++, power *= base)
        out[i] = power;
}

VECTORISED static void rolling_hash(const Plan *p, const uint8_t *image, Scratch *s)
{
    const int64_t height = s->height, width = s->width, columns = s->columns;
    const int64_t patch_height = p->patch_height, patch_width = p->patch_width;
    const uint64_t *across = s->powers, *back_across = across + width;
    const uint64_t *down = back_across + width, *back_down = down + height;
    uint32_t *line = s->line;
    uint64_t *restrict total = s->column;
    for (int64_t x = 0; x < columns; x++)
        total[x] = 0;
    for (int64_t y = 0; y < height; y++) {
        uint32_t *restrict row = s->smooth + y * s->stride;
        channel_sums(p, s, image, y, (int32_t *)line);
        for (int64_t x = 0; x < width; x++)
            line[x] *= (uint32_t)across[x];
        uint32_t sum = 0;
        for (int64_t x = 0; x < patch_width; x++)
            sum += line[x];
        row[0] = sum;
        for (int64_t x = 1; x < columns; x++)
            row[x] = sum += line[x + patch_width - 1] - line[x - 1];
        for (int64_t x = 0; x < columns; x++)
            row[x] *= (uint32_t)back_across[x];
        /* The row hashes are signed 32-bit numbers there, hence here. */
        const int32_t *entering = (const int32_t *)row;
        for (int64_t x = 0; x < columns; x++)
            total[x] += (uint64_t)(int64_t)entering[x] * down[y];
        if (y + 1 < patch_height)
            continue;
        const int64_t first = y + 1 - patch_height;
        uint64_t *restrict out = (uint64_t *)s->map + first * columns;
        const int32_t *leaving = (const int32_t *)(s->smooth + first * s->stride);
        for (int64_t x = 0; x < columns; x++) {
            const uint64_t z = total[x] * back_down[first];
            out[x] = (z ^ z >> 32) * MIX;
            total[x] -= (uint64_t)(int64_t)leaving[x] * down[first];
        }
    }
}

/* --- floats to grey levels (exact.integer_image) ----------------------------------------------- */

/* Whether all values are on the grid of 0..255; if not, what was written is of no use. */
VECTORISED static int quantise_floats(const float *restrict in, int64_t count,
                                      uint8_t *restrict out)
{
    const float integers = 12582912.0f; /* 1.5 * 2^23: adding it rounds to nearest, ties to even */
    uint32_t beyond = 0;
    for (int64_t i = 0; i < count; i++) {
        const float sum = in[i] * 255.0f + integers;
        uint32_t level; /* the steps from one float to the next, each of them one grey level */
        memcpy(&level, &sum, sizeof level);
        level -= 0x4b400000; /* `integers` */
        beyond |= level;
        out[i] = (uint8_t)level;
    }
    return beyond < 256; /* not so for NaN */
}

/* --- the best patch --------------------------------------------------------------------------- */

/* Where one best entry of the map lies, how many equal it, and how far its peak lies below and to
 * the right of it, in 1/64 px. */
typedef struct {
    int64_t row, column, count, down, across;
} Best;

/* With `nms` the largest local maximum away from the edge: the largest entry there, unless the edge
 * exceeds it; only then are neighbours compared. On the torus there is no edge. */
#define DEFINE_BEST(NAME, T, LOWEST)                                                              \
    VECTORISED static Best NAME(const Plan *p, const Scratch *s, const T *map)                    \
    {                                                                                             \
        const int64_t rows = s->rows, columns = s->columns, edge = p->nms && !p->cyclic;          \
        const int64_t last_row = rows - edge, last_column = columns - edge;                       \
        Best best = {0, 0, 0, 0, 0};                                                                    \
        if (last_row <= edge || last_column <= edge)                                              \
            return best;                                                                          \
        T top = LOWEST, outside = LOWEST;                                                         \
        for (int64_t y = 0; y < rows; y++) {                                                      \
            const T *line = map + y * columns;                                                    \
            T inside = LOWEST;                                                                    \
            for (int64_t x = edge; x < last_column; x++)                                          \
                inside = line[x] > inside ? line[x] : inside;                                     \
            s->row_best[y] = inside;                                                              \
            T *which = y < edge || y >= last_row ? &outside : &top;                               \
            *which = inside > *which ? inside : *which;                                           \
            if (edge) {                                                                           \
                outside = line[0] > outside ? line[0] : outside;                                  \
                outside = line[columns - 1] > outside ? line[columns - 1] : outside;              \
            }                                                                                     \
        }                                                                                         \
        const int compare = outside > top;                                                        \
        if (compare)                                                                              \
            top = LOWEST; /* until a local maximum is found */                                    \
        for (int64_t y = edge; y < last_row; y++) {                                               \
            if (s->row_best[y] < top)                                                             \
                continue;                                                                         \
            for (int64_t x = edge; x < last_column; x++) {                                        \
                const T *at = map + y * columns + x, *up = at - columns, *down = at + columns;    \
                if (*at < top)                                                                    \
                    continue;                                                                     \
                if (compare && (*at < at[-1] || *at < at[1] || *at < up[-1] || *at < up[0] ||     \
                                *at < up[1] || *at < down[-1] || *at < down[0] || *at < down[1])) \
                    continue;                                                                     \
                if (*at > top || best.count == 0)                                                 \
                    best = (Best){y, x, 0, 0, 0};                                                 \
                top = *at;                                                                        \
                best.count++;                                                                     \
            }                                                                                     \
        }                                                                                         \
        return best;                                                                              \
    }

DEFINE_BEST(best_int32, int32_t, INT32_MIN)
DEFINE_BEST(best_int64, int64_t, INT64_MIN)

/* --- the best peak between the pixels (peaks.py) ----------------------------------------------- */

#define UNIT 64
#define REACH 38

/* Division and shift that round down, as they do in Python. */
INLINE int64_t half_down(int64_t x, int bits) { return x < 0 ? ~(~x >> bits) : x >> bits; }

INLINE int64_t ratio(int64_t numerator, int64_t denominator)
{
    const int64_t size = numerator < 0 ? -numerator : numerator;
    int64_t parts = (2 * UNIT * size + denominator) / (2 * denominator);
    parts = parts > REACH ? REACH : parts;
    return numerator < 0 ? -parts : parts;
}

/* The peak of the surface through 3 x 3 scores, the middle one of which is highest. */
static int64_t fit(const int64_t around[9], int64_t *down, int64_t *across)
{
    const int64_t centre = around[4];
    int64_t d[9], largest = 0;
    for (int i = 0; i < 9; i++) {
        d[i] = centre - around[i];
        largest = d[i] > largest ? d[i] : largest;
    }
    const int64_t unit = (largest >> 20) + 1;
    if (unit > 1)
        for (int i = 0; i < 9; i++)
            d[i] /= unit;
    const int64_t g_y = d[1] - d[7], g_x = d[3] - d[5];
    const int64_t h_yy = d[1] + d[7] > 1 ? d[1] + d[7] : 1;
    const int64_t h_xx = d[3] + d[5] > 1 ? d[3] + d[5] : 1;
    int64_t h_xy = d[2] + d[6] - d[0] - d[8];
    if (h_xy * h_xy >= 16 * h_yy * h_xx)
        h_xy = 0;
    const int64_t determinant = 16 * h_yy * h_xx - h_xy * h_xy;
    const int64_t y = ratio(8 * h_xx * g_y + 2 * h_xy * g_x, determinant);
    const int64_t x = ratio(8 * h_yy * g_x + 2 * h_xy * g_y, determinant);
    const int64_t rise = 2 * UNIT * (g_y * y + g_x * x) -
                         2 * (h_yy * y * y + h_xx * x * x) + h_xy * y * x;
    *down = y, *across = x;
    return centre + half_down(half_down(rise, 7) * unit, 7);
}

/* No peak is higher above its score than the score is above the lowest of its neighbours: with g and
 * h of `fit`, 0.6 (|g_y| + |g_x|) / 2 + 0.36 |h_xy| / 4 < 0.8 `largest`. */
INLINE int64_t highest_peak(const int64_t around[9])
{
    int64_t lowest = around[0];
    for (int i = 1; i < 9; i++)
        lowest = around[i] < lowest ? around[i] : lowest;
    return 2 * around[4] - lowest;
}

/* The better of the best peak so far, whose height is `top`, and that of a local maximum. */
static void consider(int64_t y, int64_t x, const int64_t around[9], Best *best, int64_t *top)
{
    if (best->count && highest_peak(around) < *top)
        return;
    int64_t down, across;
    const int64_t height = fit(around, &down, &across);
    if (best->count == 0 || height > *top) {
        *top = height;
        *best = (Best){y, x, 0, down, across};
    }
    best->count += height == *top;
}

#define larger(A, B) ((A) > (B) ? (A) : (B))

/* Of all local maxima, those at the edge only on the torus, the one with the highest peak. */
#define DEFINE_BEST_PEAK(NAME, T)                                                                 \
    VECTORISED static Best NAME(const Plan *p, const Scratch *s, const T *map)                    \
    {                                                                                             \
        const int64_t rows = s->rows, columns = s->columns, edge = !p->cyclic;                    \
        T *restrict most = (T *)s->most + 1; /* of a score, the one above and the one below it */ \
        uint8_t *restrict summit = s->summit;                                                     \
        Best best = {0, 0, 0, 0, 0};                                                              \
        int64_t top = 0;                                                                          \
        memset(summit + columns, 0, 8);                                                           \
        for (int64_t y = edge; y < rows - edge; y++) {                                            \
            const T *line = map + y * columns;                                                    \
            const T *up = y ? line - columns : map + (rows - 1) * columns;                        \
            const T *down = y + 1 < rows ? line + columns : map;                                  \
            for (int64_t x = 0; x < columns; x++)                                                 \
                most[x] = larger(line[x], larger(up[x], down[x]));                                \
            most[-1] = most[columns - 1], most[columns] = most[0];                                \
            for (int64_t x = 0; x < columns; x++)                                                 \
                summit[x] = line[x] >= larger(most[x], larger(most[x - 1], most[x + 1]));         \
            if (edge)                                                                             \
                summit[0] = summit[columns - 1] = 0;                                              \
            for (int64_t left = 0; left < columns; left += 8) {                                   \
                uint64_t any;                                                                     \
                memcpy(&any, summit + left, sizeof any);                                          \
                for (int64_t x = left; any && x < left + 8; x++) {                                \
                    if (!summit[x])                                                               \
                        continue;                                                                 \
                    const int64_t l = x ? x - 1 : columns - 1, r = x + 1 < columns ? x + 1 : 0;   \
                    const int64_t around[9] = {up[l],   up[x],   up[r],   line[l], line[x],       \
                                               line[r], down[l], down[x], down[r]};               \
                    consider(y, x, around, &best, &top);                                          \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
        return best;                                                                              \
    }

DEFINE_BEST_PEAK(best_peak_int32, int32_t)
DEFINE_BEST_PEAK(best_peak_int64, int64_t)

/* --- crops between the pixels (resampling.py) -------------------------------------------------- */

#define TAPS 10
#define TORUS_TAPS 32
#define EIGHT 8 /* pixels made together */

#ifdef PAIRS
typedef struct {
    __m128i a, b;
} Sums;

/* Eight sums of products with the taps, every two taps for the pairs of numbers at from[i] + x: `a`
 * for four pairs, `b` for the four that lie `apart` from them. */
INLINE Sums weigh(const int16_t *const *from, int64_t x, int64_t apart, const int16_t *taps,
                  int64_t count, int bits)
{
    const __m128i half = _mm_set1_epi32(1 << (bits - 1));
    Sums sums = {half, half};
    for (int64_t i = 0; i < count; i += 2) {
        int32_t two;
        memcpy(&two, taps + i, sizeof two);
        const __m128i weights = _mm_set1_epi32(two);
        const __m128i *a = (const __m128i *)(from[i / 2] + x);
        const __m128i *b = (const __m128i *)(from[i / 2] + x + apart);
        sums.a = _mm_add_epi32(sums.a, _mm_madd_epi16(_mm_loadu_si128(a), weights));
        sums.b = _mm_add_epi32(sums.b, _mm_madd_epi16(_mm_loadu_si128(b), weights));
    }
    return (Sums){_mm_srai_epi32(sums.a, bits), _mm_srai_epi32(sums.b, bits)};
}
#endif

/* Pairs of rows into one row, in 1/4 grey level. Like `resample_across`, eight columns at once. */
INLINE void resample_down(const int16_t *const *pairs, const int16_t *taps, int64_t count,
                          int64_t columns, int16_t *restrict out)
{
#ifdef PAIRS
    for (int64_t x = 0; x < columns; x += EIGHT) {
        const Sums levels = weigh(pairs, 2 * x, EIGHT, taps, count, 10);
        _mm_storeu_si128((__m128i *)(out + x), _mm_packs_epi32(levels.a, levels.b));
    }
#else
    for (int64_t x = 0; x < columns; x++) {
        int32_t sum = 1 << 9;
        UNROLLED
        for (int64_t i = 0; i < count; i++)
            sum += pairs[i / 2][2 * x + i % 2] * taps[i];
        out[x] = (int16_t)(sum >> 10);
    }
#endif
}

INLINE void resample_across(const int16_t *restrict line, const int16_t *taps, int64_t count,
                            int64_t columns, uint8_t *restrict out)
{
#ifdef PAIRS
    const int16_t *pairs[TORUS_TAPS / 2];
    for (int64_t i = 0; i < count / 2; i++)
        pairs[i] = line + 2 * i;
    for (int64_t x = 0; x < columns; x += EIGHT) {
        const Sums sums = weigh(pairs, x, 1, taps, count, 14); /* of every other column */
        const __m128i first = _mm_unpacklo_epi32(sums.a, sums.b);
        const __m128i levels = _mm_packs_epi32(first, _mm_unpackhi_epi32(sums.a, sums.b));
        _mm_storel_epi64((__m128i *)(out + x), _mm_packus_epi16(levels, levels));
    }
#else
    for (int64_t x = 0; x < columns; x++) {
        int32_t sum = 1 << 13;
        UNROLLED
        for (int64_t i = 0; i < count; i++)
            sum += line[x + i] * taps[i];
        sum >>= 14;
        sum = sum < 0 ? 0 : sum;
        out[x] = (uint8_t)(sum > 255 ? 255 : sum);
    }
#endif
}

/* Where pixel `i` of a line lies in the image: beyond the border, pixels repeat or wrap around. */
INLINE int64_t inside(int64_t i, int64_t length, int64_t cyclic)
{
    if (cyclic)
        return (i % length + length) % length;
    return i < 0 ? 0 : i < length ? i : length - 1;
}

/* How many columns of the image are read for `columns` of the crop, in multiples of eight. */
INLINE int64_t seen_columns(int64_t columns, int64_t taps)
{
    return (columns + EIGHT - 1) / EIGHT * EIGHT + (taps + EIGHT - 1) / EIGHT * EIGHT;
}

/* Two rows of what the taps see, in turns. */
INLINE void read_rows(const uint8_t *row, const uint8_t *next, int64_t width, int64_t cyclic,
                      int64_t left, int64_t count, int16_t *restrict out)
{
    for (int64_t x = 0, here; x < count; x += here) {
        const int64_t at = left + x, first = inside(at, width, cyclic);
        const int64_t runs = cyclic || at == first;
        here = runs ? width - first : at < 0 ? -at : count - x;
        here = here < count - x ? here : count - x;
        const uint8_t *a = row + first, *b = next + first;
        if (runs)
            for (int64_t i = x; i < x + here; i++)
                out[2 * i] = *a++, out[2 * i + 1] = *b++;
        else
            for (int64_t i = x; i < x + here; i++)
                out[2 * i] = *a, out[2 * i + 1] = *b;
    }
}

/* Of one plane the crop at (top, left) in 1/64 px: down the columns into a line of 1/4 grey levels,
 * then across. Every two neighbouring rows are kept as pairs, as long as taps reach them. */
INLINE void resample_plane(const uint8_t *plane, const int64_t sizes[5], int64_t top, int64_t left,
                           const int16_t *table, int64_t count, int16_t *scratch, uint8_t *out)
{
    const int64_t height = sizes[0], width = sizes[1], columns = sizes[3], cyclic = sizes[4];
    const int64_t seen = seen_columns(columns, count);
    const int64_t y0 = half_down(top, 6) - count / 2 + 1, x0 = half_down(left, 6) - count / 2 + 1;
    int16_t down[TORUS_TAPS], across[TORUS_TAPS];
    memcpy(down, table + (top & (UNIT - 1)) * count, count * sizeof *down);
    memcpy(across, table + (left & (UNIT - 1)) * count, count * sizeof *across);
    int16_t *line = scratch, *pairs = scratch + seen;
    uint8_t *bytes = (uint8_t *)(pairs + 2 * seen * (count - 1));
    const int16_t *from[TORUS_TAPS / 2];
    for (int64_t y = 2 - count; y < sizes[2]; y++) {
        const int64_t last = y + count - 2; /* of the pairs of rows that this one is made of */
        read_rows(plane + inside(y0 + last, height, cyclic) * width,
                  plane + inside(y0 + last + 1, height, cyclic) * width, width, cyclic, x0, seen,
                  pairs + last % (count - 1) * 2 * seen);
        if (y < 0)
            continue;
        for (int64_t i = 0; i < count / 2; i++)
            from[i] = pairs + (y + 2 * i) % (count - 1) * 2 * seen;
        resample_down(from, down, count, seen, line);
        resample_across(line, across, count, columns, bytes);
        memcpy(out + y * columns, bytes, columns);
    }
}

/* The same, with numbers of taps that compilers know. */
VECTORISED static void resample_with_taps(const uint8_t *plane, const int64_t sizes[5], int64_t top,
                                          int64_t left, const int16_t *table, int64_t count,
                                          int16_t *scratch, uint8_t *out)
{
    if (count == TAPS)
        resample_plane(plane, sizes, top, left, table, TAPS, scratch, out);
    else
        resample_plane(plane, sizes, top, left, table, TORUS_TAPS, scratch, out);
}

/* --- Python ----------------------------------------------------------------------------------- */

static int is_wide(const Plan *p) { return p->kind == HASH || p->kind == SEPARABLE; }

/* Cut the scratch memory out of one block, and return its size; without a block only that. */
static size_t lay_out(const Plan *p, Scratch *s, char *block, int with_map)
{
    s->height = p->height + (p->cyclic ? p->patch_height - 1 : 0);
    s->width = p->width + (p->cyclic ? p->patch_width - 1 : 0);
    s->rows = s->height - p->patch_height + 1;
    s->columns = s->width - p->patch_width + 1;
    /* An odd number of cache lines, so that the rows of a strip do not displace each other. */
    s->stride = ((s->width + LANES - 1) / LANES | 1) * LANES;
    size_t used = 0;
#define TAKE(FIELD, COUNT)                                                                        \
    (s->FIELD = (void *)(block + used), used += ((COUNT) * sizeof *s->FIELD + 63) / 64 * 64)
    TAKE(row_best, s->rows);
    TAKE(most, p->subpixel ? s->columns + 2 : 0);
    TAKE(summit, p->subpixel ? s->columns + 8 : 0);
    TAKE(sums[0], s->width);
    TAKE(sums[1], s->width);
    TAKE(line, s->width + LANES);
    TAKE(powers, p->kind == HASH ? 2 * (s->width + s->height) : 0);
    TAKE(column, p->kind == HASH ? s->columns : 0);
    TAKE(smooth, p->kind == SEPARABLE ? 0 : s->height * s->stride);
    TAKE(strip, p->kind == HAT || p->kind == SALIENCY ? s->height * LANES : 0);
    TAKE(products, p->kind == SEPARABLE ? (2 * s->height + TILE_ROWS - 1) * s->stride : 0);
    TAKE(taps, p->kind == SEPARABLE ? 2 * p->patch_height + 3 * (TILE_ROWS - 1) : 0);
    if (with_map)
        TAKE(map, s->rows * s->columns * (is_wide(p) ? sizeof(int64_t) : sizeof(int32_t)));
#undef TAKE
    return used;
}

/* What does not depend on the image. */
static void prepare(const Plan *p, Scratch *s, const int32_t *filters)
{
    memset(s->line, 0, (s->width + LANES) * sizeof *s->line);
    if (p->kind == HASH) {
        fill_powers(COLUMN, s->width, s->powers);
        fill_powers(inverse(COLUMN), s->width, s->powers + s->width);
        fill_powers(ROW, s->height, s->powers + 2 * s->width);
        fill_powers(inverse(ROW), s->height, s->powers + 2 * s->width + s->height);
    }
    if (p->kind == SEPARABLE) {
        const int64_t height = p->patch_height, gap = TILE_ROWS - 1;
        memset(s->taps, 0, (2 * height + 3 * gap) * sizeof *s->taps);
        for (int64_t i = 0; i < height; i++) {
            s->taps[gap + i] = filters[2 * p->patch_width + i];
            s->taps[gap + height + gap + i] = filters[2 * p->patch_width + height + i];
        }
        memset(s->products + 2 * s->height * s->stride, 0, gap * s->stride * sizeof *s->products);
    }
}

static void fill_map(const Plan *p, const uint8_t *image, Scratch *s, const int32_t *filters)
{
    if (p->kind == HASH)
        rolling_hash(p, image, s);
    else if (p->kind == SEPARABLE)
        separable(p, image, s, filters);
    else
        hat(p, image, s);
}

static Best best_of(const Plan *p, const Scratch *s)
{
    const int64_t *wide = (const int64_t *)s->map;
    const int32_t *narrow = (const int32_t *)s->map;
    if (p->subpixel && p->nms)
        return is_wide(p) ? best_peak_int64(p, s, wide) : best_peak_int32(p, s, narrow);
    return is_wide(p) ? best_int64(p, s, wide) : best_int32(p, s, narrow);
}

/* run(plan, filters, pixels, image_stride, count, maps, best): score `count` images.
 *
 * `maps`, if not 0, takes their score maps, one after the other; `best`, if not 0, takes the origin
 * of the best patch of each, and how many equal it; images that already have one are skipped.
 * Addresses are integers. */
static PyObject *run(PyObject *self, PyObject *args)
{
    const char *fields, *filters;
    Py_ssize_t size, filters_size, pixels, image_stride, count, maps, best;
    if (!PyArg_ParseTuple(args, "y#y#nnnnn", &fields, &size, &filters, &filters_size, &pixels,
                          &image_stride, &count, &maps, &best))
        return NULL;
    Plan plan;
    if (size > (Py_ssize_t)sizeof plan)
        return PyErr_Format(PyExc_ValueError, "Expected a plan of at most %zu bytes, but got %zd.",
                            sizeof plan, size);
    memcpy(&plan, fields, size);
    char *block;
    Py_BEGIN_ALLOW_THREADS
    Scratch s;
    block = malloc(lay_out(&plan, &s, NULL, !maps));
    if (block) {
        lay_out(&plan, &s, block, !maps);
        prepare(&plan, &s, (const int32_t *)filters);
        const int64_t item = is_wide(&plan) ? sizeof(int64_t) : sizeof(int32_t);
        for (Py_ssize_t i = 0; i < count; i++) {
            if (best && ((Best *)best)[i].count)
                continue;
            if (maps)
                s.map = (char *)maps + i * s.rows * s.columns * item;
            fill_map(&plan, (const uint8_t *)pixels + i * image_stride, &s,
                     (const int32_t *)filters);
            if (best)
                ((Best *)best)[i] = best_of(&plan, &s);
        }
        free(block);
    }
    Py_END_ALLOW_THREADS
    if (!block)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* quantise(floats, count, out): whether `count` floats, as round(255 x), fit into bytes. */
static PyObject *quantise(PyObject *self, PyObject *args)
{
    Py_ssize_t floats, count, out;
    if (!PyArg_ParseTuple(args, "nnn", &floats, &count, &out))
        return NULL;
    int on_grid;
    Py_BEGIN_ALLOW_THREADS
    on_grid = quantise_floats((const float *)floats, count, (uint8_t *)out);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(on_grid);
}

/* crop(images, plan, origins, count, out): copy a window out of each of `count` images. The plan:
 * planes, height, width, crop height, crop width, bytes of a pixel. Windows may wrap around. */
static PyObject *crop(PyObject *self, PyObject *args)
{
    const char *plan;
    Py_ssize_t plan_size, images, origins, count, out;
    if (!PyArg_ParseTuple(args, "ny#nnn", &images, &plan, &plan_size, &origins, &count, &out))
        return NULL;
    int64_t fields[6];
    if (plan_size != sizeof fields)
        return PyErr_Format(PyExc_ValueError, "Expected %zu bytes of a plan, but got %zd.",
                            sizeof fields, plan_size);
    memcpy(fields, plan, sizeof fields);
    const int64_t planes = fields[0], height = fields[1], width = fields[2], rows = fields[3];
    const int64_t row = fields[4] * fields[5], item = fields[5];
    Py_BEGIN_ALLOW_THREADS
    char *target = (char *)out;
    for (Py_ssize_t i = 0; i < count; i++) {
        const int64_t top = ((int64_t *)origins)[2 * i], left = ((int64_t *)origins)[2 * i + 1];
        const int64_t room = (width - left) * item, before = row < room ? row : room;
        for (int64_t plane = 0; plane < planes; plane++) {
            const char *source = (char *)images + (i * planes + plane) * height * width * item;
            for (int64_t y = top; y < top + rows; y++, target += row) {
                const char *line = source + (y < height ? y : y - height) * width * item;
                memcpy(target, line + left * item, before);
                memcpy(target + before, line, row - before);
            }
        }
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* resample(images, plan, places, count, out, taps): the same for bytes at places in 1/64 px. The
 * plan: planes, height, width, crop height, crop width, whether crops wrap around. The taps: ten or
 * 32 of each of 64 fractions, in 1/4096, int16. */
static PyObject *resample(PyObject *self, PyObject *args)
{
    const char *plan, *table;
    Py_ssize_t plan_size, images, places, count, out, table_size;
    if (!PyArg_ParseTuple(args, "ny#nnny#", &images, &plan, &plan_size, &places, &count, &out,
                          &table, &table_size))
        return NULL;
    int64_t fields[6];
    const int64_t taps = table_size / UNIT / (Py_ssize_t)sizeof(int16_t);
    if (plan_size != sizeof fields || (taps != TAPS && taps != TORUS_TAPS))
        return PyErr_Format(PyExc_ValueError, "Expected another plan or table of taps.");
    memcpy(fields, plan, sizeof fields);
    const int64_t planes = fields[0], area = fields[1] * fields[2], crop = fields[3] * fields[4];
    int16_t *scratch;
    Py_BEGIN_ALLOW_THREADS
    scratch = malloc(2 * taps * seen_columns(fields[4], taps) * sizeof *scratch);
    for (Py_ssize_t i = 0; scratch && i < count * planes; i++) {
        const int64_t *place = (const int64_t *)places + i / planes * 2;
        resample_with_taps((const uint8_t *)images + i * area, fields + 1, place[0], place[1],
                           (const int16_t *)table, taps, scratch, (uint8_t *)out + i * crop);
    }
    free(scratch);
    Py_END_ALLOW_THREADS
    if (!scratch)
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* constants(row, column, mix): those of hashing.py. */
static PyObject *constants(PyObject *self, PyObject *args)
{
    unsigned long long row, column, mix;
    if (!PyArg_ParseTuple(args, "KKK", &row, &column, &mix))
        return NULL;
    ROW = row, COLUMN = column, MIX = mix;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, NULL},
    {"quantise", quantise, METH_VARARGS, NULL},
    {"crop", crop, METH_VARARGS, NULL},
    {"resample", resample, METH_VARARGS, NULL},
    {"constants", constants, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module); }
