/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node/directory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/core/index.h"
#include "server/node/directory_slot.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* Slots are referred to by their offset in the file, in units. */
#define UNIT       64u
#define CHUNK_NONE UINT32_MAX
#define CLASS_NONE UINT8_MAX
#define NAMED_LEN  64u /* bytes of the head that its checksum covers, and the checksum */

struct chunk {
    uint32_t prev, next; /* in the list of its class, of those with a free slot; or of none */
    uint16_t used;
    uint16_t fresh; /* slots from this one on were never used */
    uint16_t freed; /* the first freed slot + 1; they are chained */
    uint8_t class;
    bool listed;
};

struct directory {
    int fd;
    bool own_fd;
    uint8_t *base; /* of the mapping, which is as long as the limit */
    uint64_t limit_bytes;
    bool (*may_grow)(void *arg, uint64_t bytes); /* NULL: always */
    void *may_grow_arg;
    uint64_t name;
    struct chunk *chunks;
    uint32_t chunk_count, chunk_room, chunk_limit;
    uint32_t chunks_used;
    uint32_t lists[SLOT_CLASSES]; /* chunks with a free slot, by class; */
    uint32_t empty;               /* and those without a class */
    struct index by_gva;
    struct directory_sum sum;
    uint32_t round;
};

/* ---- places ---------------------------------------------------------------------------------- */

static uint8_t *chunk_at(const struct directory *d, uint32_t i)
{
    return d->base + DIRECTORY_HEAD_BYTES + (size_t)i * DIRECTORY_CHUNK_BYTES;
}

static uint32_t chunk_slots(uint32_t class)
{
    return (DIRECTORY_CHUNK_BYTES - DIRECTORY_CHUNK_HEAD) / slot_size(class);
}

static uint8_t *slot_in(const struct directory *d, uint32_t chunk, uint32_t slot)
{
    return chunk_at(d, chunk) + DIRECTORY_CHUNK_HEAD +
           (size_t)slot * slot_size(d->chunks[chunk].class);
}

static uint32_t ref_of(const struct directory *d, const uint8_t *slot)
{
    return (uint32_t)((size_t)(slot - d->base) / UNIT);
}

static uint8_t *slot_of(const struct directory *d, uint32_t ref)
{
    return d->base + (size_t)ref * UNIT;
}

static uint32_t chunk_of(const struct directory *d, const uint8_t *slot)
{
    return (uint32_t)(((size_t)(slot - d->base) - DIRECTORY_HEAD_BYTES) / DIRECTORY_CHUNK_BYTES);
}

static uint64_t get_u64(const uint8_t *at)
{
    struct bytes b = bytes_over_const(at, 8);
    return bytes_get_u64(&b);
}

static uint32_t get_u32(const uint8_t *at)
{
    struct bytes b = bytes_over_const(at, 4);
    return bytes_get_u32(&b);
}

static void put_u32(uint8_t *at, uint32_t v)
{
    struct bytes b = bytes_over(at, 4);
    bytes_put_u32(&b, v);
}

/* The store by which something begins or ends: nothing before it may come later in the file, and
 * nothing after it earlier. */
static void mark(uint8_t *at, uint64_t check)
{
    uint8_t bytes[8];
    uint64_t as_stored;
    struct bytes b = bytes_over(bytes, sizeof bytes);
    bytes_put_u64(&b, check);
    memcpy(&as_stored, bytes, sizeof as_stored);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n((uint64_t *)(void *)at, as_stored, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- the index ------------------------------------------------------------------------------- */

static uint64_t hash_gva(uint64_t gva)
{
    return directory_mix(gva_make(gva), 0);
}

static uint8_t *find(const struct directory *d, struct gva gva)
{
    struct index_visit v = {.hash = hash_gva(gva.v)};
    uint32_t ref;
    while ((ref = index_next(&d->by_gva, &v)) != INDEX_NONE)
        if (get_u64(slot_of(d, ref) + SLOT_GVA) == gva.v)
            return slot_of(d, ref);
    return NULL;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static uint32_t *list_of(struct directory *d, const struct chunk *c)
{
    return c->class == CLASS_NONE ? &d->empty : &d->lists[c->class];
}

static void list_chunk(struct directory *d, uint32_t i)
{
    struct chunk *c = &d->chunks[i];
    uint32_t *list = list_of(d, c);
    if (c->listed)
        return;
    c->listed = true;
    c->prev = CHUNK_NONE;
    c->next = *list;
    if (*list != CHUNK_NONE)
        d->chunks[*list].prev = i;
    *list = i;
}

static void unlist_chunk(struct directory *d, uint32_t i)
{
    struct chunk *c = &d->chunks[i];
    assert(c->listed);
    c->listed = false;
    if (c->next != CHUNK_NONE)
        d->chunks[c->next].prev = c->prev;
    if (c->prev != CHUNK_NONE)
        d->chunks[c->prev].next = c->next;
    else
        *list_of(d, c) = c->next;
}

static uint64_t chunk_check(const struct directory *d, uint32_t i, uint32_t class)
{
    return directory_mix(gva_make(d->name), ((uint64_t)i << 8) + class + 1);
}

/* One more at the end of the file. CENOTE_OK: it is in the list of the empty ones. */
static int chunk_new(struct directory *d)
{
    if (d->chunk_count == d->chunk_limit)
        return CENOTE_NO_SPACE;
    if (d->chunk_count == d->chunk_room) {
        uint32_t room = d->chunk_room == 0 ? 64 : d->chunk_room * 2;
        struct chunk *chunks = realloc(d->chunks, room * sizeof *chunks);
        if (!chunks)
            return CENOTE_NO_MEMORY;
        d->chunks = chunks;
        d->chunk_room = room;
    }
    d->chunks[d->chunk_count] = (struct chunk){.class = CLASS_NONE};
    list_chunk(d, d->chunk_count++);
    return CENOTE_OK;
}

/* Memory that isn't there must be an error here, and not a signal when it is touched. */
static int chunk_reserve(const struct directory *d, uint32_t i)
{
    off_t at = (off_t)(chunk_at(d, i) - d->base);
    if (d->may_grow && !d->may_grow(d->may_grow_arg, DIRECTORY_CHUNK_BYTES))
        return CENOTE_NO_SPACE;
    while (fallocate(d->fd, 0, at, DIRECTORY_CHUNK_BYTES) != 0)
        if (errno != EINTR)
            return CENOTE_NO_SPACE;
    return CENOTE_OK;
}

/* A chunk without a class gets this one. */
static int chunk_take(struct directory *d, uint32_t class)
{
    int status = d->empty == CHUNK_NONE ? chunk_new(d) : CENOTE_OK;
    if (status != CENOTE_OK)
        return status;
    uint32_t i = d->empty;
    status = chunk_reserve(d, i);
    if (status != CENOTE_OK)
        return status;
    uint8_t *head = chunk_at(d, i);
    unlist_chunk(d, i);
    mark(head, 0);
    memset(head, 0, DIRECTORY_CHUNK_BYTES);
    put_u32(head + 8, class);
    mark(head, chunk_check(d, i, class));
    d->chunks[i] = (struct chunk){.class = (uint8_t) class};
    list_chunk(d, i);
    d->chunks_used++;
    return CENOTE_OK;
}

static void chunk_give(struct directory *d, uint32_t i)
{
    assert(d->chunks[i].used == 0);
    unlist_chunk(d, i);
    mark(chunk_at(d, i), 0);
    (void)fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    (off_t)(chunk_at(d, i) - d->base), DIRECTORY_CHUNK_BYTES);
    d->chunks[i] = (struct chunk){.class = CLASS_NONE};
    list_chunk(d, i);
    d->chunks_used--;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* A slot that holds no entry; it is taken out of the chunk's free ones. NULL: *status says why. */
static uint8_t *slot_take(struct directory *d, uint32_t class, int *status)
{
    *status = d->lists[class] == CHUNK_NONE ? chunk_take(d, class) : CENOTE_OK;
    if (*status != CENOTE_OK)
        return NULL;
    uint32_t i = d->lists[class];
    struct chunk *c = &d->chunks[i];
    uint32_t slot = c->freed != 0 ? c->freed - 1u : c->fresh++;
    uint8_t *at = slot_in(d, i, slot);
    if (c->freed != 0)
        c->freed = (uint16_t)get_u32(at + SLOT_FREE);
    if (++c->used == chunk_slots(class))
        unlist_chunk(d, i);
    return at;
}

static void slot_free(struct directory *d, struct chunk *c, uint32_t i, uint8_t *at)
{
    put_u32(at + SLOT_FREE, c->freed);
    c->freed = (uint16_t)((size_t)(at - slot_in(d, i, 0)) / slot_size(c->class) + 1);
    list_chunk(d, i);
}

/* Its entry has ended. One empty chunk of each class is kept. */
static void slot_give(struct directory *d, uint8_t *at)
{
    uint32_t i = chunk_of(d, at);
    struct chunk *c = &d->chunks[i];
    assert(c->used > 0);
    c->used--;
    slot_free(d, c, i, at);
    if (c->used == 0 && (c->next != CHUNK_NONE || c->prev != CHUNK_NONE))
        chunk_give(d, i);
}

static void entry_end(struct directory *d, uint8_t *slot)
{
    struct gva gva = gva_make(get_u64(slot + SLOT_GVA));
    mark(slot + SLOT_CHECK, 0);
    index_remove(&d->by_gva, hash_gva(gva.v), ref_of(d, slot));
    directory_sum_take(&d->sum, gva, get_u64(slot + SLOT_PUT_ID));
    slot_give(d, slot);
}

static void entry_count(struct directory *d, const uint8_t *slot)
{
    uint64_t gva = get_u64(slot + SLOT_GVA);
    index_insert(&d->by_gva, hash_gva(gva), ref_of(d, slot));
    directory_sum_add(&d->sum, gva_make(gva), get_u64(slot + SLOT_PUT_ID));
}

/* ---- changing -------------------------------------------------------------------------------- */

static bool is_same(const uint8_t *slot, const struct directory_entry *e)
{
    uint8_t bytes[SLOT_MAX];
    uint32_t len = slot_len(e);
    slot_encode(e, bytes);
    return memcmp(slot + SLOT_SUMMED, bytes + SLOT_SUMMED, len - SLOT_SUMMED) == 0;
}

static int entry_add(struct directory *d, const struct directory_entry *e, uint8_t **out)
{
    int status = index_reserve(&d->by_gva, (uint32_t)d->sum.entries + 2);
    if (status != CENOTE_OK)
        return status;
    uint32_t class = slot_class(slot_len(e));
    uint8_t *slot = slot_take(d, class, &status);
    if (!slot)
        return status;
    slot_encode(e, slot);
    put_u32(slot + SLOT_ROUND, d->round);
    mark(slot + SLOT_CHECK, slot_check(slot, slot_size(class), d->name, ref_of(d, slot)));
    *out = slot;
    return CENOTE_OK;
}

int directory_set(struct directory *d, const struct directory_entry *e)
{
    uint8_t *old = find(d, e->gva), *slot = NULL;
    if (old && is_same(old, e)) {
        put_u32(old + SLOT_ROUND, d->round);
        return CENOTE_OK;
    }
    /* Addresses are given anew to ever higher put ids: this is word from the past. */
    if (old && get_u64(old + SLOT_PUT_ID) > e->put_id)
        return CENOTE_OK;
    int status = entry_add(d, e, &slot);
    if (status != CENOTE_OK)
        return status;
    if (old)
        entry_end(d, old);
    entry_count(d, slot);
    return CENOTE_OK;
}

void directory_drop(struct directory *d, struct gva gva)
{
    uint8_t *slot = find(d, gva);
    if (slot && !test_off(TEST_ENTRIES))
        entry_end(d, slot);
}

/* Slots in order of their places: the first entry at or behind (chunk, slot). */
static uint8_t *entry_from(const struct directory *d, uint32_t *chunk, uint32_t *slot)
{
    for (; *chunk < d->chunk_count; (*chunk)++, *slot = 0) {
        const struct chunk *c = &d->chunks[*chunk];
        for (; c->class != CLASS_NONE && c->used > 0 && *slot < c->fresh; (*slot)++)
            if (get_u64(slot_in(d, *chunk, *slot) + SLOT_CHECK) != 0)
                return slot_in(d, *chunk, *slot);
    }
    return NULL;
}

void directory_round_begin(struct directory *d)
{
    d->round++;
}

void directory_round_end(struct directory *d)
{
    uint32_t chunk = 0, slot = 0;
    uint8_t *at;
    while ((at = entry_from(d, &chunk, &slot)) != NULL) {
        if (get_u32(at + SLOT_ROUND) != d->round && !test_off(TEST_ENTRIES))
            entry_end(d, at);
        slot++;
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

struct directory_sum directory_sum(const struct directory *d)
{
    return d->sum;
}

uint64_t directory_bytes(const struct directory *d)
{
    return DIRECTORY_HEAD_BYTES + (uint64_t)d->chunks_used * DIRECTORY_CHUNK_BYTES;
}

bool directory_find(const struct directory *d, struct gva gva, struct directory_entry *out)
{
    const uint8_t *slot = find(d, gva);
    return slot && slot_decode(slot, out);
}

bool directory_next(const struct directory *d, uint64_t *cursor, struct directory_entry *out)
{
    uint32_t chunk = (uint32_t)(*cursor >> 16), slot = *cursor & 0xffff;
    if (*cursor >> 16 > d->chunk_count)
        return false;
    const uint8_t *at = entry_from(d, &chunk, &slot);
    if (!at)
        return false;
    *cursor = ((uint64_t)chunk << 16) + slot + 1;
    return slot_decode(at, out);
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool in_ranges(const struct directory_entry *e, const struct directory_range *ranges,
                      uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (gva_covers(ranges[i].gva, ranges[i].len_bytes, e->gva, 1))
            return true;
    return false;
}

static bool slot_is_good(const struct directory *d, const uint8_t *slot, uint32_t class,
                         const struct directory_range *ranges, uint32_t count)
{
    struct directory_entry e;
    uint64_t check = slot_check(slot, slot_size(class), d->name, ref_of(d, slot));
    return check != 0 && check == get_u64(slot + SLOT_CHECK) && slot_decode(slot, &e) &&
           in_ranges(&e, ranges, count);
}

/* Killed between two steps of a replacement: the newer one stays. */
static void take_over_slot(struct directory *d, uint8_t *slot)
{
    uint8_t *other = find(d, gva_make(get_u64(slot + SLOT_GVA)));
    put_u32(slot + SLOT_ROUND, d->round);
    entry_count(d, slot);
    if (other && get_u64(other + SLOT_PUT_ID) <= get_u64(slot + SLOT_PUT_ID))
        entry_end(d, other);
    else if (other)
        entry_end(d, slot);
}

static int take_over_chunk(struct directory *d, uint32_t i, const struct directory_range *ranges,
                           uint32_t count)
{
    const uint8_t *head = chunk_at(d, i);
    if (lseek(d->fd, head - d->base, SEEK_DATA) != head - d->base)
        return CENOTE_OK; /* a hole: to look at it would take memory */
    uint32_t class = get_u32(head + 8);
    if (class >= SLOT_CLASSES || get_u64(head) != chunk_check(d, i, class))
        return CENOTE_OK;
    struct chunk *c = &d->chunks[i];
    unlist_chunk(d, i);
    *c = (struct chunk){.class = (uint8_t) class, .fresh = (uint16_t)chunk_slots(class)};
    d->chunks_used++;
    list_chunk(d, i);
    if (index_reserve(&d->by_gva, (uint32_t)d->sum.entries + c->fresh + 1) != CENOTE_OK)
        return CENOTE_NO_MEMORY;
    c->used = c->fresh; /* each slot is taken, then given if it holds no entry */
    unlist_chunk(d, i);
    for (uint32_t k = 0; k < chunk_slots(class); k++) {
        uint8_t *slot = slot_in(d, i, k);
        if (slot_is_good(d, slot, class, ranges, count)) {
            take_over_slot(d, slot);
        } else {
            mark(slot + SLOT_CHECK, 0);
            slot_give(d, slot);
        }
    }
    return CENOTE_OK;
}

static uint64_t head_check(const uint8_t *head)
{
    return hash_xxh3(head, NAMED_LEN - 8);
}

static bool head_is_good(const struct directory *d)
{
    return get_u32(d->base) == DIRECTORY_MAGIC && get_u32(d->base + 4) == DIRECTORY_FORMAT &&
           get_u64(d->base + NAMED_LEN - 8) == head_check(d->base);
}

static int take_over(struct directory *d, uint64_t file_bytes, const struct directory_range *ranges,
                     uint32_t count)
{
    d->name = get_u64(d->base + 8);
    uint64_t chunks = (file_bytes - DIRECTORY_HEAD_BYTES) / DIRECTORY_CHUNK_BYTES;
    int status = CENOTE_OK;
    for (uint32_t i = 0; i < chunks && status == CENOTE_OK; i++) {
        status = chunk_new(d);
        if (status == CENOTE_OK)
            status = take_over_chunk(d, i, ranges, count);
    }
    return status;
}

static int begin_empty(struct directory *d)
{
    if (ftruncate(d->fd, 0) != 0 || fallocate(d->fd, 0, 0, DIRECTORY_HEAD_BYTES) != 0)
        return errno == ENOSPC ? CENOTE_NO_SPACE : CENOTE_IO;
    d->name = hash_random_u64();
    struct bytes b = bytes_over(d->base, NAMED_LEN);
    bytes_put_u32(&b, DIRECTORY_MAGIC);
    bytes_put_u32(&b, DIRECTORY_FORMAT);
    bytes_put_u64(&b, d->name);
    mark(d->base + NAMED_LEN - 8, head_check(d->base));
    return CENOTE_OK;
}

static int fill(struct directory *d, const struct directory_range *ranges, uint32_t count)
{
    struct stat st;
    if (fstat(d->fd, &st) != 0)
        return CENOTE_IO;
    uint64_t len = (uint64_t)st.st_size;
    if (count > 0 && len >= DIRECTORY_HEAD_BYTES && len <= d->limit_bytes && head_is_good(d))
        return take_over(d, len, ranges, count);
    return begin_empty(d);
}

static struct directory *directory_new(int fd, uint64_t limit_bytes)
{
    struct directory *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->own_fd = fd < 0;
    d->fd = fd < 0 ? memfd_create("cenote-directory", MFD_CLOEXEC) : fd;
    d->limit_bytes = limit_bytes < DIRECTORY_BYTES_MAX ? limit_bytes : DIRECTORY_BYTES_MAX;
    d->chunk_limit = (uint32_t)((d->limit_bytes - DIRECTORY_HEAD_BYTES) / DIRECTORY_CHUNK_BYTES);
    d->round = 1;
    d->empty = CHUNK_NONE;
    for (uint32_t i = 0; i < SLOT_CLASSES; i++)
        d->lists[i] = CHUNK_NONE;
    if (d->fd >= 0) {
        d->base = mmap(NULL, d->limit_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       d->fd, 0);
        if (d->base != MAP_FAILED)
            return d;
        d->base = NULL;
    }
    directory_close(d);
    return NULL;
}

int directory_open(int fd, uint64_t limit_bytes, const struct directory_range *ranges,
                   uint32_t count, struct directory **out)
{
    assert(limit_bytes >= DIRECTORY_HEAD_BYTES);
    struct directory *d = directory_new(fd, limit_bytes);
    int status = d ? fill(d, ranges, count) : CENOTE_NO_MEMORY;
    if (status == CENOTE_OK) {
        *out = d;
        return CENOTE_OK;
    }
    log_error("node", "cannot make the directory of extents: %s", cenote_status_text(status));
    directory_close(d);
    return status;
}

void directory_ask(struct directory *d, bool (*may_grow)(void *arg, uint64_t bytes), void *arg)
{
    d->may_grow = may_grow;
    d->may_grow_arg = arg;
}

void directory_close(struct directory *d)
{
    if (!d)
        return;
    if (d->base)
        munmap(d->base, d->limit_bytes);
    if (d->own_fd && d->fd >= 0)
        close(d->fd);
    index_free(&d->by_gva);
    free(d->chunks);
    free(d);
}
