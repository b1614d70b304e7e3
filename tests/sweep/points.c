/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sweep/points.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLERS     4u
#define POINTS_MAX  16384u
#define FRAME_BYTES (UINT64_C(1) << 20) /* of one function at most */

struct point {
    uint64_t hash; /* 0: free */
    const char *name;
    uintptr_t callers[CALLERS];
    unsigned calls;
};

extern const char __executable_start[];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct point points[POINTS_MAX];
static bool counting, said;
static char count_file[256];
static uint64_t fail_hash;
static unsigned fail_call, fail_count = 1, fail_seen;

/* ---- callers ------------------------------------------------------------------------------ */

static __thread uintptr_t stack_end;

/* Not this program's stack: a frame of a library without frame pointers led elsewhere. */
static uintptr_t end_of_stack(void)
{
    pthread_attr_t attr;
    void *base;
    size_t len_bytes;
    if (stack_end != 0 || pthread_getattr_np(pthread_self(), &attr) != 0)
        return stack_end;
    pthread_attr_getstack(&attr, &base, &len_bytes);
    pthread_attr_destroy(&attr);
    stack_end = (uintptr_t)base + len_bytes;
    return stack_end;
}

__attribute__((no_sanitize("address"))) static void callers_of(void *const *frame,
                                                               uintptr_t out[CALLERS])
{
    uintptr_t end = end_of_stack();
    for (unsigned i = 0; i < CALLERS; i++) {
        uintptr_t at = (uintptr_t)frame;
        if (at % sizeof(void *) != 0 || at + 2 * sizeof(void *) > end)
            return;
        uintptr_t caller = (uintptr_t)frame[1] - (uintptr_t)__executable_start;
        if (caller > UINT32_MAX)
            return; /* in a library */
        out[i] = caller;
        if ((uintptr_t)frame[0] <= at || (uintptr_t)frame[0] - at > FRAME_BYTES)
            return;
        frame = frame[0];
    }
}

static uint64_t hash_of(const char *name, const uintptr_t callers[CALLERS])
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *name != 0; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
    for (unsigned i = 0; i < CALLERS; i++)
        hash = (hash ^ callers[i]) * UINT64_C(1099511628211);
    return hash != 0 ? hash : 1;
}

/* ---- points ------------------------------------------------------------------------------- */

static void count_point(const char *name, uint64_t hash, const uintptr_t callers[CALLERS])
{
    size_t at = hash % POINTS_MAX;
    for (unsigned tries = 0; points[at].hash != 0 && points[at].hash != hash; tries++) {
        if (tries == POINTS_MAX)
            abort();
        at = (at + 1) % POINTS_MAX;
    }
    struct point *p = &points[at];
    p->hash = hash;
    p->name = name;
    memcpy(p->callers, callers, sizeof(p->callers));
    p->calls++;
}

static void say(void)
{
    dprintf(STDERR_FILENO, "sweep: the fault\n");
}

bool point_fails(const char *name, void *const *frame)
{
    uintptr_t callers[CALLERS] = {0};
    bool fails = false;
    if (!counting && fail_call == 0)
        return false;
    callers_of(frame, callers);
    uint64_t hash = hash_of(name, callers);
    pthread_mutex_lock(&lock);
    if (counting)
        count_point(name, hash, callers);
    else if (hash == fail_hash)
        fails = ++fail_seen >= fail_call && fail_seen - fail_call < fail_count;
    if (fails && !said)
        say();
    said |= fails;
    pthread_mutex_unlock(&lock);
    return fails;
}

/* ---- the program ---------------------------------------------------------------------------- */

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("CENOTE_SWEEP");
    unsigned long long hash;
    if (text != NULL && strncmp(text, "count:", 6) == 0) {
        snprintf(count_file, sizeof(count_file), "%s", text + 6);
        counting = true;
    } else if (text != NULL &&
               sscanf(text, "fail:%llx:%u:%u", &hash, &fail_call, &fail_count) >= 2) {
        fail_hash = hash;
    }
}

__attribute__((destructor)) static void end(void)
{
    bool counted = counting;
    counting = false; /* this one's own calls aren't the product's */
    FILE *f = counted ? fopen(count_file, "we") : NULL;
    for (unsigned i = 0; f != NULL && i < POINTS_MAX; i++) {
        const struct point *p = &points[i];
        if (p->hash == 0)
            continue;
        fprintf(f, "%s %llx %u", p->name, (unsigned long long)p->hash, p->calls);
        for (unsigned k = 0; k < CALLERS && p->callers[k] != 0; k++)
            fprintf(f, " %lx", (unsigned long)p->callers[k]);
        fprintf(f, "\n");
    }
    if (f != NULL)
        fclose(f);
}
