/* The sweep job in C: blocks of lanes, structure of arrays, several steps per pass over the lanes.
 *
 * The loss has two weights and is in a file of its own, LOSS: the two components of its gradient, twice its sharpness,
 * and what twice the sharpness is at least when a lane has escaped.
 *
 * Built with -ffast-math, so a NaN cannot be tested for, and no step can afford a test of its own. What shows after a
 * chunk of steps that a lane may have escaped is `high`, the weights themselves and, as what is not finite stays so,
 * that its bits compare above those of `escape`. Such a chunk is run again for that lane alone, one step at a time. A
 * lane that has escaped is put back at the start with lr 0 and no velocity, where it adds nothing to its measures.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#ifndef LOSS
#define LOSS "c_cubic.h"
#endif
#include LOSS

#ifndef LANES
#define LANES 16
#endif
#ifndef UNROLL
#define UNROLL 2
#endif
#ifndef CHUNK
#define CHUNK 128
#endif

typedef struct {
    _Alignas(64) double x[LANES], z[LANES], u[LANES], v[LANES], low[LANES], high[LANES];
} State;

typedef struct {
    _Alignas(64) double momentum[LANES], lr[LANES];
} Settings;

typedef struct {
    Loss loss;
    double start[2], velocity[2], escape, bound;
} Model;

static inline uint64_t bits(double value) {
    uint64_t out;
    memcpy(&out, &value, sizeof out);
    return out & 0x7fffffffffffffffULL;
}

/* Whether |value| > escape or value is not finite: the bits of a positive double are ordered like the double. */
static inline int escaped(double value, double escape) { return bits(value) > bits(escape); }

/* `steps` updates of all lanes; steps is a multiple of UNROLL. low and high hold 2 S. */
__attribute__((noinline)) static void advance(State *restrict s, const Settings *restrict p,
                                              const Model *restrict m, int steps) {
    const Loss l = m->loss;
    for (int t = 0; t < steps; t += UNROLL) {
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            double x = s->x[i], z = s->z[i], u = s->u[i], v = s->v[i];
            double low = s->low[i], high = s->high[i];
            const double momentum = p->momentum[i], lr = p->lr[i];
#pragma GCC unroll 16
            for (int k = 0; k < UNROLL; k++) {
                const double first = force_first(x, z, l), second = force_second(x, z, l);
                u = momentum * u - lr * first;
                v = momentum * v - lr * second;
                x += u;
                z += v;
                const double twice = twice_sharpness(x, z, l);
                low = twice < low ? twice : low;
                high = twice > high ? twice : high;
            }
            s->x[i] = x, s->z[i] = z, s->u[i] = u, s->v[i] = v;
            s->low[i] = low, s->high[i] = high;
        }
    }
}

/* One lane, one step at a time; returns the first escaped step among first + 1, ..., first + steps, or -1. */
static int64_t locate(State *s, int i, double momentum, double lr, const Model *m, int64_t first, int steps) {
    const Loss l = m->loss;
    for (int t = 1; t <= steps; t++) {
        const double x = s->x[i], z = s->z[i];
        s->u[i] = momentum * s->u[i] - lr * force_first(x, z, l);
        s->v[i] = momentum * s->v[i] - lr * force_second(x, z, l);
        s->x[i] += s->u[i];
        s->z[i] += s->v[i];
        if (escaped(s->x[i], m->escape) || escaped(s->z[i], m->escape)) return first + t;
        const double twice = twice_sharpness(s->x[i], s->z[i], l);
        if (twice < s->low[i]) s->low[i] = twice;
        if (twice > s->high[i]) s->high[i] = twice;
    }
    return -1;
}

static void run_block(int count, const double *momentum, const double *lr, int steps, const Model *m,
                      double *min_sharpness, double *max_sharpness, int64_t *diverged_at) {
    State s, saved;
    Settings p;
    int64_t escape_step[LANES];
    const double start = twice_sharpness(m->start[0], m->start[1], m->loss);
    int running = count;
    for (int i = 0; i < LANES; i++) { /* lanes beyond `count` repeat the first cell and are thrown away */
        p.momentum[i] = momentum[i < count ? i : 0], p.lr[i] = lr[i < count ? i : 0];
        s.x[i] = m->start[0], s.z[i] = m->start[1], s.u[i] = m->velocity[0], s.v[i] = m->velocity[1];
        s.low[i] = s.high[i] = start, escape_step[i] = -1;
    }
    for (int t = 0; t < steps && running > 0;) {
        const int left = steps - t, chunk = left >= CHUNK ? CHUNK : left;
        const int whole = chunk - chunk % UNROLL;
        saved = s;
        advance(&s, &p, m, whole);
        for (int i = 0; i < LANES; i++) {
            int64_t at = -1;
            if (s.high[i] >= m->bound || escaped(s.x[i], m->escape) || escaped(s.z[i], m->escape)) {
                s.x[i] = saved.x[i], s.z[i] = saved.z[i], s.u[i] = saved.u[i], s.v[i] = saved.v[i];
                s.low[i] = saved.low[i], s.high[i] = saved.high[i];
                at = locate(&s, i, p.momentum[i], p.lr[i], m, t, whole);
            }
            if (at < 0) at = locate(&s, i, p.momentum[i], p.lr[i], m, t + whole, chunk - whole);
            if (at >= 0) {
                escape_step[i] = at, running -= i < count;
                s.x[i] = m->start[0], s.z[i] = m->start[1];
                s.u[i] = s.v[i] = p.momentum[i] = p.lr[i] = 0.0;
            }
        }
        t += chunk;
    }
    for (int i = 0; i < count; i++) {
        min_sharpness[i] = 0.5 * s.low[i], max_sharpness[i] = 0.5 * s.high[i], diverged_at[i] = escape_step[i];
    }
}

void sweep(int64_t cells, int steps, int threads, const double *momentum, const double *lr, const double *parameters,
           const double *start, const double *velocity, double escape, double *min_sharpness, double *max_sharpness,
           int64_t *diverged_at) {
    const Loss l = loss_of(parameters);
    const Model m = {l, {start[0], start[1]}, {velocity[0], velocity[1]}, escape, bound_of(escape, l)};
    const int64_t blocks = (cells + LANES - 1) / LANES;
#pragma omp parallel num_threads(threads)
    {
#ifdef __SSE2__
        const unsigned control = _mm_getcsr();
        _mm_setcsr(control | 0x8040); /* subnormals are zero, as programs linked with -ffast-math have it */
#endif
#pragma omp for schedule(dynamic, 8)
        for (int64_t k = 0; k < blocks; k++) {
            const int64_t first = k * LANES;
            const int count = cells - first < LANES ? (int)(cells - first) : LANES;
            run_block(count, momentum + first, lr + first, steps, &m, min_sharpness + first,
                      max_sharpness + first, diverged_at + first);
        }
#ifdef __SSE2__
        _mm_setcsr(control);
#endif
    }
}
