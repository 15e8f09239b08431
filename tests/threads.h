/* A parallel-for on POSIX threads, for contexts under test. */
#ifndef THREADS_H
#define THREADS_H

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

enum { THREADS_MOST = 8 };

typedef struct threads_hook {
    int threads;  /* 1 to THREADS_MOST */
    size_t calls; /* of the parallel-for */
} threads_hook;

typedef struct threads_share {
    void (*function)(void *argument, size_t index);
    void *argument;
    size_t first, count, stride;
} threads_share;

/* Every stride-th index from the last down, so that tasks run in another order than a loop's. */
static inline void *threads_run_share(void *user) {
    const threads_share *share = (const threads_share *)user;
    size_t i;
    for (i = share->count; i-- > 0;)
        if (i % share->stride == share->first) share->function(share->argument, i);
    return NULL;
}

/* ssde_context.parallel_for with user a threads_hook. */
static inline void threads_parallel_for(void *user, size_t count, void (*function)(void *argument, size_t index),
                                        void *argument) {
    threads_hook *hook = (threads_hook *)user;
    pthread_t threads[THREADS_MOST];
    threads_share shares[THREADS_MOST];
    int k;
    hook->calls++;
    for (k = 0; k < hook->threads; k++) {
        shares[k].function = function;
        shares[k].argument = argument;
        shares[k].first = (size_t)k;
        shares[k].count = count;
        shares[k].stride = (size_t)hook->threads;
        if (pthread_create(&threads[k], NULL, threads_run_share, &shares[k])) abort();
    }
    for (k = 0; k < hook->threads; k++) pthread_join(threads[k], NULL);
}

#endif
