/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/regions.h"

#include <cenote/buffer.h>
#include <string.h>

#include "client/python/native/pieces.h"

#define ROOM_FIRST 16

struct region {
    uint64_t id;
    struct pieces memory; /* one piece */
};

static uintptr_t begin_of(const struct cenote_buffer *memory)
{
    return (uintptr_t)memory->addr;
}

/* How many regions begin at an address or below. */
static size_t regions_below(const struct handle *h, uintptr_t addr)
{
    size_t low = 0, high = h->region_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (begin_of(h->regions[middle].memory.buffers) <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool regions_cover(const struct handle *h, const struct cenote_buffer *memory)
{
    size_t below = regions_below(h, begin_of(memory));

    if (below == 0)
        return false;
    const struct cenote_buffer *region = h->regions[below - 1].memory.buffers;
    uintptr_t offset = begin_of(memory) - begin_of(region);
    return offset <= region->len_bytes && memory->len_bytes <= region->len_bytes - offset;
}

static int regions_room(struct handle *h)
{
    size_t more = h->region_room > 0 ? h->region_room * 2 : ROOM_FIRST;

    if (h->region_count < h->region_room)
        return 0;
    struct region *moved = PyMem_Realloc(h->regions, more * sizeof *moved);
    if (moved == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    h->regions = moved;
    h->region_room = more;
    return 0;
}

static void regions_insert(struct handle *h, const struct region *region)
{
    size_t at = regions_below(h, begin_of(region->memory.buffers));

    memmove(&h->regions[at + 1], &h->regions[at], (h->region_count - at) * sizeof *region);
    h->regions[at] = *region;
    h->region_count++;
}

/* In a call on `client`. The region takes over what the pieces keep. */
static int add_region(struct handle *h, struct cenote *client, struct region *region)
{
    const struct cenote_buffer *memory = region->memory.buffers;
    int status = CENOTE_OK;

    Py_BEGIN_ALLOW_THREADS;
    status = cenote_buffer_register(client, memory->addr, memory->len_bytes, CENOTE_MEMORY_HOST,
                                    &region->id);
    Py_END_ALLOW_THREADS;
    if (status != CENOTE_OK) {
        native_raise(status, status == CENOTE_INVALID
                                 ? "the memory is empty, or some of it is registered already"
                                 : "the memory to register");
        return -1;
    }
    if (regions_room(h) != 0) {
        cenote_buffer_unregister(client, region->id);
        return -1;
    }
    regions_insert(h, region);
    return 0;
}

PyObject *regions_register(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct region region = {.memory = {.handle = h, .use = PIECES_WRITE}};

    if (native_arity("register", count, 1) != 0)
        return NULL;
    if (pieces_add(&region.memory, args[0]) != 0)
        goto release;
    if (region.memory.count != 1) {
        PyErr_SetString(PyExc_ValueError, "one piece of memory is registered at a time");
        goto release;
    }
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        goto release;
    int added = add_region(h, client, &region);
    handle_leave(h);
    if (added != 0)
        goto release;
    return Py_BuildValue("KKK", (unsigned long long)region.id,
                         (unsigned long long)begin_of(region.memory.buffers),
                         (unsigned long long)region.memory.buffers->len_bytes);
release:
    pieces_free(&region.memory);
    return NULL;
}

/* Takes a region out; false: there is none. */
static bool regions_take(struct handle *h, uint64_t id, struct region *out)
{
    for (size_t i = 0; i < h->region_count; i++) {
        if (h->regions[i].id != id)
            continue;
        *out = h->regions[i];
        h->region_count--;
        memmove(&h->regions[i], &h->regions[i + 1], (h->region_count - i) * sizeof *out);
        return true;
    }
    return false;
}

PyObject *regions_unregister(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct region region;
    uint64_t id = 0;
    struct cenote *client = handle_enter_id(h, "unregister", args, count, &id);

    if (client == NULL)
        return NULL;
    bool found = regions_take(h, id, &region);
    if (found) {
        Py_BEGIN_ALLOW_THREADS;
        cenote_buffer_unregister(client, id);
        Py_END_ALLOW_THREADS;
    }
    handle_leave(h);
    if (!found)
        return native_raise(CENOTE_INVALID, "there is no such registration");
    pieces_free(&region.memory);
    Py_RETURN_NONE;
}

void regions_forget(struct handle *h)
{
    struct region *regions = h->regions;
    size_t count = h->region_count;

    h->regions = NULL;
    h->region_count = h->region_room = 0;
    for (size_t i = 0; i < count; i++)
        pieces_free(&regions[i].memory);
    PyMem_Free(regions);
}
