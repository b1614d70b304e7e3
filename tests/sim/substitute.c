/* SPDX-License-Identifier: Apache-2.0 */
/* What the product gets instead of the machine's clocks, randomness, locks and waiting: the linker
 * puts __wrap_f() in the place of f() (see CMakeLists.txt). */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/world.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"
#include "transport/xcopy.h"

/* 2023-11-14, what all wall clocks begin with. */
#define WALL_FIRST_MS UINT64_C(1700000000000)
#define LOCK_MIN_NS   NS_PER_US
#define LOCK_MAX_NS   (4 * NS_PER_MS)
#define CONDITION_NS  NS_PER_MS
#define PID_FIRST     1000

uint64_t __wrap_clock_now_ns(void);
uint64_t __wrap_clock_now_ms(void);
uint64_t __wrap_clock_tick_ms(void);
uint64_t __wrap_clock_wall_ms(void);
void __wrap_hash_random(void *out, size_t len_bytes);
uint64_t __wrap_hash_random_u64(void);
int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t);
int __wrap_nanosleep(const struct timespec *t, struct timespec *left);
int __wrap_sched_yield(void);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
void __wrap_xcopy_this_host(char out[XCOPY_HOST_MAX]);
pid_t __wrap_getpid(void);

/* ---- clocks and randomness ------------------------------------------------------------------- */

uint64_t __wrap_clock_now_ns(void)
{
    return process_ns(world.self);
}

uint64_t __wrap_clock_now_ms(void)
{
    return process_ns(world.self) / NS_PER_MS;
}

uint64_t __wrap_clock_tick_ms(void)
{
    return process_ns(world.self) / NS_PER_MS / 4 * 4;
}

uint64_t __wrap_clock_wall_ms(void)
{
    return WALL_FIRST_MS + world.now_ns / NS_PER_MS;
}

void __wrap_hash_random(void *out, size_t len_bytes)
{
    struct chance *c = world.self != NULL ? &world.self->chance : &world.chance;
    uint8_t *b = out;
    for (size_t i = 0; i < len_bytes; i++)
        b[i] = (uint8_t)(chance_next(c) >> 24);
}

uint64_t __wrap_hash_random_u64(void)
{
    uint64_t v;
    __wrap_hash_random(&v, sizeof v);
    return v;
}

/* ---- locks and waiting ----------------------------------------------------------------------- */

/* Whoever has the lock may be waiting for a connection. */
static uint64_t wait_for_lock(uint64_t ns)
{
    assert(fiber_self() != NULL && "a thread waits for itself");
    thread_sleep(ns);
    return ns < LOCK_MAX_NS ? ns * 2 : ns;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    uint64_t ns = LOCK_MIN_NS;
    int status;
    while ((status = pthread_mutex_trylock(m)) == EBUSY)
        ns = wait_for_lock(ns);
    return status;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
    uint64_t ns = LOCK_MIN_NS;
    int status;
    while ((status = pthread_rwlock_tryrdlock(l)) == EBUSY)
        ns = wait_for_lock(ns);
    return status;
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
    uint64_t ns = LOCK_MIN_NS;
    int status;
    while ((status = pthread_rwlock_trywrlock(l)) == EBUSY)
        ns = wait_for_lock(ns);
    return status;
}

/* Conditions may wake whoever waits at any time. */
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    (void)c;
    pthread_mutex_unlock(m);
    thread_sleep(CONDITION_NS);
    return __wrap_pthread_mutex_lock(m);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *t)
{
    (void)t;
    return __wrap_pthread_cond_wait(c, m);
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
    (void)left;
    uint64_t ns = (uint64_t)t->tv_sec * 1000 * NS_PER_MS + (uint64_t)t->tv_nsec;
    thread_sleep(process_delay_ns(world.self, ns));
    return 0;
}

int __wrap_sched_yield(void)
{
    thread_sleep(10 * NS_PER_US);
    return 0;
}

/* No simulated process has descriptors. */
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    (void)fds;
    (void)count;
    thread_sleep((uint64_t)timeout_ms * NS_PER_MS);
    return 0;
}

void __wrap_xcopy_this_host(char out[XCOPY_HOST_MAX])
{
    snprintf(out, XCOPY_HOST_MAX, "host-%u", world.self != NULL ? world.self->host : HOSTS_MAX);
}

/* A client's name has it: the real one would make the messages of two runs differ in length. */
pid_t __wrap_getpid(void)
{
    return PID_FIRST + (world.self != NULL ? (pid_t)world.self->number : 0);
}
