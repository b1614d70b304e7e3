/* SPDX-License-Identifier: Apache-2.0 */
#include "client/flights.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "transport/base/log.h"

#define PLACES_FIRST 64u
#define PLACE_BITS   16u

_Static_assert(CENOTE_FLIGHTS_MAX == 1u << PLACE_BITS, "a place is the lower part of an id");

/*
 * An id is a number that is never used twice, above the flight's place in a table: finding a flight
 * is one look, and an id of yesterday finds somebody else there and is told so.
 */
struct flights {
    void (*wake)(void *arg);
    void *arg;
    int fd; /* an eventfd; its counter is 0 exactly while no completion waits */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t landed;
    struct flight **places;
    uint32_t *unused; /* places, a stack */
    uint32_t room, unused_count, count;
    size_t parts;                      /* that aren't gone; they have no place */
    uint64_t numbers;                  /* given out */
    struct flight *inbox, **inbox_end; /* submitted */
    struct flight *to_cancel;          /* cancelled */
    struct flight *ready, **ready_end; /* landed */
};

struct flights *flights_new(void (*wake)(void *arg), void *arg)
{
    struct flights *fs = calloc(1, sizeof *fs);
    pthread_condattr_t monotonic;

    if (!fs)
        return NULL;
    fs->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fs->fd < 0) {
        log_error("client", "no descriptor for completions");
        free(fs);
        return NULL;
    }
    fs->wake = wake;
    fs->arg = arg;
    fs->inbox_end = &fs->inbox;
    fs->ready_end = &fs->ready;
    pthread_mutex_init(&fs->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&fs->landed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return fs;
}

void flights_free(struct flights *fs)
{
    assert(fs->parts == 0);
    for (uint32_t i = 0; i < fs->room; i++) {
        struct flight *f = fs->places[i];
        assert(!f || (f->landed && f->left));
        if (f)
            f->release(f);
    }
    close(fs->fd);
    pthread_cond_destroy(&fs->landed);
    pthread_mutex_destroy(&fs->lock);
    free(fs->places);
    free(fs->unused);
    free(fs);
}

void flights_abandon(struct flights *fs)
{
    close(fs->fd);
}

int flights_fd(const struct flights *fs)
{
    return fs->fd;
}

/* ---- places; under the lock ------------------------------------------------------------------ */

static bool places_grow(struct flights *fs)
{
    uint32_t room = fs->room ? fs->room * 2 : PLACES_FIRST;
    struct flight **places = realloc(fs->places, room * sizeof(*places));
    uint32_t *unused;

    fs->places = places ? places : fs->places;
    unused = realloc(fs->unused, room * sizeof *unused);
    fs->unused = unused ? unused : fs->unused;
    if (!places || !unused)
        return false;
    for (uint32_t i = room; i > fs->room; i--) {
        fs->places[i - 1] = NULL;
        fs->unused[fs->unused_count++] = i - 1;
    }
    fs->room = room;
    return true;
}

static struct flight *find(const struct flights *fs, uint64_t id)
{
    uint64_t place = id % CENOTE_FLIGHTS_MAX;
    struct flight *f = place < fs->room ? fs->places[place] : NULL;
    return f && f->id == id ? f : NULL;
}

/* Nobody needs it any more: takes it out of its place. */
static bool gone(struct flights *fs, struct flight *f)
{
    if (!f->fetched || !f->left)
        return false;
    if (f->part_landed) {
        fs->parts--;
        return true;
    }
    uint32_t place = (uint32_t)(f->id % CENOTE_FLIGHTS_MAX);
    fs->places[place] = NULL;
    fs->unused[fs->unused_count++] = place;
    fs->count--;
    return true;
}

/* ---- the submitter's side -------------------------------------------------------------------- */

static void enter_inbox(struct flights *fs, struct flight *f)
{
    f->next = NULL;
    *fs->inbox_end = f;
    fs->inbox_end = &f->next;
    fs->wake(fs->arg);
}

int flights_submit(struct flights *fs, struct flight *f, uint64_t *id)
{
    int status = CENOTE_OK;

    pthread_mutex_lock(&fs->lock);
    if (fs->count == CENOTE_FLIGHTS_MAX)
        status = CENOTE_LIMIT;
    else if (fs->unused_count == 0 && !places_grow(fs))
        status = CENOTE_NO_MEMORY;
    if (status == CENOTE_OK) {
        uint32_t place = fs->unused[--fs->unused_count];
        f->id = ++fs->numbers << PLACE_BITS | place;
        fs->places[place] = f;
        fs->count++;
        *id = f->id; /* before anybody can fetch it */
        enter_inbox(fs, f);
    }
    pthread_mutex_unlock(&fs->lock);
    return status;
}

void flights_submit_part(struct flights *fs, struct flight *f)
{
    pthread_mutex_lock(&fs->lock);
    fs->parts++;
    enter_inbox(fs, f);
    pthread_mutex_unlock(&fs->lock);
}

static void cancel(struct flights *fs, struct flight *f)
{
    if (f->cancelled)
        return;
    f->cancelled = f->to_cancel = true;
    f->next_cancelled = fs->to_cancel;
    fs->to_cancel = f;
    fs->wake(fs->arg);
}

void flights_cancel_part(struct flights *fs, struct flight *f)
{
    pthread_mutex_lock(&fs->lock);
    if (!f->landed)
        cancel(fs, f);
    pthread_mutex_unlock(&fs->lock);
}

void flights_discard(struct flights *fs, struct flight *f)
{
    pthread_mutex_lock(&fs->lock);
    assert(f->landed && !f->fetched);
    f->fetched = true;
    bool last = gone(fs, f);
    pthread_mutex_unlock(&fs->lock);
    if (last)
        f->release(f);
}

int flights_cancel(struct flights *fs, uint64_t id)
{
    int status = CENOTE_NOT_FOUND;

    pthread_mutex_lock(&fs->lock);
    struct flight *f = find(fs, id);
    if (f && !f->landed) {
        status = CENOTE_OK;
        cancel(fs, f);
    }
    pthread_mutex_unlock(&fs->lock);
    return status;
}

static void await(struct flights *fs, uint32_t wait_ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)(wait_ms / 1000);
    end.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_nsec -= 1000000000;
        end.tv_sec++;
    }
    while (!fs->ready && pthread_cond_timedwait(&fs->landed, &fs->lock, &end) == 0)
        ;
}

/* Under the lock. */
static struct flight *take_ready(struct flights *fs)
{
    struct flight *f = fs->ready;
    uint64_t count;

    fs->ready = f->next;
    if (!fs->ready) {
        fs->ready_end = &fs->ready;
        (void)!read(fs->fd, &count, sizeof count); /* back to 0 */
    }
    return f;
}

int flights_fetch(struct flights *fs, struct cenote_completion *out, size_t max, uint32_t wait_ms)
{
    struct flight *done = NULL;
    int n = 0;

    pthread_mutex_lock(&fs->lock);
    if (!fs->ready && wait_ms > 0)
        await(fs, wait_ms);
    for (; fs->ready && (size_t)n < max && n < (int)CENOTE_FLIGHTS_MAX; n++) {
        struct flight *f = take_ready(fs);
        out[n] =
            (struct cenote_completion){.id = f->id, .user_data = f->user_data, .status = f->status};
        f->fetched = true;
        if (gone(fs, f)) {
            f->next = done;
            done = f;
        }
    }
    pthread_mutex_unlock(&fs->lock);
    while (done) {
        struct flight *next = done->next;
        done->release(done);
        done = next;
    }
    return n;
}

/* ---- the driver's side ----------------------------------------------------------------------- */

size_t flights_take(struct flights *fs, struct flight **submitted, struct flight **to_cancel)
{
    *to_cancel = NULL;
    pthread_mutex_lock(&fs->lock);
    *submitted = fs->inbox;
    fs->inbox = NULL;
    fs->inbox_end = &fs->inbox;
    while (fs->to_cancel) {
        struct flight *f = fs->to_cancel;
        fs->to_cancel = f->next_cancelled;
        f->to_cancel = false;
        f->next_cancelled = *to_cancel;
        *to_cancel = f;
    }
    size_t count = fs->count + fs->parts;
    pthread_mutex_unlock(&fs->lock);
    return count;
}

/* Under the lock: takes it out of those to cancel. */
static void forget_cancel(struct flights *fs, struct flight *f)
{
    struct flight **at = &fs->to_cancel;

    while (*at != f)
        at = &(*at)->next_cancelled;
    *at = f->next_cancelled;
    f->to_cancel = false;
}

void flights_land(struct flights *fs, struct flight *f, int status)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&fs->lock);
    assert(!f->landed);
    if (f->to_cancel)
        forget_cancel(fs, f);
    f->landed = true;
    f->status = status;
    f->next = NULL;
    if (f->part_landed) {
        pthread_mutex_unlock(&fs->lock);
        f->part_landed(f);
        return;
    }
    if (!fs->ready) {
        (void)!write(fs->fd, &one, sizeof one);
        pthread_cond_broadcast(&fs->landed);
    }
    *fs->ready_end = f;
    fs->ready_end = &f->next;
    pthread_mutex_unlock(&fs->lock);
}

void flights_leave(struct flights *fs, struct flight *f)
{
    pthread_mutex_lock(&fs->lock);
    assert(f->landed && !f->left);
    f->left = true;
    bool last = gone(fs, f);
    pthread_mutex_unlock(&fs->lock);
    if (last)
        f->release(f);
}
