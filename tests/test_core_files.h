/* Files of arrays and of tensors, read and written: formats, hostile files, names, failing disks. */
#ifndef TEST_CORE_FILES_H
#define TEST_CORE_FILES_H

#include <locale.h>
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"

/* ---- files: .npy, IDX, CIFAR-10 ---- */

static void test_files_npy_round_trip(void) {
    const size_t shape[4] = {3, 4, 5, 25};
    int rank;
    for (rank = 0; rank <= 4; rank++) {
        ssde_tensor saved, loaded;
        unsigned char *bytes;
        size_t size, i, count;
        CHECK_OK(ssde_tensor_create(NULL, &saved, rank, shape));
        count = ssde_tensor_count(&saved);
        for (i = 0; i < count; i++) saved.data[i] = core_number(i) * 1e30f;
        saved.data[count / 2] = -INFINITY;
        CHECK_OK(ssde_npy_save(NULL, CORE_TEMPORARY, &saved));
        CHECK_OK(ssde_npy_load(NULL, CORE_TEMPORARY, &loaded));
        CHECK(loaded.rank == rank && !memcmp(loaded.shape, saved.shape, sizeof loaded.shape));
        if (loaded.data) CHECK_SAME(loaded.data, saved.data, count * sizeof(float));
        ssde_tensor_release(NULL, &loaded);
        CHECK_OK(ssdei_file_read(NULL, CORE_TEMPORARY, &bytes, &size));
        CHECK(size == 128 + 4 * count && bytes[127] == '\n'); /* as NumPy writes it */
        if (rank == 1) CHECK(!memcmp(bytes + 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 57));
        ssdei_release(NULL, bytes);
        ssde_tensor_release(NULL, &saved);
    }
    remove(CORE_TEMPORARY);
}

/* A version 1 file with this dictionary and these bytes. */
static size_t core_npy(unsigned char *file, int version, const char *dictionary, const void *bytes, size_t size) {
    size_t length = strlen(dictionary), start = version == 1 ? 10 : 12;
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[6] = (unsigned char)version;
    memset(file + 8, 0, 4);
    file[8] = (unsigned char)(length & 255u);
    file[9] = (unsigned char)(length >> 8);
    memcpy(file + start, dictionary, length);
    if (size) memcpy(file + start + length, bytes, size);
    return start + length + size;
}

/* Each type in both orders: bytes written out by hand, least significant first. */
static void test_files_npy_types(void) {
    static const struct {
        const char *type;
        size_t size;
        unsigned char bytes[16];
        float values[2];
    } cases[] = {{"b1", 1, {0, 1}, {0, 1}},
                 {"u1", 1, {7, 255}, {7, 255}},
                 {"i1", 1, {127, 0x80}, {127, -128}},
                 {"u2", 2, {1, 2, 0xff, 0xff}, {513, 65535}},
                 {"i2", 2, {1, 2, 0xfe, 0xff}, {513, -2}},
                 {"u4", 4, {0, 0, 0, 0x80, 1, 0, 0, 0}, {2147483648.0f, 1}},
                 {"i4", 4, {0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff}, {-2147483648.0f, -1}},
                 {"u8", 8, {0, 0, 0, 0, 0, 0, 0, 0x80, 9, 0, 0, 0, 0, 0, 0, 0}, {9223372036854775808.0f, 9}},
                 {"i8",
                  8,
                  {0, 0, 0, 0, 0, 0, 0, 0x80, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                  {-9223372036854775808.0f, -3}},
                 {"f2", 2, {0x00, 0x3c, 0x01, 0x80}, {1, -5.9604644775390625e-8f}},
                 {"f2", 2, {0xff, 0x7b, 0x00, 0xfc}, {65504, -INFINITY}},
                 {"f2", 2, {0x00, 0x04, 0x55, 0xb5}, {6.103515625e-5f, -0.333251953125f}},
                 {"f4", 4, {0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc1}, {1, -10}},
                 {"f8", 8, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0xff}, {1, -INFINITY}}};
    static const ssdei_dtype half = {"f2", 2, SSDEI_NUMBER_FLOAT, 5, 0};
    size_t i, j;
    int big;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (big = 0; big < 2; big++) {
            unsigned char file[256], bytes[16];
            char dictionary[128];
            size_t size = cases[i].size, length;
            ssde_tensor tensor;
            for (j = 0; j < 2 * size; j++) bytes[j] = cases[i].bytes[big ? j / size * size + size - 1 - j % size : j];
            snprintf(dictionary, sizeof dictionary, "{'descr': '%c%s', 'fortran_order': False, 'shape': (2,), }\n",
                     big         ? '>'
                     : size == 1 ? '|'
                                 : '<',
                     cases[i].type);
            length = core_npy(file, 1, dictionary, bytes, 2 * size);
            CHECK_OK(ssde_npy_load(NULL, write_file(CORE_TEMPORARY, file, length), &tensor));
            CHECK(tensor.rank == 1 && tensor.shape[0] == 2);
            if (tensor.data) CHECK_SAME(tensor.data, cases[i].values, sizeof cases[i].values);
            ssde_tensor_release(NULL, &tensor);
        }
    }
    for (i = 0; i < 65536; i++) { /* every half against its definition */
        double mantissa = (double)(i & 1023u), value;
        int exponent = (int)(i >> 10 & 31u);
        float actual;
        CHECK(ssdei_number_float(&half, i, &actual));
        if (exponent == 31 && mantissa > 0.0) {
            if (!isnan(actual)) check_report(__FILE__, __LINE__, "half 0x%04x is no NaN", (unsigned)i);
            continue;
        }
        value = exponent == 31  ? HUGE_VAL
                : exponent == 0 ? ldexp(mantissa, -24)
                                : ldexp(1024.0 + mantissa, exponent - 25);
        if ((double)actual != (i >> 15 ? -value : value))
            check_report(__FILE__, __LINE__, "half 0x%04x gave %g", (unsigned)i, (double)actual);
    }
    remove(CORE_TEMPORARY);
}

/* Headers that differ in blanks, quotes, order of keys and version are read; those that are wrong are refused with the
   reason. */
static void test_files_npy_headers(void) {
    static const char *const good[] = {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }          \n",
                                       "{\"shape\":(2,1),\"fortran_order\":False,\"descr\":\"<f4\"}",
                                       "\t{ 'shape' : ( 2 , 1 , ) , 'descr':'<f4' , 'fortran_order' :\n False }\n\n",
                                       "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L)}",
                                       "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, ), }",
                                       "{u'descr': u'<f4', u'fortran_order': False, u'shape': (2, 1)}",
                                       "{'descr': '=f4', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': '|f4', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': 'f4', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': 'float32', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': 'f', 'fortran_order': False, 'shape': (2, 1), }",
                                       "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1), }"};
    static const struct {
        const char *dictionary;
        ssde_status status;
        const char *words;
    } bad[] = {
        {"", SSDE_ERROR_FORMAT, "{"},
        {"{", SSDE_ERROR_FORMAT, "key"},
        {"{}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4', 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), 'more': 1}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "once"},
        {"{'descr': '<f4' 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "comma"},
        {"{'descr' '<f4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "colon"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1)} x", SSDE_ERROR_FORMAT, "blanks"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1", SSDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 1)}", SSDE_ERROR_FORMAT, "shape"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", SSDE_ERROR_FORMAT, "comma"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 1)}", SSDE_ERROR_FORMAT, "whole"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", SSDE_ERROR_FORMAT, "whole"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999, 1)}", SSDE_ERROR_FORMAT,
         "memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", SSDE_ERROR_FORMAT, "more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1)}", SSDE_ERROR_FORMAT, "more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1)}", SSDE_ERROR_FORMAT, "fewer"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0)}", SSDE_ERROR_UNSUPPORTED, "empty"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 2)}", SSDE_ERROR_UNSUPPORTED, "4 axes"},
        {"{'descr': '<f4', 'fortran_order': Truth, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "fortran_order"},
        {"{'descr': '<f4', 'fortran_order': True1, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "comma"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "fortran_order"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<c8"},
        {"{'descr': '<<f4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<<f4"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<f16"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "astype(numpy.float32)"},
        {"{'descr': '<U4', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "<U4"},
        {"{'descr': '|V2', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "|V2"},
        {"{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", SSDE_ERROR_UNSUPPORTED, "structured"},
        {"{'descr': '', 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "''"},
        {"{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_UNSUPPORTED, "structured"},
        {"{'descr': <f4, 'fortran_order': False, 'shape': (2, 1)}", SSDE_ERROR_FORMAT, "type"}};
    const unsigned char bytes[8] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}, huge[8] = {0, 0, 0, 0, 0, 0, 0, 0x48};
    unsigned char file[256];
    ssde_context context = ssde_context_defaults();
    ssde_tensor tensor;
    size_t i, size;
    int version, wide;
    for (i = 0; i < sizeof good / sizeof good[0]; i++) {
        for (version = 1; version <= 3; version++) {
            size = core_npy(file, version, good[i], bytes, sizeof bytes);
            CHECK_OK(ssde_npy_load(&context, write_file(CORE_TEMPORARY, file, size), &tensor));
            CHECK(tensor.rank == 2 && tensor.shape[0] == 2 && tensor.shape[1] == 1);
            if (tensor.data) CHECK(tensor.data[0] == 1.0f && tensor.data[1] == 2.0f);
            ssde_tensor_release(&context, &tensor);
        }
    }
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size = core_npy(file, 1, bad[i].dictionary, bytes, sizeof bytes);
        write_file(CORE_TEMPORARY, file, size);
        /* where size_t has 32 bits, what is beyond them does not fit into memory, whatever else is wrong */
        wide = sizeof(size_t) < 8 && strstr(bad[i].dictionary, "4611686018427387904") != NULL;
        CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), bad[i].status,
                    wide ? "memory" : bad[i].words);
        CHECK(!tensor.data);
    }
    size = core_npy(file, 1, good[0], bytes, sizeof bytes);
    file[6] = 4;
    write_file(CORE_TEMPORARY, file, size);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_UNSUPPORTED, "version 4.0");
    file[6] = 2; /* a header of about 2^31 bytes */
    file[10] = 0, file[11] = 0x7f;
    write_file(CORE_TEMPORARY, file, size);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "cut off");
    size = core_npy(file, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': ()}", huge, sizeof huge);
    write_file(CORE_TEMPORARY, file, size);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_NUMERIC, "element 0");
    CHECK_FAILS(&context, ssde_npy_load(&context, "tests/no_such_file.npy", &tensor), SSDE_ERROR_FILE, "no_such_file");
    CHECK_FAILS(&context, ssde_npy_load(&context, NULL, &tensor), SSDE_ERROR_ARGUMENT, "path");
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, NULL), SSDE_ERROR_ARGUMENT, "tensor");
    remove(CORE_TEMPORARY);
}

/* One number in `size` bytes, least significant first, as a file of either order. */
static ssde_status core_npy_number(ssde_context *context, const char *type, size_t size, uint64_t bits, int big,
                                   float *value) {
    unsigned char file[256], bytes[8];
    char dictionary[128];
    ssde_tensor tensor;
    ssde_status status;
    size_t i, length;
    for (i = 0; i < size; i++) bytes[big ? size - 1 - i : i] = (unsigned char)(bits >> 8 * i);
    snprintf(dictionary, sizeof dictionary, "{'descr': '%c%s', 'fortran_order': True, 'shape': (), }\n",
             big ? '>' : '<', type);
    length = core_npy(file, 1, dictionary, bytes, size);
    status = ssde_npy_load(context, write_file(CORE_TEMPORARY, file, length), &tensor);
    *value = tensor.data ? *tensor.data : -77.0f;
    CHECK((status == SSDE_OK) == (tensor.data != NULL));
    ssde_tensor_release(context, &tensor);
    return status;
}

/* A number becomes the nearest float, ties to even, in one rounding; what is finite never becomes infinite. */
static void test_files_npy_rounding(void) {
    static const struct {
        const char *type;
        uint64_t bits;
        float value;
    } cases[] = {
        {"f8", 0x47efffffe0000000u, FLT_MAX},
        {"f8", 0x47efffffe54daff8u, FLT_MAX},  /* 3.4028235e38 */
        {"f8", 0xc7efffffefffffffu, -FLT_MAX}, /* the last below the middle of FLT_MAX and 2^128 */
        {"f8", 0x7ff0000000000000u, HUGE_VALF},
        {"f8", 0xfff0000000000000u, -HUGE_VALF},
        {"f8", 0x3ff0000010000000u, 1.0f}, /* 1 + 2^-24: a tie */
        {"f8", 0x3ff0000010000001u, 1.00000011920928955078f},
        {"f8", 0x36a0000000000000u, 1.40129846432481707092e-45f},
        {"f8", 0x3690000000000001u, 1.40129846432481707092e-45f}, /* just above 2^-150 */
        {"f8", 0x3690000000000000u, 0.0f},
        {"i8", ((uint64_t)1 << 60) + ((uint64_t)1 << 36) + 1, 1152921642045800448.0f}, /* 2^60 + 2^37 */
        {"i8", ((uint64_t)1 << 60) + ((uint64_t)1 << 36), 1152921504606846976.0f},
        {"i8", 0u - (((uint64_t)1 << 60) + ((uint64_t)1 << 36) + 1), -1152921642045800448.0f},
        {"i8", 0x7fffffffffffffffu, 9223372036854775808.0f},
        {"i8", 0x8000000000000000u, -9223372036854775808.0f},
        {"u8", 0x8000008000000001u, 9223373136366403584.0f}, /* 2^63 + 2^39 + 1 */
        {"u8", 0x8000008000000000u, 9223372036854775808.0f},
        {"u8", 0xffffffffffffffffu, 18446744073709551616.0f},
        {"u4", 0xffffffffu, 4294967296.0f},
        {"i4", 0xfeffffffu, -16777216.0f}, /* -(2^24 + 1) */
    };
    ssde_context context = ssde_context_defaults();
    float value;
    size_t i;
    int big;
    for (big = 0; big < 2; big++) {
        for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            CHECK_OK(
                core_npy_number(&context, cases[i].type, (size_t)(cases[i].type[1] - '0'), cases[i].bits, big, &value));
            CHECK_SAME(&value, &cases[i].value, sizeof value);
        }
        CHECK_FAILS(&context, core_npy_number(&context, "f8", 8, 0x47effffff0000000u, big, &value), SSDE_ERROR_NUMERIC,
                    "element 0 is 3.40282357e+38");
        CHECK_FAILS(&context, core_npy_number(&context, "f8", 8, 0xffefffffffffffffu, big, &value), SSDE_ERROR_NUMERIC,
                    "-1.79769313e+308");
        CHECK_OK(core_npy_number(&context, "f8", 8, 0x7ff8000000000000u, big, &value));
        CHECK(isnan(value));
    }
    remove(CORE_TEMPORARY);
}

/* Element (i, j, k, l) of an array in Fortran order is number i + shape[0] (j + shape[1] (k + ...)) of the file. */
static void test_files_npy_fortran(void) {
    static const size_t shapes[][4] = {{1, 1, 1, 1}, {5, 1, 1, 1}, {3, 1, 1, 1}, {1, 4, 1, 1},
                                       {2, 3, 1, 1}, {2, 3, 4, 1}, {3, 2, 5, 2}, {1, 3, 1, 2}};
    static const int ranks[] = {0, 1, 2, 2, 2, 3, 4, 4};
    size_t which, i, j, k, l, b, n = 0;
    int big, axis;
    for (which = 0; which < sizeof ranks / sizeof ranks[0]; which++) {
        for (big = 0; big < 2; big++) {
            const size_t *shape = shapes[which], count = shape[0] * shape[1] * shape[2] * shape[3];
            unsigned char file[512], bytes[128];
            char dictionary[128], sizes[40] = "";
            ssde_tensor tensor;
            for (i = 0; i < count; i++)
                for (b = 0; b < 2; b++) bytes[2 * i + b] = (unsigned char)(100 * (i + 1) >> 8 * (big ? 1 - b : b));
            for (axis = 0; axis < ranks[which]; axis++)
                snprintf(sizes + strlen(sizes), sizeof sizes - strlen(sizes), "%d, ", (int)shape[axis]);
            snprintf(dictionary, sizeof dictionary, "{'descr': '%ci2', 'fortran_order': True, 'shape': (%s), }",
                     big ? '>' : '<', sizes);
            n = core_npy(file, 1, dictionary, bytes, 2 * count);
            CHECK_OK(ssde_npy_load(NULL, write_file(CORE_TEMPORARY, file, n), &tensor));
            CHECK(tensor.rank == ranks[which] && !memcmp(tensor.shape, shape, (size_t)tensor.rank * sizeof *shape));
            if (!tensor.data) continue;
            for (i = n = 0; i < shape[0]; i++)
                for (j = 0; j < shape[1]; j++)
                    for (k = 0; k < shape[2]; k++)
                        for (l = 0; l < shape[3]; l++) {
                            size_t at = i + shape[0] * (j + shape[1] * (k + shape[2] * l));
                            CHECK(tensor.data[n++] == 100.0f * (float)(at + 1));
                        }
            ssde_tensor_release(NULL, &tensor);
        }
    }
    remove(CORE_TEMPORARY);
}

/* What people have instead of the file that was meant is named, with what to do. */
static void test_files_of_other_kinds(void) {
    static const struct {
        size_t size;
        const char *start, *words;
    } files[] = {{0, "", "empty"},
                 {4, "\x1f\x8b\x08\0", "gunzip"},
                 {5, "BZh91", "bunzip2"},
                 {6,
                  "\xfd"
                  "7zXZ\0",
                  "unxz"},
                 {40, "PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0arr.npynumb", "unzip"},
                 {40, "PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xa\0\0\0a/data.pkl", "torch.save"},
                 {4, "PK\3\4", "zip archive"},
                 {22, "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "zip archive"},
                 {42, "version https://git-lfs.github.com/spec/v1", "git lfs pull"},
                 {15, "<!DOCTYPE html>", "web page"},
                 {15, "\xef\xbb\xbf \n<html></x>", "web page"},
                 {20, "MATLAB 5.0 MAT-file,", "MATLAB"},
                 {8, "\x89HDF\r\n\x1a\n", "HDF5"},
                 {8, "\x89PNG\r\n\x1a\n", "picture"},
                 {4, "\x80\2}q", "pickle"},
                 {12, "@\0\0\0\0\0\0\0{\"a\"", "safetensors"},
                 {2, "{}", "JSON"}};
    static unsigned char tar[512];
    ssde_context context = ssde_context_defaults();
    ssde_tensor tensor, labels;
    size_t i;
    for (i = 0; i < sizeof files / sizeof files[0]; i++) {
        write_file(CORE_TEMPORARY, (const unsigned char *)files[i].start, files[i].size);
        CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, files[i].words);
        CHECK(strstr(context.error, ".npy") && strstr(context.error, CORE_TEMPORARY));
        CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, files[i].words);
        CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &tensor, &labels), SSDE_ERROR_FORMAT,
                    files[i].words);
        CHECK(!tensor.data && !labels.data);
    }
    memcpy(tar, "cifar-10-batches-bin/", 21);
    memcpy(tar + 257, "ustar", 5);
    write_file(CORE_TEMPORARY, tar, sizeof tar);
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &tensor, NULL), SSDE_ERROR_FORMAT, "tar -xf");
    write_file(CORE_TEMPORARY, (const unsigned char *)"\x93NUMPY\1\0\0\0", 10);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "ssde_npy_load");
    write_file(CORE_TEMPORARY, (const unsigned char *)"\0\0\x08\1\0\0\0\1\5", 9);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "ssde_idx_load");
    write_file(CORE_TEMPORARY, (const unsigned char *)"plain", 5);
    CHECK_FAILS(&context, ssde_npy_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "is not a .npy file");
    CHECK_FAILS(&context, ssde_npy_load(&context, "data.npz:x", &tensor), SSDE_ERROR_UNSUPPORTED,
                "run unzip on 'data.npz'");
    remove(CORE_TEMPORARY);
}

static void test_files_npy_hostile(void) {
    const unsigned char bytes[24] = {0, 0, 0x80, 0x3f};
    unsigned char file[256];
    size_t size = core_npy(file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  \n", bytes, 24);
    core_hostile(file, size, size - 24, ssde_npy_load);
}

static void test_files_idx_load(void) {
    const unsigned char images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                    0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
    const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7}, gzip[] = {0x1f, 0x8b, 8, 0, 0, 0};
    const unsigned char shorts[] = {0, 0, 0x0b, 1, 0, 0, 0, 1, 1, 1}, empty[] = {0, 0, 8, 1, 0, 0, 0, 0};
    const unsigned char huge[] = {0,   0,   8,   4,   255, 255, 255, 255, 255, 255, 255,
                                  255, 255, 255, 255, 255, 0,   0,   0,   2,   1};
    ssde_context context = ssde_context_defaults();
    ssde_tensor tensor;
    size_t i;
    CHECK_OK(ssde_idx_load(&context, write_file(CORE_TEMPORARY, images, sizeof images), &tensor));
    CHECK(tensor.rank == 4 && tensor.shape[0] == 2 && tensor.shape[1] == 2 && tensor.shape[2] == 3 &&
          tensor.shape[3] == 1);
    for (i = 0; i < 12 && tensor.data; i++) CHECK(tensor.data[i] == (float)images[16 + i]);
    ssde_tensor_release(&context, &tensor);
    CHECK_OK(ssde_idx_load(&context, write_file(CORE_TEMPORARY, labels, sizeof labels), &tensor));
    CHECK(tensor.rank == 1 && tensor.shape[0] == 3);
    if (tensor.data) CHECK(tensor.data[0] == 9.0f && tensor.data[2] == 7.0f);
    ssde_tensor_release(&context, &tensor);
    write_file(CORE_TEMPORARY, gzip, sizeof gzip);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "gunzip");
    write_file(CORE_TEMPORARY, shorts, sizeof shorts);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_UNSUPPORTED, "0x0b");
    write_file(CORE_TEMPORARY, empty, sizeof empty);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_UNSUPPORTED, "empty");
    write_file(CORE_TEMPORARY, huge, sizeof huge);
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_FORMAT, "more");
    CHECK_FAILS(&context, ssde_idx_load(&context, CORE_TEMPORARY, NULL), SSDE_ERROR_ARGUMENT, "tensor");
    core_hostile(images, sizeof images, 16, ssde_idx_load);
}

static void test_files_cifar10_load(void) {
    enum { RECORDS = 3, SIZE = RECORDS * 3073 };
    static unsigned char file[SIZE + 1];
    ssde_context context = ssde_context_defaults();
    ssde_tensor images, labels;
    size_t i, length;
    for (i = 0; i < SIZE; i++) file[i] = (unsigned char)(i * 7 + i / 300);
    file[0] = 0, file[3073] = 9, file[6146] = 4;
    write_file(CORE_TEMPORARY, file, SIZE);
    CHECK_OK(ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels));
    CHECK(images.rank == 4 && images.shape[0] == 3 && images.shape[1] == 32 && images.shape[2] == 32 &&
          images.shape[3] == 3 && labels.rank == 1 && labels.shape[0] == 3);
    if (labels.data) CHECK(labels.data[0] == 0.0f && labels.data[1] == 9.0f && labels.data[2] == 4.0f);
    for (i = 0; i < RECORDS * 3072 && images.data; i++) {
        size_t image = i / 3072, pixel = i % 3072 / 3, channel = i % 3;
        CHECK(images.data[i] == (float)file[image * 3073 + 1 + channel * 1024 + pixel]);
    }
    ssde_tensor_release(&context, &images);
    ssde_tensor_release(&context, &labels);
    CHECK_OK(ssde_cifar10_load(&context, CORE_TEMPORARY, &images, NULL));
    ssde_tensor_release(&context, &images);
    for (length = 0; length <= SIZE + 1; length += length < 5 || length > SIZE - 5 ? 1 : 61) {
        if (length && length % 3073 == 0) continue;
        write_file(CORE_TEMPORARY, file, length);
        CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels), SSDE_ERROR_FORMAT, "3073");
        CHECK(!images.data && !labels.data);
    }
    file[3073] = 10;
    write_file(CORE_TEMPORARY, file, SIZE);
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels), SSDE_ERROR_FORMAT, "label 10");
    file[0] = 0x1f, file[1] = 0x8b;
    write_file(CORE_TEMPORARY, file, 100);
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, &images, &labels), SSDE_ERROR_FORMAT, "gunzip");
    CHECK_FAILS(&context, ssde_cifar10_load(&context, CORE_TEMPORARY, NULL, &labels), SSDE_ERROR_ARGUMENT, "images");
    remove(CORE_TEMPORARY);
}

/* Everything that allocates, with each of its allocations failing in turn. */
static ssde_status core_allocating(ssde_context *context, int which) {
    static const unsigned char idx[] = {0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7};
    static unsigned char cifar[3073];
    const size_t shape[2] = {20, 20};
    float x[400] = {0}, y[400] = {0}, z[400];
    ssde_tensor a = ssde_tensor_2d(x, 20, 20), b = ssde_tensor_2d(y, 20, 20), out = ssde_tensor_2d(z, 20, 20);
    ssde_tensor tensor, labels;
    ssde_status status = SSDE_OK;
    memset(&tensor, 0, sizeof tensor);
    memset(&labels, 0, sizeof labels);
    switch (which) {
        case 0: status = ssde_tensor_create(context, &tensor, 2, shape); break;
        case 1: status = ssde_tensor_matmul(context, &a, 1, &b, 1, &out); break;
        case 2: status = ssde_npy_save(context, CORE_TEMPORARY, &a); break;
        case 3:
            ssde_npy_save(NULL, CORE_TEMPORARY, &a);
            status = ssde_npy_load(context, CORE_TEMPORARY, &tensor);
            break;
        case 4: status = ssde_idx_load(context, write_file(CORE_TEMPORARY, idx, sizeof idx), &tensor); break;
        case 5:
            write_file(CORE_TEMPORARY, cifar, sizeof cifar);
            status = ssde_cifar10_load(context, CORE_TEMPORARY, &tensor, &labels);
            break;
    }
    CHECK(which == 1 || which == 2 || (status == SSDE_OK) == (tensor.data != NULL));
    ssde_tensor_release(context, &tensor);
    ssde_tensor_release(context, &labels);
    return status;
}

static void test_files_failing_allocator(void) {
    int which;
    for (which = 0; which <= 5; which++) {
        counted_memory memory;
        ssde_context context = counted_context(&memory);
        long needed, n;
        CHECK_OK(core_allocating(&context, which));
        needed = memory.made;
        CHECK(needed > 0 && memory.live == 0);
        for (n = 0; n < needed; n++) {
            memory.made = 0;
            memory.refuse = n;
            CHECK_FAILS(&context, core_allocating(&context, which), SSDE_ERROR_MEMORY, "allocate");
            CHECK(memory.live == 0);
        }
    }
    remove(CORE_TEMPORARY);
}

/* ---- files: memory ---- */

/* A path that cannot be written, and a disk that is full: an error, and what stood there before stays. */
static void test_files_unwritable(void) {
    static float large[100000];
    float x[4] = {1, 2, 3, 4};
    ssde_tensor tensor = ssde_tensor_1d(x, 4), before = ssde_tensor_1d(large, 100000), loaded;
    ssde_context context = ssde_context_defaults();
    FILE *full;
    CHECK_FAILS(&context, ssde_npy_save(&context, "tests/no_such_folder/x.npy", &tensor), SSDE_ERROR_FILE, "no_such");
    CHECK_FAILS(&context, ssde_npy_save(&context, "", &tensor), SSDE_ERROR_ARGUMENT, "path");
    CHECK_FAILS(&context, ssde_npy_save(&context, NULL, &tensor), SSDE_ERROR_ARGUMENT, "path");
    CHECK_FAILS(&context, ssde_npy_save(&context, CORE_TEMPORARY, NULL), SSDE_ERROR_ARGUMENT, "tensor");
    CHECK_OK(ssde_npy_save(&context, CORE_TEMPORARY, &tensor));
    tensor.shape[0] = 0;
    CHECK_FAILS(&context, ssde_npy_save(&context, CORE_TEMPORARY, &tensor), SSDE_ERROR_SHAPE, "empty");
    CHECK_OK(ssde_npy_load(&context, CORE_TEMPORARY, &loaded)); /* still the first */
    CHECK(loaded.shape[0] == 4);
    ssde_tensor_release(&context, &loaded);
    remove(CORE_TEMPORARY);
#if defined(__unix__) || defined(__APPLE__)
    /* a folder, like a device, is not replaced by a file */
    CHECK_FAILS(&context, ssde_npy_save(&context, "tests", &before), SSDE_ERROR_FILE, "not a regular file");
#endif
    /* an error's text may be wrapped in another */
    ssde_fail(&context, SSDE_ERROR_FILE, "inner %d", 7);
    ssde_fail(&context, SSDE_ERROR_FILE, "inner %d", 7);
    ssde_fail(&context, SSDE_ERROR_FILE, "outer: %s", context.error);
    CHECK(!strcmp(context.error, "outer: inner 7"));
    full = fopen("/dev/full", "wb");
    if (full) {
        ssdei_writer writer;
        char aside[128];
        CHECK_OK(ssdei_writer_open(&writer, &context, CORE_TEMPORARY));
        snprintf(aside, sizeof aside, "%s", writer.aside);
        if (writer.file) fclose(writer.file);
        writer.file = full;
        ssdei_writer_put(&writer, before.data, ssde_tensor_count(&before) * sizeof(float));
        CHECK_FAILS(&context, ssdei_writer_commit(&writer), SSDE_ERROR_FILE, "");
        CHECK(writer.file == NULL && !fopen(aside, "rb") && !fopen(CORE_TEMPORARY, "rb"));
    }
}

/* ---- files: JSON ---- */

static double files_number(const char *text, int *ok) {
    ssdei_json json = ssdei_json_over(text, strlen(text));
    double value = ssdei_json_number(&json);
    *ok = ssdei_json_end(&json);
    return value;
}

static void files_check_numbers(void) {
    static const char *const texts[] = {"0",        "-0",
                                        "1",        "-12.5",
                                        "1e3",      "1E+3",
                                        "2.5e-3",   "0.1",
                                        "1e-400",   "12345678901234567890",
                                        "4.9e-324", "1.7976931348623157e308"};
    static const double values[] = {
        0.0, 0.0, 1.0, -12.5, 1e3, 1e3, 2.5e-3, 0.1, 0.0, 12345678901234567890.0, 4.9e-324, 1.7976931348623157e308};
    static const char *const bad[] = {"",    "-",   "01",    "1.",  ".5",       "+1", "1e",
                                      "1e+", "0x1", "1e400", "nan", "Infinity", "1 2"};
    uint32_t words[2];
    uint64_t sample;
    size_t i;
    int ok;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        double value = files_number(texts[i], &ok);
        CHECK(ok);
        CHECK_NEAR(value, values[i], 0.0);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        files_number(bad[i], &ok);
        CHECK(!ok);
    }
    for (sample = 0; sample < (check_quick ? 100u : 2000u); sample++) {
        ssdei_text text;
        double value;
        uint64_t bits;
        ssde_random_words(NULL, 1, SSDE_STREAM_USER, 0, &sample, 1, 2, words);
        bits = (uint64_t)words[0] << 32 | words[1];
        memcpy(&value, &bits, sizeof value);
        if (!(fabs(value) <= DBL_MAX)) continue;
        memset(&text, 0, sizeof text);
        ssdei_text_add_double(&text, value);
        CHECK(text.status == SSDE_OK && files_number(text.data, &ok) == value && ok);
        ssdei_text_release(&text);
    }
}

/* Whole numbers: what is none stops before it, which errors point to. */
static void test_files_json_whole_numbers(void) {
    static const char *const bad[] = {"-1", "1.0", "1e3", "18446744073709551616"};
    char text[40];
    ssdei_json json;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "[7, %s]", bad[i]);
        json = ssdei_json_over(text, strlen(text));
        CHECK(ssdei_json_open(&json, '[') && ssdei_json_unsigned(&json) == 7 && ssdei_json_take(&json, ','));
        CHECK(ssdei_json_unsigned(&json) == 0 && json.problem && json.at == 4);
    }
    json = ssdei_json_over("18446744073709551615", 20);
    CHECK(ssdei_json_unsigned(&json) == UINT64_MAX && ssdei_json_end(&json));
}

/* Numbers are written and read with a point whatever the locale, here where the machine has one with a comma. */
static void test_files_json_numbers(void) {
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "German"};
    size_t i;
    files_check_numbers();
    for (i = 0; i < sizeof locales / sizeof *locales; i++) {
        if (!setlocale(LC_NUMERIC, locales[i])) continue;
        files_check_numbers();
        break;
    }
    setlocale(LC_NUMERIC, "C");
}

static void test_files_json_strings(void) {
    static const char *const bad[] = {"\"",
                                      "\"a",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\ud800\\n\"",
                                      "\"a\nb\"",
                                      "a"};
    static const char text[] = "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u0000\\u001f\"";
    static const char meaning[] =
        "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc0\x80\x1f"; /* U+0000: c0 80 */
    char out[200];
    ssdei_json json = ssdei_json_over(text, sizeof text - 1);
    ssdei_text again;
    size_t i;
    CHECK(ssdei_json_string(&json, out, sizeof out) == sizeof meaning && ssdei_json_end(&json));
    CHECK(!strcmp(out, meaning));
    json = ssdei_json_over("\"ab\\u20acd\"", 11); /* whole characters, a NUL, and nothing behind it */
    memset(out, 'x', sizeof out);
    CHECK(ssdei_json_string(&json, out, 5) == 7 && ssdei_json_end(&json) && !memcmp(out, "ab\0xx", 5));
    memset(&again, 0, sizeof again);
    ssdei_text_add_string(&again, meaning);
    json = ssdei_json_over(again.data, again.size);
    ssdei_json_string(&json, out, sizeof out);
    CHECK(ssdei_json_end(&json) && !strcmp(out, meaning));
    ssdei_text_release(&again);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        json = ssdei_json_over(bad[i], strlen(bad[i]));
        ssdei_json_string(&json, out, sizeof out);
        CHECK(!ssdei_json_end(&json));
    }
}

static int files_skips(const char *text, size_t size) {
    ssdei_json json = ssdei_json_over(text, size);
    ssdei_json_skip(&json);
    return ssdei_json_end(&json);
}

static void test_files_json_values(void) {
    static const char *const good[] = {
        "[]",    "{}",     " [ ] ", "[1,[2,{\"a\":[]}],\"x\"]", "{\"a\":{},\"b\":null,\"c\":[true,false]}",
        "\"s\"", "-1.5e3", "null"};
    static const char *const bad[] = {
        "",      "[",  "]",  "[1,]", "[,1]",      "{\"a\"}", "{\"a\":}",          "{\"a\":1,}", "{1:2}",
        "[1 2]", "[}", "{]", "nul",  "truefalse", "[1]]",    "{\"a\":1 \"b\":2}", "\x01"};
    static char deep[100000];
    size_t i;
    for (i = 0; i < sizeof good / sizeof *good; i++) CHECK(files_skips(good[i], strlen(good[i])));
    for (i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!files_skips(bad[i], strlen(bad[i])));
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    CHECK(files_skips(deep, 128));
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    CHECK(!files_skips(deep, 130));
    memset(deep, '[', sizeof deep);
    CHECK(!files_skips(deep, sizeof deep));
    for (i = 0; i < sizeof deep - 6; i += 6) memcpy(deep + i, "{\"a\":[", 6);
    CHECK(!files_skips(deep, sizeof deep));
}

/* ---- files: safetensors ---- */

static void test_files_dtypes(void) {
    static const char header[] =
        "{\"f16\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[0,10]},"
        "\"bf16\":{\"shape\":[2],\"data_offsets\":[10,14],\"dtype\":\"BF16\"},"
        "\"f32\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[14,22]},"
        "\"f64\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[22,38]},"
        "\"i8\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[38,40]},\"i16\":{\"dtype\":\"I16\",\"shape\":[1],"
        "\"data_offsets\":[40,42]},\"i32\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[42,46]},"
        "\"i64\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[46,62]},\"u8\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[62,63]},\"u64\":{\"dtype\":\"U64\",\"shape\":[],\"data_offsets\":[63,71]},"
        "\"bool\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[71,73]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[73,73]},"
        "\"f8\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[73,74]},"
        "\"__metadata__\":{\"a\":\"1\",\"b\\n\":\"\\u00e9\"}}   ";
    /* 1, -2, 65504, 2^-24, infinity | 1.5, -0.5 | 1, -0.25 | 1/3, 1e300 | -1, 127 | -300 | -70000 | -2^63, 2^40 | 200 |
       2^64 - 1 | 0, 1 | an 8-bit float */
    static const unsigned char data[74] = {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0x00, 0x7c, 0xc0, 0x3f, 0x00,
                                           0xbf, 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x80, 0xbe, 0x55, 0x55, 0x55, 0x55,
                                           0x55, 0x55, 0xd5, 0x3f, 0x9c, 0x75, 0x00, 0x88, 0x3c, 0xe4, 0x37, 0x7e, 0xff,
                                           0x7f, 0xd4, 0xfe, 0x90, 0xee, 0xfe, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                           0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 200,  0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,    1,    0x38};
    static const struct {
        const char *name;
        size_t count;
        double values[5];
    } wanted[] = {{"f16", 5, {1.0, -2.0, 65504.0, 1.0 / 16777216.0, HUGE_VAL}},
                  {"bf16", 2, {1.5, -0.5, 0, 0, 0}},
                  {"f32", 2, {1.0, -0.25, 0, 0, 0}},
                  {"f64", 2, {1.0 / 3.0, 1e300, 0, 0, 0}},
                  {"i8", 2, {-1.0, 127.0, 0, 0, 0}},
                  {"i16", 1, {-300.0, 0, 0, 0, 0}},
                  {"i32", 1, {-70000.0, 0, 0, 0, 0}},
                  {"i64", 2, {-9223372036854775808.0, 1099511627776.0, 0, 0, 0}},
                  {"u8", 1, {200.0, 0, 0, 0, 0}},
                  {"u64", 1, {18446744073709551615.0, 0, 0, 0, 0}},
                  {"bool", 2, {0.0, 1.0, 0, 0, 0}},
                  {"none", 0, {0, 0, 0, 0, 0}},
                  {"f8", 1, {1.0, 0, 0, 0, 0}}};
    unsigned char bytes[8 + sizeof header - 1 + sizeof data];
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    const ssde_file_tensor *tensor;
    ssde_file_tensor copy;
    double values[5];
    float floats[5];
    size_t i, j;
    files_write_header(FILES_PATH, header, sizeof data);
    files_read(FILES_PATH, bytes, sizeof bytes + 1);
    memcpy(bytes + 8 + sizeof header - 1, data, sizeof data);
    write_file(FILES_PATH, bytes, sizeof bytes);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    if (!file) return;
    CHECK(ssde_tensor_file_count(file) == 13 && !strcmp(ssde_tensor_file_get(file, 1)->name, "bf16"));
    CHECK(!ssde_tensor_file_get(file, 13) && !ssde_tensor_file_find(file, "f1") && !ssde_tensor_file_find(file, NULL));
    CHECK(!strcmp(ssde_tensor_file_metadata(file, "b\n"), "\xc3\xa9") && !ssde_tensor_file_metadata(file, "c"));
    for (i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        tensor = ssde_tensor_file_find(file, wanted[i].name);
        CHECK(tensor && tensor->count == wanted[i].count);
        if (!tensor || tensor->count != wanted[i].count) continue;
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, values));
        if (strcmp(wanted[i].name, "f64")) CHECK_OK(ssde_tensor_file_read(file, tensor, floats));
        for (j = 0; j < tensor->count; j++) {
            CHECK(values[j] <= wanted[i].values[j] && values[j] >= wanted[i].values[j]);
            if (strcmp(wanted[i].name, "f64") && fabs(values[j]) <= (double)FLT_MAX)
                CHECK_RELATIVE(floats[j], values[j], 6e-8);
        }
    }
    CHECK(floats[0] >= 0.0f);
    tensor = ssde_tensor_file_find(file, "f64");
    CHECK_FAILS(&context, ssde_tensor_file_read(file, tensor, floats), SSDE_ERROR_NUMERIC,
                "'f64' has 1e+300 at 1, which no float can hold: read it as double");
    copy = *tensor;
    copy.name = "other";
    CHECK_FAILS(&context, ssde_tensor_file_read(file, &copy, floats), SSDE_ERROR_ARGUMENT, "other");
    CHECK_FAILS(&context, ssde_tensor_file_read(file, NULL, floats), SSDE_ERROR_ARGUMENT, "tensor is NULL");
    CHECK_FAILS(&context, ssde_tensor_file_read(file, tensor, NULL), SSDE_ERROR_ARGUMENT, "values is NULL");
    ssde_tensor_file_close(file);
    ssde_tensor_file_close(NULL);
    remove(FILES_PATH);
}

static void test_files_bad_headers(void) {
#define FILES_A(dtype, shape, offsets) \
    "\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
    static const struct {
        const char *header;
        size_t data;
        const char *words;
    } bad[] = {
        {"[]", 0, "an object is expected"},
        {"{} x", 0, "nothing more"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "", 4, "closing bracket"},
        {"{" FILES_A("F99", "[1]", "[0,8]") "}", 4, "tensor 'a': data_offsets lie outside"},
        {"{" FILES_A("F99", "[1]", "[0,2]") "}", 4, "4 bytes of data, its tensors 2"},
        {"{" FILES_A("C64", "[1]", "[0,4]") "}", 4, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F4", "[3]", "[0,1]") "}", 1, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F4", "[3]", "[0,2]") "}", 2, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F6_E2M3", "[2]", "[0,2]") "}", 2, "tensor 'a': data_offsets do not fit"},
        {"{\"a\":{\"dtype\":null,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a string is expected"},
        {"{\"a\":null}", 0, "tensor 'a': an object is expected"},
        {"null", 0, "an object is expected"},
        {"", 0, "an object is expected"},
        {"{\"__metadata__\":[]}", 0, "an object is expected"},
        {"{\"__metadata__\":{\"a\":null}}", 0, "a string is expected"},
        {"{\"__metadata__\":null,\"__metadata__\":{}}", 0, "a second __metadata__"},
        {"{\"__metadata__\":{\"a\":\"\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xc3\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xc0\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xe0\x9f\xbf\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xed\xa0\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xf4\x90\x80\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xf8\x88\x80\x80\x80\"}}", 0, "not in UTF-8"},
        {"{" FILES_A("F32", "[1]", "[0,8]") "}", 8, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "}", 3, "tensor 'a': data_offsets lie outside"},
        {"{" FILES_A("F32", "[1]", "[4,0]") "}", 4, "tensor 'a': data_offsets lie outside"},
        {"{" FILES_A("F32", "[1]", "[0,18446744073709551616]") "}", 4, "tensor 'a': a whole number"},
        {"{" FILES_A("F32", "[-1]", "[0,4]") "}", 4, "tensor 'a': a whole number"},
        {"{" FILES_A("F32", "[1.0]", "[0,4]") "}", 4, "tensor 'a': a whole number"},
        {"{" FILES_A("F32", "[4294967296,4294967296,2]", "[0,4]") "}", 4, "more elements than memory"},
        {"{" FILES_A("F64", "[4611686018427387904]", "[0,0]") "}", 0, "tensor 'a'"},
        {"{" FILES_A("F32", "[1,1,1,1,1,1,1,1,2]", "[0,4]") "}", 4, "data_offsets do not fit"},
        {"{" FILES_A("F32", "[1]", "[0]") "}", 4, "data_offsets are two numbers"},
        {"{" FILES_A("F32", "[1]", "[0,4,4]") "}", 4, "data_offsets are two numbers"},
        {"{" FILES_A("F32", "[1]", "[4,8]") "}", 8, "begins at 4"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "}", 8, "8 bytes of data, its tensors 4"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "," FILES_A("F32", "[1]", "[4,8]") "}", 8, "'a' twice"},
        {"{" FILES_A("F32", "[1]", "[0,4]") ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", 6,
         "tensor 'b' begins at 2"},
        {"{" FILES_A("F32", "[1]", "[0,4]") ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         "begins at 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor 'a': dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "each once"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":01}}", 4, "a number is expected"},
        {"{\"a\":[]}", 0, "tensor 'a': an object is expected"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "a string is expected"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "a second __metadata__"},
        {"{\"a\\u0000b\":{}}", 0, "dtype, shape and data_offsets"},
    };
#undef FILES_A
    static const unsigned char giant[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}', 0, 0, 0, 0, 0, 0};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        files_write_header(FILES_PATH, bad[i].header, bad[i].data);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, bad[i].words);
        CHECK(!file);
    }
    for (i = 1; i <= sizeof giant; i++) {
        write_file(FILES_PATH, giant, i);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT,
                    "no safetensors file");
    }
    files_write_header(FILES_PATH, "{}", 0);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    CHECK(file && ssde_tensor_file_count(file) == 0);
    ssde_tensor_file_close(file);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "no such folder/file"), SSDE_ERROR_FILE,
                "no such folder");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "."), ssde_tensor_file_open(NULL, &file, "."), "'.'");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, NULL, FILES_PATH), SSDE_ERROR_ARGUMENT, "file is NULL");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, NULL), SSDE_ERROR_ARGUMENT, "path is NULL");
    CHECK(!ssde_tensor_file_count(NULL) && !ssde_tensor_file_get(NULL, 0) && !ssde_tensor_file_metadata(NULL, "a"));
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* What the format's own reader accepts (huggingface/safetensors 24b0b28, 0.8.0-dev, tensor.rs: read_metadata, validate
   and serde's rules for its structs): w is read. And what it does not: dtypes that it does not know yet. */
static void test_files_foreign_headers(void) {
#define FILES_W "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
#define FILES_Q(dtype, shape, end) \
    "{" FILES_W ",\"q\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[4," end "]}}"
    static const struct {
        const char *header;
        size_t data;
        const char *words; /* of the error when q is read; "": it is read; NULL: there is no q */
    } good[] = {
        {"{\"__metadata__\":null," FILES_W "}", 4, NULL},
        {"{" FILES_W ",\"__metadata__\":{}}", 4, NULL},
        {"{" FILES_W "}       \n\t\r ", 4, NULL},
        {"  {" FILES_W "}", 4, NULL},
        {"{\"w\":{\"x\":{\"y\":[1,null]},\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":2.5}}", 4, NULL},
        {"{\"__metadata__\":{\"a\":\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\\u0000\"}," FILES_W "}", 4, NULL},
        {FILES_Q("C64", "[1]", "12"), 12, "C64"},
        {FILES_Q("F4", "[2,3]", "7"), 7, "F4"},
        {FILES_Q("F6_E2M3", "[4]", "7"), 7, "F6_E2M3"},
        {FILES_Q("F6_E3M2", "[8]", "10"), 10, "F6_E3M2"},
        {FILES_Q("U4", "[3]", "6"), 6, "U4"},
        {FILES_Q("C128", "[2]", "36"), 36, "C128"},
        {FILES_Q("a new one", "[7,7]", "4"), 4, "a new one"},
        {FILES_Q("", "[]", "5"), 5, "dtype"},
        {FILES_Q("F32", "[1,1,1,1,1,1,1,1,2]", "12"), 12, "more than 8 axes"},
        {FILES_Q("F32", "[0,2147483647,4]", "4"), 4, ""},
        {FILES_Q("F4", "[0]", "4"), 4, "F4"},
        {FILES_Q("F8_E4M3FNUZ", "[2]", "6"), 6, ""},
        {"{\"q\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}," FILES_W "}", 4, ""},
    };
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    size_t i;
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        const ssde_file_tensor *w, *q;
        float value = -1.0f, values[2];
        files_write_header(FILES_PATH, good[i].header, good[i].data);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
        if (!file) continue;
        w = ssde_tensor_file_find(file, "w");
        q = ssde_tensor_file_find(file, "q");
        CHECK(w && !strcmp(w->dtype, "F32") && w->rank == 1);
        if (w) CHECK_OK(ssde_tensor_file_read(file, w, &value));
        CHECK(value >= 0.0f && value <= 0.0f && (q != NULL) == (good[i].words != NULL));
        CHECK(!q || (q->problem != NULL) == (*good[i].words != 0));
        if (q && *good[i].words)
            CHECK_FAILS(&context, ssde_tensor_file_read(file, q, values), SSDE_ERROR_UNSUPPORTED, good[i].words);
        else if (q)
            CHECK_OK(ssde_tensor_file_read(file, q, values));
        ssde_tensor_file_close(file);
    }
    /* of a key of the metadata that comes twice, the last value counts */
    files_write_header(FILES_PATH, "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    CHECK(file && !strcmp(ssde_tensor_file_metadata(file, "a"), "2"));
    ssde_tensor_file_close(file);
    if (!check_quick) { /* a header of more than 100 MB, in a file with a hole */
        static const unsigned char length[9] = {0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{'};
        FILE *stream = fopen(FILES_PATH, "wb");
        CHECK(stream && fwrite(length, 1, sizeof length, stream) == sizeof length);
        CHECK(stream && !fseek(stream, 100000010, SEEK_SET) && fputc('}', stream) == '}');
        if (stream) fclose(stream);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "100000001 bytes");
    }
    remove(FILES_PATH);
#undef FILES_W
#undef FILES_Q
}

/* One number of a dtype, from a file. */
static ssde_status files_number_of(ssde_context *context, const char *dtype, size_t size, uint64_t bits, float *value,
                                   double *wide) {
    unsigned char bytes[256];
    char header[160];
    ssde_tensor_file *file;
    ssde_status status;
    size_t length, i;
    snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[0,%d]}}", dtype,
             (int)size);
    files_write_header(FILES_PATH, header, size);
    length = files_read(FILES_PATH, bytes, sizeof bytes);
    for (i = 0; i < size; i++) bytes[length - size + i] = (unsigned char)(bits >> 8 * i);
    write_file(FILES_PATH, bytes, length);
    CHECK_OK(ssde_tensor_file_open(context, &file, FILES_PATH));
    *wide = *value = -77.0f;
    CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_get(file, 0), wide));
    status = ssde_tensor_file_read(file, ssde_tensor_file_get(file, 0), value);
    ssde_tensor_file_close(file);
    return status;
}

/* A number becomes the nearest float and the nearest double, ties to even, in one rounding each. */
static void test_files_rounding(void) {
    static const struct {
        const char *dtype;
        size_t size;
        uint64_t bits;
        double wide, value;
    } cases[] = {
        {"F64", 8, 0x47efffffe54daff8u, 3.4028235e38, (double)FLT_MAX},
        {"F64", 8, 0xc7efffffefffffffu, -3.4028235677973362e38, -(double)FLT_MAX}, /* below the middle to 2^128 */
        {"F64", 8, 0x7ff0000000000000u, HUGE_VAL, HUGE_VAL},
        {"F64", 8, 0x3ff0000010000001u, 1.0 + 5.9604644775390625e-8 + DBL_EPSILON, 1.0 + 1.1920928955078125e-7},
        {"I64", 8, 0x1000001000000001u, 1152921573326323712.0, 1152921642045800448.0}, /* 2^60 + 2^36 + 1 */
        {"I64", 8, 0xefffffefffffffffu, -1152921573326323712.0, -1152921642045800448.0},
        {"I64", 8, 0x0020000000000001u, 9007199254740992.0, 9007199254740992.0}, /* 2^53 + 1: a tie */
        {"I64", 8, 0x0020000000000003u, 9007199254740996.0, 9007199254740992.0},
        {"I64", 8, 0x7fffffffffffffffu, 9223372036854775808.0, 9223372036854775808.0},
        {"I64", 8, 0x8000000000000000u, -9223372036854775808.0, -9223372036854775808.0},
        {"U64", 8, 0x8000008000000001u, 9223372586610589696.0, 9223373136366403584.0}, /* 2^63 + 2^39 + 1 */
        {"U64", 8, 0x8000000000000401u, 9223372036854777856.0, 9223372036854775808.0}, /* 2^63 + 2^10 + 1 */
        {"U64", 8, 0x8000000000000400u, 9223372036854775808.0, 9223372036854775808.0},
        {"U64", 8, 0xffffffffffffffffu, 18446744073709551616.0, 18446744073709551616.0},
        {"U32", 4, 0xffffffffu, 4294967295.0, 4294967296.0},
        {"I32", 4, 0xfeffffffu, -16777217.0, -16777216.0},
        {"F16", 2, 0x0001, 5.9604644775390625e-8, 5.9604644775390625e-8},
        {"F16", 2, 0x83ff, -6.097555160522461e-05, -6.097555160522461e-05},
        {"BF16", 2, 0x0001, 9.183549615799121e-41, 9.183549615799121e-41}, /* 2^-133 */
        {"BF16", 2, 0xff80, -HUGE_VAL, -HUGE_VAL},
        {"BOOL", 1, 2, 1.0, 1.0},
        {"F8_E8M0", 1, 0, 5.877471754111438e-39, 5.877471754111438e-39}, /* 2^-127 */
    };
    ssde_context context = ssde_context_defaults();
    double wide;
    float value;
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(files_number_of(&context, cases[i].dtype, cases[i].size, cases[i].bits, &value, &wide));
        if (!(wide >= cases[i].wide && wide <= cases[i].wide) ||
            !((double)value >= cases[i].value && (double)value <= cases[i].value))
            check_report(__FILE__, __LINE__, "%s %d: %.17g, %.9g", cases[i].dtype, (int)i, wide, (double)value);
    }
    /* the middle of FLT_MAX and 2^128 would become infinite */
    CHECK_FAILS(&context, files_number_of(&context, "F64", 8, 0x47effffff0000000u, &value, &wide), SSDE_ERROR_NUMERIC,
                "no float");
    CHECK_FAILS(&context, files_number_of(&context, "F64", 8, 0xffefffffffffffffu, &value, &wide), SSDE_ERROR_NUMERIC,
                "-1.79769313e+308");
    remove(FILES_PATH);
}

/* Every 8-bit float against its definition: exponent bits, bias, the largest number, and whether there is infinity. */
static void test_files_small_floats(void) {
    static const struct {
        const char *dtype;
        int exponent, bias;
        double smallest, largest;
        int infinite, nans;
    } types[] = {{"F8_E4M3", 4, 7, 1.0 / 512, 448.0, 0, 2},
                 {"F8_E5M2", 5, 15, 1.0 / 65536, 57344.0, 2, 6},
                 {"F8_E4M3FNUZ", 4, 8, 1.0 / 1024, 240.0, 0, 1},
                 {"F8_E5M2FNUZ", 5, 16, 1.0 / 131072, 57344.0, 0, 1}};
    char header[160];
    unsigned char bytes[512];
    double values[256];
    float floats[256];
    size_t which, size, i;
    for (which = 0; which < 5; which++) {
        const char *dtype = which < 4 ? types[which].dtype : "F8_E8M0";
        ssde_tensor_file *file;
        double smallest = HUGE_VAL, largest = 0.0;
        int nans = 0, infinite = 0, fraction_bits;
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[256],\"data_offsets\":[0,256]}}", dtype);
        files_write_header(FILES_PATH, header, 256);
        size = files_read(FILES_PATH, bytes, sizeof bytes);
        for (i = 0; i < 256; i++) bytes[size - 256 + i] = (unsigned char)i;
        write_file(FILES_PATH, bytes, size);
        CHECK_OK(ssde_tensor_file_open(NULL, &file, FILES_PATH));
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_get(file, 0), floats));
        CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_get(file, 0), values));
        ssde_tensor_file_close(file);
        if (which == 4) { /* 2^(i - 127) */
            for (i = 0; i < 255; i++) CHECK(values[i] == ldexp(1.0, (int)i - 127) && (double)floats[i] == values[i]);
            CHECK(isnan(values[255]) && isnan(floats[255]));
            continue;
        }
        fraction_bits = 7 - types[which].exponent;
        for (i = 0; i < 256; i++) {
            int exponent = (int)(i >> fraction_bits & ((1u << types[which].exponent) - 1));
            double fraction = (double)(i & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
            double number =
                exponent ? ldexp(1.0 + fraction, exponent - types[which].bias) : ldexp(fraction, 1 - types[which].bias);
            CHECK(isnan(floats[i]) || (double)floats[i] == values[i]);
            nans += isnan(values[i]) != 0;
            infinite += isinf(values[i]) != 0;
            if (isnan(values[i]) || isinf(values[i])) continue;
            CHECK(values[i] == (i >> 7 ? -number : number));
            if (values[i] > 0.0 && values[i] < smallest) smallest = values[i];
            if (values[i] > largest) largest = values[i];
        }
        CHECK(nans == types[which].nans && infinite == types[which].infinite);
        CHECK(smallest == types[which].smallest && largest == types[which].largest);
        CHECK((1.0 / values[0] > 0.0) && (which > 1 ? isnan(values[128]) : 1.0 / values[128] < 0.0));
    }
    remove(FILES_PATH);
}

/* ---- files: checksums ---- */

static void test_files_crc(void) {
    static unsigned char bytes[9000];
    static const size_t sizes[] = {0, 1, 7, 8, 9, 2047, 2048, 2049, 2055, 4096, 9000};
    static ssdei_crc_tables tables;
    size_t i;
    ssdei_crc32_tables(&tables);
    CHECK(ssdei_crc32(&tables, 0, (const unsigned char *)"123456789", 9) == 0xcbf43926u);
    for (i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i >> 3 ^ i);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t first = ssdei_crc32(&tables, 0, bytes, sizes[i] / 3);
        CHECK(ssdei_crc32(&tables, 0, bytes, sizes[i]) == files_plain_crc(bytes, sizes[i]));
        CHECK(ssdei_crc32(&tables, first, bytes + sizes[i] / 3, sizes[i] - sizes[i] / 3) ==
              files_plain_crc(bytes, sizes[i]));
    }
}

/* ---- files: PyTorch's files ---- */

/* An archive of one pickle and one storage of eight floats 0 ... 7, "x/data/0". */
static void files_write_pickle(const char *path, const void *pickle, size_t size, const char *order) {
    static files_archive archive;
    unsigned char floats[32];
    int i, b;
    for (i = 0; i < 8; i++) {
        float value = (float)i;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (b = 0; b < 4; b++) floats[4 * i + b] = (unsigned char)(bits >> 8 * (!strcmp(order, "big") ? 3 - b : b));
    }
    memset(&archive, 0, sizeof archive);
    files_archive_add(&archive, "x/data.pkl", pickle, size);
    files_archive_add(&archive, "x/byteorder", order, strlen(order));
    files_archive_add(&archive, "x/data/0", floats, sizeof floats);
    files_archive_write(&archive, path);
}

/* tests/golden/torch_save.pth was written by PyTorch 1.13: every kind of storage, views of one storage, strides. */
static void test_files_pth_values(void) {
    static const struct {
        const char *name, *dtype;
        int rank;
        size_t shape[2];
        double values[6];
    } wanted[] = {{"transposed", "F32", 2, {3, 2}, {0, 3, 1, 4, 2, 5}},
                  {"part", "F32", 2, {1, 2}, {4, 5, 0, 0, 0, 0}},
                  {"stepped", "F32", 2, {2, 2}, {0, 2, 3, 5, 0, 0}},
                  {"half", "F16", 2, {2, 3}, {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}},
                  {"bfloat", "BF16", 2, {2, 3}, {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}},
                  {"double", "F64", 2, {2, 3}, {0, 1.0 / 3.0, 2.0 / 3.0, 1, 4.0 / 3.0, 5.0 / 3.0}},
                  {"scalar", "I64", 0, {0, 0}, {3, 0, 0, 0, 0, 0}},
                  {"list.0", "F32", 1, {3, 0}, {0, 1, 2, 0, 0, 0}},
                  {"list.1.0", "F32", 1, {3, 0}, {3, 4, 5, 0, 0, 0}},
                  {"list.1.1", "BOOL", 0, {0, 0}, {1, 0, 0, 0, 0, 0}},
                  {"list.1.3", "I64", 0, {0, 0}, {1099511627776.0, 0, 0, 0, 0, 0}},
                  {"list.1.4", "I64", 0, {0, 0}, {-5, 0, 0, 0, 0, 0}},
                  {"list.1.6", "F64", 0, {0, 0}, {2.5, 0, 0, 0, 0, 0}},
                  {"parameter", "F32", 2, {2, 3}, {0, 1, 2, 3, 4, 5}},
                  {"int", "I32", 2, {2, 3}, {0, -1, -2, -3, -4, -5}},
                  {"bool", "BOOL", 2, {2, 3}, {0, 0, 0, 0, 1, 1}},
                  {"byte", "U8", 2, {2, 3}, {200, 201, 202, 203, 204, 205}},
                  {"short", "I16", 2, {2, 3}, {0, -1000, -2000, -3000, -4000, -5000}},
                  {"char", "I8", 2, {2, 3}, {0, -1, -2, -3, -4, -5}},
                  {"empty", "F32", 2, {0, 3}, {0, 0, 0, 0, 0, 0}},
                  {"7", "F32", 2, {2, 3}, {0, 1, 2, 0, 1, 2}},
                  {"state.w", "F32", 2, {2, 3}, {0, 1, 2, 3, 4, 5}}};
    const size_t count = sizeof wanted / sizeof *wanted;
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    double values[6];
    size_t i, j;
    CHECK_OK(ssde_tensor_file_open(&context, &file, "tests/golden/torch_save.pth"));
    if (!file) return;
    CHECK(ssde_tensor_file_count(file) == count);
    CHECK(ssde_tensor_file_metadata(file, "list.1.5") && !strcmp(ssde_tensor_file_metadata(file, "list.1.5"), "text"));
    CHECK(!ssde_tensor_file_metadata(file, "list.1.2") && !ssde_tensor_file_find(file, "list.1.2")); /* None */
    for (i = 0; i < count; i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_find(file, wanted[i].name);
        CHECK(tensor && tensor == ssde_tensor_file_get(file, i) && !strcmp(tensor->dtype, wanted[i].dtype));
        CHECK(tensor && tensor->rank == wanted[i].rank && tensor->count <= 6 && !tensor->problem);
        CHECK(tensor && tensor->number == (!wanted[i].rank && strcmp(wanted[i].name, "scalar")));
        if (!tensor || tensor->count > 6) continue;
        for (j = 0; j < (size_t)tensor->rank; j++) CHECK(tensor->shape[j] == wanted[i].shape[j]);
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, values));
        for (j = 0; j < tensor->count; j++) CHECK_NEAR(values[j], wanted[i].values[j], 0.0);
    }
    ssde_tensor_file_close(file);
}

#define FILES_TENSOR_2(global, storage, numel, rest)                                                            \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagec" global "\nX\1\0\0\0" storage "X\3\0\0\0cpuK" numel \
    "tQ" rest                                                                                                   \
    "\x89"                                                                                                      \
    "ccollections\nOrderedDict\n)RtR"
#define FILES_TENSOR(rest) FILES_TENSOR_2("torch\nFloatStorage", "0", "\10", rest)

/* A list of a number, a long string and a tensor, and a few bytes again and again that use them: remembered are the
   number as 0, the string as 1, a tensor's function as 2 and its arguments as 3. */
static void files_write_repetition(const char *again, size_t times) {
    static const char tensor[] = FILES_TENSOR("K\1K\2K\2\x86K\2K\1\x86");
    static files_buffer pickle;
    size_t i, size = strchr(again, 'R') ? 5 : 2;
    pickle.size = 0;
    files_put(&pickle, "\x80\2](K\5q\0X", 9);
    files_put_number(&pickle, 100000, 4);
    for (i = 0; i < 100000; i++) files_put_text(&pickle, "s");
    files_put(&pickle, "q\1ctorch._utils\n_rebuild_tensor_v2\nq\2", 37);
    files_put(&pickle, tensor + 33, sizeof tensor - 1 - 33 - 1);
    files_put(&pickle, "q\3R", 3);
    for (i = 0; i < times; i++) files_put(&pickle, again, size);
    files_put_text(&pickle, "e.");
    files_write_pickle(FILES_PTH, pickle.bytes, pickle.size, "little");
}

/* A list that has the one before twice, so many times, around a number. */
static void files_write_nesting(int times) {
    static files_buffer pickle;
    pickle.size = 0;
    files_put(&pickle, "\x80\2K\1q\0000", 7);
    while (times--) files_put(&pickle, "h\0h\0\x86q\0000", 8);
    files_put(&pickle, "h\0.", 3);
    files_write_pickle(FILES_PTH, pickle.bytes, pickle.size, "little");
}

/* As many lists, each in the next, around a number. */
static void files_write_depth(int times) {
    static files_buffer pickle;
    int i;
    pickle.size = 0;
    files_put(&pickle, "\x80\2", 2);
    for (i = 0; i < times; i++) files_put_text(&pickle, "(");
    files_put_text(&pickle, "K\1");
    for (i = 0; i < times; i++) files_put_text(&pickle, "l");
    files_put_text(&pickle, ".");
    files_write_pickle(FILES_PTH, pickle.bytes, pickle.size, "little");
}

/* Pickles that are written by hand: what the interpreter reads, and what it refuses by name. */
static void test_files_pth_pickles(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *words; /* NULL: it is fine, and tensor "a" begins with the numbers 1, 3 */
    } pickles[] = {
#define FILES_PICKLE(text, words) \
    { text, sizeof text - 1, words }
#define FILES_A(value) "\x80\2}X\1\0\0\0a" value "s."
#define FILES_UNREAD_MARK "\1"
#define FILES_UNREAD(value, words) FILES_PICKLE(FILES_A(value), FILES_UNREAD_MARK words)
#define FILES_BESIDE(value) \
    FILES_PICKLE("\x80\2}(X\1\0\0\0b" value "X\1\0\0\0a" FILES_TENSOR("K\1K\2\x85K\2\x85") "u.", NULL)
#define FILES_METADATA(metadata)                                                           \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" \
    "0X\3\0\0\0cpuK\10tQK\1K\2\x85K\2\x85\x89}" metadata "tR"
/* _rebuild_tensor_v3(untyped storage of 32 bytes, ..., dtype[, metadata]) of PyTorch 2.1 and later */
#define FILES_TYPED(dtype, rest)                                                                     \
    "ctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storagectorch.storage\nUntypedStorage\nX\1\0\0\0" \
    "0X\3\0\0\0cpuK tQ" rest "\x89}" dtype "tR"
        FILES_PICKLE(FILES_A(FILES_TENSOR("K\1K\2K\2\x86K\2K\1\x86")), NULL),
        FILES_PICKLE(FILES_A("ctorch._utils\n_rebuild_parameter\n" FILES_TENSOR("K\1K\2\x85K\2\x85") "\x88}\x87R"),
                     NULL),
        FILES_PICKLE(
            "\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1a\x94\x8c\14torch._utils\x94\x8c\22_rebuild_tensor_v2\x94\x93"
            "\x94((\x8c\7storage\x8c\5torch\x8c\14FloatStorage\x93\x8c\1"
            "0\x8c\3cpuK\10t\x94QK\1K\4\x85K\2\x85\x89}t"
            "\x94R\x94u.",
            NULL),
        /* PyTorch 2.0's metadata, and functions of other versions that come to the same */
        FILES_PICKLE(FILES_A(FILES_METADATA("}")), NULL), FILES_PICKLE(FILES_A(FILES_METADATA("N")), NULL),
        FILES_PICKLE(FILES_A(FILES_METADATA("}(X\3\0\0\0neg\x89X\4\0\0\0conj\x89u")), NULL),
        FILES_PICKLE(FILES_A("ctorch._utils\n_rebuild_tensor\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                             "0X\3\0\0\0cpuK\10tQK\1K\2\x85K\2\x85tR"),
                     NULL),
        FILES_PICKLE(
            FILES_A("ctorch._utils\n_rebuild_parameter_with_state\n(" FILES_TENSOR("K\1K\2\x85K\2\x85") "\x88}}tR"),
            NULL),
        FILES_PICKLE(FILES_A("ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n(" FILES_TENSOR(
                         "K\1K\2\x85K\2\x85") "ctorch\nfloat32\nX\3\0\0\0xla\x89tR"),
                     NULL),
        FILES_PICKLE(FILES_A("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncm\nT\n(("
                             "X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                             "0X\3\0\0\0cpuK\10tQK\1K\2\x85K\2\x85\x89}t}tR}b"),
                     NULL),
        FILES_PICKLE("", "it ends too early"), FILES_PICKLE("\x80\1}.", "protocol 2 to 5"),
        FILES_PICKLE("\x80\2", "it ends too early"), FILES_PICKLE("\x80\2.", "an object is missing"),
        FILES_PICKLE("\x80\2NN.", "more than one object"), FILES_PICKLE("\x80\2(.", "an object is missing"),
        FILES_PICKLE("\x80\2(N.", "more than one object"), FILES_PICKLE("\x80\2t.", "a mark is missing"),
        FILES_PICKLE("\x80\2}(Nu.", "has no value"), FILES_PICKLE("\x80\2(Nd.", "has no value"),
        FILES_PICKLE("\x80\2}Na.", "an object of another kind"),
        FILES_PICKLE("\x80\2](NNu.", "an object of another kind"), FILES_PICKLE("\x80\2Na.", "an object is missing"),
        FILES_PICKLE("\x80\2NNa.", "an object of another kind"),
        FILES_PICKLE("\x80\2ccollections", "it ends too early"),
        FILES_PICKLE("\x80\2N)R.", "calls what is no function"), FILES_PICKLE("\x80\2NN\x93.", "is no string"),
        FILES_PICKLE("\x80\2\x7f.", "an instruction 0x7f"), FILES_PICKLE("\x80\2\x81.", "an object is missing"),
        FILES_PICKLE("\x80\2)\x81.", "an object is missing"), FILES_PICKLE("\x80\2))\x92.", "an object is missing"),
        FILES_PICKLE("\x80\2i.", "it ends too early"), FILES_PICKLE("\x80\2ia\nb\n.", "a mark is missing"),
        FILES_PICKLE("\x80\2No.", "a mark is missing"),
        FILES_PICKLE("\x80\2"
                     "0.",
                     "an object is missing"),
        FILES_PICKLE("\x80\2N1.", "a mark is missing"),
        FILES_PICKLE("\x80\2"
                     "2.",
                     "an object is missing"),
        FILES_PICKLE("\x80\4\x8f\x90.", "a mark is missing"), FILES_PICKLE("\x80\2I17", "it ends too early"),
        FILES_PICKLE("\x80\2h\5.", "never remembered"), FILES_PICKLE("\x80\2g5\n.", "never remembered"),
        FILES_PICKLE("\x80\2Nr\xff\xff\xff\xff.", "are remembered"),
        FILES_PICKLE("\x80\2Np99999999999999999999999\n.", "are remembered"),
        FILES_PICKLE("\x80\2X\xff\xff\xff\xff"
                     "abc.",
                     "beyond its end"),
        FILES_PICKLE("\x80\4\x8e\xff\xff\xff\xff\xff\xff\xff\xff"
                     "abc.",
                     "beyond its end"),
        FILES_PICKLE("\x80\2\x8b\xff\xff\xff\xff"
                     "abc.",
                     "beyond its end"),
        FILES_PICKLE("\x80\4\x84\1\0.", "beyond its end"),
        /* in these "a" is there, and tells why it cannot be read */
        FILES_UNREAD(FILES_TENSOR_2("torch\nFloatStorage", "1", "\10", "K\0))"), "does not have"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nFloatStorage", "0", "\7", "K\0))"), "of another size"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nDoubleStorage", "0", "\10", "K\0))"), "of another size"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nComplexFloatStorage", "0", "\4", "K\0))"), "C64"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nQInt8Storage", "0", " ", "K\0))"), "QI8 has a dtype that"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nQUInt4x2Storage", "0", "\10", "K\0))"), "of a class that is not known"),
        FILES_UNREAD(FILES_TENSOR("K\1K\5\x85K\2\x85"), "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("K\10))"), "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("K\0K\2K\2\x86K\4K\5\x86"), "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("K\0K\2\x85)"), "size and a stride"),
        FILES_UNREAD(FILES_TENSOR("K\0J\xff\xff\xff\xff\x85K\1\x85"), "size and a stride"),
        FILES_UNREAD(FILES_TENSOR("K\0(KKKKKKKKK\1t(K\1t"), "size and a stride"),
        FILES_UNREAD(FILES_TENSOR("K\0\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\10\xff\xff\xff\xff\xff\xff\xff"
                                  "\x7f\x86K\0K\0\x86"),
                     "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7fK\2\x85\x8a\10\xff\xff\xff\xff\xff\xff\xff"
                                  "\x7f\x85"),
                     "beyond its storage"),
        FILES_UNREAD(FILES_METADATA("}X\4\0\0\0conj\x88s"), "metadata"),
        FILES_UNREAD(FILES_METADATA("K\1"), "metadata"), FILES_UNREAD(FILES_METADATA("}X\3\0\0\0negK\1s"), "metadata"),
        FILES_UNREAD(FILES_METADATA("}K\1\x88s"), "metadata"),
        FILES_UNREAD("ctorch._utils\n_rebuild_tensor_v2\n)R", "not made of a storage"),
        FILES_UNREAD("ctorch._utils\n_rebuild_tensor_v2\nNR", "not made of a storage"),
        FILES_UNREAD("ctorch._utils\n_rebuild_sparse_tensor\n)R", "is sparse"),
        FILES_UNREAD("ctorch._utils\n_rebuild_qtensor\n)R", "is quantized"),
        FILES_UNREAD("ctorch._utils\n_rebuild_meta_tensor_no_storage\n)R", "no values"),
        FILES_UNREAD("cnumpy._core.multiarray\n_reconstruct\n)R)b", "array of NumPy"),
        FILES_PICKLE("\x80\2}(X\1\0\0\0aK\1X\1\0\0\0aK\2u.", FILES_UNREAD_MARK "is there twice"),
        FILES_PICKLE(
            "\x80\2}(X\3\0\0\0b.aK\1X\1\0\0\0b}X\1\0\0\0aK\2sX\1\0\0\0a" FILES_TENSOR("K\1K\2\x85K\2\x85") "u.", NULL),
        /* nothing of this is needed, and nothing is executed */
        FILES_BESIDE("cos\nsystem\nX\4\0\0\0true\x85R"), FILES_BESIDE("\x8c\2os\x8c\6system\x93\x8c\4true\x85R"),
        FILES_BESIDE("cbuiltins\neval\n"), FILES_BESIDE("ccollections\nOrderedDict\nN\x85R"),
        FILES_BESIDE("ccollections.OrderedDict\n\n"), FILES_BESIDE("ctorch\nFloatStorage\n"),
        FILES_BESIDE("ctorch\nFloatStorage\nK\1\x85R"), FILES_BESIDE("]}b"), FILES_BESIDE("NNb"),
        FILES_BESIDE("cm\nC\n)\x81}X\1\0\0\0xK\1sb"), FILES_BESIDE("cm\nC\n)}\x92"), FILES_BESIDE("(K\1im\nC\n"),
        FILES_BESIDE("(cm\nC\nK\1o"), FILES_BESIDE("X\2\0\0\0a\0"), FILES_BESIDE("}X\2\0\0\0a\0K\1s"),
        FILES_BESIDE("\x8a\11"
                     "123456789"),
        FILES_BESIDE("\x8b\11\0\0\0"
                     "123456789"),
        FILES_BESIDE("}NNs"), FILES_BESIDE("})K\1s"), FILES_BESIDE("}G\0\0\0\0\0\0\0\0K\1s"), FILES_BESIDE("]q\0h\0a"),
        FILES_BESIDE("}q\0X\1\0\0\0ah\0s"), FILES_BESIDE("cm\nC\n)\x81q\0}X\4\0\0\0selfh\0sb"),
        FILES_BESIDE("cm\nC\n)\x81N}X\1\0\0\0xK\1s\x86"
                     "b"),
        FILES_BESIDE("cm\nC\n)\x81K\3N\x86"
                     "b"),
        FILES_BESIDE("K\1Q"), FILES_BESIDE("(K\1K\2K\3K\4K\5tQ"), FILES_BESIDE("Pid\n"),
        FILES_BESIDE("\x8f(K\1K\2\x90"), FILES_BESIDE("(K\1\x91"), FILES_BESIDE("\x97\x98"), FILES_BESIDE("\x82\1"),
        FILES_BESIDE("\x84\1\0\0\0"), FILES_BESIDE("C\2ab"), FILES_BESIDE("B\2\0\0\0ab"),
        FILES_BESIDE("\x8e\2\0\0\0\0\0\0\0ab"), FILES_BESIDE("\x96\2\0\0\0\0\0\0\0ab"),
        FILES_BESIDE("\x8d\2\0\0\0\0\0\0\0ab"), FILES_BESIDE("I01\n"), FILES_BESIDE("L5L\n"), FILES_BESIDE("F1.5\n"),
        FILES_BESIDE("S'a'\n"), FILES_BESIDE("Va\n"), FILES_BESIDE("T\1\0\0\0a"), FILES_BESIDE("U\1a"),
        FILES_BESIDE("N2"
                     "0"),
        FILES_BESIDE("N(NN1"), FILES_BESIDE("(NNl"), FILES_BESIDE("(K\1Nd"), FILES_BESIDE("Np7\n0g7\n"),
        FILES_BESIDE("N\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85"
                     "\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85")};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file;
    size_t i;
    int big;
    for (i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        for (big = 0; big < 2; big++) {
            files_write_pickle(FILES_PTH, pickles[i].bytes, pickles[i].size, big ? "big" : "little");
            const char *words = pickles[i].words;
            float values[4] = {0, 0, 0, 0};
            if (words && *words != *FILES_UNREAD_MARK) {
                CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, words);
                CHECK(!file);
                continue;
            }
            CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
            if (!file) {
                check_report(__FILE__, __LINE__, "pickle %d: %s", (int)i, context.error);
                continue;
            }
            if (words) {
                CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values),
                            SSDE_ERROR_UNSUPPORTED, words + 1);
                CHECK(strstr(context.error, "tensor 'a'") != NULL);
            } else {
                CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values));
                CHECK(values[0] <= 1.0f && values[0] >= 1.0f);
            }
            ssde_tensor_file_close(file);
            CHECK(memory.live == 0);
        }
    }
    files_write_repetition("h\0", 262145); /* of many numbers the first are listed, and of strings */
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 65536 - 1 + 1); /* the string, and the tensor */
    ssde_tensor_file_close(file);
    files_write_repetition("h\1", 700);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 2);
    ssde_tensor_file_close(file);
    for (i = 128; i <= 129; i++) { /* named "0.0.0...", 255 characters and 257 */
        files_write_depth((int)i);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        CHECK(ssde_tensor_file_count(file) == (i == 128));
        ssde_tensor_file_close(file);
    }
    files_write_nesting(30);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "shared too often");
    files_write_repetition("h\2h\3R", 262145);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "262144 tensors");
    files_write_repetition("h\2h\3R", 3);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 5);
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    files_write_pickle(FILES_PTH, "\x80\2}.", 4, "middle");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                "neither little nor big");
    remove(FILES_PTH);
}

static void files_open_and_read(ssde_context *context, int *opened, int *read) {
    ssde_tensor_file *file;
    double values[64];
    size_t i;
    *opened = ssde_tensor_file_open(context, &file, FILES_PTH) == SSDE_OK;
    *read = *opened;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        if (tensor->count > 64 || ssde_tensor_file_read_double(file, tensor, values) != SSDE_OK) *read = 0;
    }
    ssde_tensor_file_close(file);
}

/* PyTorch's own file cut short anywhere, and with any bit turned. */
static void test_files_pth_hostile(void) {
    static unsigned char bytes[8192];
    static files_archive archive;
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    size_t size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes), i, storage = 0, end, at;
    ssde_tensor_file *file;
    int opened, read;
    for (i = 0; i < size; i += check_quick ? 37 : 1) {
        write_file(FILES_PTH, bytes, i);
        files_open_and_read(&context, &opened, &read);
        CHECK(!opened && memory.live == 0);
    }
    for (i = 0; i < 8 * size; i += check_quick ? 371 : 5) {
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
        write_file(FILES_PTH, bytes, size);
        files_open_and_read(&context, &opened, &read);
        CHECK(memory.live == 0);
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
    }
    /* a storage's first byte: found when it is read */
    for (i = 0; i + 60 < size && !storage; i++)
        if (!memcmp(bytes + i, "torch_save/data/0", 17) && bytes[i - 28] == 3) /* behind "PK\3\4" */
            storage = i + 17 + ((size_t)bytes[i - 2] | (size_t)bytes[i - 1] << 8);
    CHECK(storage > 0);
    bytes[storage + 1] ^= 1;
    write_file(FILES_PTH, bytes, size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    {
        float values[6];
        CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "part"), values),
                    SSDE_ERROR_FORMAT, "'torch_save/data/0' is damaged: its CRC is");
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "half"), values));
    }
    ssde_tensor_file_close(file);
    bytes[storage + 1] ^= 1;
    /* the directory: method, flags, sizes and offset of records, the last of which is not needed */
    for (end = size; memcmp(bytes + end - 4, "PK\1\2", 4);) end--;
    bytes[end - 4 + 10] = 8;
    write_file(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(opened && read);
    bytes[end - 4 + 10] = 0;
    for (at = end - 4; memcmp(bytes + at, "PK\1\2", 4) || memcmp(bytes + at + 46, "torch_save/data/0", 17);) at--;
    bytes[at + 10] = 8;
    bytes[at + 20]--; /* compressed to one byte less */
    write_file(FILES_PTH, bytes, size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    {
        float values[6];
        CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "part"), values),
                    SSDE_ERROR_UNSUPPORTED, "compressed");
    }
    ssde_tensor_file_close(file);
    bytes[at + 10] = 0;
    bytes[at + 20]++;
    for (at = end - 4; memcmp(bytes + at, "PK\1\2", 4) || memcmp(bytes + at + 46, "torch_save/data.pkl", 19);) at--;
    bytes[at + 10] = 8;
    write_file(FILES_PTH, bytes, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_UNSUPPORTED, "is compressed");
    bytes[at + 10] = 0;
    bytes[at + 8] |= 1;
    write_file(FILES_PTH, bytes, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_UNSUPPORTED, "is encrypted");
    bytes[at + 8] = (unsigned char)(bytes[at + 8] & ~1u);
    bytes[at + 42] ^= 1;
    write_file(FILES_PTH, bytes, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                "not where the directory says");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "tests"), SSDE_ERROR_FILE, "'tests'");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, NULL, FILES_PTH), SSDE_ERROR_ARGUMENT,
                "ssde_tensor_file_open: file is NULL");
    memset(&archive, 0, sizeof archive);
    files_archive_add(&archive, "x/other", "1", 1);
    files_archive_write(&archive, FILES_PTH);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "it has no data.pkl");
    memset(&archive, 0, sizeof archive);
    for (i = 0; i < 2; i++) files_archive_add(&archive, "x/data.pkl", "\x80\2}.", 4);
    files_archive_write(&archive, FILES_PTH);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                "'x/data.pkl' comes twice");
    memset(&archive, 0, sizeof archive);
    archive.large = 1;
    files_archive_add(&archive, "x/other", "12345", 5);
    files_archive_add(&archive, "x/data.pkl", "\x80\2K\7.", 5);
    files_archive_write(&archive, FILES_PTH);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 1);
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* ---- files: what people save ---- */

/* tests/golden/torch_objects*.pth were written by PyTorch 1.13 with NumPy 1.24 in protocols 2 and 4: tensors among all
   kinds of objects that need no reading. */
static void test_files_pth_objects(void) {
    static const struct {
        const char *name;
        size_t count;
        double values[6];
    } wanted[] = {{"optimizer.state.0.step", 1, {1, 0, 0, 0, 0, 0}},
                  {"optimizer.param_groups.0.betas.1", 1, {0.999, 0, 0, 0, 0, 0}},
                  {"optimizer.param_groups.0.params.1", 1, {1, 0, 0, 0, 0, 0}},
                  {"args.lr", 1, {0.5, 0, 0, 0, 0, 0}},    /* argparse.Namespace */
                  {"args.inner.n", 1, {3, 0, 0, 0, 0, 0}}, /* in another */
                  {"deque.0", 1, {1, 0, 0, 0, 0, 0}},
                  {"default.a.0", 1, {3, 0, 0, 0, 0, 0}}, /* defaultdict(list) */
                  {"named.w", 2, {1, 2, 0, 0, 0, 0}},     /* a subclass of OrderedDict with attributes */
                  {"mine.weight", 2, {1, 3, 0, 0, 0, 0}}, /* an object that has itself */
                  {"slots.a", 2, {5, 6, 0, 0, 0, 0}},     /* of a class with __slots__ */
                  {"point.0", 1, {1, 0, 0, 0, 0, 0}},     /* a named tuple */
                  {"listsub.0", 1, {2, 0, 0, 0, 0, 0}},
                  {"loop.1", 1, {9, 0, 0, 0, 0, 0}},   /* a list that has itself */
                  {"view", 2, {2, 4, 0, 0, 0, 0}},     /* offset 2, stride 2 */
                  {"expanded", 6, {1, 1, 1, 2, 2, 2}}, /* stride 0 */
                  {"empty", 0, {0, 0, 0, 0, 0, 0}},
                  {"frozen_parameter", 2, {4, 5, 0, 0, 0, 0}},
                  {"bool", 2, {1, 0, 0, 0, 0, 0}},
                  {"module.weight", 4, {0, 1, 2, 3, 0, 0}}, /* nn.Linear, saved whole */
                  {"module.bias", 2, {7, 8, 0, 0, 0, 0}},
                  {"state_dict.bias", 2, {7, 8, 0, 0, 0, 0}},
                  {"epoch", 1, {7, 0, 0, 0, 0, 0}}};
    static const char *const unreadable[][2] = {
        {"array", "is an array of NumPy"}, {"complex_tensor", "C64"}, {"conj", "C64"},
        {"sparse", "is sparse"},           {"csr", "is sparse"},      {"quantized", "is quantized"},
        {"meta", "on the device 'meta'"}};
    static const char *const paths[] = {"tests/golden/torch_objects.pth", "tests/golden/torch_objects_4.pth"};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file;
    double values[6];
    size_t i, j, part;
    for (part = 0; part < 2; part++) {
        CHECK_OK(ssde_tensor_file_open(&context, &file, paths[part]));
        if (!file) continue;
        CHECK(ssde_tensor_file_count(file) == 71);
        CHECK(ssde_tensor_file_metadata(file, "args.name") &&
              !strcmp(ssde_tensor_file_metadata(file, "args.name"), "run"));
        for (i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_find(file, wanted[i].name);
            if (!tensor || tensor->count != wanted[i].count) check_report(__FILE__, __LINE__, "%s", wanted[i].name);
            if (!tensor || tensor->count > 6) continue;
            CHECK_OK(ssde_tensor_file_read_double(file, tensor, values));
            for (j = 0; j < tensor->count; j++) CHECK_NEAR(values[j], wanted[i].values[j], 0.0);
        }
        for (i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_find(file, unreadable[i][0]);
            CHECK(tensor != NULL);
            if (!tensor) continue;
            CHECK_FAILS(&context, ssde_tensor_file_read_double(file, tensor, values), SSDE_ERROR_UNSUPPORTED,
                        unreadable[i][1]);
        }
        ssde_tensor_file_close(file);
        CHECK(memory.live == 0);
    }
    /* torch.save(module), and a TorchScript archive, whose code is compressed */
    for (part = 0; part < 2; part++) {
        CHECK_OK(ssde_tensor_file_open(&context, &file,
                                       part ? "tests/golden/torch_script.pt" : "tests/golden/torch_module.pth"));
        CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_find(file, part ? "0.bias" : "bias"), values));
        CHECK_NEAR(values[0], 7.0, 0.0);
        CHECK_NEAR(values[1], 8.0, 0.0);
        ssde_tensor_file_close(file);
    }
    CHECK(memory.live == 0);
}

/* PyTorch 2.0's negative bit, in every way that values are read, and the dtypes of _rebuild_tensor_v3 (2.1). */
static void test_files_pth_newer(void) {
    static const char negative[] = "\x80\2}X\1\0\0\0a" FILES_METADATA("}(X\4\0\0\0conj\x89X\3\0\0\0neg\x88u") "s.";
    /* shape 2, stride 4: the halves of the floats 0 and 2 */
    static const char halves[] = "\x80\2}X\1\0\0\0a" FILES_TYPED("ctorch\nuint16\n", "K\1K\2\x85K\4\x85") "s.";
    static const char eighths[] =
        "\x80\2}X\1\0\0\0a" FILES_TYPED("ctorch\nfloat8_e4m3fn\n", "K\0K\2K\3\x86K\3K\1\x86") "s.";
    static const char unknown[] =
        "\x80\2}X\1\0\0\0a" FILES_TYPED("ctorch\nfloat4_e2m1fn_x2\n", "K\0K\2\x85K\1\x85") "s.";
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    const ssde_file_tensor *tensor;
    ssde_tensor_file *file;
    double doubles[2] = {0, 0};
    float floats[2] = {0, 0};
    int big;
    for (big = 0; big < 2; big++) {
        files_write_pickle(FILES_PTH, negative, sizeof negative - 1, big ? "big" : "little");
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        tensor = ssde_tensor_file_find(file, "a");
        CHECK_OK(ssde_tensor_file_read(file, tensor, floats));
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, doubles));
        CHECK_NEAR(floats[0], -1.0, 0.0);
        CHECK_NEAR(floats[1], -3.0, 0.0);
        CHECK_NEAR(doubles[0], -1.0, 0.0);
        CHECK_NEAR(doubles[1], -3.0, 0.0);
        ssde_tensor_file_close(file);
        files_write_pickle(FILES_PTH, halves, sizeof halves - 1, big ? "big" : "little");
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        tensor = ssde_tensor_file_find(file, "a");
        CHECK(tensor && !strcmp(tensor->dtype, "U16") && tensor->rank == 1 && tensor->shape[0] == 2);
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, doubles));
        CHECK_NEAR(doubles[0], 0.0, 0.0);
        CHECK_NEAR(doubles[1], big ? 0.0 : 16384.0, 0.0); /* 2.0f is 0x40000000 */
        ssde_tensor_file_close(file);
    }
    files_write_pickle(FILES_PTH, eighths, sizeof eighths - 1, "little");
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    tensor = ssde_tensor_file_find(file, "a");
    CHECK(tensor && !strcmp(tensor->dtype, "F8_E4M3") && tensor->count == 6);
    ssde_tensor_file_close(file);
    files_write_pickle(FILES_PTH, unknown, sizeof unknown - 1, "little");
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), floats), SSDE_ERROR_UNSUPPORTED,
                "a dtype that is not known");
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* torch.serialization.set_crc32_options(False) leaves every CRC 0 (PyTorch 2.6): nothing to compare; one that is wrong
   among others is still an error, 0 or not. */
static void test_files_pth_without_crc(void) {
    static unsigned char bytes[8192];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    size_t size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes), i, kept = 0;
    int opened, read;
    for (i = 0; i + 46 < size; i++) {
        if (memcmp(bytes + i, "PK\1\2", 4)) continue;
        if (bytes[i + 28] == 17 && !memcmp(bytes + i + 46, "torch_save/data/0", 17)) kept = i;
        memset(bytes + i + 16, 0, 4);
    }
    CHECK(kept > 0);
    write_file(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(opened && read);
    bytes[kept + 16] = 1;
    write_file(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(!opened && strstr(context.error, "is damaged: its CRC is"));
    size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes);
    memset(bytes + kept + 16, 0, 4);
    write_file(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(opened && !read && strstr(context.error, "is damaged: its CRC is"));
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* ---- files: PyTorch's files without an archive ---- */

/* tests/golden/torch_NAME.old.pth were written by PyTorch 1.13 of the objects of torch_NAME.pth: nothing differs. */
static void test_files_stream_values(void) {
    static const char *const names[] = {"save", "objects", "objects_4", "module", "model", "model_list"};
    static const size_t counts[] = {22, 71, 71, 5, 25, 24};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file[2];
    double values[2][64];
    size_t i, j, k;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        for (j = 0; j < 2; j++) {
            char path[80];
            snprintf(path, sizeof path, "tests/golden/torch_%s%s.pth", names[i], j ? ".old" : "");
            CHECK_OK(ssde_tensor_file_open(&context, &file[j], path));
            CHECK(ssde_tensor_file_count(file[j]) == counts[i]);
        }
        CHECK(file[0] && file[1] && file[0]->metadata_count == file[1]->metadata_count);
        for (j = 0; file[0] && file[1] && j < file[0]->metadata_count; j++)
            CHECK(!strcmp(file[0]->metadata[j].key, file[1]->metadata[j].key) &&
                  !strcmp(file[0]->metadata[j].value, file[1]->metadata[j].value));
        for (j = 0; j < ssde_tensor_file_count(file[0]) && j < ssde_tensor_file_count(file[1]); j++) {
            const ssde_file_tensor *a = ssde_tensor_file_get(file[0], j), *b = ssde_tensor_file_get(file[1], j);
            CHECK(!strcmp(a->name, b->name) && !strcmp(a->dtype, b->dtype) && a->number == b->number);
            CHECK(a->rank == b->rank && a->count == b->count && a->count <= 64 && a->problem == b->problem);
            for (k = 0; k < (size_t)a->rank; k++) CHECK(a->shape[k] == b->shape[k]);
            if (a->problem || a->count > 64 || b->count > 64) continue;
            memset(values, 0, sizeof values);
            CHECK_OK(ssde_tensor_file_read_double(file[0], a, values[0]));
            CHECK_OK(ssde_tensor_file_read_double(file[1], b, values[1]));
            CHECK(!memcmp(values[0], values[1], sizeof values[0]));
        }
        ssde_tensor_file_close(file[0]);
        ssde_tensor_file_close(file[1]);
        CHECK(memory.live == 0);
    }
}

/* The pickles by hand, of a machine that is not little-endian, which changes nothing: what comes before the object, the
   id of a storage of class, key and number of elements, and a view of it; the rest of a tensor is an offset, a size and
   a stride. */
#define FILES_STREAM_MARK   \
    "\x80\2\x8a\nl\xfc\x9c" \
    "F\xf9 j\xa8P\x19."
#define FILES_STREAM FILES_STREAM_MARK "\x80\2M\xe9\3.\x80\2}X\15\0\0\0little_endian\x89s."
#define FILES_STREAM_ID(global, key, numel, view) "(X\7\0\0\0storagec" global "\nU\1" key "U\3cpuK" numel view "tQ"
#define FILES_STREAM_ARGUMENTS(id, rest) \
    "(" id rest                          \
    "\x89"                               \
    "ccollections\nOrderedDict\n)Rt"
#define FILES_STREAM_ITEM(id, rest) \
    "X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n" FILES_STREAM_ARGUMENTS(id, rest) "Rs"
#define FILES_STREAM_A(global, key, numel, view, rest) \
    "\x80\2}" FILES_STREAM_ITEM(FILES_STREAM_ID(global, key, numel, view), rest) "."
#define FILES_STREAM_FLOATS(numel, view, rest) FILES_STREAM_A("torch\nFloatStorage", "7", numel, view, rest)
#define FILES_STREAM_KEYS "\x80\2]U\0017a."
/* 0, 1, 2, 3 */
#define FILES_STREAM_DATA_AFTER \
    "\0\0\0\0\0\0\0"            \
    "\0\0\0\0"                  \
    "\0\0\x80\x3f"              \
    "\0\0\0\x40"                \
    "\0\0\x40\x40"
#define FILES_STREAM_DATA "\4" FILES_STREAM_DATA_AFTER

/* By hand as well: what no version of PyTorch at hand writes, and what is refused by name. */
static void test_files_stream_pickles(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *words; /* NULL: it is fine, and tensor "a" begins with the numbers 1, 3 */
    } files[] = {
#define FILES_PARTS(object, keys, data, words) FILES_PICKLE(FILES_STREAM object keys data, words)
#define FILES_OBJECT(object, words) FILES_PARTS(object, FILES_STREAM_KEYS, FILES_STREAM_DATA, words)
#define FILES_GOOD FILES_STREAM_FLOATS("\4", "N", "K\1K\2\x85K\2\x85")
#define FILES_VIEW(view, rest, words) FILES_OBJECT(FILES_STREAM_FLOATS("\4", view, rest), words)
        FILES_OBJECT(FILES_GOOD, NULL), FILES_OBJECT(FILES_STREAM_FLOATS("\4", "", "K\1K\2\x85K\2\x85"), NULL),
        FILES_PARTS(FILES_GOOD, FILES_STREAM_KEYS, FILES_STREAM_DATA "more", NULL), /* objects saved behind it */
        FILES_VIEW("U\0018K\1K\3\x87", "K\0K\2\x85K\2\x85", NULL),
        /* first as bytes, and so it is counted */
        FILES_PARTS("\x80\2}X\1\0\0\0b" FILES_STREAM_ID("torch\nByteStorage", "7", "\20", "N") "s" FILES_STREAM_ITEM(
                        FILES_STREAM_ID("torch\nFloatStorage", "7", "\4", "N"), "K\1K\2\x85K\2\x85") ".",
                    FILES_STREAM_KEYS, "\20" FILES_STREAM_DATA_AFTER, NULL),
        FILES_VIEW("U\0018K\1K\2\x87", "K\0K\2\x85K\2\x85", FILES_UNREAD_MARK "reaches beyond its storage"),
        FILES_VIEW("U\0018K\2K\3\x87", "K\0K\1\x85K\1\x85", FILES_UNREAD_MARK "in a view that its storage does not"),
        FILES_VIEW("U\0018K\5K\0\x87", "K\0K\0\x85K\1\x85", FILES_UNREAD_MARK "in a view that"),
        FILES_VIEW("U\0018J\xff\xff\xff\xffK\3\x87", "K\0K\1\x85K\1\x85", FILES_UNREAD_MARK "in a view that"),
        FILES_VIEW("U\0018NN\x87", "K\0K\1\x85K\1\x85", FILES_UNREAD_MARK "in a view that"),
        FILES_VIEW("K\1", "K\0K\1\x85K\1\x85", FILES_UNREAD_MARK "in a view that"),
        FILES_OBJECT(FILES_STREAM_FLOATS("\3", "N", "K\0K\2\x85K\2\x85"), FILES_UNREAD_MARK "of another size"),
        FILES_OBJECT(FILES_STREAM_A("torch\nFloatStorage", "8", "\4", "N", "K\0K\1\x85K\1\x85"),
                     "'7' is a storage of no"),
        FILES_OBJECT(FILES_STREAM_A("torch\nOddStorage", "7", "\4", "N", "K\0K\1\x85K\1\x85"),
                     "'7' is a storage of no"),
        FILES_OBJECT(FILES_STREAM_A("torch\nComplexFloatStorage", "7", "\4", "N", "K\0))"), "beyond the file"),
        FILES_PARTS(FILES_STREAM_A("torch\nComplexDoubleStorage", "7", "\1", "N", "K\0))"), FILES_STREAM_KEYS,
                    "\1\0\0\0\0\0\0\0"
                    "0123456789abcdef",
                    FILES_UNREAD_MARK "C128"),
        FILES_PARTS(FILES_STREAM_A("torch\nComplexDoubleStorage", "7", "\1", "N", "K\0))"), FILES_STREAM_KEYS,
                    "\1\0\0\0\0\0\0\0"
                    "0123456789abcde",
                    "beyond the file"),
        FILES_PARTS(FILES_STREAM_A("torch\nQInt32Storage", "7", "\4", "N", "K\0))"), FILES_STREAM_KEYS,
                    FILES_STREAM_DATA, FILES_UNREAD_MARK "QI32"),
        FILES_PARTS(FILES_GOOD, "\x80\2].", "", FILES_UNREAD_MARK "the file does not have"),
        FILES_PARTS(FILES_GOOD, "\x80\2](U\0017U\0017e.", FILES_STREAM_DATA, "'7' comes twice"),
        FILES_PARTS(FILES_GOOD, "\x80\2](U\0017U\0018e.", FILES_STREAM_DATA, "'8' is a storage of no class"),
        FILES_PARTS(FILES_GOOD, "\x80\2U\0017\x85.", FILES_STREAM_DATA, "keys are no list"),
        FILES_PARTS(FILES_GOOD, "\x80\2K\7.", FILES_STREAM_DATA, "keys are no list"),
        FILES_PARTS(FILES_GOOD, "\x80\2h\0.", FILES_STREAM_DATA, "never remembered"),
        FILES_PARTS(FILES_GOOD, "\x80\2]K\7a.", FILES_STREAM_DATA, "key is no string"),
        FILES_PARTS(FILES_GOOD, "\x80\2](U\0017U\0018U\0019U\1aU\1be.", FILES_STREAM_DATA, "more storages than"),
        FILES_PARTS(FILES_GOOD, "", "", "it ends too early"), FILES_PARTS(FILES_GOOD, "\0", "", "it ends too early"),
        FILES_PARTS(FILES_GOOD, FILES_STREAM_KEYS, "\5" FILES_STREAM_DATA, "'7' is a storage that reaches beyond"),
        FILES_PARTS(FILES_GOOD, FILES_STREAM_KEYS, "\xff\xff\xff\xff\xff\xff\xff\xff", "beyond the file"),
        FILES_PARTS(FILES_GOOD, FILES_STREAM_KEYS, "\4\0\0\0\0\0\0\x40" FILES_STREAM_DATA, "beyond the file"),
        FILES_PICKLE(FILES_STREAM_MARK "\x80\2M\xe8\3.\x80\2}." FILES_GOOD, "protocol is not 1001"),
        FILES_PICKLE(FILES_STREAM_MARK "\x80\2N.\x80\2}." FILES_GOOD, "protocol is not 1001"),
        FILES_PICKLE(FILES_STREAM_MARK "\x80\2M\xe9\3.K\1.", "does not begin as one of protocol")};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file;
    static files_buffer large;
    float values[2];
    size_t i;
    for (i = 0; i < sizeof files / sizeof *files; i++) {
        const char *words = files[i].words;
        ssde_status status;
        write_file(FILES_PTH, files[i].bytes, files[i].size);
        status = ssde_tensor_file_open(&context, &file, FILES_PTH);
        if (status == SSDE_OK) {
            values[0] = values[1] = 0.0f;
            status = ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values);
            CHECK(words ? *words == *FILES_UNREAD_MARK : values[0] == 1.0f && values[1] == 3.0f);
        } else
            CHECK(words && *words != *FILES_UNREAD_MARK);
        if (words ? status == SSDE_OK || !strstr(context.error, words + (*words == *FILES_UNREAD_MARK))
                  : status != SSDE_OK)
            check_report(__FILE__, __LINE__, "case %d: '%s' does not mention '%s'", (int)i, context.error,
                         words ? words : "nothing");
        ssde_tensor_file_close(file);
        CHECK(memory.live == 0);
    }
    /* pickles longer than what is read at first, cut in a string, a number and a line; then the same behind the end */
    for (i = 0; i < 4; i++) {
        static const char good[] = FILES_GOOD, rest[] = FILES_STREAM_KEYS FILES_STREAM_DATA;
        const size_t most = (size_t)1 << 20,
                     fill = i == 0 ? most : most - 2 - (sizeof FILES_STREAM - 1) - 4 - 2 - 3 * (i - 1);
        large.size = 0;
        files_put(&large, FILES_STREAM "\x80\2T", sizeof FILES_STREAM + 2);
        files_put_number(&large, fill, 4);
        while (large.size < sizeof FILES_STREAM + 6 + fill) files_put_text(&large, "s");
        files_put_text(&large, "0");
        files_put(&large, good + 2, sizeof good - 3);
        files_put(&large, rest, sizeof rest - 1);
        write_file(FILES_PTH, large.bytes, large.size);
        memset(context.error, 0, sizeof context.error);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values));
        CHECK(values[0] == 1.0f && values[1] == 3.0f && !context.error[0]);
        ssde_tensor_file_close(file);
        write_file(FILES_PTH, large.bytes, large.size - sizeof rest - 8);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                    "it ends too early");
        CHECK(memory.live == 0);
    }
    CHECK(memory.most < 8 << 20);
    /* more than half as many tensors as there may be, which running twice must not count twice */
    large.size = 0;
    files_put(&large, FILES_STREAM, sizeof FILES_STREAM - 1);
    {
        static const char list[] =
            "\x80\2](ctorch._utils\n_rebuild_tensor_v2\nq"
            "\0" FILES_STREAM_ARGUMENTS(FILES_STREAM_ID("torch\nFloatStorage", "7", "\4", "N"),
                                        "K\1K\2\x85K\2\x85") "q\1R";
        static const char end[] = "e." FILES_STREAM_KEYS FILES_STREAM_DATA;
        files_put(&large, list, sizeof list - 1);
        for (i = 0; i < 140000; i++) files_put(&large, "h\0h\1R", 5);
        files_put(&large, end, sizeof end - 1);
    }
    write_file(FILES_PTH, large.bytes, large.size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 140001);
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* Cut short anywhere it is refused, of small size in little memory; with any bit turned, or without memory, nothing
   leaks. */
static void test_files_stream_hostile(void) {
    static unsigned char bytes[4096];
    static const char *const paths[] = {"tests/golden/torch_save.old.pth", "tests/golden/torch_model_list.old.pth"};
    size_t size, i, path;
    for (path = 0; path < 2; path++) {
        counted_memory memory;
        ssde_context context = counted_context(&memory);
        int opened, read;
        size = files_read(paths[path], bytes, sizeof bytes);
        CHECK(size > 1000 && size < sizeof bytes);
        for (i = 0; i < size; i += check_quick ? 7 : 1) {
            write_file(FILES_PTH, bytes, i);
            context.error[0] = 0;
            files_open_and_read(&context, &opened, &read);
            CHECK(!opened && context.error[0] && memory.live == 0);
        }
        for (i = 0; i < 8 * size; i += check_quick ? 71 : 1) {
            bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
            write_file(FILES_PTH, bytes, size);
            files_open_and_read(&context, &opened, &read);
            CHECK(memory.live == 0);
            bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
        }
        write_file(FILES_PTH, bytes, size);
        for (i = 0;; i++) {
            ssde_tensor_file *file;
            counted_memory fails;
            ssde_context poor = counted_context(&fails);
            ssde_status status;
            fails.refuse = (long)i;
            status = ssde_tensor_file_open(&poor, &file, FILES_PTH);
            ssde_tensor_file_close(file);
            CHECK(fails.live == 0 && (status == SSDE_OK || status == SSDE_ERROR_MEMORY));
            if (status == SSDE_OK) break;
        }
        CHECK(i > 8);
    }
    remove(FILES_PTH);
}

/* What is met where a file of tensors is expected is named, whatever its extension. */
static void test_files_containers(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } foreign[] = {
#define FILES_FOREIGN(text, words) {text, sizeof text - 1, words}
        {"", 0, "an empty file"},
        FILES_FOREIGN("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        FILES_FOREIGN("<!DOCTYPE html>\n<html></html>", "HTML"),
        FILES_FOREIGN("\n  <html>", "HTML"),
        FILES_FOREIGN("\xef\xbb\xbf<?xml version='1.0'?><Error/>", "XML"),
        FILES_FOREIGN("{\"error\": \"Repository not found\"}", "JSON"),
        FILES_FOREIGN("[1, 2]\n", "JSON"),
        FILES_FOREIGN("{\"metadata\": {}, \"weight_map\": {}}", "its weight_map is empty"),
        FILES_FOREIGN("Entry not found", "a text"),
        FILES_FOREIGN("\x1f\x8b\x08\0\0\0\0\0\0\3", "gunzip"),
        FILES_FOREIGN("BZh91AY&SY", "bunzip2"),
        FILES_FOREIGN("\xfd"
                      "7zXZ\0\0\4",
                      "unxz"),
        FILES_FOREIGN("\x28\xb5\x2f\xfd\4\0", "unzstd"),
        FILES_FOREIGN("7z\xbc\xaf\x27\x1c\0\4", "7z archive"),
        FILES_FOREIGN("Rar!\x1a\7\1\0", "rar archive"),
        FILES_FOREIGN("\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        FILES_FOREIGN("\x93NUMPY\1\0v\0{'descr'", "ssde_npy_load"),
        FILES_FOREIGN("GGUF\3\0\0\0", "GGUF"),
        FILES_FOREIGN("\x08\7\x12\7pytorch\x1a\6"
                      "1.13.0",
                      "ONNX"),
        FILES_FOREIGN("\x80\4\x95\5\0\0\0\0\0\0\0K\1.", "pickle"),
        FILES_FOREIGN("\x80\2\x8a\nl\xfc\x9c"
                      "F\xf9 j\xa8P\x19.\x80\2M\xe9\3.",
                      "it ends too early (byte 21"),
        FILES_FOREIGN("\x80\4\x95\r\0\0\0\0\0\0\0\x8a\nl\xfc\x9c"
                      "F\xf9 j\xa8P\x19.",
                      "it ends too early (byte 24"),
        FILES_FOREIGN("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "empty zip"),
        FILES_FOREIGN("PK\3\4\x14\0\0\0", "cut short"),
        FILES_FOREIGN("\xff\xfe\0\0\1\2\3\4\5", "safetensors")};
    static files_archive archive;
    static unsigned char tar[1024];
    static const char *const names[][2] = {{"w.npy", "an .npz archive of numpy.savez: run unzip"},
                                           {"model/pytorch_model.bin", "no data.pkl, but is a zip"}};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file;
    ssde_net *net;
    size_t i;
    for (i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        ssde_status status;
        write_file(FILES_PTH, foreign[i].bytes, foreign[i].size);
        status = ssde_tensor_file_open(&context, &file, FILES_PTH);
        if (status == SSDE_OK || !strstr(context.error, foreign[i].words))
            check_report(__FILE__, __LINE__, "'%s' does not mention '%s'", context.error, foreign[i].words);
        CHECK(!file && memory.live == 0);
        CHECK_STATUS(ssde_net_load(&context, &net, NULL, FILES_PTH), status);
        CHECK_STATUS(ssde_net_load_diffusers(&context, &net, "tests/golden/diffusers_ddpm.json", FILES_PTH), status);
    }
    memcpy(tar + 257, "ustar", 5);
    memcpy(tar, "data.pkl", 8);
    write_file(FILES_PTH, tar, sizeof tar);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "a tar archive");
    for (i = 0; i < 2; i++) {
        memset(&archive, 0, sizeof archive);
        files_archive_add(&archive, names[i][0], "1", 1);
        files_archive_write(&archive, FILES_PTH);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, names[i][1]);
    }
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "tests"), SSDE_ERROR_FILE, "a folder");
    /* safetensors whose header has the length that begins gzip */
    {
        static char header[0x8b1f + 1];
        static unsigned char bytes[8 + 0x8b1f];
        memset(header, ' ', 0x8b1f);
        memcpy(header, "{}", 2);
        memcpy(bytes + 8, header, 0x8b1f);
        bytes[0] = 0x1f;
        bytes[1] = 0x8b;
        write_file(FILES_PTH, bytes, sizeof bytes);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        ssde_tensor_file_close(file);
    }
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* ---- files: shards ---- */

#define SHARDS_INDEX "tests/tmp_shards.index.json"
#define SHARDS_A "tmp_shards_a.safetensors"
#define SHARDS_B "tmp_shards_b.safetensors"
#define SHARDS_BIN "tmp_shards.bin"

/* Tensors of two numbers, `first` and up, named by the letters. */
static void shards_write(const char *path, const char *letters, float first) {
    static const size_t shape[1] = {2};
    ssdei_tensor_writer writer;
    float values[2];
    char name[2] = "";
    const char *letter;
    ssdei_tensor_writer_begin(&writer, NULL);
    for (letter = letters; *letter; letter++) {
        name[0] = *letter;
        ssdei_tensor_writer_declare(&writer, "", name, 1, shape);
    }
    CHECK_OK(ssdei_tensor_writer_open(&writer, path));
    for (letter = letters; *letter; letter++) {
        values[0] = first++;
        values[1] = first++;
        ssdei_tensor_writer_put(&writer, values, 2);
    }
    CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
}

static ssde_status shards_open(ssde_context *context, ssde_tensor_file **file, const char *index) {
    return ssde_tensor_file_open(context, file, write_file(SHARDS_INDEX, index, strlen(index)));
}

#define SHARDS_GOOD                                                                                     \
    "{\"metadata\": {\"total_size\": 24}, \"weight_map\": {\"c\": \"" SHARDS_B "\", \"a\": \"" SHARDS_A \
    "\", \"b\": \"" SHARDS_A "\"}}\n"

/* What does not fit together is named; cut off or changed anywhere, an index is refused or read, and nothing leaks. */
static void test_files_shards_hostile(void) {
#define SHARDS_MAP(a, b, c) "{\"weight_map\": {\"a\": \"" a "\", \"b\": \"" b "\", \"c\": \"" c "\"}}"
    static const struct {
        const char *index, *words;
    } bad[] = {
        {SHARDS_MAP(SHARDS_A, SHARDS_A, "tmp_gone.safetensors"), "tmp_gone.safetensors"},
        {"{\"weight_map\": {\"a\": \"" SHARDS_A "\", \"b\": \"" SHARDS_A "\", \"c\": \"" SHARDS_B
         "\", \"d\": \"" SHARDS_B "\"}}",
         "tensor 'd' is in the index, but not in '" SHARDS_B "'"},
        {"{\"weight_map\": {\"a\": \"" SHARDS_A "\", \"c\": \"" SHARDS_B "\"}}",
         "tensor 'b' is not in the index, but in '" SHARDS_A "'"},
        {SHARDS_MAP(SHARDS_B, SHARDS_A, SHARDS_B), "tensor 'a' is, against the index, in '" SHARDS_A "'"},
        {"{\"weight_map\": {\"a\": \"" SHARDS_A "\", \"a\": \"" SHARDS_B "\"}}", "tensor 'a' is twice in the index"},
        {SHARDS_MAP("../" SHARDS_A, SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP("/tmp/" SHARDS_A, SHARDS_A, SHARDS_B), "'/tmp/"},
        {SHARDS_MAP("..\\\\" SHARDS_A, SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP("C:" SHARDS_A, SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP("sub/" SHARDS_A, SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP("..", SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP(".", SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP("", SHARDS_A, SHARDS_B), "wanted the name of a file beside it"},
        {SHARDS_MAP("tmp_shards.index.json", SHARDS_A, SHARDS_B), "the index of a model in several files"},
        {SHARDS_MAP("tests.c", SHARDS_A, SHARDS_B), "'tests/tests.c'"},
        {"{\"weight_map\": {}}", "empty"},
        {"{\"weight_map\": []}", "an object is expected"},
        {"{\"weight_map\": {\"a\": 3}}", "a string is expected"},
        {"{\"weight_map\": {\"a\": \"" SHARDS_A "\"}, \"weight_map\": {}}", "a second weight_map"},
        {SHARDS_GOOD "x", "nothing more is expected"},
        {"{\"weights\": {}}", "JSON"}};
    static const char good[] = SHARDS_GOOD;
    static const char flips[] = {0x01, 0x20, 0x04, (char)0x80};
    char copy[sizeof good];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_tensor_file *file;
    size_t i, f;
    shards_write("tests/" SHARDS_A, "ab", 1.0f);
    shards_write("tests/" SHARDS_B, "c", 5.0f);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        ssde_status status = shards_open(&context, &file, bad[i].index);
        check_count++;
        if (status == SSDE_OK || file || !strstr(context.error, bad[i].words))
            check_report(__FILE__, __LINE__, "case %d: '%s' does not mention '%s'", (int)i, context.error,
                         bad[i].words);
        CHECK(memory.live == 0);
    }
    for (i = 0; i + 2 < sizeof good; i++) { /* not its line's end */
        memcpy(copy, good, sizeof good);
        copy[i] = 0;
        CHECK(shards_open(&context, &file, copy) != SSDE_OK && memory.live == 0);
        for (f = 0; f < sizeof flips; f++) {
            memcpy(copy, good, sizeof good);
            copy[i] = (char)(copy[i] ^ flips[f]);
            if (shards_open(&context, &file, copy) == SSDE_OK) ssde_tensor_file_close(file);
            CHECK(memory.live == 0);
        }
    }
    shards_write("tests/" SHARDS_B, "ca", 5.0f);
    CHECK_FAILS(&context, shards_open(&context, &file, good), SSDE_ERROR_FORMAT, "tensor 'a' is also in");
    remove("tests/" SHARDS_B);
    CHECK_FAILS(&context, shards_open(&context, &file, good), SSDE_ERROR_FILE, "tests/" SHARDS_B);
    CHECK(memory.live == 0);
    remove("tests/" SHARDS_A);
    remove(SHARDS_INDEX);
}

/* An index has the tensors of all its files, in safetensors and of torch.save. */
static void test_files_shards(void) {
    static unsigned char bytes[8192];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    size_t size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes), i, tensors = 0;
    ssdei_text index = {NULL, NULL, 0, 0, SSDE_OK};
    ssde_tensor_file *file, *alone;
    double values[2][64];
    write_file("tests/" SHARDS_BIN, bytes, size);
    shards_write("tests/" SHARDS_A, "ab", 1.0f);
    shards_write("tests/" SHARDS_B, "c", 5.0f);
    ssdei_text_add(&index,
                   "\n {\"weight_map\": {\"a\": \"" SHARDS_A "\", \"b\": \"" SHARDS_A "\", \"c\": \"" SHARDS_B "\"");
    CHECK_OK(ssde_tensor_file_open(&context, &alone, "tests/" SHARDS_BIN));
    for (i = 0; i < ssde_tensor_file_count(alone); i++) {
        if (ssde_tensor_file_get(alone, i)->number) continue;
        ssdei_text_add(&index, ", ");
        ssdei_text_add_string(&index, ssde_tensor_file_get(alone, i)->name);
        ssdei_text_add(&index, ": ");
        ssdei_text_add_string(&index, SHARDS_BIN);
        tensors++;
    }
    ssdei_text_add(&index, "}}");
    ssdei_text_add_bytes(&index, "", 1);
    CHECK_OK(shards_open(&context, &file, index.data));
    CHECK(tensors > 3 && ssde_tensor_file_count(file) == 3 + tensors && !ssde_tensor_file_metadata(file, "config"));
    for (i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "b", "c"};
        CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_find(file, names[i]), values[0]));
        CHECK_NEAR(values[0][0], 1.0 + 2.0 * (double)i, 0.0);
        CHECK_NEAR(values[0][1], 2.0 + 2.0 * (double)i, 0.0);
    }
    for (i = 0; i < ssde_tensor_file_count(alone); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(alone, i);
        const ssde_file_tensor *same = ssde_tensor_file_find(file, tensor->name);
        CHECK((same != NULL) == !tensor->number);
        if (!same || tensor->count > 64) continue;
        memset(values, 0, sizeof values);
        CHECK(ssde_tensor_file_read_double(alone, tensor, values[0]) ==
              ssde_tensor_file_read_double(file, same, values[1]));
        CHECK(!memcmp(values[0], values[1], sizeof values[0]));
    }
    ssde_tensor_file_close(alone);
    ssde_tensor_file_close(file);
    ssdei_text_release(&index);
    CHECK(memory.live == 0);
    for (i = 0;; i++) {
        counted_memory fails;
        ssde_context poor = counted_context(&fails);
        ssde_status status;
        fails.refuse = (long)i;
        status = shards_open(&poor, &file, SHARDS_GOOD);
        if (status == SSDE_OK) ssde_tensor_file_close(file);
        CHECK(fails.live == 0 && (status == SSDE_OK || status == SSDE_ERROR_MEMORY));
        if (status == SSDE_OK) break;
    }
    CHECK(i > 8);
    remove("tests/" SHARDS_A);
    remove("tests/" SHARDS_B);
    remove(SHARDS_INDEX);
    remove("tests/" SHARDS_BIN);
}

/* Rows of a tensor are those of the whole, whatever its type and strides. */
static void test_files_rows(void) {
    static float whole[4096], part[4096];
    static const char *const paths[] = {"tests/golden/torch_save.pth", "tests/golden/torch_objects.pth",
                                        "tests/golden/gd_additive_f16.pt", "tests/golden/unet_flags.safetensors"};
    size_t i, j, first, compared = 0;
    for (i = 0; i < sizeof paths / sizeof *paths; i++) {
        ssde_tensor_file *file;
        if (ssde_tensor_file_open(NULL, &file, paths[i]) != SSDE_OK) continue;
        for (j = 0; j < ssde_tensor_file_count(file); j++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_get(file, j);
            if (tensor->problem || tensor->rank < 1 || !tensor->count || tensor->count > 4096) continue;
            if (ssde_tensor_file_read(file, tensor, whole) != SSDE_OK) continue;
            for (first = 0; first < tensor->shape[0]; first += 3) {
                size_t rows = tensor->shape[0] - first < 3 ? tensor->shape[0] - first : 3;
                CHECK_OK(ssdei_tensor_read_rows(file, tensor, first, rows,
                                                part + first * (tensor->count / tensor->shape[0])));
            }
            CHECK(!memcmp(whole, part, tensor->count * sizeof *whole));
            compared++;
        }
        ssde_tensor_file_close(file);
    }
    CHECK(compared > 40);
}

/* ---- files: what they are called, how they are replaced ---- */

#if defined(_WIN32)
#include <direct.h>
#elif defined(__unix__) || defined(__APPLE__)
#define SAVING_POSIX 1
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __cplusplus
extern "C" {
#endif
/* Which strict C99 mode hides. */
int symlink(const char *to, const char *path);
int pthread_attr_setstack(pthread_attr_t *attributes, void *stack, size_t size);
#ifdef __cplusplus
}
#endif
#endif

#define SAVING_FOLDER              \
    "tests/tmp_Gr\xc3\xb6\xc3\x9f" \
    "e-\xe6\xa8\xa1\xe5\x9e\x8b" /* o and sharp s, two ideographs */
#define SAVING_FOLDER_WIDE L"tests/tmp_Gr\u00f6\u00dfe-\u6a21\u578b"
#define SAVING_PATH SAVING_FOLDER "/p\xc3\xa9.npy"
#define SAVING_PATH_WIDE SAVING_FOLDER_WIDE L"/p\u00e9.npy"
#define SAVING_FILE SAVING_FOLDER "/\xf0\x9f\x98\x80.safetensors" /* beyond 16 bits */

static void saving_make_folder(void) {
#if defined(_WIN32)
    CHECK(!_wmkdir(SAVING_FOLDER_WIDE));
#elif defined(SAVING_POSIX)
    CHECK(!mkdir(SAVING_FOLDER, 0777));
#endif
}

static ssde_status saving_save(ssde_context *context, const char *path, float value) {
    static float none;
    float x[2];
    ssde_tensor tensor = ssde_tensor_1d(x, 2);
    x[0] = x[1] = value;
    if (value < 0) tensor = ssde_tensor_1d(&none, 0); /* refused */
    return ssde_npy_save(context, path, &tensor);
}

/* The value saved, twice, under a path; -1 where there is none. */
static float saving_load(const char *path) {
    ssde_tensor tensor;
    float value = -1;
    if (ssde_npy_load(NULL, path, &tensor) != SSDE_OK) return -1;
    if (ssde_tensor_count(&tensor) == 2 && !memcmp(&tensor.data[0], &tensor.data[1], sizeof(float)))
        value = tensor.data[0];
    ssde_tensor_release(NULL, &tensor);
    return value;
}

/* Every function that saves or loads takes the same names. */
static void test_files_saving_names(void) {
    ssde_context context = ssde_context_defaults();
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_sde sde = ssde_vp(0.1, 20.0), loaded_sde;
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_trainer *trainer;
    ssde_tensor_file *file;
    ssde_net *net, *loaded;
    FILE *stream;
    saving_make_folder();
    CHECK_OK(saving_save(&context, SAVING_PATH, 3));
    CHECK_OK(saving_save(&context, SAVING_PATH, 4)); /* in its place */
    CHECK_NEAR(saving_load(SAVING_PATH), 4, 0);
#if defined(_WIN32)
    stream = _wfopen(SAVING_PATH_WIDE, L"rb"); /* no other name */
#else
    stream = fopen(SAVING_PATH, "rb");
#endif
    CHECK(stream != NULL);
    if (stream) fclose(stream);
    shape.context = &context;
    CHECK_OK(ssde_mlp_create(&net, &shape));
    CHECK_OK(ssde_net_save(net, &sde, SAVING_FILE));
    CHECK_OK(ssde_net_load(&context, &loaded, &loaded_sde, SAVING_FILE));
    CHECK_OK(ssde_net_load_weights(loaded, SAVING_FILE));
    ssde_net_destroy(loaded);
    train.batch = 4;
    train.context = &context;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &train));
    CHECK_OK(ssde_trainer_save(trainer, SAVING_FILE));
    CHECK_OK(ssde_trainer_load(trainer, SAVING_FILE));
    CHECK_OK(ssde_trainer_save_model(trainer, SAVING_FILE));
    CHECK_OK(ssde_tensor_file_open(&context, &file, SAVING_FILE));
    ssde_tensor_file_close(file);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    CHECK_FAILS(&context, saving_save(&context, SAVING_FOLDER, 1), SSDE_ERROR_FILE, "not a regular file");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, SAVING_FOLDER), SSDE_ERROR_FILE, "is a folder");
#if defined(_WIN32)
    CHECK(!_wchmod(SAVING_PATH_WIDE, _S_IREAD));
    CHECK_FAILS(&context, saving_save(&context, SAVING_PATH, 5), SSDE_ERROR_FILE, "read-only");
    CHECK(!_wchmod(SAVING_PATH_WIDE, _S_IREAD | _S_IWRITE));
    CHECK_NEAR(saving_load(SAVING_PATH), 4, 0);
    CHECK_FAILS(&context, saving_save(&context, "tests/p\xe9.npy", 1), SSDE_ERROR_ARGUMENT, "UTF-8");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "tests/p\xe9.npy"), SSDE_ERROR_ARGUMENT, "UTF-8");
    CHECK(!_wremove(SAVING_PATH_WIDE) && !_wremove(SAVING_FOLDER_WIDE L"/\U0001f600.safetensors"));
    CHECK(!_wrmdir(SAVING_FOLDER_WIDE)); /* nothing else was there */
#else
    CHECK(!remove(SAVING_PATH) && !remove(SAVING_FILE) && !remove(SAVING_FOLDER));
#endif
}

/* Values that lie beyond 2^31 and 2^32 bytes, in a file that takes no room where the system leaves holes out. */
static void test_files_saving_large(void) {
    static const char path[] = "tests/tmp_large.safetensors";
    static const char format[] =
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[2147483648],\"data_offsets\":[0,2147483648]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[2147483648,2147483656]},"
        "\"c\":{\"dtype\":\"U8\",\"shape\":[3000000000],\"data_offsets\":[2147483656,5147483656]},"
        "\"d\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[5147483656,5147483664]}}";
    static const float one[2] = {1, 1}, two[2] = {2, 2};
    const unsigned char length[8] = {(unsigned char)(sizeof format - 1), (unsigned char)((sizeof format - 1) >> 8)};
    const int64_t data = (int64_t)(sizeof length + sizeof format - 1);
    unsigned char bytes[2][8];
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    ssde_tensor tensor;
    float values[2];
    FILE *stream;
    int i, k;
    for (i = 0; i < 2; i++) { /* little-endian */
        uint32_t word;
        memcpy(&word, i ? two : one, sizeof word);
        for (k = 0; k < 8; k++) bytes[i][k] = (unsigned char)(word >> 8 * (k % 4));
    }
#ifdef SSDEI_GLIBC_32
    stream = ssdei_fopen64(path, "wb");
#else
    stream = fopen(path, "wb");
#endif
    CHECK(stream && fwrite(length, 1, 8, stream) == 8 && fwrite(format, 1, sizeof format - 1, stream) > 0);
    if (!stream) return;
    CHECK(!ssdei_seek(stream, data + (int64_t)2147483648u, SEEK_SET) && fwrite(bytes[0], 1, 8, stream) == 8);
    CHECK(!ssdei_seek(stream, data + (int64_t)5147483656, SEEK_SET) && fwrite(bytes[1], 1, 8, stream) == 8);
    CHECK(!fclose(stream));
    CHECK_OK(ssde_tensor_file_open(&context, &file, path));
    if (file) {
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "d"), values));
        CHECK_SAME(values, two, sizeof two);
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "b"), values));
        CHECK_SAME(values, one, sizeof one);
    }
    ssde_tensor_file_close(file);
    if (sizeof(size_t) == 4) CHECK_FAILS(&context, ssde_npy_load(&context, path, &tensor), SSDE_ERROR_MEMORY, "bytes");
    /* it can be replaced */
    CHECK_OK(saving_save(&context, path, 5));
    CHECK_NEAR(saving_load(path), 5, 0);
    remove(path);
}

#ifdef SAVING_POSIX

#define SAVING_HERE "tests/tmp_saving"

static void saving_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fputs(text, file) >= 0 && !fclose(file));
}

static int saving_holds(const char *path, const char *text) {
    char bytes[64] = "";
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(bytes, 1, sizeof bytes - 1, file) : 0;
    if (file) fclose(file);
    return size == strlen(text) && !memcmp(bytes, text, size);
}

/* Removes these files, a space behind each, and the folder, which then is empty if nothing else was in it. */
static void saving_clear(const char *folder, const char *names) {
    char path[512];
    for (; *names; names += strcspn(names, " ") + 1) {
        snprintf(path, sizeof path, "%s/%.*s", folder, (int)strcspn(names, " "), names);
        CHECK(!remove(path));
    }
    CHECK(!remove(folder));
}

/* What stat says of the permissions, -1 where there is nothing. */
static int saving_mode(const char *path) {
    struct stat now;
    return stat(path, &now) ? -1 : (int)(now.st_mode & 07777);
}

static int saving_is_link(const char *path) {
    char text[8];
    return readlink(path, text, sizeof text) > 0;
}

static void test_files_saving_aside(void) {
    static const char path[] = SAVING_HERE "/p.npy";
    ssde_context context = ssde_context_defaults();
    ssdei_writer first, second;
    int taken = 0;
    CHECK(!mkdir(SAVING_HERE, 0777));
    /* the user's own files beside it */
    saving_text(SAVING_HERE "/p.npy.tmp", "mine");
    saving_text(SAVING_HERE "/victim", "precious");
    CHECK(!symlink("victim", SAVING_HERE "/p.npy.scoresde-00000000.tmp"));
    CHECK_OK(saving_save(&context, path, 1));
    CHECK(saving_holds(SAVING_HERE "/p.npy.tmp", "mine") && saving_holds(SAVING_HERE "/victim", "precious"));
    CHECK(!saving_is_link(path) && saving_load(path) > 0);
    /* what is there is neither opened nor followed */
    CHECK(!ssdei_create_file(SAVING_HERE "/p.npy.tmp", -1, &taken) && taken);
    taken = 0;
    CHECK(!ssdei_create_file(SAVING_HERE "/p.npy.scoresde-00000000.tmp", -1, &taken) && taken);
    CHECK(!ssdei_create_file(SAVING_HERE "/none/p", -1, &taken) && !taken);
    /* two at once: the last one stays */
    CHECK_OK(ssdei_writer_open(&first, &context, path));
    CHECK_OK(ssdei_writer_open(&second, &context, path));
    CHECK(strcmp(first.aside, second.aside) && strstr(first.aside, "p.npy.scoresde-"));
    ssdei_writer_put(&second, "second", 6);
    ssdei_writer_put(&first, "first", 5);
    CHECK_OK(ssdei_writer_commit(&second));
    CHECK(saving_holds(path, "second"));
    CHECK_OK(ssdei_writer_commit(&first));
    CHECK(saving_holds(path, "first"));
    /* one that fails takes its own file with it and no other */
    CHECK_OK(ssdei_writer_open(&first, &context, path));
    CHECK_OK(ssdei_writer_open(&second, &context, SAVING_HERE "/q.npy"));
    ssdei_writer_abandon(&first);
    CHECK(first.status == SSDE_ERROR_CANCELLED && saving_holds(path, "first"));
    CHECK(!mkdir(SAVING_HERE "/q.npy", 0777)); /* the place is taken meanwhile */
    CHECK_FAILS(&context, ssdei_writer_commit(&second), SSDE_ERROR_FILE, "cannot replace");
    saving_clear(SAVING_HERE, "p.npy q.npy victim p.npy.tmp p.npy.scoresde-00000000.tmp ");
}

static void test_files_saving_modes(void) {
    static const char path[] = SAVING_HERE "/p.npy";
    static const int modes[] = {0600, 0644, 0666, 0777, 0200, 0640};
    const mode_t before = umask(027);
    ssde_context context = ssde_context_defaults();
    size_t i;
    CHECK(!mkdir(SAVING_HERE, 0777));
    CHECK_OK(saving_save(&context, path, 1));
    CHECK(saving_mode(path) == 0640); /* as fopen gives it */
    for (i = 0; i < sizeof modes / sizeof *modes; i++) {
        ssdei_writer writer;
        CHECK(!chmod(path, (mode_t)modes[i]));
        CHECK_OK(ssdei_writer_open(&writer, &context, path));
        CHECK(saving_mode(writer.aside) == modes[i]); /* nobody reads it meanwhile who may not read the file */
        CHECK_OK(ssdei_writer_commit(&writer));
        CHECK(saving_mode(path) == modes[i]);
    }
    CHECK(!chmod(path, 0444));
    if (access(path, W_OK)) { /* the superuser may write to it */
        CHECK_FAILS(&context, saving_save(&context, path, 2), SSDE_ERROR_FILE, "read-only");
    } else {
        CHECK_OK(saving_save(&context, path, 2));
        CHECK_NEAR(saving_load(path), 2, 0);
    }
    CHECK(saving_mode(path) == 0444);
    umask(before);
    saving_clear(SAVING_HERE, "p.npy ");
}

static void test_files_saving_links(void) {
    ssde_context context = ssde_context_defaults();
    ssde_tensor tensor;
    char name[32];
    int i;
    CHECK(!mkdir(SAVING_HERE, 0777) && !mkdir(SAVING_HERE "/sub", 0777));
    /* a chain through two folders, each link relative to its own */
    CHECK_OK(saving_save(&context, SAVING_HERE "/sub/target", 1));
    CHECK(!chmod(SAVING_HERE "/sub/target", 0600));
    CHECK(!symlink("../sub/target", SAVING_HERE "/sub/middle") && !symlink("sub/middle", SAVING_HERE "/link"));
    CHECK_OK(saving_save(&context, SAVING_HERE "/link", 2));
    CHECK(saving_is_link(SAVING_HERE "/link") && saving_is_link(SAVING_HERE "/sub/middle"));
    CHECK_NEAR(saving_load(SAVING_HERE "/sub/target"), 2, 0);
    CHECK(saving_mode(SAVING_HERE "/sub/target") == 0600);
    /* one that leads nowhere yet */
    CHECK(!symlink("sub/new", SAVING_HERE "/dangling"));
    CHECK_OK(saving_save(&context, SAVING_HERE "/dangling", 3));
    CHECK(saving_is_link(SAVING_HERE "/dangling"));
    CHECK_NEAR(saving_load(SAVING_HERE "/sub/new"), 3, 0);
    /* an absolute one, which nothing but the system resolves */
    CHECK(!symlink("/no such folder/p", SAVING_HERE "/away"));
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/away", 3), SSDE_ERROR_FILE, "cannot create");
    /* round in circles, to a folder, to a pipe */
    CHECK(!symlink("two", SAVING_HERE "/one") && !symlink("one", SAVING_HERE "/two"));
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/one", 3), SSDE_ERROR_FILE, "leads to no place");
    CHECK(!symlink("sub", SAVING_HERE "/folder"));
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/folder", 3), SSDE_ERROR_FILE, "not a regular file");
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/folder/", 3), SSDE_ERROR_FILE, "not a regular file");
    CHECK(!mkfifo(SAVING_HERE "/pipe", 0600) && !symlink("pipe", SAVING_HERE "/through"));
    CHECK_FAILS(&context, ssde_npy_load(&context, SAVING_HERE "/through", &tensor), SSDE_ERROR_FILE, "not a regular");
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/through", 3), SSDE_ERROR_FILE, "not a regular file");
    CHECK_OK(saving_save(&context, SAVING_HERE "/folder/target", 4)); /* through a folder's link */
    CHECK_NEAR(saving_load(SAVING_HERE "/sub/target"), 4, 0);
    /* as many links as the system follows when it reads */
    CHECK(!symlink("sub/target", SAVING_HERE "/0"));
    for (i = 1; i < 45; i++) {
        char next[40];
        snprintf(name, sizeof name, "%d", i - 1);
        snprintf(next, sizeof next, SAVING_HERE "/%d", i);
        CHECK(!symlink(name, next));
        if (access(next, F_OK))
            CHECK_STATUS(saving_save(&context, next, 5), SSDE_ERROR_FILE);
        else
            CHECK_OK(saving_save(&context, next, 5));
    }
    CHECK_NEAR(saving_load(SAVING_HERE "/0"), 5, 0);
    /* another name of the same file keeps the old one */
    CHECK(!link(SAVING_HERE "/sub/target", SAVING_HERE "/hard"));
    CHECK_OK(saving_save(&context, SAVING_HERE "/sub/target", 6));
    CHECK_NEAR(saving_load(SAVING_HERE "/hard"), 5, 0);
    saving_clear(SAVING_HERE "/sub", "target middle new ");
    for (i = 0; i < 45; i++) {
        snprintf(name, sizeof name, SAVING_HERE "/%d", i);
        CHECK(!remove(name));
    }
    saving_clear(SAVING_HERE, "link dangling away one two folder pipe through hard ");
}

static void test_files_saving_paths(void) {
    ssde_context context = ssde_context_defaults();
    ssdei_writer writer;
    char path[5000];
    size_t i, start = strlen(SAVING_HERE "/");
    CHECK(!mkdir(SAVING_HERE, 0777));
    /* the longest names, of one byte and of two bytes a character */
    for (i = 0; i < 3; i++) {
        size_t k;
        memcpy(path, SAVING_HERE "/", start);
        for (k = 0; k < 254; k += 2) memcpy(path + start + k, i ? "\xc3\xa9" : "ab", 2);
        memcpy(path + start + 254, i == 1 ? "\0" : "z", 2);
        if (i == 2) memmove(path + start + 1, path + start, 254), path[start] = 'z';
        CHECK_OK(saving_save(&context, path, 7));
        CHECK_NEAR(saving_load(path), 7, 0);
        CHECK_OK(ssdei_writer_open(&writer, &context, path)); /* of the name whole characters */
        CHECK(!strncmp(writer.aside + start + (i == 2 ? 99 : 100), ".scoresde-", 10));
        ssdei_writer_abandon(&writer);
        CHECK(!remove(path));
    }
    path[start + 255] = 'z', path[start + 256] = 0;
    CHECK_STATUS(saving_save(&context, path, 7), SSDE_ERROR_FILE);
    for (i = 0; i < sizeof path - 1; i++) path[i] = i % 2 ? '/' : '.';
    path[i] = 0;
    CHECK_FAILS(&context, saving_save(&context, path, 7), SSDE_ERROR_ARGUMENT, "bytes");
    path[4095] = 'p', path[4096] = 0;
    CHECK_FAILS(&context, saving_save(&context, path, 7), SSDE_ERROR_ARGUMENT, "bytes");
    path[4094] = 'p', path[4095] = 0; /* longer than the system takes, with what is put behind it */
    CHECK_STATUS(saving_save(&context, path, 7), SSDE_ERROR_FILE);
    CHECK(access("p", F_OK));
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/", 7), SSDE_ERROR_FILE, "not a regular file");
    CHECK_FAILS(&context, saving_save(&context, SAVING_HERE "/none/", 7), SSDE_ERROR_FILE, "cannot create");
    CHECK_FAILS(&context, saving_save(&context, "..", 7), SSDE_ERROR_FILE, "not a regular file");
    CHECK_FAILS(&context, saving_save(&context, "", 7), SSDE_ERROR_ARGUMENT, "empty");
    CHECK_OK(saving_save(&context, SAVING_HERE "/p", 7));
    CHECK_STATUS(saving_save(&context, SAVING_HERE "/p/", 7), SSDE_ERROR_FILE);
    CHECK_STATUS(saving_save(&context, SAVING_HERE "/p/q", 7), SSDE_ERROR_FILE);
    CHECK_NEAR(saving_load(SAVING_HERE "/p"), 7, 0);
    CHECK_OK(saving_save(&context, SAVING_HERE "/%s%n", 7));
    /* a name in the folder that is the process's own, which may be written but not read */
    CHECK(!chmod(SAVING_HERE, 0300) && !chdir(SAVING_HERE));
    CHECK_OK(saving_save(&context, "q", 8));
    CHECK_NEAR(saving_load("q"), 8, 0);
    CHECK(!chdir("../..") && !chmod(SAVING_HERE, 0700));
    saving_clear(SAVING_HERE, "p q %s%n ");
}

enum { SAVING_WRITERS = 4, SAVING_ROUNDS = 25 };
static int saving_failures[SAVING_WRITERS];

static void *saving_thread(void *user) {
    int *failures = (int *)user, i;
    for (i = 0; i < SAVING_ROUNDS; i++)
        *failures += saving_save(NULL, SAVING_HERE "/p.npy", (float)(failures - saving_failures)) != SSDE_OK;
    return NULL;
}

/* Threads and processes that save one path: whoever looks finds a whole file. */
static void test_files_saving_at_once(void) {
    pthread_t threads[SAVING_WRITERS];
    pid_t processes[SAVING_WRITERS];
    int i, status;
    CHECK(!mkdir(SAVING_HERE, 0777));
    CHECK_OK(saving_save(NULL, SAVING_HERE "/p.npy", 9));
    fflush(stdout); /* or each process prints what is waiting */
    for (i = 0; i < SAVING_WRITERS; i++) {
        processes[i] = fork();
        if (!processes[i]) {
            saving_thread(&saving_failures[i]);
            _exit(saving_failures[i] != 0);
        }
    }
    for (i = 0; i < SAVING_WRITERS; i++) CHECK(!pthread_create(&threads[i], NULL, saving_thread, &saving_failures[i]));
    for (i = 0; i < SAVING_ROUNDS; i++) CHECK(saving_load(SAVING_HERE "/p.npy") >= 0);
    for (i = 0; i < SAVING_WRITERS; i++) {
        CHECK(!pthread_join(threads[i], NULL) && !saving_failures[i]);
        CHECK(waitpid(processes[i], &status, 0) == processes[i] && WIFEXITED(status) && !WEXITSTATUS(status));
    }
    CHECK(saving_load(SAVING_HERE "/p.npy") < 9); /* which is gone */
    saving_clear(SAVING_HERE, "p.npy ");
}

#define TEST_SAVING_POSIX_LIST(X) \
    X(files_saving_aside)         \
    X(files_saving_modes)         \
    X(files_saving_links)         \
    X(files_saving_paths)         \
    X(files_saving_at_once)
#else
#define TEST_SAVING_POSIX_LIST(X)
#endif

/* The first bytes of images may be those of another format: what is a whole number of records is CIFAR-10. */
static void test_files_cifar10_alike(void) {
    static const unsigned char starts[3][4] = {{8, 7, 18, 0}, {0, 0, 8, 3}, {8, 7, 18, 8}}; /* ONNX, IDX, ONNX */
    static unsigned char file[2 * 3073];
    ssde_context context = ssde_context_defaults();
    ssde_tensor images, labels;
    size_t i;
    for (i = 0; i < 3; i++) {
        memcpy(file, starts[i], 4);
        write_file(FILES_PATH, file, sizeof file);
        CHECK_OK(ssde_cifar10_load(&context, FILES_PATH, &images, &labels));
        CHECK(images.data && images.data[3] == (float)starts[i][2] && labels.data[0] == (float)starts[i][0]);
        ssde_tensor_release(&context, &images);
        ssde_tensor_release(&context, &labels);
    }
    remove(FILES_PATH);
}

/* A view of a storage fits where its last element does: offset + sum of (size - 1) stride is below the storage's. */
static void test_files_views(void) {
    static const struct {
        int rank;
        size_t shape[3], stride[3];
        uint64_t offset, total;
        int fits;
    } views[] = {{1, {3, 0, 0}, {2, 0, 0}, 0, 5, 1},        {1, {3, 0, 0}, {2, 0, 0}, 0, 4, 0},
                 {1, {3, 0, 0}, {2, 0, 0}, 1, 5, 0},        {1, {3, 0, 0}, {2, 0, 0}, 1, 6, 1},
                 {2, {2, 3, 0}, {3, 1, 0}, 0, 6, 1},        {2, {2, 3, 0}, {3, 1, 0}, 0, 5, 0},
                 {2, {3, 2, 0}, {1, 3, 0}, 4, 10, 1},       {2, {3, 2, 0}, {1, 3, 0}, 4, 9, 0},
                 {3, {2, 5, 4}, {100, 0, 7}, 0, 122, 1},    {3, {2, 5, 4}, {100, 0, 7}, 0, 121, 0},
                 {1, {2, 0, 0}, {SIZE_MAX, 0, 0}, 1, 9, 0}, {1, {0, 0, 0}, {9, 0, 0}, 4, 4, 1},
                 {0, {0, 0, 0}, {0, 0, 0}, 3, 4, 1},        {0, {0, 0, 0}, {0, 0, 0}, 4, 4, 0}};
    size_t i;
    for (i = 0; i < sizeof views / sizeof *views; i++) {
        ssdei_entry entry;
        memset(&entry, 0, sizeof entry);
        entry.info.rank = views[i].rank;
        memcpy(entry.info.shape, views[i].shape, sizeof views[i].shape);
        memcpy(entry.stride, views[i].stride, sizeof views[i].stride);
        CHECK(ssdei_entry_fits(&entry, views[i].offset, views[i].total) == views[i].fits);
    }
}

/* A storage's type is known by its whole name. */
static void test_files_pth_whole_names(void) {
#define SURVIVORS_TYPE(type) \
    { "\x80\2}X\1\0\0\0a" FILES_TENSOR_2(type, "0", "\10", "K\1K\2\x85K\2\x85") "s.", sizeof type }
    static const struct {
        const char bytes[200];
        size_t type;
    } pickles[] = {SURVIVORS_TYPE("torch\nFloatStorage"),  SURVIVORS_TYPE("torch\nFloatStorag"),
                   SURVIVORS_TYPE("torch\nFloatStorages"), SURVIVORS_TYPE("orch\nFloatStorage"),
                   SURVIVORS_TYPE("torch.\nFloatStorage"), SURVIVORS_TYPE("torch\nloatStorage")};
    static const size_t rest = sizeof "\x80\2}X\1\0\0\0a" FILES_TENSOR_2("", "0", "\10", "K\1K\2\x85K\2\x85") "s." - 1;
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    size_t i;
    for (i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        float values[2] = {0, 0};
        ssde_status status;
        files_write_pickle(FILES_PTH, pickles[i].bytes, rest + pickles[i].type - 1, "little");
        status = ssde_tensor_file_open(&context, &file, FILES_PTH);
        if (status == SSDE_OK) status = ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values);
        CHECK((status == SSDE_OK) == (i == 0));
        if (!i) CHECK(values[0] == 1.0f && values[1] == 3.0f);
        ssde_tensor_file_close(file);
    }
    remove(FILES_PTH);
#undef SURVIVORS_TYPE
}

/* A program whose standard input is closed gets descriptor 0 for its file. */
static void test_files_saving_without_input(void) {
#if defined(__unix__) || defined(__APPLE__)
    float x[2] = {1.0f, 2.0f};
    ssde_tensor tensor = ssde_tensor_1d(x, 2), back;
    int kept = dup(0);
    close(0);
    CHECK_OK(ssde_npy_save(NULL, FILES_PATH, &tensor));
    CHECK_OK(ssde_npy_load(NULL, FILES_PATH, &back));
    if (kept >= 0) dup2(kept, 0), close(kept);
    CHECK(back.data && back.data[1] == 2.0f);
    ssde_tensor_release(NULL, &back);
    remove(FILES_PATH);
#else
    CHECK(1);
#endif
}

#ifdef SAVING_POSIX
enum { SMALL_COUNT = 5000, SMALL_STACK = 256 * 1024 };

/* Saves and loads an array and a file of tensors, and opens one of torch.save; *argument tells whether all went well.
 */
static void *small_stack_run(void *argument) {
    static float x[SMALL_COUNT];
    static double values[SMALL_COUNT];
    const size_t shape[1] = {SMALL_COUNT};
    ssde_tensor tensor = ssde_tensor_1d(x, SMALL_COUNT), back = ssde_tensor_1d(NULL, 0);
    ssde_tensor_file *file = NULL;
    ssdei_tensor_writer writer;
    size_t i;
    int well = ssde_npy_save(NULL, FILES_PATH, &tensor) == SSDE_OK && ssde_npy_load(NULL, FILES_PATH, &back) == SSDE_OK;
    ssde_tensor_release(NULL, &back);
    ssdei_tensor_writer_begin(&writer, NULL);
    ssdei_tensor_writer_declare(&writer, "", "x", 1, shape);
    well = ssdei_tensor_writer_open(&writer, FILES_PATH) == SSDE_OK && well;
    ssdei_tensor_writer_put(&writer, x, SMALL_COUNT);
    well = ssdei_tensor_writer_end(&writer, SSDE_OK) == SSDE_OK && well;
    well = ssde_tensor_file_open(NULL, &file, FILES_PATH) == SSDE_OK && well;
    well = ssde_tensor_file_read(file, ssde_tensor_file_get(file, 0), x) == SSDE_OK && well;
    ssde_tensor_file_close(file);
    well = ssde_tensor_file_open(NULL, &file, "tests/golden/torch_save.pth") == SSDE_OK && well;
    for (i = 0; i < ssde_tensor_file_count(file); i++)
        if (ssde_tensor_file_get(file, i)->count <= SMALL_COUNT)
            ssde_tensor_file_read_double(file, ssde_tensor_file_get(file, i), values);
    ssde_tensor_file_close(file);
    *(int *)argument = well;
    return NULL;
}
#endif

/* Files are saved and loaded by threads with small stacks: how far a painted one is used. */
static void test_files_small_stack(void) {
#ifdef SAVING_POSIX
    unsigned char *stack = (unsigned char *)malloc(SMALL_STACK + 65536), *start = stack;
    size_t untouched = 0;
    pthread_attr_t attributes;
    pthread_t thread;
    int well = 0;
    CHECK(stack != NULL);
    if (!stack) return;
    start += (65536 - (uintptr_t)stack % 65536) % 65536;
    memset(start, 0x5a, SMALL_STACK);
    CHECK(!pthread_attr_init(&attributes) && !pthread_attr_setstack(&attributes, start, SMALL_STACK));
    CHECK(!pthread_create(&thread, &attributes, small_stack_run, &well) && !pthread_join(thread, NULL) && well);
    while (untouched < SMALL_STACK && start[untouched] == 0x5a) untouched++;
#ifndef SSDEI_ADDRESS_SANITIZER
    CHECK(SMALL_STACK - untouched < 24576); /* 13 kB: a path's 4, what the C library and the thread itself take */
#endif
    pthread_attr_destroy(&attributes);
    free(stack);
    remove(FILES_PATH);
#else
    CHECK(1);
#endif
}

#define TEST_CORE_FILES_LIST(X) \
    X(files_npy_round_trip)     \
    X(files_npy_types)          \
    X(files_npy_headers)        \
    X(files_npy_rounding)       \
    X(files_npy_fortran)        \
    X(files_of_other_kinds)     \
    X(files_npy_hostile)        \
    X(files_idx_load)           \
    X(files_cifar10_load)       \
    X(files_failing_allocator)  \
    X(files_unwritable)         \
    X(files_json_numbers)       \
    X(files_json_whole_numbers) \
    X(files_json_strings)       \
    X(files_json_values)        \
    X(files_dtypes)             \
    X(files_bad_headers)        \
    X(files_foreign_headers)    \
    X(files_rounding)           \
    X(files_small_floats)       \
    X(files_crc)                \
    X(files_small_stack)        \
    X(files_pth_values)         \
    X(files_pth_pickles)        \
    X(files_pth_hostile)        \
    X(files_pth_objects)        \
    X(files_pth_newer)          \
    X(files_pth_without_crc)    \
    X(files_stream_values)      \
    X(files_stream_pickles)     \
    X(files_stream_hostile)     \
    X(files_containers)         \
    X(files_shards_hostile)     \
    X(files_shards)             \
    X(files_rows)               \
    X(files_saving_names)       \
    X(files_saving_large)       \
    TEST_SAVING_POSIX_LIST(X)   \
    X(files_cifar10_alike)      \
    X(files_views)              \
    X(files_pth_whole_names)    \
    X(files_saving_without_input)

#endif
