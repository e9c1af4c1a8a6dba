/* The built-in scores of uint8 images, and the best patch of each, in one pass per image.
 *
 * Computes what exact.hat, exact.gradient_magnitude and hashing.rolling_hash define, bit for bit:
 * sums and products of integers modulo a power of two, which no order of evaluation changes. One
 * image stays in the cache from its first byte to its best patch. native.py is the other side.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define INLINE static inline __attribute__((always_inline))
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define VECTORISED
#define INLINE static inline
#define INDEPENDENT
#endif

#define LANES 16 /* columns smoothed together: one cache line of int32 */

enum { HASH, HAT, SALIENCY };

/* Filled by native.py, field by field. */
typedef struct {
    int64_t kind, nms, cyclic;
    int64_t channels, height, width;
    int64_t channel_stride, row_stride, column_stride;
    int64_t patch_height, patch_width;
    int64_t shift, arm_y, arm_x, count_y, count_x;
    int64_t steps[128]; /* count_y of them down, then count_x across */
} Plan;

typedef struct {
    int64_t height, width; /* of the image, with what is repeated of it on the torus */
    int64_t rows, columns; /* of the map */
    void *map;
    int32_t *row_best;
    int32_t *sums[2];   /* channel sums of two neighbouring rows */
    uint32_t *line;     /* one row of the field */
    uint32_t *smooth;   /* the smoothed field, or the hash of every row */
    int64_t stride;     /* of smooth */
    uint64_t *powers;   /* powers and inverse powers for the hash */
    uint64_t *column;   /* running hash of every column */
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

INLINE int64_t smooth_columns(const Plan *p, Scratch *s, int64_t height)
{
    int64_t rows = height;
    for (int64_t left = 0; left < s->stride; left += LANES) {
        uint32_t *strip = s->smooth + left;
        rows = height;
        for (int64_t i = 0; i < p->count_y; i++) {
            rows -= p->steps[i];
            const uint32_t *ahead = strip + p->steps[i] * s->stride;
            for (int64_t y = 0; y < rows; y++) {
                INDEPENDENT
                for (int x = 0; x < LANES; x++)
                    strip[y * s->stride + x] += ahead[y * s->stride + x];
            }
        }
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

/* --- the best patch --------------------------------------------------------------------------- */

/* Where one best entry of the map lies, and how many equal it. */

typedef struct {
    int64_t row, column, count;
} Best;

VECTORISED static Best best_hash(const Scratch *s)
{
    const int64_t *map = s->map, size = s->rows * s->columns;
    int64_t top = map[0];
    for (int64_t i = 0; i < size; i++)
        top = map[i] > top ? map[i] : top;
    int64_t count = 0, position = 0;
    for (int64_t i = 0; i < size; i++)
        count += map[i] == top;
    while (map[position] != top)
        position++;
    return (Best){position / s->columns, position % s->columns, count};
}

INLINE int is_local_maximum(const int32_t *at, int64_t columns)
{
    const int32_t *up = at - columns, *down = at + columns;
    return *at >= at[-1] && *at >= at[1] && *at >= up[-1] && *at >= up[0] && *at >= up[1] &&
           *at >= down[-1] && *at >= down[0] && *at >= down[1];
}

/* With `nms` the largest local maximum away from the edge: the largest entry there, unless the edge
 * exceeds it; only then are neighbours compared. On the torus there is no edge. */
VECTORISED static Best best_hat(const Plan *p, const Scratch *s)
{
    const int32_t *map = s->map;
    const int64_t rows = s->rows, columns = s->columns, edge = p->nms && !p->cyclic;
    const int64_t last_row = rows - edge, last_column = columns - edge;
    Best best = {0, 0, 0};
    if (last_row <= edge || last_column <= edge)
        return best;
    int32_t top = INT32_MIN, outside = INT32_MIN;
    for (int64_t y = 0; y < rows; y++) {
        const int32_t *line = map + y * columns;
        int32_t inside = INT32_MIN;
        for (int64_t x = edge; x < last_column; x++)
            inside = line[x] > inside ? line[x] : inside;
        s->row_best[y] = inside;
        int32_t *which = y < edge || y >= last_row ? &outside : &top;
        *which = inside > *which ? inside : *which;
        if (edge) {
            outside = line[0] > outside ? line[0] : outside;
            outside = line[columns - 1] > outside ? line[columns - 1] : outside;
        }
    }
    const int compare = outside > top;
    if (compare)
        top = INT32_MIN; /* until a local maximum is found */
    for (int64_t y = edge; y < last_row; y++) {
        if (s->row_best[y] < top)
            continue;
        for (int64_t x = edge; x < last_column; x++) {
            const int32_t *at = map + y * columns + x;
            if (*at < top || (compare && !is_local_maximum(at, columns)))
                continue;
            if (*at > top || best.count == 0)
                best = (Best){y, x, 0};
            top = *at;
            best.count++;
        }
    }
    return best;
}

/* --- Python ----------------------------------------------------------------------------------- */

static void release(Scratch *s)
{
    free(s->map);
    free(s->row_best);
    free(s->sums[0]);
    free(s->sums[1]);
    free(s->line);
    free(s->smooth);
    free(s->powers);
    free(s->column);
}

static int reserve(const Plan *p, Scratch *s, int with_map)
{
    s->height = p->height + (p->cyclic ? p->patch_height - 1 : 0);
    s->width = p->width + (p->cyclic ? p->patch_width - 1 : 0);
    s->rows = s->height - p->patch_height + 1;
    s->columns = s->width - p->patch_width + 1;
    /* An odd number of cache lines, so that the rows of a strip do not displace each other. */
    s->stride = ((s->width + LANES - 1) / LANES | 1) * LANES;
    const size_t row = s->width * sizeof(int32_t);
    if (with_map)
        s->map = malloc(s->rows * s->columns *
                        (p->kind == HASH ? sizeof(int64_t) : sizeof(int32_t)));
    s->row_best = malloc(s->rows * sizeof(int32_t));
    s->sums[0] = malloc(row);
    s->sums[1] = malloc(row);
    s->line = malloc(row);
    s->smooth = malloc(s->stride * s->height * sizeof(uint32_t));
    s->powers = malloc(2 * (s->width + s->height) * sizeof(uint64_t));
    s->column = malloc(s->columns * sizeof(uint64_t));
    if ((with_map && !s->map) || !s->row_best || !s->sums[0] || !s->sums[1] || !s->line ||
        !s->smooth || !s->powers || !s->column)
        return 0;
    if (p->kind == HASH) {
        fill_powers(COLUMN, s->width, s->powers);
        fill_powers(inverse(COLUMN), s->width, s->powers + s->width);
        fill_powers(ROW, s->height, s->powers + 2 * s->width);
        fill_powers(inverse(ROW), s->height, s->powers + 2 * s->width + s->height);
    }
    return 1;
}

/* run(plan, pixels, image_stride, count, maps, best): score so many images.
 *
 * `maps`, if not 0, takes their score maps, one after the other; `best`, if not 0, takes the origin
 * of the best patch of each, and how many equal it. Addresses are integers. */
static PyObject *run(PyObject *self, PyObject *args)
{
    const char *fields;
    Py_ssize_t size, pixels, image_stride, count, maps, best;
    if (!PyArg_ParseTuple(args, "y#nnnnn", &fields, &size, &pixels, &image_stride, &count, &maps,
                          &best))
        return NULL;
    Plan plan;
    if (size > (Py_ssize_t)sizeof plan)
        return PyErr_Format(PyExc_ValueError, "Expected a plan of at most %zu bytes, but got %zd.",
                            sizeof plan, size);
    memcpy(&plan, fields, size);
    Scratch scratch = {0};
    int reserved;
    Py_BEGIN_ALLOW_THREADS
    if ((reserved = reserve(&plan, &scratch, maps == 0))) {
        const int64_t item = plan.kind == HASH ? sizeof(int64_t) : sizeof(int32_t);
        const int64_t map_size = scratch.rows * scratch.columns * item;
        for (Py_ssize_t i = 0; i < count; i++) {
            const uint8_t *image = (const uint8_t *)pixels + i * image_stride;
            if (maps)
                scratch.map = (char *)maps + i * map_size;
            if (plan.kind == HASH)
                rolling_hash(&plan, image, &scratch);
            else
                hat(&plan, image, &scratch);
            if (best)
                ((Best *)best)[i] = plan.kind == HASH ? best_hash(&scratch)
                                                         : best_hat(&plan, &scratch);
        }
        if (maps)
            scratch.map = NULL;
    }
    release(&scratch);
    Py_END_ALLOW_THREADS
    if (!reserved)
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
    {"constants", constants, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_native", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module); }
