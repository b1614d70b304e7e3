/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/slots.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/shm/file.h"
#include "transport/xcopy.h"

#define SLOTS_MAGIC UINT64_C(0x325453544f4c5343) /* "CSLOTST2" in memory */
#define LINE_BYTES  64

/*
 * How a writer in shared memory is fenced.
 *
 * A process that has mapped a segment can't be stopped from outside: between two instructions of
 * its memcpy anything may happen to the node, to its socket and to the put. So nobody tries. The
 * writer says which put it is writing, in a slot of this file, for as long as it may write; and
 * whoever wants to reuse the extent waits until no slot says so.
 *
 *   writer                                  fence
 *   1  slot = put id                        1  horizon = h
 *   2  full fence                           2  full fence
 *   3  horizon >= put id? then leave        3  wait until no slot holds a put id in 1..h
 *   4  copy
 *   5  slot = 0 (release)
 *
 * Each side writes before it reads, with a full fence between: at least one of them sees the other.
 * If the writer sees the horizon, it doesn't copy. If it doesn't, the fence sees its slot, and what
 * was copied before the slot was emptied is visible before the slot is seen empty.
 *
 * How a reader keeps what it looks at.
 *
 * Somebody who has got a pointer into a segment (a view) can't be stopped either. He names the
 * extent in a hold, another kind of slot, for as long as he looks at it; and whoever wants to reuse
 * an extent makes its seal void first, then looks whether a hold names it.
 *
 *   reader                                  reuse
 *   1  hold = address of the extent         1  seal = void
 *   2  full fence                           2  full fence
 *   3  node's next life begun? then leave   3  a hold names the extent? then not yet
 *   4  seal void, or another's? then leave  4  space is free
 *   5  look at it
 *   6  hold = 0 (release)
 *
 * Again each side writes before it reads. If the reader finds the seal live, the void came after
 * his hold, and so did the look at the holds: it sees the hold, and everything that he reads before
 * he drops it lies before the reuse. If he doesn't, his hold may be seen for a moment, and keeps an
 * extent for that long that nobody looks at. He may hold what he likes: an address that he has from
 * an old lookup may belong to another put by now, and then the seal says so. Time has no part in
 * it: a lookup's lease protects a copy, which ends by itself, and says nothing about a view.
 *
 * Step 3 of the reader is for named memory. The next life of the node (keep.h) raises the horizon
 * to the end of all numbers, then looks at the holds, and forgets a file that has none: the same
 * pattern with the horizon in the place of the seal.
 *
 * viewed says whether there ever was a hold in this file. It is set before the first one, so it
 * takes that one's place in the argument above; files of processes that view nothing cost one look.
 *
 * Who writes what: horizon the node alone (it only rises); all else the client alone. The
 * node empties no slot, ever: it forgets the whole file once the client's process is proven dead
 * (its pidfd is readable), or once closed says that the client will enter no slot again. A socket
 * that hung up proves neither: the process may have lost its descriptors and still be copying, or
 * looking.
 *
 * Each connection has a file of its own, of which the size is sealed, or which lies beside named
 * memory and outlives the node's process (keep.h). Neither side can make the
 * other fault; a client that writes nonsense into its file can delay fences of its own session
 * and keep extents out of use, and a client that may map the segments at all is trusted like the
 * node (same user).
 */
struct slots {
    uint64_t magic;
    _Alignas(LINE_BYTES) _Atomic uint64_t horizon;
    _Alignas(LINE_BYTES) _Atomic uint64_t closed;
    struct {
        _Alignas(LINE_BYTES) _Atomic uint64_t put_id; /* 0: empty */
    } slot[SLOTS_WRITERS_MAX];
    _Alignas(LINE_BYTES) _Atomic uint64_t viewed;
    _Alignas(LINE_BYTES) _Atomic uint64_t hold[XCOPY_HOLDS_MAX]; /* 0: empty */
};

static int map_file(int fd, struct slots **out)
{
    void *at = mmap(NULL, sizeof **out, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return CENOTE_NO_MEMORY;
    if (madvise(at, sizeof **out, MADV_DONTFORK) != 0) {
        munmap(at, sizeof **out);
        return CENOTE_NO_MEMORY;
    }
    *out = at;
    return CENOTE_OK;
}

int slots_make_in(int fd, struct slots **out)
{
    /* Reserved, so that nobody faults for want of memory in the midst of a write. */
    int error = posix_fallocate(fd, 0, sizeof(struct slots));
    if (error != 0 || map_file(fd, out) != CENOTE_OK) {
        log_error("shm", "cannot make a file of slots: %s", strerror(error != 0 ? error : errno));
        return CENOTE_NO_MEMORY;
    }
    (*out)->magic = SLOTS_MAGIC;
    return CENOTE_OK;
}

int slots_make(struct slots **out, int *fd)
{
    int file = memfd_create("cenote-slots", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) {
        log_error("shm", "memfd_create: %s", strerror(errno));
        return CENOTE_NO_MEMORY;
    }
    int status = slots_make_in(file, out);
    if (status != CENOTE_OK)
        goto close_file;
    if (fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        *fd = file;
        return CENOTE_OK;
    }
    log_error("shm", "cannot seal a file of slots: %s", strerror(errno));
    slots_unmap(*out);
    status = CENOTE_NO_MEMORY;
close_file:
    close(file);
    return status;
}

int slots_map(int fd, struct slots **out)
{
    int status = slots_open(fd, out);
    if (status != CENOTE_OK || (*out)->magic == SLOTS_MAGIC)
        return status;
    slots_unmap(*out);
    return CENOTE_PROTOCOL;
}

int slots_open(int fd, struct slots **out)
{
    struct stat st;
    int status = shm_file_look(fd, sizeof(struct slots));
    if (status != CENOTE_OK)
        return status;
    if (fstat(fd, &st) != 0)
        return CENOTE_IO;
    return st.st_size == (off_t)sizeof(struct slots) ? map_file(fd, out) : CENOTE_PROTOCOL;
}

void slots_unmap(struct slots *s)
{
    munmap(s, sizeof *s);
}

/* Writers of different puts begin at different slots. */
static bool take_slot(struct slots *s, uint64_t put_id, uint32_t *slot)
{
    uint32_t first = (uint32_t)(put_id * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    for (uint32_t i = 0; i < SLOTS_WRITERS_MAX; i++) {
        uint64_t empty = 0;
        *slot = (first + i) % SLOTS_WRITERS_MAX;
        if (atomic_compare_exchange_strong(&s->slot[*slot].put_id, &empty, put_id))
            return true;
    }
    return false;
}

int slots_enter(struct slots *s, uint64_t put_id, uint32_t wait_ms, uint32_t *slot)
{
    assert(put_id != 0);
    if (!take_slot(s, put_id, slot)) {
        uint64_t deadline_ms = clock_now_ms() + wait_ms;
        while (!take_slot(s, put_id, slot)) {
            if (clock_now_ms() >= deadline_ms)
                return CENOTE_LIMIT;
            sched_yield(); /* the others are in a memcpy */
        }
    }
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t horizon = atomic_load(&s->horizon);
    if (horizon < put_id)
        return CENOTE_OK;
    slots_leave(s, *slot);
    return horizon == UINT64_MAX ? CENOTE_OLD_BOOT : CENOTE_FENCED;
}

void slots_leave(struct slots *s, uint32_t slot)
{
    assert(slot < SLOTS_WRITERS_MAX);
    atomic_store_explicit(&s->slot[slot].put_id, 0, memory_order_release);
}

int slots_hold(struct slots *s, uint32_t slot, struct gva extent)
{
    assert(slot < XCOPY_HOLDS_MAX && extent.v != 0);
    if (atomic_load_explicit(&s->viewed, memory_order_relaxed) == 0)
        atomic_store(&s->viewed, 1);
    assert(atomic_load_explicit(&s->hold[slot], memory_order_relaxed) == 0);
    atomic_store(&s->hold[slot], extent.v);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&s->horizon) != UINT64_MAX)
        return CENOTE_OK;
    slots_unhold(s, slot);
    return CENOTE_OLD_BOOT;
}

void slots_unhold(struct slots *s, uint32_t slot)
{
    assert(slot < XCOPY_HOLDS_MAX);
    atomic_store_explicit(&s->hold[slot], 0, memory_order_release);
}

void slots_close(struct slots *s)
{
    atomic_store_explicit(&s->closed, 1, memory_order_release);
}

void slots_raise(struct slots *s, uint64_t horizon)
{
    uint64_t now = atomic_load(&s->horizon);
    while (now < horizon && !atomic_compare_exchange_weak(&s->horizon, &now, horizon))
        ;
    atomic_thread_fence(memory_order_seq_cst);
}

bool slots_occupied(const struct slots *s, uint64_t horizon)
{
    if (test_off(TEST_SLOTS))
        return false;
    for (uint32_t i = 0; i < SLOTS_WRITERS_MAX; i++) {
        uint64_t put_id = atomic_load(&s->slot[i].put_id);
        if (put_id != 0 && put_id <= horizon)
            return true;
    }
    return false;
}

static void mark(struct gva hold, const struct gva *extents, size_t count, bool *held)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (extents[mid].v < hold.v)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < count && extents[low].v == hold.v; low++)
        held[low] = true;
}

void slots_held(const struct slots *s, const struct gva *extents, size_t count, bool *held)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&s->viewed) == 0)
        return;
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++) {
        uint64_t hold = atomic_load_explicit(&s->hold[i], memory_order_acquire);
        if (hold != 0)
            mark((struct gva){hold}, extents, count, held);
    }
}

uint32_t slots_holds(const struct slots *s)
{
    uint32_t count = 0;
    if (atomic_load(&s->viewed) == 0)
        return 0;
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++)
        count += atomic_load_explicit(&s->hold[i], memory_order_acquire) != 0;
    return count;
}

void slots_each_hold(const struct slots *s, void (*hold)(void *arg, struct gva extent), void *arg)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&s->viewed) == 0)
        return;
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++) {
        uint64_t extent = atomic_load_explicit(&s->hold[i], memory_order_acquire);
        if (extent != 0)
            hold(arg, (struct gva){extent});
    }
}

bool slots_closed(const struct slots *s)
{
    return atomic_load_explicit(&s->closed, memory_order_acquire) != 0;
}
