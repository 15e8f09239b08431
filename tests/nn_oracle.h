/* An oracle for networks: every operation by its definition in double, one sample at a time, no code of the library's;
   and builders that add an operation to a network and note it for the oracle. */
#ifndef NN_ORACLE_H
#define NN_ORACLE_H

#include "check.h"

typedef enum oracle_kind {
    ORACLE_INPUT,
    ORACLE_LABEL,
    ORACLE_SIGMA,
    ORACLE_CLASS,
    ORACLE_VECTOR,
    ORACLE_CONV,
    ORACLE_ACTIVATE,
    ORACLE_NORM,
    ORACLE_ATTENTION,
    ORACLE_ADD,
    ORACLE_CONCAT,
    ORACLE_AFFINE,
    ORACLE_COPY, /* dropout that drops nothing */
    ORACLE_NEAREST,
    ORACLE_POOL,
    ORACLE_FIR,
    ORACLE_MATRICES, /* resampling of a network built elsewhere, by that network's own tables */
    ORACLE_POSITIONAL,
    ORACLE_FOURIER,
    ORACLE_ROWS,
    ORACLE_MODULATE,
    ORACLE_MEAN,
    ORACLE_TABLE,
    ORACLE_INSTANCE,
    ORACLE_MAX_POOL,
    ORACLE_MEAN_POOL,
    ORACLE_RESIZE,
    ORACLE_TOKENS
} oracle_kind;

typedef struct oracle_node {
    oracle_kind kind;
    int input[3], parameter;
    size_t shape[3], count, offset; /* height, width, channels; in the values */
    int kernel, stride, dilation, no_bias, before, after, up, down, taps, norm;
    double fir[SSDE_MAX_FIR_TAPS];
    size_t groups;
    int activation, row_scale, cosine_first;
    double scale, shift, eps;
    const ssdei_taps *rows[2];
} oracle_node;

typedef struct oracle {
    ssde_net *net;
    oracle_node *nodes; /* the same numbers as the network's */
    int count, capacity, output;
    size_t parameters;                 /* of interest: not those that only bring the output to the input's shape */
    double *weights;                   /* in the order of files */
    size_t *first;                     /* where each parameter starts */
    double *values, *tangents, *zeros; /* one allocation */
    size_t value_count;
    size_t class_number; /* of every sample */
    float vector[16];    /* likewise */
    char name[64];       /* of the next operation's parameters; empty: one is made up */
} oracle;

/* ---- numbers ---- */

static double oracle_uniform(uint64_t *state) { /* SplitMix64 */
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
}
static double oracle_normal(uint64_t *state) {
    double radius = sqrt(-2.0 * log(oracle_uniform(state)));
    return radius * cos(6.283185307179586 * oracle_uniform(state));
}
static void oracle_normals(uint64_t seed, double scale, size_t count, float *out) {
    size_t i;
    for (i = 0; i < count; i++) out[i] = (float)(scale * oracle_normal(&seed));
}

/* ---- operations ---- */

static const double *oracle_value(const oracle *o, int node) { return o->values + o->nodes[node].offset; }

static void oracle_conv_forward(const oracle *o, const oracle_node *n, double *y) {
    const oracle_node *in = &o->nodes[n->input[0]];
    const double *x = oracle_value(o, n->input[0]), *w = o->weights + o->first[n->parameter];
    const double *b = n->no_bias ? NULL : o->weights + o->first[n->parameter + 1];
    int in_out = !strcmp(
        o->net->parameters[n->parameter].info.name + strlen(o->net->parameters[n->parameter].info.name) - 2, ".W");
    size_t h = in->shape[0], width = in->shape[1], c = in->shape[2], out = n->shape[2], k = (size_t)n->kernel;
    size_t oy, ox, oc, ic, ky, kx;
    for (oy = 0; oy < n->shape[0]; oy++)
        for (ox = 0; ox < n->shape[1]; ox++)
            for (oc = 0; oc < out; oc++) {
                size_t at = (oy * n->shape[1] + ox) * out + oc;
                double sum = b ? b[oc] : 0.0;
                for (ky = 0; ky < k; ky++)
                    for (kx = 0; kx < k; kx++) {
                        long iy = (long)oy * n->stride + (long)ky * n->dilation - n->before,
                             ix = (long)ox * n->stride + (long)kx * n->dilation - n->before;
                        if (iy < 0 || ix < 0 || iy >= (long)h || ix >= (long)width) continue;
                        for (ic = 0; ic < c; ic++) {
                            size_t weight = in_out ? ic * out + oc : ((oc * c + ic) * k + ky) * k + kx;
                            sum += w[weight] * x[((size_t)iy * width + (size_t)ix) * c + ic];
                        }
                    }
                if (n->input[1] >= 0) sum += oracle_value(o, n->input[1])[at % o->nodes[n->input[1]].count];
                y[at] = sum * n->scale;
            }
}

static double oracle_activation(int activation, double x) {
    switch (activation) {
        case SSDE_SILU: return x / (1.0 + exp(-x));
        case SSDE_RELU: return x > 0.0 ? x : 0.0;
        case SSDE_ELU: return x > 0.0 ? x : expm1(x);
        case SSDE_LEAKY_RELU: return x > 0.0 ? x : 0.2 * x;
        case SSDE_SOFTPLUS: return log(1.0 + exp(x));
        case SSDE_LOG: return log(x);
        case SSDE_MISH: return x * tanh(log(1.0 + exp(x)));
        case SSDE_GELU: return x * 0.5 * erfc(-x / sqrt(2.0));
        default: return x;
    }
}

static void oracle_norm_forward(const oracle *o, const oracle_node *n, double *y) {
    const double *x = oracle_value(o, n->input[0]), *gamma = o->weights + o->first[n->parameter];
    const double *beta = o->weights + o->first[n->parameter + 1];
    size_t channels = n->shape[2], size = channels / n->groups, group, i;
    for (group = 0; group < n->groups; group++) {
        double mean = 0.0, variance = 0.0, members = (double)(n->count / n->groups);
        for (i = 0; i < n->count; i++)
            if (i % channels / size == group) mean += x[i] / members;
        for (i = 0; i < n->count; i++)
            if (i % channels / size == group) variance += (x[i] - mean) * (x[i] - mean) / members;
        for (i = 0; i < n->count; i++)
            if (i % channels / size == group)
                y[i] = oracle_activation(
                    n->activation, gamma[i % channels] * (x[i] - mean) / sqrt(variance + n->eps) + beta[i % channels]);
    }
}

static void oracle_attention_forward(const oracle *o, const oracle_node *n, double *y) {
    const double *q = oracle_value(o, n->input[0]), *k = oracle_value(o, n->input[1]),
                 *v = oracle_value(o, n->input[2]);
    size_t channels = n->shape[2], pixels = o->nodes[n->input[1]].count / channels, i, j, c;
    size_t width = channels / n->groups;
    double *weight = (double *)malloc(pixels * sizeof *weight);
    for (i = 0; i < n->count / width; i++) { /* query pixels of a head */
        size_t head = i % n->groups * width;
        double sum = 0.0;
        for (j = 0; j < pixels; j++) {
            double dot = 0.0;
            for (c = 0; c < width; c++) dot += q[i * width + c] * k[j * channels + head + c];
            sum += weight[j] = exp(dot / sqrt((double)width));
        }
        for (c = 0; c < width; c++) {
            y[i * width + c] = 0.0;
            for (j = 0; j < pixels; j++) y[i * width + c] += weight[j] / sum * v[j * channels + head + c];
        }
    }
    free(weight);
}

/* upfirdn2d as the reference defines it: insert zeros, pad, convolve with the outer product of the normalised kernel
   (that is, correlate with it flipped), times up^2, and keep every down-th pixel. */
static void oracle_fir_forward(const oracle *o, const oracle_node *n, double *y) {
    const oracle_node *in = &o->nodes[n->input[0]];
    const double *x = oracle_value(o, n->input[0]);
    size_t up = (size_t)n->up, h = in->shape[0] * up + (size_t)(n->before + n->after), channels = in->shape[2];
    size_t w = in->shape[1] * up + (size_t)(n->before + n->after), taps = (size_t)n->taps, iy, ix, c, i, j;
    double *padded = (double *)calloc(h * w * channels, sizeof *padded), sum = 0.0;
    for (i = 0; i < taps; i++) sum += n->fir[i];
    for (iy = 0; iy < in->shape[0]; iy++)
        for (ix = 0; ix < in->shape[1]; ix++)
            for (c = 0; c < channels; c++)
                padded[((iy * up + (size_t)n->before) * w + ix * up + (size_t)n->before) * channels + c] =
                    x[(iy * in->shape[1] + ix) * channels + c];
    for (iy = 0; iy < n->shape[0]; iy++)
        for (ix = 0; ix < n->shape[1]; ix++)
            for (c = 0; c < channels; c++) {
                double total = 0.0;
                for (i = 0; i < taps; i++)
                    for (j = 0; j < taps; j++)
                        total += n->fir[taps - 1 - i] / sum * (n->fir[taps - 1 - j] / sum) *
                                 padded[((iy * (size_t)n->down + i) * w + ix * (size_t)n->down + j) * channels + c];
                y[(iy * n->shape[1] + ix) * channels + c] = total * n->up * n->up;
            }
    free(padded);
}

static void oracle_matrices_forward(const oracle *o, const oracle_node *n, double *y) {
    const oracle_node *in = &o->nodes[n->input[0]];
    const double *x = oracle_value(o, n->input[0]);
    size_t channels = n->shape[2], oy, ox, c;
    int i, j;
    memset(y, 0, n->count * sizeof *y);
    for (oy = 0; oy < n->shape[0]; oy++)
        for (ox = 0; ox < n->shape[1]; ox++)
            for (i = 0; i < n->rows[0][oy].count; i++)
                for (j = 0; j < n->rows[1][ox].count; j++)
                    for (c = 0; c < channels; c++)
                        y[(oy * n->shape[1] + ox) * channels + c] +=
                            (double)n->rows[0][oy].weight[i] * (double)n->rows[1][ox].weight[j] *
                            x[((size_t)(n->rows[0][oy].first + i) * in->shape[1] + (size_t)(n->rows[1][ox].first + j)) *
                                  channels +
                              c];
}

static void oracle_pixels_forward(const oracle *o, const oracle_node *n, double *y) { /* nearest, pool */
    const oracle_node *in = &o->nodes[n->input[0]];
    const double *x = oracle_value(o, n->input[0]);
    size_t channels = n->shape[2], w = in->shape[1], oy, ox, c;
    for (oy = 0; oy < n->shape[0]; oy++)
        for (ox = 0; ox < n->shape[1]; ox++)
            for (c = 0; c < channels; c++) {
                double *to = &y[(oy * n->shape[1] + ox) * channels + c];
                if (n->kind == ORACLE_NEAREST)
                    *to = x[(oy / 2 * w + ox / 2) * channels + c];
                else
                    *to =
                        0.25 * (x[(2 * oy * w + 2 * ox) * channels + c] + x[(2 * oy * w + 2 * ox + 1) * channels + c] +
                                x[((2 * oy + 1) * w + 2 * ox) * channels + c] +
                                x[((2 * oy + 1) * w + 2 * ox + 1) * channels + c]);
            }
}

static void oracle_embedding_forward(const oracle *o, const oracle_node *n, double *y) {
    double label = oracle_value(o, n->input[0])[0];
    size_t half = n->count / 2, i;
    y[n->count - 1] = 0.0; /* an odd size ends in zero */
    for (i = 0; i < half; i++) {
        double angle = n->kind == ORACLE_POSITIONAL
                           ? label * pow(10000.0, -(double)i / ((double)half - n->shift))
                           : 6.283185307179586 * o->weights[o->first[n->parameter] + i] * log(label);
        y[i] = n->cosine_first ? cos(angle) : sin(angle);
        y[half + i] = n->cosine_first ? sin(angle) : cos(angle);
    }
}

static double oracle_activation_slope(int activation, double x) {
    double s = 1.0 / (1.0 + exp(-x)), t = tanh(log(1.0 + exp(x)));
    switch (activation) {
        case SSDE_SILU: return s * (1.0 + x * (1.0 - s));
        case SSDE_RELU: return x > 0.0 ? 1.0 : 0.0;
        case SSDE_ELU: return x > 0.0 ? 1.0 : exp(x);
        case SSDE_LEAKY_RELU: return x > 0.0 ? 1.0 : 0.2;
        case SSDE_SOFTPLUS: return s;
        case SSDE_LOG: return 1.0 / x;
        case SSDE_MISH: return t + x * (1.0 - t * t) * s;
        case SSDE_GELU: return 0.5 * erfc(-x / sqrt(2.0)) + x * exp(-0.5 * x * x) / sqrt(2.0 * 3.141592653589793);
        default: return 1.0;
    }
}

/* A channel's mean and variance, of `less` values fewer than there are, with their derivatives along dx; from `stride`
   apart. */
static void oracle_moments(const double *x, const double *dx, size_t count, size_t stride, double less, double *mean,
                           double *d_mean, double *variance, double *d_variance) {
    size_t i;
    *mean = *d_mean = *variance = *d_variance = 0.0;
    for (i = 0; i < count; i++) {
        *mean += x[i * stride] / (double)count;
        *d_mean += dx[i * stride] / (double)count;
    }
    for (i = 0; i < count; i++) {
        double away = x[i * stride] - *mean;
        *variance += away * away / ((double)count - less);
        *d_variance += 2.0 * away * (dx[i * stride] - *d_mean) / ((double)count - less);
    }
}

/* z / sqrt(v + eps) and its derivative */
static double oracle_over_root(double z, double v, double eps) { return z / sqrt(v + eps); }
static double oracle_d_over_root(double z, double dz, double v, double dv, double eps) {
    return dz / sqrt(v + eps) - 0.5 * z * dv / ((v + eps) * sqrt(v + eps));
}

/* Instance norms: y, and its derivative along the tangent of x. */
static void oracle_instance(const oracle *o, const oracle_node *n, double *y, double *dy) {
    const double *x = oracle_value(o, n->input[0]), *dx = o->tangents + o->nodes[n->input[0]].offset;
    const double *alpha = NULL, *gamma = NULL, *beta = NULL;
    size_t channels = n->shape[2], pixels = n->count / channels, c, i;
    double *mean = (double *)calloc(4 * channels, sizeof *mean), *d_mean = mean + channels, *v = d_mean + channels,
           *dv = v + channels, m, dm, s, ds;
    if (n->norm != (int)SSDE_INSTANCE_NORM) alpha = o->weights + o->first[n->parameter];
    if (n->norm == (int)SSDE_INSTANCE_NORM_PLUS) {
        gamma = n->input[1] < 0 ? o->weights + o->first[n->parameter + 1]
                                : alpha + (size_t)*oracle_value(o, n->input[1]) * 3 * channels;
        beta = n->input[1] < 0 ? o->weights + o->first[n->parameter + 2] : gamma + 2 * channels;
        if (n->input[1] >= 0) alpha = gamma + channels;
    }
    for (c = 0; c < channels; c++)
        oracle_moments(x + c, dx + c, pixels, channels, n->norm == (int)SSDE_VARIANCE_NORM ? 1.0 : 0.0, &mean[c],
                       &d_mean[c], &v[c], &dv[c]);
    oracle_moments(mean, d_mean, channels, 1, 1.0, &m, &dm, &s, &ds);
    for (i = 0; i < n->count; i++) {
        double z, dz;
        c = i % channels;
        z = n->norm == (int)SSDE_VARIANCE_NORM ? x[i] : x[i] - mean[c];
        dz = n->norm == (int)SSDE_VARIANCE_NORM ? dx[i] : dx[i] - d_mean[c];
        dz = oracle_d_over_root(z, dz, v[c], dv[c], n->eps);
        z = oracle_over_root(z, v[c], n->eps);
        if (n->norm == (int)SSDE_VARIANCE_NORM) z *= alpha[c], dz *= alpha[c];
        if (n->norm == (int)SSDE_INSTANCE_NORM_PLUS) {
            z = gamma[c] * (z + alpha[c] * oracle_over_root(mean[c] - m, s, n->eps)) + beta[c];
            dz = gamma[c] * (dz + alpha[c] * oracle_d_over_root(mean[c] - m, d_mean[c] - dm, s, ds, n->eps));
        }
        if (y) y[i] = oracle_activation(n->activation, z);
        if (dy) dy[i] = oracle_activation_slope(n->activation, z) * dz;
    }
    free(mean);
}

/* The place of the first largest value in the window around a pixel, line by line. */
static size_t oracle_largest(const oracle_node *n, const double *x, size_t oy, size_t ox, size_t c) {
    long reach = n->kernel / 2, iy, ix;
    size_t at = n->count;
    for (iy = (long)oy - reach; iy <= (long)oy + reach; iy++)
        for (ix = (long)ox - reach; ix <= (long)ox + reach; ix++) {
            size_t from = ((size_t)iy * n->shape[1] + (size_t)ix) * n->shape[2] + c;
            if (iy < 0 || ix < 0 || iy >= (long)n->shape[0] || ix >= (long)n->shape[1]) continue;
            if (at == n->count || x[from] > x[at]) at = from;
        }
    return at;
}

/* y = to[the largest's place], or the mean of the window with zeros outside */
static void oracle_pool_forward(const oracle_node *n, const double *x, const double *of, double *y) {
    long reach = n->kernel / 2, iy, ix;
    size_t oy, ox, c;
    for (oy = 0; oy < n->shape[0]; oy++)
        for (ox = 0; ox < n->shape[1]; ox++)
            for (c = 0; c < n->shape[2]; c++) {
                double *to = &y[(oy * n->shape[1] + ox) * n->shape[2] + c];
                *to = n->kind == ORACLE_MAX_POOL ? of[oracle_largest(n, x, oy, ox, c)] : 0.0;
                for (iy = (long)oy - reach; n->kind == ORACLE_MEAN_POOL && iy <= (long)oy + reach; iy++)
                    for (ix = (long)ox - reach; ix <= (long)ox + reach; ix++)
                        if (iy >= 0 && ix >= 0 && iy < (long)n->shape[0] && ix < (long)n->shape[1])
                            *to += of[((size_t)iy * n->shape[1] + (size_t)ix) * n->shape[2] + c] /
                                   ((double)n->kernel * n->kernel);
            }
}

/* The triangles of pixels over places o (in - 1) / (out - 1). */
static void oracle_resize_forward(const oracle *o, const oracle_node *n, double *y) {
    const oracle_node *in = &o->nodes[n->input[0]];
    const double *x = oracle_value(o, n->input[0]);
    size_t i, iy, ix, channels = n->shape[2];
    for (i = 0; i < n->count; i++) {
        size_t oy = i / channels / n->shape[1], ox = i / channels % n->shape[1];
        double down = n->shape[0] > 1 ? (double)oy * ((double)in->shape[0] - 1.0) / ((double)n->shape[0] - 1.0) : 0.0;
        double across = n->shape[1] > 1 ? (double)ox * ((double)in->shape[1] - 1.0) / ((double)n->shape[1] - 1.0) : 0.0;
        y[i] = 0.0;
        for (iy = 0; iy < in->shape[0]; iy++)
            for (ix = 0; ix < in->shape[1]; ix++)
                y[i] += fmax(0.0, 1.0 - fabs(down - (double)iy)) * fmax(0.0, 1.0 - fabs(across - (double)ix)) *
                        x[(iy * in->shape[1] + ix) * channels + i % channels];
    }
}

static void oracle_node_forward(oracle *o, const oracle_node *n) {
    double *y = o->values + n->offset;
    const double *a = n->input[0] >= 0 ? oracle_value(o, n->input[0]) : NULL;
    const double *b = n->input[1] >= 0 ? oracle_value(o, n->input[1]) : NULL;
    size_t channels = n->shape[2], first, i;
    switch (n->kind) {
        case ORACLE_INPUT:
        case ORACLE_LABEL:
        case ORACLE_SIGMA:
        case ORACLE_CLASS:
        case ORACLE_VECTOR: break;
        case ORACLE_CONV: oracle_conv_forward(o, n, y); break;
        case ORACLE_NORM: oracle_norm_forward(o, n, y); break;
        case ORACLE_ATTENTION: oracle_attention_forward(o, n, y); break;
        case ORACLE_NEAREST:
        case ORACLE_POOL: oracle_pixels_forward(o, n, y); break;
        case ORACLE_FIR: oracle_fir_forward(o, n, y); break;
        case ORACLE_MATRICES: oracle_matrices_forward(o, n, y); break;
        case ORACLE_POSITIONAL:
        case ORACLE_FOURIER: oracle_embedding_forward(o, n, y); break;
        case ORACLE_COPY: memcpy(y, a, n->count * sizeof *y); break;
        case ORACLE_ACTIVATE:
            for (i = 0; i < n->count; i++) y[i] = oracle_activation(n->activation, a[i]);
            break;
        case ORACLE_ADD:
            for (i = 0; i < n->count; i++) y[i] = (a[i] + b[i % o->nodes[n->input[1]].count]) * n->scale;
            break;
        case ORACLE_CONCAT:
            first = o->nodes[n->input[0]].shape[2];
            for (i = 0; i < n->count; i++)
                y[i] =
                    i % channels < first
                        ? a[i / channels * first + i % channels]
                        : b[(i / channels * (channels - first) + i % channels - first) % o->nodes[n->input[1]].count];
            break;
        case ORACLE_AFFINE:
            for (i = 0; i < n->count; i++) y[i] = n->scale * a[i] + n->shift;
            break;
        case ORACLE_ROWS:
            for (i = 0; i < n->count; i++)
                y[i] = n->row_scale == SSDE_OVER_SIGMA ? a[i] / b[0] : a[i] / sqrt(1.0 + b[0] * b[0]);
            break;
        case ORACLE_MODULATE:
            for (i = 0; i < n->count; i++) y[i] = a[i] * (1.0 + b[i % channels]) + b[channels + i % channels];
            break;
        case ORACLE_MEAN:
            memset(y, 0, n->count * sizeof *y);
            first = o->nodes[n->input[0]].count;
            for (i = 0; i < first; i++) y[i % channels] += a[i] * (double)channels / (double)first;
            break;
        case ORACLE_TOKENS:
            for (i = 0; i < n->count; i++)
                y[i] = (i < channels ? 0.0 : a[i - channels]) +
                       o->weights[o->first[n->parameter] + i % channels * n->shape[1] + i / channels];
            for (i = channels; i < n->count; i++) y[i % channels] += a[i - channels] / (double)(n->shape[1] - 1);
            break;
        case ORACLE_TABLE:
            for (i = 0; i < n->count; i++) y[i] = o->weights[o->first[n->parameter] + (size_t)a[0] * n->count + i];
            break;
        case ORACLE_INSTANCE: oracle_instance(o, n, y, NULL); break;
        case ORACLE_MAX_POOL:
        case ORACLE_MEAN_POOL: oracle_pool_forward(n, a, a, y); break;
        case ORACLE_RESIZE: oracle_resize_forward(o, n, y); break;
    }
}

/* ---- derivatives along a direction of x ---- */

static void oracle_norm_tangent(const oracle *o, const oracle_node *n, double *y) {
    const double *x = oracle_value(o, n->input[0]), *dx = o->tangents + o->nodes[n->input[0]].offset;
    const double *gamma = o->weights + o->first[n->parameter], *beta = o->weights + o->first[n->parameter + 1];
    size_t channels = n->shape[2], size = channels / n->groups, group, i;
    for (group = 0; group < n->groups; group++) {
        double mean = 0.0, mean_rate = 0.0, variance = n->eps, rate = 0.0, members = (double)(n->count / n->groups);
        for (i = 0; i < n->count; i++) {
            if (i % channels / size != group) continue;
            mean += x[i] / members;
            mean_rate += dx[i] / members;
        }
        for (i = 0; i < n->count; i++) {
            if (i % channels / size != group) continue;
            variance += (x[i] - mean) * (x[i] - mean) / members;
            rate += 2.0 * (x[i] - mean) * (dx[i] - mean_rate) / members;
        }
        for (i = 0; i < n->count; i++) {
            double scale = gamma[i % channels] / sqrt(variance), away = x[i] - mean;
            if (i % channels / size == group)
                y[i] = oracle_activation_slope(n->activation, scale * away + beta[i % channels]) * scale *
                       (dx[i] - mean_rate - 0.5 * away * rate / variance);
        }
    }
}

static void oracle_attention_tangent(const oracle *o, const oracle_node *n, double *y) {
    const double *q = oracle_value(o, n->input[0]), *k = oracle_value(o, n->input[1]);
    const double *v = oracle_value(o, n->input[2]), *dq = o->tangents + o->nodes[n->input[0]].offset;
    const double *dk = o->tangents + o->nodes[n->input[1]].offset, *dv = o->tangents + o->nodes[n->input[2]].offset;
    size_t channels = n->shape[2], pixels = o->nodes[n->input[1]].count / channels, i, j, c;
    size_t width = channels / n->groups;
    double *weight = (double *)malloc(2 * pixels * sizeof *weight), *rate = weight + pixels;
    for (i = 0; i < n->count / width; i++) { /* query pixels of a head */
        size_t head = i % n->groups * width;
        double sum = 0.0, mean = 0.0;
        for (j = 0; j < pixels; j++) {
            double dot = 0.0;
            rate[j] = 0.0;
            for (c = 0; c < width; c++) {
                size_t at = i * width + c, to = j * channels + head + c;
                dot += q[at] * k[to] / sqrt((double)width);
                rate[j] += (dq[at] * k[to] + q[at] * dk[to]) / sqrt((double)width);
            }
            sum += weight[j] = exp(dot);
            mean += weight[j] * rate[j];
        }
        for (c = 0; c < width; c++) {
            y[i * width + c] = 0.0;
            for (j = 0; j < pixels; j++) {
                size_t to = j * channels + head + c;
                y[i * width + c] += weight[j] / sum * ((rate[j] - mean / sum) * v[to] + dv[to]);
            }
        }
    }
    free(weight);
}

/* What does not multiply values by values takes f(x') - f(0). */
static void oracle_affine_tangent(oracle *o, const oracle_node *n) {
    double *values = o->values;
    size_t i;
    o->values = o->tangents;
    oracle_node_forward(o, n);
    o->values = o->zeros;
    oracle_node_forward(o, n);
    for (i = 0; i < n->count; i++) o->tangents[n->offset + i] -= o->zeros[n->offset + i];
    memset(o->zeros + n->offset, 0, n->count * sizeof *values);
    o->values = values;
}

static void oracle_node_tangent(oracle *o, const oracle_node *n) {
    const double *a = n->input[0] >= 0 ? oracle_value(o, n->input[0]) : NULL;
    const double *b = n->input[1] >= 0 ? oracle_value(o, n->input[1]) : NULL;
    const double *da = n->input[0] >= 0 ? o->tangents + o->nodes[n->input[0]].offset : NULL;
    const double *db = n->input[1] >= 0 ? o->tangents + o->nodes[n->input[1]].offset : NULL;
    double *y = o->tangents + n->offset;
    size_t channels = n->shape[2], i;
    switch (n->kind) {
        case ORACLE_INPUT:
        case ORACLE_LABEL:
        case ORACLE_SIGMA:
        case ORACLE_CLASS:
        case ORACLE_VECTOR:
        case ORACLE_POSITIONAL:
        case ORACLE_FOURIER:
        case ORACLE_TABLE: break; /* zeros, or the direction */
        case ORACLE_NORM: oracle_norm_tangent(o, n, y); break;
        case ORACLE_ATTENTION: oracle_attention_tangent(o, n, y); break;
        case ORACLE_INSTANCE: oracle_instance(o, n, NULL, y); break;
        case ORACLE_MAX_POOL: oracle_pool_forward(n, a, da, y); break;
        case ORACLE_ACTIVATE:
            for (i = 0; i < n->count; i++) y[i] = oracle_activation_slope(n->activation, a[i]) * da[i];
            break;
        case ORACLE_ROWS:
            for (i = 0; i < n->count; i++)
                y[i] = n->row_scale == SSDE_OVER_SIGMA ? da[i] / b[0] : da[i] / sqrt(1.0 + b[0] * b[0]);
            break;
        case ORACLE_MODULATE:
            for (i = 0; i < n->count; i++)
                y[i] = da[i] * (1.0 + b[i % channels]) + a[i] * db[i % channels] + db[channels + i % channels];
            break;
        default: oracle_affine_tangent(o, n); break;
    }
}

/* Along v, of the sample that oracle_forward had last. */
static const double *oracle_forward_tangent(oracle *o, const double *v) {
    int i;
    for (i = 0; i < o->count; i++) {
        if (o->nodes[i].kind == ORACLE_INPUT)
            memcpy(o->tangents + o->nodes[i].offset, v, o->nodes[i].count * sizeof *v);
        oracle_node_tangent(o, &o->nodes[i]);
    }
    return o->tangents + o->nodes[o->output].offset;
}

/* One sample; the output stays in the values. */
static const double *oracle_forward(oracle *o, const double *x, double label, double sigma) {
    size_t j;
    int i;
    for (i = 0; i < o->count; i++) {
        double *value = o->values + o->nodes[i].offset;
        if (o->nodes[i].kind == ORACLE_INPUT) memcpy(value, x, o->nodes[i].count * sizeof *value);
        if (o->nodes[i].kind == ORACLE_LABEL) *value = label;
        if (o->nodes[i].kind == ORACLE_SIGMA) *value = sigma;
        if (o->nodes[i].kind == ORACLE_CLASS) *value = (double)o->class_number;
        for (j = 0; o->nodes[i].kind == ORACLE_VECTOR && j < o->nodes[i].count; j++) value[j] = (double)o->vector[j];
        oracle_node_forward(o, &o->nodes[i]);
    }
    return oracle_value(o, o->output);
}

/* ---- noting ---- */

static void oracle_open(oracle *o) {
    memset(o, 0, sizeof *o);
    CHECK_OK(ssde_net_create(NULL, &o->net, 1));
}

static void oracle_close(oracle *o) {
    ssde_net_destroy(o->net);
    free(o->nodes);
    free(o->weights);
    free(o->first);
    free(o->values);
    memset(o, 0, sizeof *o);
}

/* The next node; its number is what the builder called in turn must return. */
static oracle_node *oracle_note(oracle *o, oracle_kind kind, int a, int b, int c, size_t height, size_t width,
                                size_t channels) {
    oracle_node *n;
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? 2 * o->capacity : 32;
        o->nodes = (oracle_node *)realloc(o->nodes, (size_t)o->capacity * sizeof *o->nodes);
    }
    n = &o->nodes[o->count++];
    memset(n, 0, sizeof *n);
    n->kind = kind;
    n->input[0] = a;
    n->input[1] = b;
    n->input[2] = c;
    n->parameter = -1;
    n->shape[0] = height;
    n->shape[1] = width;
    n->shape[2] = channels;
    n->count = height * width * channels;
    n->offset = o->value_count;
    o->value_count += n->count;
    n->scale = 1.0;
    return n;
}

/* Compares what the network built with what was noted. */
static int oracle_noted(oracle *o, ssde_node node) {
    const oracle_node *n = &o->nodes[o->count - 1];
    CHECK(node == o->count - 1 && o->net->node_count == o->count);
    if (node == o->count - 1) CHECK(!memcmp(o->net->nodes[node].shape, n->shape, sizeof n->shape));
    return o->count - 1;
}

/* A name for parameters, in a buffer that the next call overwrites. */
static const char *oracle_name(const oracle *o) {
    static char name[64];
    snprintf(name, sizeof name, "part%d", o->count);
    return o->name[0] ? o->name : name;
}

static int oracle_input(oracle *o, size_t height, size_t width, size_t channels) {
    oracle_note(o, ORACLE_INPUT, -1, -1, -1, height, width, channels);
    return oracle_noted(o, ssde_input(o->net, height, width, channels));
}
static int oracle_label(oracle *o) {
    oracle_note(o, ORACLE_LABEL, -1, -1, -1, 1, 1, 1);
    return oracle_noted(o, ssde_input_label(o->net));
}
static int oracle_sigma(oracle *o) {
    oracle_note(o, ORACLE_SIGMA, -1, -1, -1, 1, 1, 1);
    return oracle_noted(o, ssde_input_sigma(o->net));
}

enum { ORACLE_AS_CONV, ORACLE_AS_LINEAR, ORACLE_AS_NIN };
static int oracle_conv(oracle *o, int x, const ssde_conv_desc *desc, int as) {
    const oracle_node in = o->nodes[x];
    char name[64];
    size_t reach = (size_t)(desc->pad_before + desc->pad_after), s = (size_t)desc->stride;
    size_t k = (size_t)((desc->kernel - 1) * (desc->dilation ? desc->dilation : 1) + 1);
    oracle_node *n;
    snprintf(name, sizeof name, "%s", oracle_name(o));
    n = oracle_note(o, ORACLE_CONV, x, desc->residual, -1, (in.shape[0] + reach - k) / s + 1,
                    (in.shape[1] + reach - k) / s + 1, desc->channels);
    n->parameter = (int)ssde_net_parameter_count(o->net);
    n->kernel = desc->kernel;
    n->stride = desc->stride;
    n->dilation = desc->dilation ? desc->dilation : 1;
    n->no_bias = desc->no_bias;
    n->before = desc->pad_before;
    n->scale = desc->scale;
    if (as == ORACLE_AS_LINEAR) return oracle_noted(o, ssde_linear(o->net, x, desc->channels, desc->init_scale, name));
    return oracle_noted(o, as == ORACLE_AS_NIN ? ssde_nin(o->net, x, desc, name) : ssde_conv2d(o->net, x, desc, name));
}
/* 3x3, stride 1, same size */
static int oracle_conv3(oracle *o, int x, size_t channels) {
    ssde_conv_desc desc = ssde_conv(channels, 3);
    return oracle_conv(o, x, &desc, ORACLE_AS_CONV);
}
static int oracle_conv1(oracle *o, int x, size_t channels) {
    ssde_conv_desc desc = ssde_conv(channels, 1);
    return oracle_conv(o, x, &desc, ORACLE_AS_CONV);
}

/* An operation of one input that keeps its shape. */
static oracle_node *oracle_note_like(oracle *o, oracle_kind kind, int a, int b, int c) {
    const oracle_node in = o->nodes[a];
    return oracle_note(o, kind, a, b, c, in.shape[0], in.shape[1], in.shape[2]);
}
static int oracle_activate(oracle *o, int x, ssde_activation activation) {
    oracle_note_like(o, ORACLE_ACTIVATE, x, -1, -1)->activation = (int)activation;
    return oracle_noted(o, ssde_activate(o->net, x, activation));
}
static int oracle_norm_eps(oracle *o, int x, size_t groups, double eps, ssde_activation activation) {
    const int fused = activation == SSDE_IDENTITY || activation == SSDE_SILU;
    oracle_node *n;
    char name[64];
    snprintf(name, sizeof name, "%s", oracle_name(o));
    n = oracle_note_like(o, ORACLE_NORM, x, -1, -1);
    n->groups = groups;
    n->eps = eps;
    n->activation = fused ? (int)activation : SSDE_IDENTITY;
    n->parameter = (int)ssde_net_parameter_count(o->net);
    if (!fused) oracle_note_like(o, ORACLE_ACTIVATE, o->count - 1, -1, -1)->activation = (int)activation;
    return oracle_noted(o, ssde_group_norm(o->net, x, groups, eps, activation, name));
}
static int oracle_norm(oracle *o, int x, size_t groups, ssde_activation activation) {
    return oracle_norm_eps(o, x, groups, 1e-6, activation);
}
static int oracle_attention(oracle *o, int q, int k, int v, size_t heads) {
    oracle_note_like(o, ORACLE_ATTENTION, q, k, v)->groups = heads;
    return oracle_noted(o, ssde_attention(o->net, q, k, v, heads));
}
static int oracle_add(oracle *o, int a, int b, double scale) {
    oracle_note_like(o, ORACLE_ADD, a, b, -1)->scale = scale;
    return oracle_noted(o, ssde_add_scaled(o->net, a, b, scale));
}
static int oracle_concat(oracle *o, int a, int b) {
    const oracle_node left = o->nodes[a];
    oracle_note(o, ORACLE_CONCAT, a, b, -1, left.shape[0], left.shape[1], left.shape[2] + o->nodes[b].shape[2]);
    return oracle_noted(o, ssde_concat(o->net, a, b));
}
static int oracle_affine(oracle *o, int x, double scale, double shift) {
    oracle_node *n = oracle_note_like(o, ORACLE_AFFINE, x, -1, -1);
    n->scale = scale;
    n->shift = shift;
    return oracle_noted(o, ssde_affine_map(o->net, x, scale, shift));
}
static int oracle_dropout(oracle *o, int x, double p) { /* that drops nothing, in training either */
    oracle_note_like(o, ORACLE_COPY, x, -1, -1);
    oracle_noted(o, ssde_dropout(o->net, x, p));
    o->net->nodes[o->count - 1].drop = 0.0;
    return o->count - 1;
}
static int oracle_nearest(oracle *o, int x) {
    const oracle_node in = o->nodes[x];
    oracle_note(o, ORACLE_NEAREST, x, -1, -1, 2 * in.shape[0], 2 * in.shape[1], in.shape[2]);
    return oracle_noted(o, ssde_upsample_nearest(o->net, x));
}
static int oracle_pool(oracle *o, int x) {
    const oracle_node in = o->nodes[x];
    oracle_note(o, ORACLE_POOL, x, -1, -1, in.shape[0] / 2, in.shape[1] / 2, in.shape[2]);
    return oracle_noted(o, ssde_average_pool(o->net, x));
}
static int oracle_fir(oracle *o, int x, int up, int down, int before, int after, const double *kernel, int taps) {
    const oracle_node in = o->nodes[x];
    size_t reach = (size_t)(before + after);
    oracle_node *n =
        oracle_note(o, ORACLE_FIR, x, -1, -1, (in.shape[0] * (size_t)up + reach - (size_t)taps) / (size_t)down + 1,
                    (in.shape[1] * (size_t)up + reach - (size_t)taps) / (size_t)down + 1, in.shape[2]);
    n->up = up;
    n->down = down;
    n->before = before;
    n->after = after;
    n->taps = taps;
    memcpy(n->fir, kernel, (size_t)taps * sizeof *kernel);
    return oracle_noted(o, ssde_fir(o->net, x, up, down, before, after, kernel, taps));
}
static int oracle_sinusoid(oracle *o, int label, size_t dim, double shift, int cosine_first) {
    oracle_node *n = oracle_note(o, ORACLE_POSITIONAL, label, -1, -1, 1, 1, dim);
    n->shift = shift;
    n->cosine_first = cosine_first;
    return oracle_noted(o, ssde_positional_embedding(o->net, label, dim, shift, cosine_first));
}
static int oracle_positional(oracle *o, int label, size_t dim) { return oracle_sinusoid(o, label, dim, 1.0, 0); }
static int oracle_fourier(oracle *o, int label, size_t dim, double scale) {
    char name[64];
    snprintf(name, sizeof name, "%s", oracle_name(o));
    oracle_note(o, ORACLE_FOURIER, label, -1, -1, 1, 1, 2 * dim)->parameter = (int)ssde_net_parameter_count(o->net);
    return oracle_noted(o, ssde_fourier_embedding(o->net, label, dim, scale, name));
}
static int oracle_rows(oracle *o, int x, int sigma, ssde_row_scale scale) {
    oracle_note_like(o, ORACLE_ROWS, x, sigma, -1)->row_scale = (int)scale;
    return oracle_noted(o, ssde_scale_rows(o->net, x, sigma, scale));
}
static int oracle_modulate(oracle *o, int x, int scale_shift) {
    oracle_note_like(o, ORACLE_MODULATE, x, scale_shift, -1);
    return oracle_noted(o, ssde_modulate(o->net, x, scale_shift));
}
static int oracle_mean(oracle *o, int x) {
    oracle_note(o, ORACLE_MEAN, x, -1, -1, 1, 1, o->nodes[x].shape[2]);
    return oracle_noted(o, ssde_mean_pixels(o->net, x));
}
static int oracle_tokens(oracle *o, int x) {
    const oracle_node in = o->nodes[x];
    char name[64];
    snprintf(name, sizeof name, "%s", oracle_name(o));
    oracle_note(o, ORACLE_TOKENS, x, -1, -1, 1, in.shape[0] * in.shape[1] + 1, in.shape[2])->parameter =
        (int)ssde_net_parameter_count(o->net);
    return oracle_noted(o, ssde_tokens(o->net, x, name));
}
static int oracle_class_number(oracle *o) {
    oracle_note(o, ORACLE_CLASS, -1, -1, -1, 1, 1, 1);
    return oracle_noted(o, ssde_input_class(o->net));
}
static int oracle_vector(oracle *o, size_t size) {
    oracle_note(o, ORACLE_VECTOR, -1, -1, -1, 1, 1, size);
    oracle_normals(17, 1.0, size, o->vector);
    return oracle_noted(o, ssde_input_vector(o->net, size));
}
static int oracle_table(oracle *o, int number, size_t rows, size_t dim) {
    char name[64];
    snprintf(name, sizeof name, "%s", oracle_name(o));
    oracle_note(o, ORACLE_TABLE, number, -1, -1, 1, 1, dim)->parameter = (int)ssde_net_parameter_count(o->net);
    return oracle_noted(o, ssde_table_embedding(o->net, number, rows, dim, name));
}
/* of the null class, which runs have where no class is given */
static int oracle_class(oracle *o, size_t classes, size_t dim) {
    char name[64];
    int number = oracle_class_number(o);
    o->class_number = classes;
    snprintf(name, sizeof name, "%s", oracle_name(o));
    oracle_note(o, ORACLE_TABLE, number, -1, -1, 1, 1, dim)->parameter = (int)ssde_net_parameter_count(o->net);
    return oracle_noted(o, ssde_class_embedding(o->net, number, classes, dim, name));
}

/* Of channels without a label, by classes of a label else. */
static int oracle_instance_norm(oracle *o, int x, int label, size_t classes, ssde_instance_norm_kind kind, double eps,
                                ssde_activation activation) {
    oracle_node *n;
    char name[64];
    snprintf(name, sizeof name, "%s", oracle_name(o));
    n = oracle_note_like(o, ORACLE_INSTANCE, x, label, -1);
    n->norm = (int)kind;
    n->eps = eps;
    n->activation = (int)activation;
    n->parameter = kind == SSDE_INSTANCE_NORM ? -1 : (int)ssde_net_parameter_count(o->net);
    return oracle_noted(o, label < 0
                               ? ssde_instance_norm(o->net, x, kind, eps, activation, name)
                               : ssde_conditional_instance_norm(o->net, x, label, classes, eps, activation, name));
}
static int oracle_window(oracle *o, int x, ssde_pool_kind kind, int size) {
    oracle_node *n = oracle_note_like(o, kind == SSDE_POOL_MAX ? ORACLE_MAX_POOL : ORACLE_MEAN_POOL, x, -1, -1);
    n->kernel = size;
    return oracle_noted(o, ssde_pool(o->net, x, kind, size));
}
static int oracle_resize(oracle *o, int x, size_t height, size_t width) { /* to another size */
    oracle_note(o, ORACLE_RESIZE, x, -1, -1, height, width, o->nodes[x].shape[2]);
    return oracle_noted(o, ssde_resize_bilinear(o->net, x, height, width));
}

/* ---- finishing ---- */

static void oracle_take_values(oracle *o) {
    o->values = (double *)calloc(3 * o->value_count, sizeof *o->values);
    o->tangents = o->values + o->value_count;
    o->zeros = o->tangents + o->value_count;
}

/* Takes the network's weights, which must have been set. */
static void oracle_take_weights(oracle *o) {
    size_t count = ssde_net_parameter_count(o->net), total = 0, i, j;
    float *values = (float *)calloc(ssde_net_weight_count(o->net) + 1, sizeof *values);
    free(o->weights);
    free(o->first);
    o->weights = (double *)calloc(ssde_net_weight_count(o->net) + 1, sizeof *o->weights);
    o->first = (size_t *)calloc(count + 1, sizeof *o->first);
    for (i = 0; i < count; i++) {
        const ssde_parameter *parameter = ssde_net_parameter(o->net, i);
        o->first[i] = total;
        CHECK_OK(ssde_net_get(o->net, i, values));
        for (j = 0; j < parameter->count; j++) o->weights[total + j] = (double)values[j];
        total += parameter->count;
    }
    o->first[count] = total;
    CHECK(total == ssde_net_weight_count(o->net));
    free(values);
}

/* Random weights that keep values near 1: matrices by their fan in, scales of norms near 1, biases and shifts not zero.
 */
static void oracle_random_weights(oracle *o, uint64_t seed) {
    size_t i, j;
    for (i = 0; i < ssde_net_parameter_count(o->net); i++) {
        const ssde_parameter *parameter = ssde_net_parameter(o->net, i);
        int nin = !strcmp(parameter->name + strlen(parameter->name) - 2, ".W");
        size_t fan_in = parameter->rank == 1 ? 1 : nin ? parameter->shape[0] : parameter->count / parameter->shape[0];
        int norm = parameter->rank == 1 && (strstr(parameter->name, ".weight") || strstr(parameter->name, ".alpha") ||
                                            strstr(parameter->name, ".gamma"));
        float *values = (float *)calloc(parameter->count, sizeof *values), *back;
        if (!parameter->trainable) {
            free(values);
            continue;
        }
        if (strstr(parameter->name, ".embed.weight")) fan_in = 9, norm = 1;
        back = (float *)calloc(parameter->count, sizeof *back);
        for (j = 0; j < parameter->count; j++)
            values[j] = (float)((norm ? 1.0 : 0.0) +
                                (parameter->rank == 1 ? 0.3 : 1.0 / sqrt((double)fan_in)) * oracle_normal(&seed));
        CHECK_OK(ssde_net_set(o->net, i, values));
        CHECK_OK(ssde_net_get(o->net, i, back));
        CHECK_SAME(back, values, parameter->count * sizeof *values);
        free(values);
        free(back);
    }
    oracle_take_weights(o);
}

/* Brings the node to one vector by strided convolutions, adds it to every pixel of the input, and finishes. */
static void oracle_finish(oracle *o, int node) {
    ssde_conv_desc down = ssde_conv(3, 3);
    o->parameters = ssde_net_parameter_count(o->net);
    down.stride = 2;
    while (o->nodes[node].shape[0] > 1 || o->nodes[node].shape[1] > 1)
        node = oracle_conv(o, node, &down, ORACLE_AS_CONV);
    node = oracle_conv1(o, node, o->nodes[0].shape[2]);
    o->output = oracle_add(o, 0, node, 1.0);
    CHECK_OK(ssde_net_finish(o->net, o->output));
    oracle_take_values(o);
    oracle_random_weights(o, 99);
}

/* Notes a network built elsewhere, which stays the caller's until oracle_close. */
static void oracle_from_net(oracle *o, ssde_net *net) {
    static const oracle_kind kinds[] = {
        ORACLE_INPUT,     ORACLE_CONV,     ORACLE_ACTIVATE, ORACLE_NORM,     ORACLE_ATTENTION,  ORACLE_ADD,
        ORACLE_CONCAT,    ORACLE_AFFINE,   ORACLE_COPY,     ORACLE_MATRICES, ORACLE_POSITIONAL, ORACLE_FOURIER,
        ORACLE_ROWS,      ORACLE_MODULATE, ORACLE_MEAN,     ORACLE_TABLE,    ORACLE_INSTANCE,   ORACLE_MAX_POOL,
        ORACLE_MEAN_POOL, ORACLE_RESIZE,   ORACLE_TOKENS};
    int i, axis;
    memset(o, 0, sizeof *o);
    o->net = net;
    o->parameters = ssde_net_parameter_count(net);
    o->output = net->output;
    o->class_number = net->no_null_class ? 1 : net->classes;
    oracle_normals(17, 1.0, sizeof o->vector / sizeof *o->vector, o->vector);
    for (i = 0; i < net->node_count; i++) {
        const ssdei_node *from = &net->nodes[i];
        oracle_kind kind = i == net->label          ? ORACLE_LABEL
                           : i == net->sigma        ? ORACLE_SIGMA
                           : i == net->class_number ? ORACLE_CLASS
                           : i == net->vector       ? ORACLE_VECTOR
                                                    : kinds[from->operation];
        oracle_node *n = oracle_note(o, kind, from->input[0], from->input[1], from->input[2], from->shape[0],
                                     from->shape[1], from->shape[2]);
        n->parameter = from->parameter;
        n->kernel = from->kernel;
        n->stride = from->stride;
        n->dilation = from->dilation;
        n->no_bias = from->no_bias;
        n->norm = from->kind;
        n->eps = from->eps;
        n->before = from->pad_before;
        n->groups = from->groups;
        n->activation = from->activation;
        n->row_scale = from->row_scale;
        n->cosine_first = from->cosine_first;
        n->eps = from->eps;
        n->scale = from->scale;
        n->shift = from->shift;
        for (axis = 0; net->taps && axis < 2; axis++) n->rows[axis] = net->taps + from->taps[axis];
    }
    oracle_take_values(o);
    oracle_take_weights(o);
}

#endif
