/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 at any moment. A child makes changes 1, 2, 3 ... and reports each acknowledgement; change
 * n adds key n to three trees and removes key n - WINDOW from all of them. Whenever it is killed,
 * the trees must hold the same window of consecutive keys, which ends at the last acknowledged
 * change or later.
 *
 * Usage: store_kill [ROUNDS [SEED]]
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/scenario/store/kit.h"
#include "transport/base/clock.h"

#define WINDOW        100u
#define IN_FLIGHT_MAX 256u
#define VALUE_MAX     3000u
#define RUN_MAX_MS    60u

static const enum store_tree trees[] = {STORE_OBJECTS, STORE_NAMES, STORE_SESSIONS};
#define TREES (sizeof(trees) / sizeof(trees[0]))

static struct store_lmdb_options options_of(unsigned round)
{
    return (struct store_lmdb_options){.map_size_bytes = 32 << 20,
                                       .durability = round % 4 == 3 ? STORE_SYNC : STORE_PROCESS,
                                       .flush_ms = 3};
}

/* ---- what must be found --------------------------------------------------------------------- */

struct window {
    uint64_t first, last; /* first 0: empty */
};

static bool window_add(void *arg, const void *key, uint32_t key_len, const void *value,
                       uint32_t value_len)
{
    struct window *w = arg;
    uint64_t n = kit_key_number(key, key_len);
    CHECK(kit_value_valid(n, value, value_len));
    CHECK(w->first == 0 || n == w->last + 1);
    w->first = w->first ? w->first : n;
    w->last = n;
    return true;
}

static uint64_t window_check(struct store *s)
{
    struct window found[TREES] = {{0}};
    for (size_t i = 0; i < TREES; i++) {
        CHECK(s->ops->scan(s, trees[i], NULL, 0, window_add, &found[i]) == CENOTE_OK);
        CHECK(found[i].first == found[0].first && found[i].last == found[0].last);
    }
    uint64_t last = found[0].last;
    CHECK(last == 0 || found[0].first == (last > WINDOW ? last - WINDOW + 1 : 1));
    return last;
}

/* ---- the child that is killed --------------------------------------------------------------- */

struct child {
    struct store *s;
    uint64_t submitted, done;
    int pipe_fd;
};

static void child_done(void *arg, int status)
{
    struct child *c = arg;
    CHECK(status == CENOTE_OK);
    c->done++;
    CHECK(write(c->pipe_fd, &c->done, sizeof(c->done)) == sizeof(c->done));
}

static void child_submit(struct child *c)
{
    static unsigned char value[VALUE_MAX];
    struct store_write writes[2 * TREES];
    uint64_t n = ++c->submitted;
    struct kit_key key = kit_key_of(n), old = kit_key_of(n > WINDOW ? n - WINDOW : 0);
    kit_value_fill(n, value, sizeof(value));
    for (size_t i = 0; i < TREES; i++) {
        writes[2 * i] = (struct store_write){.tree = trees[i],
                                             .key = key.b,
                                             .key_len = 8,
                                             .value = value,
                                             .value_len = (uint32_t)(rand() % (int)VALUE_MAX)};
        writes[2 * i + 1] =
            (struct store_write){.tree = trees[i], .key = old.b, .key_len = 8, .remove = true};
    }
    c->s->ops->submit(c->s, &(struct store_change){.writes = writes,
                                                   .count = 2 * TREES,
                                                   .frees = rand() % 2,
                                                   .sync = rand() % 200 == 0,
                                                   .done = child_done,
                                                   .arg = c});
}

static void child_run(const char *dir, unsigned round, int pipe_fd)
{
    struct store_lmdb_options options = options_of(round);
    struct child c = {.s = kit_open(dir, &options), .pipe_fd = pipe_fd};
    c.submitted = c.done = window_check(c.s);
    struct pollfd p = {.fd = store_lmdb_fd(c.s), .events = POLLIN};
    for (;;) {
        int group = 1 + rand() % 32;
        for (int i = 0; i < group && c.submitted - c.done < IN_FLIGHT_MAX; i++)
            child_submit(&c);
        CHECK(poll(&p, 1, -1) == 1);
        store_lmdb_dispatch(c.s);
    }
}

/* ---- the parent ------------------------------------------------------------------------------ */

/* Reads acknowledgements until the deadline (0: until the end); the last one. */
static uint64_t acks_read(int fd, uint64_t last, uint64_t deadline_ms)
{
    uint64_t acks[512];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now_ms = clock_now_ms();
        if (deadline_ms && now_ms >= deadline_ms)
            return last;
        if (poll(&p, 1, deadline_ms ? (int)(deadline_ms - now_ms) : -1) == 0)
            return last;
        ssize_t n = read(fd, acks, sizeof(acks));
        CHECK(n >= 0 && n % 8 == 0);
        if (n == 0)
            return last;
        last = acks[n / 8 - 1];
    }
}

static uint64_t round_run(const char *dir, unsigned round)
{
    int fds[2], status;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    int seed = rand();
    uint64_t run_ms = 1 + (uint64_t)rand() % RUN_MAX_MS;
    bool early = rand() % 4 == 0; /* maybe while it opens */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        srand((unsigned)seed);
        close(fds[0]);
        child_run(dir, round, fds[1]);
    }
    close(fds[1]);
    struct pollfd p = {.fd = fds[0], .events = POLLIN};
    if (!early)
        CHECK(poll(&p, 1, 60000) == 1);
    uint64_t last = acks_read(fds[0], 0, clock_now_ms() + run_ms);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    last = acks_read(fds[0], last, 0);
    close(fds[0]);
    return last;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20;
    unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : (unsigned)time(NULL);
    char dir[64];
    uint64_t before = 0;
    printf("store_kill %u %u\n", rounds, seed);
    fflush(stdout);
    srand(seed);
    kit_dir_make(dir);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t acked = round_run(dir, round);
        struct store_lmdb_options options = options_of(round + 1);
        struct store *s = kit_open(dir, &options);
        uint64_t found = window_check(s);
        CHECK(found >= acked && found >= before);
        store_lmdb_close(s);
        printf("round %u: %llu acknowledged, %llu found\n", round, (unsigned long long)acked,
               (unsigned long long)found);
        before = found;
    }
    CHECK(rounds < 10 || before > WINDOW);
    kit_dir_remove(dir);
    return 0;
}
