/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/linear/record.h"

#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECORD_MAGIC UINT64_C(0x31524c4e43) /* "CNLR1" */

struct head {
    uint64_t magic;
    uint32_t threads, room;
    char keys[RECORD_PREFIX_MAX];
    _Atomic uint32_t counts[RECORD_THREADS_MAX];
};

struct record {
    struct head *head;
    struct record_op *ops; /* room for each thread */
    size_t len_bytes;
};

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct record *map(int fd, size_t len_bytes)
{
    struct record *r = calloc(1, sizeof *r);
    void *at = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    close(fd);
    if (!r || at == MAP_FAILED) {
        free(r);
        return NULL;
    }
    *r = (struct record){at, (struct record_op *)((struct head *)at + 1), len_bytes};
    return r;
}

struct record *record_new(const char *path, const char *keys, uint32_t threads, uint32_t room)
{
    size_t len_bytes = sizeof(struct head) + (size_t)threads * room * sizeof(struct record_op);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert(threads <= RECORD_THREADS_MAX && strlen(keys) < RECORD_PREFIX_MAX);
    if (fd < 0)
        return NULL;
    if (ftruncate(fd, (off_t)len_bytes) != 0) {
        close(fd);
        return NULL;
    }
    struct record *r = map(fd, len_bytes);
    if (!r)
        return NULL;
    r->head->threads = threads;
    r->head->room = room;
    memcpy(r->head->keys, keys, strlen(keys) + 1);
    r->head->magic = RECORD_MAGIC;
    return r;
}

struct record *record_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || (size_t)st.st_size < sizeof(struct head)) {
        close(fd);
        errno = EINVAL;
        return NULL;
    }
    struct record *r = map(fd, (size_t)st.st_size);
    if (r && r->head->magic != RECORD_MAGIC) {
        record_close(r);
        errno = EINVAL;
        return NULL;
    }
    return r;
}

void record_close(struct record *r)
{
    if (!r)
        return;
    munmap(r->head, r->len_bytes);
    free(r);
}

struct record_op *record_invoke(struct record *r, uint32_t thread, enum linear_kind kind,
                                uint32_t key, uint64_t value)
{
    uint32_t n = atomic_load_explicit(&r->head->counts[thread], memory_order_relaxed);

    if (n == r->head->room)
        return NULL;
    struct record_op *op = &r->ops[(size_t)thread * r->head->room + n];
    *op = (struct record_op){.kind = kind, .key = key, .value = value, .invoked_ns = now_ns()};
    atomic_store_explicit(&r->head->counts[thread], n + 1, memory_order_release);
    return op;
}

void record_return(struct record_op *op, int status)
{
    op->status = status;
    __atomic_store_n(&op->returned_ns, now_ns(), __ATOMIC_RELEASE);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static bool changes(const struct record_op *op)
{
    return op->kind == LINEAR_PUT || op->kind == LINEAR_REPLACE || op->kind == LINEAR_REMOVE;
}

/* Every other error says that nothing was changed. */
static const char *outcome_of(const struct record_op *op)
{
    if (op->returned_ns == 0 || op->status == CENOTE_UNKNOWN)
        return changes(op) ? "unknown" : "failed";
    if (op->kind == LINEAR_EXISTS && op->status == CENOTE_OK)
        return op->present ? "there" : "missing";
    if (op->status == CENOTE_OK)
        return "ok";
    if (op->status == CENOTE_EXISTS && op->kind == LINEAR_PUT)
        return "there";
    if (op->status == CENOTE_NOT_FOUND && (op->kind == LINEAR_GET || op->kind == LINEAR_REMOVE))
        return "missing";
    return "failed";
}

static void print_op(const struct record *r, const struct record_op *op, uint32_t thread,
                     const char *separator, FILE *out)
{
    static const char *const kinds[LINEAR_KINDS] = {"put", "replace", "remove", "get", "exists"};

    fprintf(out, "%s\n[%u, \"%s\", \"%s%u\", %llu, \"%s\", \"%s\", %llu, %llu]", separator, thread,
            kinds[op->kind], r->head->keys, op->key, (unsigned long long)op->value, outcome_of(op),
            op->returned_ns == 0 ? "" : cenote_status_name(op->status),
            (unsigned long long)op->invoked_ns, (unsigned long long)op->returned_ns);
}

void record_print(const struct record *r, FILE *out)
{
    const char *separator = "";

    fprintf(out, "{\"format\": \"cenote-history-1\", \"operations\": [");
    for (uint32_t t = 0; t < r->head->threads; t++) {
        uint32_t count = atomic_load_explicit(&r->head->counts[t], memory_order_acquire);
        for (uint32_t i = 0; i < count; i++) {
            print_op(r, &r->ops[(size_t)t * r->head->room + i], t, separator, out);
            separator = ",";
        }
    }
    fprintf(out, "\n]}\n");
}
