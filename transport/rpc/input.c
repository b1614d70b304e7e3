/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rpc/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define INPUT_FIRST_BYTES 4096u
/* An empty buffer that had grown beyond this is given back. */
#define INPUT_KEEP_BYTES  (256u << 10)

void rpc_input_init(struct rpc_input *in, size_t frame_max_bytes)
{
    *in = (struct rpc_input){.frame_max_bytes = frame_max_bytes};
}

void rpc_input_free(struct rpc_input *in)
{
    free(in->data);
    *in = (struct rpc_input){0};
}

static void input_compact(struct rpc_input *in)
{
    size_t unused_bytes = in->end - in->begin;
    if (unused_bytes == 0 && in->cap > INPUT_KEEP_BYTES) {
        free(in->data);
        in->data = NULL;
        in->cap = 0;
    } else if (unused_bytes > 0 && in->begin > 0) {
        memmove(in->data, in->data + in->begin, unused_bytes);
    }
    in->begin = 0;
    in->end = unused_bytes;
}

static bool input_grow(struct rpc_input *in)
{
    size_t cap = in->cap ? 2 * in->cap : INPUT_FIRST_BYTES;
    uint8_t *data = realloc(in->data, cap);
    if (!data)
        return false;
    in->data = data;
    in->cap = cap;
    return true;
}

ssize_t rpc_input_read(struct rpc_input *in, int fd)
{
    input_compact(in);
    if (in->end == in->cap && !input_grow(in)) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = recv(fd, in->data + in->end, in->cap - in->end, MSG_DONTWAIT);
    if (n > 0)
        in->end += (size_t)n;
    return n;
}

int64_t rpc_input_next(struct rpc_input *in, const uint8_t **frame)
{
    if (in->begin == in->end)
        return 0;
    int64_t n =
        wire_scan(in->data + in->begin, in->end - in->begin, in->frame_max_bytes, &in->progress);
    if (n > 0) {
        *frame = in->data + in->begin;
        in->begin += (size_t)n;
        in->progress = (struct wire_progress){0};
    }
    return n;
}
