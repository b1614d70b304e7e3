/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/text.h"
#include "transport/base/clock.h"

#define FIRST_MS 1000u
#define NEXT_MS  250u

struct progress {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended_cond;
    bool ended, shown;
    const char *what;
    uint64_t len_bytes, begun_ms;
};

static void show(struct progress *p)
{
    static const char wheel[] = "|/-\\";
    char size[TEXT_SIZE_MAX], time[TEXT_TIME_MAX];
    uint64_t ms = clock_now_ms() - p->begun_ms;

    fprintf(stderr, "\r\033[K%c %s %s, %s", wheel[ms / NEXT_MS % 4], p->what,
            text_size(p->len_bytes, size), text_duration(ms, time));
    fflush(stderr);
    p->shown = true;
}

/* With the lock: true when the transfer has ended before the time was over. */
static bool wait_for_end(struct progress *p, uint64_t ms)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!p->ended && pthread_cond_timedwait(&p->ended_cond, &p->lock, &until) == 0)
        continue;
    return p->ended;
}

static void *run(void *arg)
{
    struct progress *p = arg;

    pthread_mutex_lock(&p->lock);
    for (uint64_t ms = FIRST_MS; !wait_for_end(p, ms); ms = NEXT_MS)
        show(p);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct progress *progress_begin(const char *what, uint64_t len_bytes)
{
    struct progress *p;

    if (!isatty(STDERR_FILENO) || !(p = calloc(1, sizeof *p)))
        return NULL;
    p->what = what;
    p->len_bytes = len_bytes;
    p->begun_ms = clock_now_ms();
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->ended_cond, NULL);
    if (pthread_create(&p->thread, NULL, run, p) == 0)
        return p;
    pthread_cond_destroy(&p->ended_cond);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

void progress_end(struct progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ended = true;
    pthread_cond_signal(&p->ended_cond);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    if (p->shown)
        fprintf(stderr, "\r\033[K");
    pthread_cond_destroy(&p->ended_cond);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
