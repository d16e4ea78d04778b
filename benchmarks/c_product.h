/* ½(uv − 1)² at (u, v), with 2S = u² + v² + sqrt((u² − v²)² + 4 (2uv − 1)²).
 *
 * 2S is at least 2 u² and at least 2 v², so it shows a lane that may have escaped in a chunk of steps.
 */
typedef struct {
    double none;
} Loss;

static inline Loss loss_of(const double *p) {
    (void)p;
    return (Loss){0.0};
}

static inline double force_first(double u, double v, Loss l) {
    (void)l;
    return (u * v - 1.0) * v;
}

static inline double force_second(double u, double v, Loss l) {
    (void)l;
    return (u * v - 1.0) * u;
}

static inline double twice_sharpness(double u, double v, Loss l) {
    (void)l;
    const double uu = u * u, vv = v * v, off = 2.0 * (u * v) - 1.0, difference = uu - vv;
    return uu + vv + sqrt(difference * difference + 4.0 * (off * off));
}

static inline double bound_of(double escape, Loss l) {
    (void)l;
    return 1.999 * escape * escape;
}
