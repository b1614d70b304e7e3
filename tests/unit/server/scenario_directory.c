/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of a process that is killed at any instruction, and of one that gets no memory.
 *
 *   scenario_directory [kills]
 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/server/entries.h"
#include "transport/base/hash.h"

#define NUMBERS 200u
#define KILLS   40
#define LIMIT   (UINT64_C(64) << 20)
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- faults ---------------------------------------------------------------------------------- */

static long calls_left = -1; /* until one fails; negative: none does */

static bool fails(void)
{
    return calls_left >= 0 && calls_left-- == 0;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__real_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int __real_fallocate(int fd, int mode, off_t at, off_t len);
int __wrap_fallocate(int fd, int mode, off_t at, off_t len);
int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, len, prot, flags, fd, offset);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t len)
{
    return fails() ? -1 : __real_fallocate(fd, mode, at, len);
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    return fails() ? -1 : __real_memfd_create(name, flags);
}

int __wrap_ftruncate(int fd, off_t len)
{
    return fails() ? -1 : __real_ftruncate(fd, len);
}

/* What was answered with an error has changed nothing, and all the rest is there. */
static void work(struct directory *d)
{
    static uint64_t puts[1500];
    memset(puts, 0, sizeof puts);
    for (uint64_t put_id = 1; put_id <= 2500; put_id++) {
        uint64_t i = put_id * 7 % 1500;
        struct directory_entry e = entry_make(i, put_id);
        if (put_id % 5 == 0)
            directory_drop(d, e.gva);
        if (put_id % 5 == 0)
            puts[i] = 0;
        else if (directory_set(d, &e) == CENOTE_OK)
            puts[i] = put_id;
    }
    for (uint64_t i = 0; i < 1500; i++)
        CHECK(entry_put(d, i) == puts[i]);
}

static void sweep_faults(void)
{
    struct directory *d = NULL;
    long at = 0;
    for (bool reached = true; reached; at++) {
        calls_left = at;
        if (directory_open(-1, LIMIT, NULL, 0, &d) == CENOTE_OK) {
            work(d);
            directory_close(d);
        }
        reached = calls_left < 0;
    }
    calls_left = -1;
    CHECK(at > 20);
    int file = memfd_create("test", MFD_CLOEXEC);
    CHECK(directory_open(file, LIMIT, NULL, 0, &d) == CENOTE_OK);
    work(d);
    struct directory_sum sum = directory_sum(d);
    directory_close(d);
    for (int k = 0; k < 20; k++) {
        calls_left = k;
        int status = directory_open(file, LIMIT, &entry_range, 1, &d);
        calls_left = -1;
        if (status != CENOTE_OK)
            continue;
        CHECK(directory_sum(d).digest == sum.digest);
        directory_close(d);
    }
    close(file);
}

/* ---- kills ----------------------------------------------------------------------------------- */

/* Shared with the process that is killed. */
struct progress {
    uint64_t puts[NUMBERS]; /* 0: none */
    uint64_t at, becomes;   /* the number that is being changed, and to what */
    uint64_t put_id;
};

/* Of a linear congruential generator. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

static void change_for_ever(struct directory *d, struct progress *p, uint64_t seed)
{
    for (;;) {
        uint64_t i = next_random(&seed) % NUMBERS;
        bool drops = next_random(&seed) % 3 == 0;
        struct directory_entry e = entry_make(i, ++p->put_id);
        p->becomes = drops ? 0 : p->put_id;
        __atomic_store_n(&p->at, i, __ATOMIC_SEQ_CST);
        if (drops)
            directory_drop(d, e.gva);
        else
            CHECK(directory_set(d, &e) == CENOTE_OK);
        __atomic_store_n(&p->puts[i], p->becomes, __ATOMIC_SEQ_CST);
        __atomic_store_n(&p->at, NUMBERS, __ATOMIC_SEQ_CST);
    }
}

static void live(int file, struct progress *p, uint64_t seed)
{
    struct directory *d;
    CHECK(directory_open(file, LIMIT, &entry_range, 1, &d) == CENOTE_OK);
    if (p->at < NUMBERS) { /* the earlier life was killed in its midst */
        uint64_t found = entry_put(d, p->at);
        CHECK(found == p->puts[p->at] || found == p->becomes);
        p->puts[p->at] = found;
        p->at = NUMBERS;
    }
    for (uint64_t i = 0; i < NUMBERS; i++)
        CHECK(entry_put(d, i) == p->puts[i]);
    change_for_ever(d, p, seed);
}

static void kill_often(int kills)
{
    int file = memfd_create("test", MFD_CLOEXEC);
    struct progress *p =
        mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned amidst = 0;
    uint64_t seed = 7;
    CHECK(file >= 0 && p != MAP_FAILED);
    p->at = NUMBERS;
    for (int k = 0; k < kills; k++) {
        uint64_t before = p->put_id;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            live(file, p, seed + (uint64_t)k);
        while (__atomic_load_n(&p->put_id, __ATOMIC_SEQ_CST) < before + 50 &&
               waitpid(pid, NULL, WNOHANG) == 0)
            usleep(50);
        struct timespec pause = {.tv_nsec = next_random(&seed) % 2000000};
        nanosleep(&pause, NULL);
        int status;
        kill(pid, SIGKILL);
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        amidst += p->at < NUMBERS;
    }
    printf("%d kills, %u in the midst of a change, %llu changes\n", kills, amidst,
           (unsigned long long)p->put_id);
    munmap(p, sizeof *p);
    close(file);
}

int main(int argc, char **argv)
{
    hash_init();
    sweep_faults();
    kill_often(argc > 1 ? atoi(argv[1]) : KILLS);
    return 0;
}
