/* picture.h - what the examples draw with: lines, discs, text, images and plots, written as PNG

   picture page = picture_create(900, 400);
   picture_plot plot = picture_plot_begin(&page, 0, 0, 450, 400, "samples", "x", "y", -3, 3, -3, 3);
   picture_plot_points(&plot, x, x + 1, 2, count, 1.5f, 0x0072B2, 0.5f);
   picture_write(&page, "samples.png");
   picture_destroy(&page);

   Colours are 0xRRGGBB, alpha is 0..1. Positions on a page are in pixels from its top left corner, y downwards, and
   whole numbers lie between pixels; positions in a plot are in the units of its axes. Drawing outside is clipped.
   With stb_image_write.h on the include path files are compressed; without it, or with PICTURE_NO_STB, only larger. */

#ifndef PICTURE_H
#define PICTURE_H

#include "names.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(PICTURE_NO_STB) && defined(__has_include)
#if __has_include("stb_image_write.h")
#define PICTURE_STB_HEADER "stb_image_write.h"
#elif __has_include(<stb/stb_image_write.h>)
#define PICTURE_STB_HEADER <stb/stb_image_write.h>
#endif
#endif

#ifdef PICTURE_STB_HEADER
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include PICTURE_STB_HEADER
#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif
#endif

#define PICTURE_INK 0x222222u   /* text */
#define PICTURE_FRAME 0x666666u /* borders and tick marks */
#define PICTURE_GRID 0xE8E8E8u  /* lines behind the data */

enum { PICTURE_ABOVE, PICTURE_BELOW, PICTURE_LEFT, PICTURE_RIGHT };                      /* picture_label */
enum { PICTURE_TOP_LEFT, PICTURE_TOP_RIGHT, PICTURE_BOTTOM_LEFT, PICTURE_BOTTOM_RIGHT }; /* picture_plot_legend */
enum { PICTURE_LOG_X = 1, PICTURE_LOG_Y = 2, PICTURE_SAME_UNITS = 4, PICTURE_BARE = 8 }; /* picture_plot_begin_as */

/* Pixels left <= x < right, top <= y < bottom. */
typedef struct picture_box {
    int left, top, right, bottom;
} picture_box;

typedef struct picture {
    unsigned char *pixels; /* height * width * 3, NULL when out of memory: nothing is drawn, picture_write fails */
    int width, height;
    float text;       /* pixels per font dot in labels and plots: 2 unless changed, capitals are 7 dots high */
    picture_box clip; /* nothing is drawn outside; plots end with the whole page */
} picture;

typedef struct picture_segment {
    float x0, y0, x1, y1;
} picture_segment;

typedef struct picture_plot {
    picture *page;
    picture_box frame; /* pixels of the data area; its border lies just outside */
    double x_min, x_max, y_min, y_max;
    int flags;
} picture_plot;

typedef struct picture_key {
    const char *name;
    unsigned colour;
    char mark; /* '-' line, ':' dashed line, 'o' disc, '#' bar, '>' arrow, '%' the colours of heat (`colour` unused) */
} picture_key;

typedef struct picture_ticks {
    int count;
    double at[24];
    char text[24][16];
} picture_ticks;

/* PNG files */

#ifdef PICTURE_STB_HEADER

static inline unsigned char *picture_encode(const unsigned char *pixels, int width, int height, int channels,
                                            size_t *size) {
    int bytes = 0;
    unsigned char *png = stbi_write_png_to_mem(pixels, width * channels, width, height, channels, &bytes);
    *size = (size_t)bytes;
    return png;
}

#else

static inline unsigned char *picture_put32(unsigned char *to, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) *to++ = (unsigned char)(value >> shift & 255);
    return to;
}

static inline unsigned char *picture_open_chunk(unsigned char *to, const char *type, size_t size) {
    to = picture_put32(to, (uint32_t)size);
    memcpy(to, type, 4);
    return to + 4;
}

/* Appends the CRC-32 of the chunk's type and data, which end at `to`. */
static inline unsigned char *picture_close_chunk(unsigned char *to, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (const unsigned char *byte = to - size - 4; byte < to; byte++) {
        crc ^= *byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return picture_put32(to, ~crc);
}

/* A zlib stream of stored blocks; every row is preceded by the byte of its filter, 0 = none. */
static inline unsigned char *picture_store(unsigned char *to, const unsigned char *pixels, size_t row, size_t raw) {
    const size_t most = 65535;
    uint32_t low = 1, high = 0; /* Adler-32 */
    *to++ = 0x78;
    *to++ = 0x01;
    for (size_t i = 0; i < raw; i++) {
        if (i % most == 0) {
            size_t block = raw - i < most ? raw - i : most;
            *to++ = block == raw - i;
            for (int part = 0; part < 4; part++)
                *to++ = (unsigned char)((part < 2 ? block : ~block) >> 8 * (part & 1) & 255);
        }
        *to = i % (row + 1) ? pixels[i - i / (row + 1) - 1] : 0;
        low = (low + *to++) % 65521;
        high = (high + low) % 65521;
    }
    return picture_put32(to, high << 16 | low);
}

static inline unsigned char *picture_encode(const unsigned char *pixels, int width, int height, int channels,
                                            size_t *size) {
    static const unsigned char signature[8] = {137, 'P', 'N', 'G', 13, 10, 26, 10};
    static const unsigned char colour_type[5] = {0, 0, 4, 2, 6};
    size_t row = (size_t)width * (size_t)channels, raw = (row + 1) * (size_t)height;
    size_t data = 2 + raw + (raw + 65534) / 65535 * 5 + 4;
    unsigned char *png = (unsigned char *)malloc(8 + (12 + 13) + (12 + data) + 12), *to = png;
    if (!png) return NULL;
    memcpy(to, signature, 8);
    to = picture_open_chunk(to + 8, "IHDR", 13);
    to = picture_put32(picture_put32(to, (uint32_t)width), (uint32_t)height);
    *to++ = 8; /* bits per channel; then compression, filter and interlace: 0 */
    *to++ = colour_type[channels];
    memset(to, 0, 3);
    to = picture_close_chunk(to + 3, 13);
    to = picture_open_chunk(to, "IDAT", data);
    to = picture_close_chunk(picture_store(to, pixels, row, raw), data);
    to = picture_close_chunk(picture_open_chunk(to, "IEND", 0), 0);
    *size = (size_t)(to - png);
    return png;
}

#endif

/* Writes 8-bit pixels, height * width * channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA. Returns 0, or -1 and
   leaves no file behind. */
static inline int picture_write_png(const char *path, const unsigned char *pixels, int width, int height,
                                    int channels) {
    if (!pixels || width < 1 || height < 1 || channels < 1 || channels > 4) return -1;
    if (((uint64_t)width * (uint64_t)channels + 1) * (uint64_t)height > 500000000u) return -1; /* a chunk has 31 bits */
    size_t size = 0;
    unsigned char *png = picture_encode(pixels, width, height, channels, &size);
    FILE *file = png ? names_open(path, "wb") : NULL;
    int failed = !file;
    if (file) {
        failed = fwrite(png, 1, size, file) != size;
        failed |= fclose(file) != 0;
        if (failed) names_remove(path);
    }
    free(png);
    return failed ? -1 : 0;
}

/* Pages */

static inline picture_box picture_overlap(picture_box a, picture_box b) {
    picture_box both;
    both.left = a.left > b.left ? a.left : b.left;
    both.top = a.top > b.top ? a.top : b.top;
    both.right = a.right < b.right ? a.right : b.right;
    both.bottom = a.bottom < b.bottom ? a.bottom : b.bottom;
    return both;
}

/* Lets drawing touch these pixels only. */
static inline void picture_clip(picture *page, picture_box box) {
    picture_box all = {0, 0, page->width, page->height};
    page->clip = picture_overlap(box, all);
}

static inline void picture_unclip(picture *page) {
    picture_box all = {0, 0, page->width, page->height};
    page->clip = all;
}

/* A white page. */
static inline picture picture_create(int width, int height) {
    picture page;
    memset(&page, 0, sizeof page);
    size_t size = (size_t)width * (size_t)height * 3;
    page.pixels = (unsigned char *)malloc(size);
    page.text = 2;
    if (!page.pixels) return page;
    memset(page.pixels, 255, size);
    page.width = width;
    page.height = height;
    picture_unclip(&page);
    return page;
}

static inline void picture_destroy(picture *page) {
    free(page->pixels);
    memset(page, 0, sizeof *page);
}

static inline int picture_write(const picture *page, const char *path) {
    return picture_write_png(path, page->pixels, page->width, page->height, 3);
}

/* The caller keeps (x, y) inside the clip. */
static inline void picture_blend(picture *page, int x, int y, unsigned colour, float alpha) {
    unsigned char *pixel = page->pixels + ((size_t)y * (size_t)page->width + (size_t)x) * 3;
    for (int c = 0; c < 3; c++) {
        float old = pixel[c], wanted = (float)(colour >> (16 - 8 * c) & 255);
        pixel[c] = (unsigned char)(old + (wanted - old) * alpha + 0.5f);
    }
}

static inline void picture_rectangle(picture *page, int x, int y, int width, int height, unsigned colour, float alpha) {
    picture_box box = {x, y, x + width, y + height};
    box = picture_overlap(box, page->clip);
    for (int j = box.top; j < box.bottom; j++)
        for (int i = box.left; i < box.right; i++) picture_blend(page, i, j, colour, alpha);
}

/* A border of `thickness` pixels just outside of a rectangle. */
static inline void picture_border(picture *page, int x, int y, int width, int height, int thickness, unsigned colour) {
    picture_rectangle(page, x - thickness, y - thickness, width + 2 * thickness, thickness, colour, 1);
    picture_rectangle(page, x - thickness, y + height, width + 2 * thickness, thickness, colour, 1);
    picture_rectangle(page, x - thickness, y, thickness, height, colour, 1);
    picture_rectangle(page, x + width, y, thickness, height, colour, 1);
}

/* Strokes: everything that is not a rectangle is drawn as segments with round ends */

static inline float picture_distance(const picture_segment *segment, float x, float y) {
    float dx = segment->x1 - segment->x0, dy = segment->y1 - segment->y0, squared = dx * dx + dy * dy;
    x -= segment->x0;
    y -= segment->y0;
    float along = squared > 0 ? fminf(fmaxf((x * dx + y * dy) / squared, 0), 1) : 0;
    x -= along * dx;
    y -= along * dy;
    return sqrtf(x * x + y * y);
}

/* The pixels a segment may touch; none when an end is not finite. */
static inline picture_box picture_reach(const picture *page, const picture_segment *segment, float radius) {
    picture_box clip = page->clip, box = {INT_MAX, INT_MAX, INT_MIN, INT_MIN};
    if (!(fabsf(segment->x0) + fabsf(segment->y0) + fabsf(segment->x1) + fabsf(segment->y1) < 1e9f)) return box;
    float reach = radius + 0.5f;
    box.left = (int)floorf(fminf(segment->x0, segment->x1) - reach);
    box.top = (int)floorf(fminf(segment->y0, segment->y1) - reach);
    box.right = (int)ceilf(fmaxf(segment->x0, segment->x1) + reach);
    box.bottom = (int)ceilf(fmaxf(segment->y0, segment->y1) + reach);
    return picture_overlap(box, clip);
}

/* Draws the union of the segments, so that joints and crossings are not painted twice. */
static inline void picture_stroke(picture *page, const picture_segment *segments, size_t count, float thickness,
                                  unsigned colour, float alpha) {
    float radius = thickness / 2, full = fminf(thickness, 1);
    picture_box all = {INT_MAX, INT_MAX, INT_MIN, INT_MIN};
    for (size_t i = 0; i < count; i++) {
        picture_box box = picture_reach(page, &segments[i], radius);
        if (box.left >= box.right || box.top >= box.bottom) continue;
        all.left = box.left < all.left ? box.left : all.left;
        all.top = box.top < all.top ? box.top : all.top;
        all.right = box.right > all.right ? box.right : all.right;
        all.bottom = box.bottom > all.bottom ? box.bottom : all.bottom;
    }
    if (all.left >= all.right) return;
    size_t width = (size_t)(all.right - all.left), height = (size_t)(all.bottom - all.top);
    unsigned char *mask = (unsigned char *)calloc(width * height, 1); /* coverage, 0..255 */
    if (!mask) return;
    for (size_t i = 0; i < count; i++) {
        picture_box box = picture_reach(page, &segments[i], radius);
        for (int y = box.top; y < box.bottom; y++)
            for (int x = box.left; x < box.right; x++) {
                float covered = radius + 0.5f - picture_distance(&segments[i], (float)x + 0.5f, (float)y + 0.5f);
                float level = 255 * fminf(fmaxf(covered, 0), full);
                unsigned char *cell = mask + (size_t)(y - all.top) * width + (size_t)(x - all.left);
                if (level > *cell) *cell = (unsigned char)level;
            }
    }
    for (int y = all.top; y < all.bottom; y++)
        for (int x = all.left; x < all.right; x++) {
            unsigned char level = mask[(size_t)(y - all.top) * width + (size_t)(x - all.left)];
            if (level) picture_blend(page, x, y, colour, alpha * (float)level / 255);
        }
    free(mask);
}

static inline void picture_line(picture *page, float x0, float y0, float x1, float y1, float thickness, unsigned colour,
                                float alpha) {
    picture_segment segment = {x0, y0, x1, y1};
    picture_stroke(page, &segment, 1, thickness, colour, alpha);
}

static inline void picture_disc(picture *page, float x, float y, float radius, unsigned colour, float alpha) {
    picture_line(page, x, y, x, y, 2 * radius, colour, alpha);
}

/* The head is at (x1, y1) and shrinks with short arrows. */
static inline void picture_arrow(picture *page, float x0, float y0, float x1, float y1, float thickness,
                                 unsigned colour, float alpha) {
    float dx = x1 - x0, dy = y1 - y0, length = sqrtf(dx * dx + dy * dy);
    float head = length > 0 ? fminf(0.4f, (3 + 3 * thickness) / length) : 0; /* in lengths of the arrow */
    float back_x = x1 - head * dx, back_y = y1 - head * dy, side_x = 0.5f * head * dy, side_y = -0.5f * head * dx;
    picture_segment segments[3] = {
        {x0, y0, x1, y1}, {back_x + side_x, back_y + side_y, x1, y1}, {back_x - side_x, back_y - side_y, x1, y1}};
    picture_stroke(page, segments, 3, thickness, colour, alpha);
}

/* Text */

/* ASCII 32..126: 9 rows of 5 dots, row 0 on top, bit 5 * row + column; capitals fill rows 0..6, descenders 7..8. */
static const uint64_t picture_font[95] = {
    0x0,           0x40108421,    0x14a5,        0x2bea57d40,   0x11f4717c4,   0x464222131,   0x593511526,
    0x421,         0x1042108422,  0x884210841,   0x9575480,     0x84f9080,     0x11080000000, 0x78000,
    0x40000000,    0x42222210,    0x3a318c62e,   0x1084214c4,   0x7c444422e,   0x3a306422e,   0x211f4a988,
    0x3a3083c3f,   0x3a317844c,   0x10844221f,   0x3a317462e,   0x1910f462e,   0x2000400,     0x884000800,
    0x208208888,   0xf03c00,      0x44441041,    0x10044422e,   0x783daf62e,   0x463f8a944,   0x3e317c62f,
    0x3a210862e,   0x3e318c62f,   0x3c213842f,   0x4213842f,    0x3a31c862e,   0x4631fc631,   0x1c4210847,
    0x192842108,   0x452519531,   0x3c2108421,   0x4631ad771,   0x4639ad671,   0x3a318c62e,   0x4217c62f,
    0x59358c62e,   0x45257c62f,   0x3e107043e,   0x10842109f,   0x3a318c631,   0x114a54631,   0x2ab5ac631,
    0x462a22a31,   0x108422a31,   0x7c222221f,   0x1842108423,  0x420820821,   0x1884210843,  0x4544,
    0x7800000000,  0x41,          0x392e41800,   0x1d2949c21,   0x38210b800,   0x39294b908,   0x382f49800,
    0x42109c26,    0x6439294b800, 0x252949c21,   0x42108401,    0x11084210802, 0x24a32a421,   0x42108421,
    0x56b5abc00,   0x252949c00,   0x192949800,   0x109d2949c00, 0x8439294b800, 0x42119400,    0x1d060b800,
    0x182109c21,   0x39294a400,   0x114a8c400,   0x2ab5ad400,   0x454454400,   0x6439294a400, 0x3c2643c00,
    0x41084110844, 0x10842108421, 0x11084410841, 0x9ac800,
};

static inline uint64_t picture_glyph(char letter) {
    return picture_font[letter >= 32 && letter <= 126 ? letter - 32 : '?' - 32];
}

/* Columns a letter takes, without the gap that follows it. */
static inline int picture_glyph_width(char letter) {
    const uint64_t column = UINT64_C(0x10842108421); /* every fifth of 45 bits */
    int width = 5;
    while (width > 0 && !(picture_glyph(letter) & column << (width - 1))) width--;
    return width ? width : 2;
}

/* Dots become strokes joined to their neighbours, diagonally only where no other way around exists; returns how many
   segments, at most 225. The letter's top left corner is (x, y); `up` turns it to read upwards. */
static inline size_t picture_letter(uint64_t glyph, float x, float y, float scale, int up, picture_segment *segments) {
    static const int step[5][2] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {-1, 1}}; /* column, row */
    size_t count = 0;
    for (int dot = 0; dot < 45 * 5; dot++) {
        int row = dot / 25, column = dot / 5 % 5, right = step[dot % 5][0], down = step[dot % 5][1];
        if (column + right < 0 || column + right > 4 || row + down > 8) continue;
        uint64_t from = UINT64_C(1) << (5 * row + column), to = UINT64_C(1) << (5 * (row + down) + column + right);
        uint64_t around = UINT64_C(1) << (5 * row + column + right) | UINT64_C(1) << (5 * (row + down) + column);
        if (!(glyph & from) || !(glyph & to) || (right && down && (glyph & around))) continue;
        float a0 = scale * ((float)column + 0.5f), a1 = a0 + scale * (float)right;
        float b0 = scale * ((float)row + 0.5f), b1 = b0 + scale * (float)down;
        picture_segment flat = {x + a0, y + b0, x + a1, y + b1}, turned = {x + b0, y - a0, x + b1, y - a1};
        segments[count++] = up ? turned : flat;
    }
    return count;
}

/* In pixels, for any scale: pixels per font dot. */
static inline float picture_text_width(const char *text, float scale) {
    int columns = 0;
    for (const char *letter = text; *letter; letter++) columns += picture_glyph_width(*letter) + 1;
    return scale * (float)(columns ? columns - 1 : 0);
}

static inline void picture_text_along(picture *page, float x, float y, float align, float scale, int up,
                                      unsigned colour, const char *text) {
    float shift = align * picture_text_width(text, scale), *pen = up ? &y : &x;
    x = floorf(up ? x + 0.5f : x - shift + 0.5f); /* whole pixels keep stems sharp */
    y = floorf(up ? y + shift + 0.5f : y + 0.5f);
    for (; *text; text++) {
        picture_segment segments[225];
        size_t count = picture_letter(picture_glyph(*text), x, y, scale, up, segments);
        picture_stroke(page, segments, count, scale > 1 ? 0.9f * scale : 1, colour, 1);
        *pen += (up ? -scale : scale) * (float)(picture_glyph_width(*text) + 1);
    }
}

/* y is the top of the capitals, 7 * scale high; align 0 puts the left end at x, 0.5 the centre, 1 the right end. */
static inline void picture_text(picture *page, float x, float y, float align, float scale, unsigned colour,
                                const char *text) {
    picture_text_along(page, x, y, align, scale, 0, colour, text);
}

/* Reads upwards: x is the top of the capitals, on the left; align 0 puts the lower end at y, 1 the upper end. */
static inline void picture_text_up(picture *page, float x, float y, float align, float scale, unsigned colour,
                                   const char *text) {
    picture_text_along(page, x, y, align, scale, 1, colour, text);
}

/* Text beside a rectangle, centred on that side. */
static inline void picture_label(picture *page, int x, int y, int width, int height, int side, const char *text) {
    float s = page->text, gap = 4 * s, middle_x = (float)x + (float)width / 2;
    float middle_y = (float)y + (float)height / 2 - 3.5f * s, right = (float)(x + width);
    if (side == PICTURE_ABOVE) picture_text(page, middle_x, (float)y - gap - 7 * s, 0.5f, s, PICTURE_INK, text);
    if (side == PICTURE_BELOW) picture_text(page, middle_x, (float)(y + height) + gap, 0.5f, s, PICTURE_INK, text);
    if (side == PICTURE_LEFT) picture_text(page, (float)x - gap, middle_y, 1, s, PICTURE_INK, text);
    if (side == PICTURE_RIGHT) picture_text(page, right + gap, middle_y, 0, s, PICTURE_INK, text);
}

/* Images */

/* Bytes for values: low becomes 0, high 255, linear between and clipped; low > high makes a negative. */
static inline void picture_bytes(const float *values, size_t count, float low, float high, unsigned char *bytes) {
    for (size_t i = 0; i < count; i++) {
        float level = 255 * (values[i] - low) / (high - low) + 0.5f;
        bytes[i] = (unsigned char)(level > 0 ? fminf(level, 255) : 0);
    }
}

/* pixels: height * width * channels, 1 (grey) or 3 (RGB); each becomes a square of zoom * zoom. */
static inline void picture_image(picture *page, int x, int y, const unsigned char *pixels, int width, int height,
                                 int channels, int zoom) {
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++) {
            const unsigned char *from = pixels + ((size_t)j * (size_t)width + (size_t)i) * (size_t)channels;
            unsigned red = from[0], green = from[channels == 3], blue = from[channels == 3 ? 2 : 0];
            picture_rectangle(page, x + i * zoom, y + j * zoom, zoom, zoom, red << 16 | green << 8 | blue, 1);
        }
}

/* `count` images after each other, row by row: image i has its corner at x + (i % columns) * (width * zoom + gap). */
static inline void picture_images(picture *page, int x, int y, const unsigned char *pixels, int count, int columns,
                                  int width, int height, int channels, int zoom, int gap) {
    for (int i = 0; i < count; i++) {
        const unsigned char *image = pixels + (size_t)i * (size_t)width * (size_t)height * (size_t)channels;
        int left = x + i % columns * (width * zoom + gap), top = y + i / columns * (height * zoom + gap);
        picture_image(page, left, top, image, width, height, channels, zoom);
    }
}

/* Colours */

/* Eight colours that the colour-blind can tell apart too (Okabe and Ito 2008), the strongest first. */
static inline unsigned picture_palette(int index) {
    static const unsigned colours[8] = {0x0072B2, 0xD55E00, 0x009E73, 0xE69F00, 0xCC79A7, 0x56B4E9, 0x000000, 0xF0E442};
    return colours[index & 7];
}

static inline unsigned picture_srgb(double linear) {
    double u = fmin(fmax(linear, 0), 1);
    return (unsigned)(255 * (u <= 0.0031308 ? 12.92 * u : 1.055 * pow(u, 1 / 2.4) - 0.055) + 0.5);
}

/* 0 white, then through green and blue to 1 dark violet; lightness falls evenly (Oklab, Ottosson 2020). */
static inline unsigned picture_heat_colour(double level) {
    double u = level > 0 ? fmin(level, 1) : 0;
    double hue = 1.9 + 3.2 * u, chroma = 0.1 * (1 - pow(1 - u, 5)), light = 1 - 0.74 * u; /* all within sRGB */
    double a = chroma * cos(hue), b = chroma * sin(hue);
    double l = pow(light + 0.3963377774 * a + 0.2158037573 * b, 3);
    double m = pow(light - 0.1055613458 * a - 0.0638541728 * b, 3);
    double s = pow(light - 0.0894841775 * a - 1.2914855480 * b, 3);
    unsigned red = picture_srgb(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    unsigned green = picture_srgb(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    unsigned blue = picture_srgb(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
    return red << 16 | green << 8 | blue;
}

/* Axes */

/* Pixels for a value: clamped when far outside, NaN, which is not drawn, for what has no place on the axis. */
static inline float picture_position(double value, double min, double max, int logarithmic, int from, int to) {
    double u = (value - min) / (max - min);
    if (logarithmic) u = value > 0 ? (log10(value) - log10(min)) / (log10(max) - log10(min)) : (double)NAN;
    if (!(fabs(value) < HUGE_VAL)) u = (double)NAN;
    u = u < -50 ? -50 : u > 50 ? 50 : u;
    return (float)(from + u * (to - from));
}

static inline float picture_plot_x(const picture_plot *plot, double x) {
    return picture_position(x, plot->x_min, plot->x_max, plot->flags & PICTURE_LOG_X, plot->frame.left,
                            plot->frame.right);
}

static inline float picture_plot_y(const picture_plot *plot, double y) {
    return picture_position(y, plot->y_min, plot->y_max, plot->flags & PICTURE_LOG_Y, plot->frame.bottom,
                            plot->frame.top);
}

/* Without decimals to keep (< 0), and for very small or large numbers, with an exponent where that is shorter. */
static inline void picture_add_tick(picture_ticks *ticks, double at, int decimals) {
    if (ticks->count >= 24) return;
    char *text = ticks->text[ticks->count];
    if (decimals >= 0 && decimals < 4 && fabs(at) < 1e6) {
        snprintf(text, sizeof ticks->text[0], "%.*f", decimals, at);
    } else {
        snprintf(text, sizeof ticks->text[0], "%g", at);
        char *exponent = strchr(text, 'e'); /* 1e-05 is 1e-5, 1e+06 is 1e6 */
        if (exponent) snprintf(exponent + 1, 6, "%d", atoi(exponent + 1));
    }
    ticks->at[ticks->count++] = at;
}

/* Whole decades, every n-th when there are many; 1, 2, 5 in each when there are few. */
static inline picture_ticks picture_decades(double low, double high, int most) {
    picture_ticks ticks;
    memset(&ticks, 0, sizeof ticks);
    int first = (int)floor(log10(low) + 1e-9), last = (int)floor(log10(high) + 1e-9);
    int stride = (last - first + most) / most, few = 3 * (last - first) < most;
    for (int decade = first; decade <= last; decade += stride)
        for (int mantissa = 1; mantissa < (few ? 10 : 2); mantissa = 2 * mantissa + (mantissa == 2)) {
            double at = mantissa * pow(10, decade);
            if (at >= low * (1 - 1e-9) && at <= high * (1 + 1e-9)) picture_add_tick(&ticks, at, -1);
        }
    return ticks;
}

/* At most about `most` multiples of 1, 2 or 5 times a power of ten. */
static inline picture_ticks picture_steps(double low, double high, int most) {
    picture_ticks ticks;
    memset(&ticks, 0, sizeof ticks);
    double least = (high - low) / most, power = pow(10, floor(log10(least))), ratio = least / power - 1e-9;
    double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
    int decimals = (int)fmin(fmax(0, -floor(log10(step) + 1e-9)), 20);
    for (double k = ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && ticks.count < 24; k++)
        picture_add_tick(&ticks, k * step + 0.0, decimals);
    return ticks;
}

static inline float picture_widest(const picture_ticks *ticks, float scale) {
    float widest = 0;
    for (int i = 0; i < ticks->count; i++) widest = fmaxf(widest, picture_text_width(ticks->text[i], scale));
    return widest;
}

/* Whether neighbouring labels keep their distance on an axis of `length` pixels. */
static inline int picture_ticks_fit(const picture_ticks *ticks, double min, double max, int logarithmic, int length,
                                    float scale, int vertical) {
    for (int i = 1; i < ticks->count; i++) {
        float apart = picture_position(ticks->at[i], min, max, logarithmic, 0, length) -
                      picture_position(ticks->at[i - 1], min, max, logarithmic, 0, length);
        float widths = picture_text_width(ticks->text[i], scale) + picture_text_width(ticks->text[i - 1], scale);
        if (fabsf(apart) < (vertical ? 14 * scale : widths / 2 + 6 * scale)) return 0;
    }
    return 1;
}

/* As many ticks as there is room for, up to about 8. */
static inline picture_ticks picture_fit_ticks(double min, double max, int logarithmic, int length, float scale,
                                              int vertical) {
    double low = fmin(min, max), high = fmax(min, max);
    for (int most = 8;; most--) {
        picture_ticks ticks = logarithmic ? picture_decades(low, high, most) : picture_steps(low, high, most);
        if (logarithmic && ticks.count < 2 && high < 10 * low) ticks = picture_steps(low, high, most);
        if (most == 1 || picture_ticks_fit(&ticks, min, max, logarithmic, length, scale, vertical)) return ticks;
    }
}

/* Plots */

static inline picture_ticks picture_x_ticks(const picture_plot *plot) {
    int length = plot->frame.right - plot->frame.left;
    return picture_fit_ticks(plot->x_min, plot->x_max, plot->flags & PICTURE_LOG_X, length, plot->page->text, 0);
}

static inline picture_ticks picture_y_ticks(const picture_plot *plot) {
    int length = plot->frame.bottom - plot->frame.top;
    return picture_fit_ticks(plot->y_min, plot->y_max, plot->flags & PICTURE_LOG_Y, length, plot->page->text, 1);
}

/* Pixels of the thinnest lines: half a font dot. */
static inline int picture_hairline(const picture *page) { return page->text >= 4 ? (int)(page->text / 2) : 1; }

static inline void picture_draw_x_axis(const picture_plot *plot) {
    picture *page = plot->page;
    picture_box frame = plot->frame;
    float s = page->text;
    int mark = (int)(2 * s), thick = picture_hairline(page);
    picture_ticks ticks = picture_x_ticks(plot);
    for (int i = 0; i < ticks.count; i++) {
        float x = picture_plot_x(plot, ticks.at[i]);
        int left = (int)(x - (float)thick / 2 + 0.5f);
        if (left > frame.left && left + thick < frame.right)
            picture_rectangle(page, left, frame.top, thick, frame.bottom - frame.top, PICTURE_GRID, 1);
        picture_rectangle(page, left, frame.bottom, thick, mark + thick, PICTURE_FRAME, 1);
        picture_text(page, x, (float)frame.bottom + 6 * s, 0.5f, s, PICTURE_INK, ticks.text[i]);
    }
}

static inline void picture_draw_y_axis(const picture_plot *plot) {
    picture *page = plot->page;
    picture_box frame = plot->frame;
    float s = page->text;
    int mark = (int)(2 * s), thick = picture_hairline(page);
    picture_ticks ticks = picture_y_ticks(plot);
    for (int i = 0; i < ticks.count; i++) {
        float y = picture_plot_y(plot, ticks.at[i]);
        int top = (int)(y - (float)thick / 2 + 0.5f);
        if (top > frame.top && top + thick < frame.bottom)
            picture_rectangle(page, frame.left, top, frame.right - frame.left, thick, PICTURE_GRID, 1);
        picture_rectangle(page, frame.left - mark - thick, top, mark + thick, thick, PICTURE_FRAME, 1);
        picture_text(page, (float)frame.left - 5 * s, y - 3.5f * s, 1, s, PICTURE_INK, ticks.text[i]);
    }
}

/* Shrinks the frame around its centre until one unit is as long upwards as it is sideways. */
static inline void picture_same_units(picture_plot *plot) {
    picture_box *frame = &plot->frame;
    double across = fabs(plot->x_max - plot->x_min), up = fabs(plot->y_max - plot->y_min);
    double unit = fmin((frame->right - frame->left) / across, (frame->bottom - frame->top) / up);
    int width = (int)(across * unit + 0.5), height = (int)(up * unit + 0.5);
    frame->left += (frame->right - frame->left - width) / 2;
    frame->top += (frame->bottom - frame->top - height) / 2;
    frame->right = frame->left + width;
    frame->bottom = frame->top + height;
}

/* The frame that leaves room in the rectangle for all that stands around it. */
static inline void picture_place_frame(picture_plot *plot, int title, int x_label, int y_label) {
    float s = plot->page->text, line = 7 * s, above = title ? line + 10 * s : 5 * s, below = 4 * s;
    float left = y_label ? line + 9 * s : 4 * s, right = 4 * s;
    if (x_label) below += line + 5 * s;
    plot->frame.top += (int)above;
    if (!(plot->flags & PICTURE_BARE)) {
        plot->frame.bottom -= (int)(below + line + 5 * s);
        picture_ticks y_ticks = picture_y_ticks(plot), x_ticks = picture_x_ticks(plot);
        left += picture_widest(&y_ticks, s) + 5 * s;
        right += picture_widest(&x_ticks, s) / 2;
    } else {
        plot->frame.bottom -= (int)below;
    }
    plot->frame.left += (int)left;
    plot->frame.right -= (int)right;
    if (plot->frame.right <= plot->frame.left) plot->frame.right = plot->frame.left + 1;
    if (plot->frame.bottom <= plot->frame.top) plot->frame.bottom = plot->frame.top + 1;
    if (plot->flags & PICTURE_SAME_UNITS) picture_same_units(plot);
}

static inline void picture_draw_labels(const picture_plot *plot, const char *title, const char *x_label,
                                       const char *y_label) {
    picture *page = plot->page;
    picture_box frame = plot->frame;
    picture_ticks ticks = picture_y_ticks(plot);
    int bare = plot->flags & PICTURE_BARE;
    float s = page->text, line = 7 * s, middle_x = (float)(frame.left + frame.right) / 2;
    float middle_y = (float)(frame.top + frame.bottom) / 2, gap = 5 * s;
    float x_room = bare ? 0 : line + 5 * s, y_room = bare ? 0 : picture_widest(&ticks, s) + 5 * s;
    float below = (float)frame.bottom + x_room + gap, beside = (float)frame.left - y_room - gap - line;
    if (title) picture_text(page, middle_x, (float)frame.top - gap - line, 0.5f, s, PICTURE_INK, title);
    if (x_label) picture_text(page, middle_x, below, 0.5f, s, PICTURE_INK, x_label);
    if (y_label) picture_text_up(page, beside, middle_y, 0.5f, s, PICTURE_INK, y_label);
}

/* Makes a range that is not finite 0 .. 1, and widens an empty one. */
static inline void picture_mend_range(double *min, double *max) {
    if (!(fabs(*min) < 1e300 && fabs(*max) < 1e300)) {
        *min = 0;
        *max = 1;
    }
    if (!(fabs(*max - *min) > 0)) *max = *min + fmax(1, fabs(*min));
}

/* Draws axes within the rectangle; title and axis labels may be NULL. min > max turns an axis round. flags, added up:
   PICTURE_LOG_X, PICTURE_LOG_Y (ignored unless both ends are positive), PICTURE_SAME_UNITS (one unit is equally long
   on both axes), PICTURE_BARE (no ticks). */
static inline picture_plot picture_plot_begin_as(picture *page, int x, int y, int width, int height, const char *title,
                                                 const char *x_label, const char *y_label, double x_min, double x_max,
                                                 double y_min, double y_max, int flags) {
    picture_mend_range(&x_min, &x_max);
    picture_mend_range(&y_min, &y_max);
    if (!(x_min > 0 && x_max > 0)) flags &= ~PICTURE_LOG_X;
    if (!(y_min > 0 && y_max > 0)) flags &= ~PICTURE_LOG_Y;
    picture_plot plot = {page, {x, y, x + width, y + height}, x_min, x_max, y_min, y_max, flags};
    picture_place_frame(&plot, title != NULL, x_label != NULL, y_label != NULL);
    if (!(flags & PICTURE_BARE)) {
        picture_draw_x_axis(&plot);
        picture_draw_y_axis(&plot);
    }
    picture_box frame = plot.frame;
    picture_border(page, frame.left, frame.top, frame.right - frame.left, frame.bottom - frame.top,
                   picture_hairline(page), PICTURE_FRAME);
    picture_draw_labels(&plot, title, x_label, y_label);
    return plot;
}

static inline picture_plot picture_plot_begin(picture *page, int x, int y, int width, int height, const char *title,
                                              const char *x_label, const char *y_label, double x_min, double x_max,
                                              double y_min, double y_max) {
    return picture_plot_begin_as(page, x, y, width, height, title, x_label, y_label, x_min, x_max, y_min, y_max, 0);
}

/* Point i is (x[i * stride], y[i * stride]): with samples of two numbers each, x, x + 1 and stride 2. */
static inline void picture_plot_points(const picture_plot *plot, const float *x, const float *y, size_t stride,
                                       size_t count, float radius, unsigned colour, float alpha) {
    picture_clip(plot->page, plot->frame);
    for (size_t i = 0; i < count; i++)
        picture_disc(plot->page, picture_plot_x(plot, (double)x[i * stride]),
                     picture_plot_y(plot, (double)y[i * stride]), radius, colour, alpha);
    picture_unclip(plot->page);
}

/* A line through the points, interrupted where one is not finite. */
static inline void picture_plot_curve(const picture_plot *plot, const float *x, const float *y, size_t stride,
                                      size_t count, float thickness, unsigned colour, float alpha) {
    if (count < 2) return;
    picture_segment *segments = (picture_segment *)malloc((count - 1) * sizeof *segments);
    if (!segments) return;
    for (size_t i = 0; i < count; i++) {
        float at_x = picture_plot_x(plot, (double)x[i * stride]), at_y = picture_plot_y(plot, (double)y[i * stride]);
        if (i > 0) {
            segments[i - 1].x1 = at_x;
            segments[i - 1].y1 = at_y;
        }
        if (i + 1 < count) {
            segments[i].x0 = at_x;
            segments[i].y0 = at_y;
        }
    }
    picture_clip(plot->page, plot->frame);
    picture_stroke(plot->page, segments, count - 1, thickness, colour, alpha);
    picture_unclip(plot->page);
    free(segments);
}

/* A vector field: arrows from (x, y) to (x + length * u, y + length * v), all with the same stride. */
static inline void picture_plot_arrows(const picture_plot *plot, const float *x, const float *y, const float *u,
                                       const float *v, size_t stride, size_t count, double length, float thickness,
                                       unsigned colour, float alpha) {
    picture_clip(plot->page, plot->frame);
    for (size_t i = 0; i < count * stride; i += stride)
        picture_arrow(plot->page, picture_plot_x(plot, (double)x[i]), picture_plot_y(plot, (double)y[i]),
                      picture_plot_x(plot, (double)x[i] + length * (double)u[i]),
                      picture_plot_y(plot, (double)y[i] + length * (double)v[i]), thickness, colour, alpha);
    picture_unclip(plot->page);
}

/* Dashes between two points on the page. */
static inline void picture_dashes(picture *page, float x0, float y0, float x1, float y1, float thickness,
                                  unsigned colour) {
    float length = sqrtf((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)), dash = 4 + 2 * thickness;
    for (float at = 0; at < length; at += 2 * dash) {
        float from = at / length, to = fminf(at + dash, length) / length;
        picture_line(page, x0 + from * (x1 - x0), y0 + from * (y1 - y0), x0 + to * (x1 - x0), y0 + to * (y1 - y0),
                     thickness, colour, 1);
    }
}

/* Dashed lines across the whole plot, for reference values. */
static inline void picture_plot_horizontal(const picture_plot *plot, double y, float thickness, unsigned colour) {
    float at = picture_plot_y(plot, y);
    picture_clip(plot->page, plot->frame);
    picture_dashes(plot->page, (float)plot->frame.left, at, (float)plot->frame.right, at, thickness, colour);
    picture_unclip(plot->page);
}

static inline void picture_plot_vertical(const picture_plot *plot, double x, float thickness, unsigned colour) {
    float at = picture_plot_x(plot, x);
    picture_clip(plot->page, plot->frame);
    picture_dashes(plot->page, at, (float)plot->frame.bottom, at, (float)plot->frame.top, thickness, colour);
    picture_unclip(plot->page);
}

/* A histogram: `count` bars of equal width from x = low to x = high. */
static inline void picture_plot_bars(const picture_plot *plot, double low, double high, const float *heights, int count,
                                     unsigned colour, float alpha) {
    float zero = plot->flags & PICTURE_LOG_Y ? (float)plot->frame.bottom : picture_plot_y(plot, 0);
    picture_clip(plot->page, plot->frame);
    for (int i = 0; i < count; i++) {
        float from = picture_plot_x(plot, low + (high - low) * i / count);
        float to = picture_plot_x(plot, low + (high - low) * (i + 1) / count);
        float y = picture_plot_y(plot, (double)heights[i]);
        if (!(fabsf(to - from) > 0 && fabsf(y - zero) > 0)) continue; /* nothing to see, or not a number */
        int left = (int)(fminf(from, to) + 0.5f), right = (int)(fmaxf(from, to) + 0.5f);
        int top = (int)(fminf(y, zero) + 0.5f), bottom = (int)(fmaxf(y, zero) + 0.5f);
        picture_rectangle(plot->page, left, top, right - left - 1, bottom - top, colour, alpha);
    }
    picture_unclip(plot->page);
}

/* The same lying on its side: bars of equal thickness from y = low to y = high, starting at x = 0. */
static inline void picture_plot_bars_across(const picture_plot *plot, double low, double high, const float *lengths,
                                            int count, unsigned colour, float alpha) {
    float zero = plot->flags & PICTURE_LOG_X ? (float)plot->frame.left : picture_plot_x(plot, 0);
    picture_clip(plot->page, plot->frame);
    for (int i = 0; i < count; i++) {
        float from = picture_plot_y(plot, low + (high - low) * i / count);
        float to = picture_plot_y(plot, low + (high - low) * (i + 1) / count);
        float x = picture_plot_x(plot, (double)lengths[i]);
        if (!(fabsf(to - from) > 0 && fabsf(x - zero) > 0)) continue; /* nothing to see, or not a number */
        int top = (int)(fminf(from, to) + 0.5f), bottom = (int)(fmaxf(from, to) + 0.5f);
        int left = (int)(fminf(x, zero) + 0.5f), right = (int)(fmaxf(x, zero) + 0.5f);
        picture_rectangle(plot->page, left, top, right - left, bottom - top - 1, colour, alpha);
    }
    picture_unclip(plot->page);
}

/* A density: rows * columns values fill the plot, row 0 along the x axis; low is white, high the darkest. */
static inline void picture_plot_heat(const picture_plot *plot, const float *values, int columns, int rows, float low,
                                     float high) {
    picture_box frame = plot->frame;
    int width = frame.right - frame.left, height = frame.bottom - frame.top;
    for (int j = 0; j < height; j++)
        for (int i = 0; i < width; i++) {
            size_t row = (size_t)(height - 1 - j) * (size_t)rows / (size_t)height;
            size_t column = (size_t)i * (size_t)columns / (size_t)width;
            float value = values[row * (size_t)columns + column];
            unsigned colour = picture_heat_colour((double)((value - low) / (high - low)));
            picture_rectangle(plot->page, frame.left + i, frame.top + j, 1, 1, colour, 1);
        }
}

/* Where the straight line through the values of a triangle's corners is `level`; 0 when all lie on one side of it. */
static inline int picture_cut(const float x[3], const float y[3], const float value[3], float level,
                              picture_segment *cut) {
    float at[2][2] = {{0, 0}, {0, 0}};
    int found = 0;
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3;
        if ((value[i] > level) == (value[j] > level) || found == 2) continue;
        float along = (level - value[i]) / (value[j] - value[i]);
        at[found][0] = x[i] + along * (x[j] - x[i]);
        at[found++][1] = y[i] + along * (y[j] - y[i]);
    }
    cut->x0 = at[0][0];
    cut->y0 = at[0][1];
    cut->x1 = at[1][0];
    cut->y1 = at[1][1];
    return found == 2;
}

/* The line on which values laid out as for picture_plot_heat, of the centres of their cells, are `level`. */
static inline void picture_plot_contour(const picture_plot *plot, const float *values, int columns, int rows,
                                        float level, float thickness, unsigned colour, float alpha) {
    if (columns < 2 || rows < 2) return;
    picture_box frame = plot->frame;
    float across = (float)(frame.right - frame.left) / (float)columns;
    float up = (float)(frame.bottom - frame.top) / (float)rows;
    size_t most = 2 * (size_t)(columns - 1) * (size_t)(rows - 1), count = 0;
    picture_segment *segments = (picture_segment *)malloc(most * sizeof *segments);
    if (!segments) return;
    for (int row = 0; row + 1 < rows; row++)
        for (int column = 0; column + 1 < columns; column++)
            for (int half = 0; half < 2; half++) { /* both triangles have the diagonal's two corners */
                float x[3], y[3], value[3];
                for (int corner = 0; corner < 3; corner++) {
                    int right = corner == 2 || (corner == 1 && !half), above = corner == 2 || (corner == 1 && half);
                    x[corner] = (float)frame.left + across * ((float)(column + right) + 0.5f);
                    y[corner] = (float)frame.bottom - up * ((float)(row + above) + 0.5f);
                    value[corner] = values[(size_t)(row + above) * (size_t)columns + (size_t)(column + right)];
                }
                count += (size_t)picture_cut(x, y, value, level, &segments[count]);
            }
    picture_clip(plot->page, frame);
    picture_stroke(plot->page, segments, count, thickness, colour, alpha);
    picture_unclip(plot->page);
    free(segments);
}

static inline void picture_draw_key(picture *page, const picture_key *key, float x, float y, float s) {
    if (key->mark == '-') picture_line(page, x, y, x + 12 * s, y, fmaxf(1.2f * s, 2), key->colour, 1);
    if (key->mark == ':') picture_dashes(page, x, y, x + 12 * s, y, fmaxf(0.8f * s, 1), key->colour);
    if (key->mark == 'o') picture_disc(page, x + 6 * s, y, 2.2f * s, key->colour, 1);
    if (key->mark == '#')
        picture_rectangle(page, (int)(x + 2 * s), (int)(y - 3 * s), (int)(8 * s), (int)(6 * s), key->colour, 1);
    if (key->mark == '>') picture_arrow(page, x, y, x + 12 * s, y, fmaxf(s, 1), key->colour, 1);
    if (key->mark == '%')
        for (int i = 0; i < (int)(12 * s); i++)
            picture_rectangle(page, (int)x + i, (int)(y - 3 * s), 1, (int)(6 * s), picture_heat_colour(i / (12.0 * s)),
                              1);
    picture_text(page, x + 17 * s, y - 3.5f * s, 0, s, PICTURE_INK, key->name);
}

/* Names and samples of what was drawn, in a box in one corner. */
static inline void picture_plot_legend(const picture_plot *plot, const picture_key *keys, int count, int corner) {
    picture *page = plot->page;
    float s = page->text, widest = 0;
    for (int i = 0; i < count; i++) widest = fmaxf(widest, picture_text_width(keys[i].name, s));
    int width = (int)(widest + 26 * s), height = (int)((float)(11 * count + 5) * s), gap = (int)(4 * s);
    int at_right = corner == PICTURE_TOP_RIGHT || corner == PICTURE_BOTTOM_RIGHT;
    int at_bottom = corner == PICTURE_BOTTOM_LEFT || corner == PICTURE_BOTTOM_RIGHT;
    int x = at_right ? plot->frame.right - gap - width : plot->frame.left + gap;
    int y = at_bottom ? plot->frame.bottom - gap - height : plot->frame.top + gap;
    picture_rectangle(page, x, y, width, height, 0xFFFFFF, 0.9f);
    picture_border(page, x, y, width, height, 1, 0xC8C8C8);
    for (int i = 0; i < count; i++)
        picture_draw_key(page, &keys[i], (float)x + 5 * s, (float)y + (float)(11 * i + 8) * s, s);
}

/* The same in one row without a box, centred at x, for several plots together; y is the top of its capitals. */
static inline void picture_legend_row(picture *page, float x, float y, const picture_key *keys, int count) {
    float s = page->text, gap = 14 * s, width = -gap;
    for (int i = 0; i < count; i++) width += 17 * s + picture_text_width(keys[i].name, s) + gap;
    x -= width / 2;
    for (int i = 0; i < count; i++) {
        picture_draw_key(page, &keys[i], x, y + 3.5f * s, s);
        x += 17 * s + picture_text_width(keys[i].name, s) + gap;
    }
}

#endif
