/* Heavy ball on losses with a function of the C library, a cell at a time or in blocks of lanes: the job of
 * transcendental.py. The library's function is called once or twice a step, as one would write it by hand.
 */
#include <math.h>
#include <stdint.h>

#ifndef LANES
#define LANES 16
#endif

/* KIND 0: log(1 + e^x) - x/4;  1: x^2/4 + cos x, whose force has a sine;  2: tanh(x)^2/2. Force L' and sharpness L''. */
static inline void derivatives(double x, double *force, double *sharpness) {
#if KIND == 0
    const double e = exp(x), p = e / (1.0 + e);
    *force = p - 0.25;
    *sharpness = p / (1.0 + e);
#elif KIND == 1
    *force = 0.5 * x - sin(x);
    *sharpness = 0.5 - cos(x);
#else
    const double t = tanh(x), slope = 1.0 - t * t;
    *force = t * slope;
    *sharpness = slope * (1.0 - 3.0 * (t * t));
#endif
}

/* min and max of the sharpness over all steps; an escape beyond `escape` ends a lane's measures. */
void sweep(int64_t cells, int steps, int threads, const double *momentum, const double *lr, const double *start,
           double escape, double *min_sharpness, double *max_sharpness, int64_t *diverged_at) {
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads)
    for (int64_t block = 0; block < (cells + LANES - 1) / LANES; block++) {
        const int64_t first = block * LANES;
        const int count = cells - first < LANES ? (int)(cells - first) : LANES;
        double x[LANES], v[LANES], low[LANES], high[LANES], force[LANES], sharpness[LANES];
        int64_t ended[LANES];
        int running = count;
        for (int i = 0; i < count; i++) {
            x[i] = start[first + i], v[i] = 0.0, ended[i] = -1;
            derivatives(x[i], force + i, sharpness + i);
            low[i] = high[i] = sharpness[i];
        }
        for (int t = 1; t <= steps && running > 0; t++) {
            for (int i = 0; i < count; i++) {
                if (ended[i] >= 0) continue;
                v[i] = momentum[first + i] * v[i] - lr[first + i] * force[i];
                x[i] += v[i];
                if (!(fabs(x[i]) <= escape)) {
                    ended[i] = t, running--;
                    continue;
                }
                derivatives(x[i], force + i, sharpness + i);
                low[i] = sharpness[i] < low[i] ? sharpness[i] : low[i];
                high[i] = sharpness[i] > high[i] ? sharpness[i] : high[i];
            }
        }
        for (int i = 0; i < count; i++) {
            min_sharpness[first + i] = low[i], max_sharpness[first + i] = high[i], diverged_at[first + i] = ended[i];
        }
    }
}
