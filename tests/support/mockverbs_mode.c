/* SPDX-License-Identifier: Apache-2.0 */
/* When requests are executed: at once, step by step, or by a thread with a seed. */
#include "tests/support/mockverbs_world.h"

#include <limits.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define BURST_MAX      4u
#define DELAY_MAX_NS   50000u
/* A stray is on its way for so many steps in the mean. */
#define STRAY_PATIENCE 16u

static struct {
    pthread_t thread;
    int wake; /* without a lock, so that posting threads aren't ordered by it */
    uint64_t random;
    _Atomic bool stopping;
} runner;

static void wake(void)
{
    const uint64_t one = 1;
    if (write(runner.wake, &one, sizeof(one)) != sizeof(one))
        mock_panic("the thread can't be woken");
}

void mock_wake(void)
{
    if (atomic_load_explicit(&mock_world.mode, memory_order_relaxed) == MOCK_RUNNING)
        wake();
}

void mock_execute_now(struct mock_qp *qp)
{
    int mode = atomic_load_explicit(&mock_world.mode, memory_order_relaxed);
    bool broken = atomic_load_explicit(&qp->state, memory_order_relaxed) == IBV_QPS_ERR;
    if (mode == MOCK_AT_ONCE || (mode == MOCK_HELD && broken))
        mock_execute(qp, UINT_MAX);
    else
        mock_wake();
}

/* One request of each in turn. */
static unsigned step_round(unsigned count)
{
    unsigned done = 0;
    pthread_rwlock_rdlock(&mock_world.lock);
    for (struct mock_qp *qp = mock_world.first; qp != NULL && done < count; qp = qp->next)
        done += mock_execute(qp, 1);
    pthread_rwlock_unlock(&mock_world.lock);
    return done;
}

unsigned mock_step(unsigned count)
{
    unsigned done = 0, more;
    do {
        more = step_round(count - done);
        done += more;
    } while (more != 0 && done < count);
    return done;
}

unsigned mock_step_queue_pair(uint32_t number, unsigned count)
{
    pthread_rwlock_rdlock(&mock_world.lock);
    struct mock_qp *qp = mock_qp_find(number);
    unsigned done = qp != NULL ? mock_execute(qp, count) : 0;
    pthread_rwlock_unlock(&mock_world.lock);
    return done;
}

static void set_mode(enum mock_mode mode)
{
    pthread_rwlock_wrlock(&mock_world.lock);
    atomic_store(&mock_world.mode, mode);
    pthread_rwlock_unlock(&mock_world.lock);
}

void mock_hold(bool held)
{
    mock_rest();
    set_mode(held ? MOCK_HELD : MOCK_AT_ONCE);
    if (!held)
        mock_step(UINT_MAX);
}

static uint64_t next_random(void)
{
    uint64_t x = runner.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return runner.random = x;
}

/* A queue pair by chance among those with something to do, and a few of its requests. */
static bool run_some(void)
{
    unsigned busy = 0, done = 0;
    pthread_rwlock_rdlock(&mock_world.lock);
    for (struct mock_qp *qp = mock_world.first; qp != NULL; qp = qp->next)
        busy += atomic_load_explicit(&qp->waiting, memory_order_relaxed) != 0;
    unsigned chosen = busy != 0 ? (unsigned)(next_random() % busy) : 0;
    for (struct mock_qp *qp = mock_world.first; busy != 0 && qp != NULL; qp = qp->next) {
        if (atomic_load_explicit(&qp->waiting, memory_order_relaxed) == 0 || chosen-- != 0)
            continue;
        done = mock_execute(qp, 1 + (unsigned)(next_random() % BURST_MAX));
        break;
    }
    pthread_rwlock_unlock(&mock_world.lock);
    return done != 0;
}

/* All at a time, and not at once. */
static bool let_strays_arrive(void)
{
    if (atomic_load(&mock_world.strays) == 0)
        return false;
    if (next_random() % STRAY_PATIENCE != 0)
        return true;
    pthread_rwlock_rdlock(&mock_world.lock);
    for (struct mock_qp *qp = mock_world.first; qp != NULL; qp = qp->next)
        mock_landings_land(qp);
    pthread_rwlock_unlock(&mock_world.lock);
    return true;
}

static void *run(void *arg)
{
    (void)arg;
    while (!atomic_load(&runner.stopping)) {
        uint64_t count;
        if (read(runner.wake, &count, sizeof(count)) != sizeof(count))
            mock_panic("the thread can't sleep");
        while (run_some() || let_strays_arrive()) {
            struct timespec pause = {.tv_nsec = (long)(next_random() % DELAY_MAX_NS)};
            if (next_random() % 4 == 0)
                nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

void mock_run(uint64_t seed)
{
    mock_rest();
    runner.random = seed != 0 ? seed : 1;
    runner.stopping = false;
    runner.wake = eventfd(0, EFD_CLOEXEC);
    if (runner.wake < 0 || pthread_create(&runner.thread, NULL, run, NULL) != 0)
        mock_panic("no thread can be had");
    set_mode(MOCK_RUNNING);
}

void mock_rest(void)
{
    if (atomic_load(&mock_world.mode) != MOCK_RUNNING)
        return;
    set_mode(MOCK_AT_ONCE);
    atomic_store(&runner.stopping, true);
    wake();
    pthread_join(runner.thread, NULL);
    close(runner.wake);
    mock_step(UINT_MAX);
}
