/* names.h - file names beyond ASCII: UTF-8 on Windows, as the library takes them; what the system gives elsewhere

   argv = names_arguments(&argc, argv);                 first of all in main
   FILE *file = names_open(argv[1], "wb");              fopen */

#ifndef NAMES_H
#define NAMES_H

#include <stdio.h>
#include <stdlib.h>

#ifdef _WIN32

#include <wchar.h>

#ifdef _MSC_VER
#pragma comment(lib, "shell32")
#endif
#ifdef __cplusplus
extern "C" {
#endif
/* Of <windows.h>, without its macros. */
__declspec(dllimport) int __stdcall MultiByteToWideChar(unsigned page, unsigned long flags, const char *bytes, int size,
                                                        wchar_t *wide, int capacity);
__declspec(dllimport) int __stdcall WideCharToMultiByte(unsigned page, unsigned long flags, const wchar_t *wide,
                                                        int size, char *bytes, int capacity, const char *unknown,
                                                        int *used);
__declspec(dllimport) wchar_t *__stdcall GetCommandLineW(void);
__declspec(dllimport) wchar_t **__stdcall CommandLineToArgvW(const wchar_t *line, int *count);
#ifdef __cplusplus
}
#endif

enum { NAMES_UTF8 = 65001, NAMES_MOST = 4096 };

static inline char **names_arguments(int *argc, char **argv) {
    int count, size;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    char **names = wide ? (char **)calloc((size_t)count + 1, sizeof *names) : NULL;
    for (int i = 0; names && i < count; i++) {
        size = WideCharToMultiByte(NAMES_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        names[i] = (char *)malloc((size_t)size);
        if (!names[i]) return argv;
        WideCharToMultiByte(NAMES_UTF8, 0, wide[i], -1, names[i], size, NULL, NULL);
    }
    if (names) *argc = count;
    return names ? names : argv; /* they live as long as the program */
}

static inline FILE *names_open(const char *path, const char *mode) {
    wchar_t wide_path[NAMES_MOST], wide_mode[16];
    if (MultiByteToWideChar(NAMES_UTF8, 0, path, -1, wide_path, NAMES_MOST) <= 0) return NULL;
    if (MultiByteToWideChar(NAMES_UTF8, 0, mode, -1, wide_mode, 16) <= 0) return NULL;
    return _wfopen(wide_path, wide_mode);
}

static inline void names_remove(const char *path) {
    wchar_t wide[NAMES_MOST];
    if (MultiByteToWideChar(NAMES_UTF8, 0, path, -1, wide, NAMES_MOST) > 0) _wremove(wide);
}

#else

static inline char **names_arguments(int *argc, char **argv) {
    (void)argc;
    return argv;
}

static inline FILE *names_open(const char *path, const char *mode) { return fopen(path, mode); }

static inline void names_remove(const char *path) { remove(path); }

#endif

#endif
