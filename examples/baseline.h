/* baseline.h - what a model of images has to beat, for the examples */

#ifndef BASELINE_H
#define BASELINE_H

#include <math.h>
#include <stddef.h>
#include <string.h>

/* Bits per dimension of held-out images under independent pixels: for each of the `dim` values of an image (each
   channel of a pixel apart) the histogram of that value in the training images, every level counted half a time more
   than it occurs, so that none is impossible. Images are [count, dim] of 0 ... levels - 1, levels up to 256. */
static inline double baseline_pixel_bits(const unsigned char *training, size_t training_count,
                                         const unsigned char *held_out, size_t held_out_count, size_t dim, int levels) {
    enum { BLOCK = 64 }; /* values at a time: their histograms stay in the cache */
    static unsigned times[BLOCK][256];
    double total = 0.0;
    for (size_t begin = 0; begin < dim; begin += BLOCK) {
        size_t width = dim - begin;
        if (width > BLOCK) width = BLOCK;
        memset(times, 0, sizeof times);
        for (size_t i = 0; i < training_count; i++)
            for (size_t j = 0; j < width; j++) times[j][training[i * dim + begin + j]]++;
        for (size_t i = 0; i < held_out_count; i++)
            for (size_t j = 0; j < width; j++) total -= log((double)times[j][held_out[i * dim + begin + j]] + 0.5);
    }
    total /= (double)held_out_count * (double)dim;
    return (total + log((double)training_count + 0.5 * levels)) / log(2.0);
}

#endif
