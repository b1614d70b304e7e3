/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for what is on its way through the gateway, in pieces of whole chunks. One small piece a
 * transfer may always have; all above that comes from one budget. So however many clients there
 * are, and however slow, the sum is bounded: by the budget, and a small piece for each connection.
 * The server's thread only.
 */
#ifndef CENOTE_GATEWAY_MEMORY_H
#define CENOTE_GATEWAY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define PIECE_MIN_BYTES  (64u << 10) /* a chunk of a value's checksums */
#define PIECE_MAX_BYTES  (1u << 20)
#define MEMORY_MAX_BYTES (64u << 20)

struct memory {
    size_t used_bytes; /* of the budget */
};

struct piece {
    struct memory *memory;
    size_t size_bytes;
    bool budgeted;
    char data[];
};

/* As much as there is, up to wanted. first: the transfer has no other piece, and gets a small one
 * in any case. NULL: there is none. */
struct piece *memory_take(struct memory *m, size_t wanted_bytes, bool first);
/* NULL is accepted. */
void memory_give(struct piece *p);

#endif
