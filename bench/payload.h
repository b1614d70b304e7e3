/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads that can be told from any other: the bytes of a block follow from its id, every 8 bytes
 * differ from every other 8 bytes of all blocks. The benchmark checks what it reads against them by
 * itself: it doesn't trust the library that it measures.
 */
#ifndef CENOTE_BENCH_PAYLOAD_H
#define CENOTE_BENCH_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void payload_fill(uint64_t id, uint8_t *out, size_t len_bytes);
/* True when all len bytes are those of the block. */
bool payload_is(uint64_t id, const uint8_t *data, size_t len_bytes);

#endif
