/* Tests of what files are called, how they are replaced, and how long they may be. */
#ifndef TEST_SAVING_H
#define TEST_SAVING_H

#include "check.h"

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
int symlink(const char *to, const char *path); /* which strict C99 mode hides */
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
static void test_saving_names(void) {
    ssde_context context;
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_sde sde = ssde_vp(0.1, 20.0), loaded_sde;
    ssde_train_desc train = ssde_train_defaults(&sde, 0);
    ssde_trainer *trainer;
    ssde_tensor_file *file;
    ssde_net *net, *loaded;
    FILE *stream;
    memset(&context, 0, sizeof context);
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
static void test_saving_large(void) {
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
    ssde_context context;
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
    memset(&context, 0, sizeof context);
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

static void test_saving_aside(void) {
    static const char path[] = SAVING_HERE "/p.npy";
    ssde_context context;
    ssdei_writer first, second;
    int taken = 0;
    memset(&context, 0, sizeof context);
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

static void test_saving_modes(void) {
    static const char path[] = SAVING_HERE "/p.npy";
    static const int modes[] = {0600, 0644, 0666, 0777, 0200, 0640};
    const mode_t before = umask(027);
    ssde_context context;
    size_t i;
    memset(&context, 0, sizeof context);
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

static void test_saving_links(void) {
    ssde_context context;
    ssde_tensor tensor;
    char name[32];
    int i;
    memset(&context, 0, sizeof context);
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

static void test_saving_paths(void) {
    ssde_context context;
    ssdei_writer writer;
    char path[5000];
    size_t i, start = strlen(SAVING_HERE "/");
    memset(&context, 0, sizeof context);
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
static void test_saving_at_once(void) {
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
    X(saving_aside)               \
    X(saving_modes)               \
    X(saving_links)               \
    X(saving_paths)               \
    X(saving_at_once)
#else
#define TEST_SAVING_POSIX_LIST(X)
#endif

#define TEST_SAVING_LIST(X) \
    X(saving_names)         \
    X(saving_large)         \
    TEST_SAVING_POSIX_LIST(X)

#endif
