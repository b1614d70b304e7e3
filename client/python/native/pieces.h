/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that an application names for a value. One piece is
 *   - an object with the buffer protocol, C-contiguous: bytes, memoryview, numpy array, ...
 *   - a tuple (address, length) of memory that the caller keeps
 *   - an object with __dlpack__(), in memory that processors address
 * and a list of pieces, in order, is one value's memory.
 */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_PIECES_H
#define CENOTE_CLIENT_PYTHON_NATIVE_PIECES_H

#include "client/python/native/handle.h"

/* Pieces are a put's, which are only read, or a get's. */
enum pieces_use { PIECES_READ, PIECES_WRITE };

struct hold; /* keeps the memory of one piece */

/* All pieces of one call. */
struct pieces {
    const struct handle *handle; /* whose registered memory isn't looked at again */
    enum pieces_use use;
    struct cenote_buffer *buffers;
    size_t count, room;
    struct hold *holds;
    size_t hold_count, hold_room;
};

/* Adds what is meant for one value. 0, or -1 with an exception; pieces_free() either way. */
int pieces_add(struct pieces *pieces, PyObject *value);

/* Gives up everything that was kept. */
void pieces_free(struct pieces *pieces);

#endif
