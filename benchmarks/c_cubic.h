/* ½(c + b z)x² − drift z at (x, z), with 2S = h + sqrt(h² + 4 b² x²), h = c + b z.
 *
 * What shows after a chunk of steps that a lane may have escaped (drift = 0, z at rest at first):
 *   - |x| > escape while |z| <= escape makes 2S at least `bound_of`;
 *   - z never rises, as its velocity only falls, so |z| > escape lasts to the chunk's end.
 */
typedef struct {
    double c, b, drift, four_bb, half_b;
} Loss;

static inline Loss loss_of(const double *p) { return (Loss){p[0], p[1], p[2], 4.0 * p[1] * p[1], 0.5 * p[1]}; }

static inline double force_first(double x, double z, Loss l) { return (l.c + l.b * z) * x; }

static inline double force_second(double x, double z, Loss l) {
    (void)z;
    return l.half_b * x * x - l.drift;
}

static inline double twice_sharpness(double x, double z, Loss l) {
    const double h = l.c + l.b * z;
    return h + sqrt(h * h + l.four_bb * x * x);
}

static inline double bound_of(double escape, Loss l) {
    const double lowest = l.c - l.b * escape;
    return lowest + sqrt(lowest * lowest + l.four_bb * escape * escape);
}
