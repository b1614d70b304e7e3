/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has arrived on a stream and isn't used yet: read into one buffer, taken out frame by frame.
 * It holds less than two frames of the largest size, and grows with bytes that came, never with
 * lengths that were promised.
 */
#ifndef CENOTE_RPC_INPUT_H
#define CENOTE_RPC_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "transport/wire/wire.h"

struct rpc_input {
    uint8_t *data;
    size_t begin, end; /* the unused bytes */
    size_t cap;
    size_t frame_max_bytes;
    struct wire_progress progress; /* of the scan of the frame at begin */
};

void rpc_input_init(struct rpc_input *in, size_t frame_max_bytes);
void rpc_input_free(struct rpc_input *in);

/* One recv() without waiting: the bytes read (> 0), 0 at the stream's end, or -1 with errno (EAGAIN
 * when there is nothing, ENOMEM). */
ssize_t rpc_input_read(struct rpc_input *in, int fd);

/* Takes the next frame out: its length, 0 (none is complete), or a negative status as wire_scan().
 * The frame's bytes stay until the next rpc_input_read(). */
int64_t rpc_input_next(struct rpc_input *in, const uint8_t **frame);

#endif
