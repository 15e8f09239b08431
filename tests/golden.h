/* A reader for the golden data's safetensors files: F32, F64, I32 and I64, any host byte order. A missing file or name,
   or a count that differs, is reported as a failed check, and what was asked for is filled with NaN. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stdint.h>

#include "check.h"

#define GOLDEN_SOLVERS "tests/golden/solvers.safetensors"

typedef struct golden_tensor {
    char name[128], dtype[8];
    int rank;
    size_t shape[8], count;     /* rank 0: one number */
    const unsigned char *bytes; /* little-endian */
} golden_tensor;

typedef struct golden_file {
    unsigned char *data;
    golden_tensor *tensors;
    size_t count;
} golden_file;

/* Copies the string that *at points to the opening quote of, without its escapes, and moves behind it. */
static inline void golden_string(const char **at, char *out, size_t size) {
    size_t n = 0;
    for (++*at; **at && **at != '"'; ++*at) {
        if (**at == '\\' && (*at)[1]) ++*at;
        if (n + 1 < size) out[n++] = **at;
    }
    if (**at) ++*at;
    out[n] = 0;
}

/* Reads {"dtype": ..., "shape": [...], "data_offsets": [...]} and moves behind it; other objects are skipped the same
 * way. */
static inline void golden_entry(const char **at, golden_tensor *tensor, const unsigned char *data, size_t size) {
    char word[128] = "", key[128] = "";
    size_t offsets[2] = {0, 0}, n = 0, i;
    while (**at && **at != '{') ++*at;
    while (**at && **at != '}') {
        if (**at == '"') {
            golden_string(at, word, sizeof word);
            if (**at == ':') {
                memcpy(key, word, sizeof key);
                n = 0;
            } else if (!strcmp(key, "dtype"))
                memcpy(tensor->dtype, word, sizeof tensor->dtype - 1);
        } else if (**at >= '0' && **at <= '9') {
            char *end;
            size_t number = (size_t)strtoul(*at, &end, 10);
            if (!strcmp(key, "shape") && n < 8) tensor->shape[n++] = number, tensor->rank = (int)n;
            if (!strcmp(key, "data_offsets") && n < 2) offsets[n++] = number;
            *at = end;
        } else
            ++*at;
    }
    if (**at) ++*at;
    for (tensor->count = 1, i = 0; i < (size_t)tensor->rank; i++) tensor->count *= tensor->shape[i];
    tensor->bytes = offsets[0] <= offsets[1] && offsets[1] <= size ? data + offsets[0] : NULL;
}

static inline void golden_close(golden_file *file) {
    if (!file) return;
    free(file->data);
    free(file->tensors);
    free(file);
}

/* NULL, and a failed check, where the file cannot be read. */
static inline golden_file *golden_open(const char *path) {
    golden_file *file = (golden_file *)calloc(1, sizeof *file);
    FILE *stream = fopen(path, "rb");
    unsigned char length[8];
    size_t header = 0, size = 0, capacity = 0;
    const char *at;
    if (stream && file && fread(length, 1, 8, stream) == 8) {
        header = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16;
        fseek(stream, 0, SEEK_END);
        size = (size_t)ftell(stream) - 8;
        fseek(stream, 8, SEEK_SET);
        file->data = (unsigned char *)malloc(size + 1);
    }
    if (!file || !file->data || header > size || fread(file->data, 1, size, stream) != size) {
        check_report(__FILE__, __LINE__, "cannot read %s: run the tests from the repository's root", path);
        if (stream) fclose(stream);
        golden_close(file);
        return NULL;
    }
    fclose(stream);
    file->data[size] = 0;
    /* The header ends in '}' or padding, which parsing does not need. */
    for (at = (const char *)file->data + 1; at < (const char *)file->data + header && (at = strchr(at, '"')) != NULL;) {
        golden_tensor *tensor;
        if (at >= (const char *)file->data + header) break;
        if (file->count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            file->tensors = (golden_tensor *)realloc(file->tensors, capacity * sizeof *file->tensors);
        }
        tensor = &file->tensors[file->count];
        memset(tensor, 0, sizeof *tensor);
        golden_string(&at, tensor->name, sizeof tensor->name);
        golden_entry(&at, tensor, file->data + header, size - header);
        if (strcmp(tensor->name, "__metadata__")) file->count++;
    }
    return file;
}

/* The next tensor after `previous` (NULL: the first) whose name starts with prefix; NULL at the end. */
static inline const golden_tensor *golden_next(const golden_file *file, const golden_tensor *previous,
                                               const char *prefix) {
    size_t i = file && previous ? (size_t)(previous - file->tensors) + 1 : 0;
    for (; file && i < file->count; i++)
        if (!strncmp(file->tensors[i].name, prefix, strlen(prefix))) return &file->tensors[i];
    return NULL;
}

/* The tensor of that name: shape, rank, count. NULL, and a failed check, where there is none. */
static inline const golden_tensor *golden_find(const golden_file *file, const char *name) {
    size_t i;
    for (i = 0; file && i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    check_report(__FILE__, __LINE__, "no golden tensor '%s'", name);
    return NULL;
}

static inline double golden_value(const golden_tensor *tensor, size_t index) {
    size_t width = tensor && !strcmp(tensor->dtype + 1, "32") ? 4 : 8, i;
    uint64_t bits = 0;
    if (!tensor || !tensor->bytes || index >= tensor->count) return (double)NAN;
    for (i = width; i-- > 0;) bits = bits << 8 | tensor->bytes[index * width + i];
    if (tensor->dtype[0] == 'I') return width == 4 ? (double)(int32_t)(uint32_t)bits : (double)(int64_t)bits;
    if (width == 8) {
        double value;
        memcpy(&value, &bits, sizeof value);
        return value;
    } else {
        uint32_t word = (uint32_t)bits;
        float value;
        memcpy(&value, &word, sizeof value);
        return (double)value;
    }
}

/* Fills out[count] from the tensor of that name, which must have that many elements. */
static inline void golden_doubles(const golden_file *file, const char *name, double *out, size_t count) {
    const golden_tensor *tensor = golden_find(file, name);
    size_t i;
    if (tensor && tensor->count != count)
        check_report(__FILE__, __LINE__, "golden '%s' has %lu elements, not %lu", name, (unsigned long)tensor->count,
                     (unsigned long)count);
    for (i = 0; i < count; i++) out[i] = golden_value(tensor, i);
}
static inline void golden_floats(const golden_file *file, const char *name, float *out, size_t count) {
    const golden_tensor *tensor = golden_find(file, name);
    size_t i;
    if (tensor && tensor->count != count)
        check_report(__FILE__, __LINE__, "golden '%s' has %lu elements, not %lu", name, (unsigned long)tensor->count,
                     (unsigned long)count);
    for (i = 0; i < count; i++) out[i] = (float)golden_value(tensor, i);
}

/* Images [rows, channels, height, width], as the reference has them, to out [rows, height, width, channels]. */
static inline void golden_to_nhwc(const float *planar, float *out, size_t rows, size_t height, size_t width,
                                  size_t channels) {
    size_t pixels = height * width, dim = pixels * channels, i;
    for (i = 0; i < rows * dim; i++) out[i / dim * dim + i % pixels * channels + i % dim / pixels] = planar[i];
}

/* A tensor of images, in the library's order. */
static inline void golden_images(const golden_file *file, const char *name, float *out, size_t rows, size_t height,
                                 size_t width, size_t channels) {
    size_t count = rows * height * width * channels;
    float *planar = (float *)malloc(count * sizeof *planar);
    golden_floats(file, name, planar, count);
    golden_to_nhwc(planar, out, rows, height, width, channels);
    free(planar);
}

#endif
