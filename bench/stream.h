/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking sockets that move scattered bytes: the bare pair's and the Redis client's. */
#ifndef CENOTE_BENCH_STREAM_H
#define CENOTE_BENCH_STREAM_H

#include <cenote/cenote.h>
#include <stdbool.h>
#include <sys/uio.h>

#define STREAM_PIECES_MAX 128u /* of one value */

/* One part before the pieces and one behind them. */
typedef struct iovec stream_parts[STREAM_PIECES_MAX + 2];

/* Moves all of them, or returns false; the parts are used up. */
bool stream_send(int fd, struct iovec *parts, size_t count);
bool stream_receive(int fd, struct iovec *parts, size_t count);
/* Lists the pieces as parts; returns their number. */
size_t stream_pieces(const struct cenote_buffer *pieces, size_t count, struct iovec *parts);

#endif
