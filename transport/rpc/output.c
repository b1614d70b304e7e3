/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rpc/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OUTPUT_FIRST_BYTES 1024u
/* An empty buffer that had grown beyond this is given back. */
#define OUTPUT_KEEP_BYTES  (64u << 10)

void rpc_output_free(struct rpc_output *out)
{
    free(out->data);
    *out = (struct rpc_output){0};
}

/* Room for len_bytes behind end. Moving is worth it only where it gains as much as it copies. */
static bool output_make_room(struct rpc_output *out, size_t len_bytes)
{
    size_t waiting_bytes = rpc_output_len(out);
    if (len_bytes <= out->cap - out->end)
        return true;
    if (out->begin >= waiting_bytes && len_bytes <= out->cap - waiting_bytes) {
        memmove(out->data, out->data + out->begin, waiting_bytes);
        out->begin = 0;
        out->end = waiting_bytes;
        return true;
    }
    size_t cap = out->cap ? out->cap : OUTPUT_FIRST_BYTES;
    while (cap - out->end < len_bytes)
        cap *= 2;
    uint8_t *data = realloc(out->data, cap);
    if (!data)
        return false;
    out->data = data;
    out->cap = cap;
    return true;
}

bool rpc_output_add(struct rpc_output *out, const void *data, size_t len_bytes)
{
    if (!output_make_room(out, len_bytes))
        return false;
    memcpy(out->data + out->end, data, len_bytes);
    out->end += len_bytes;
    return true;
}

int rpc_output_send(struct rpc_output *out, int fd)
{
    if (rpc_output_len(out) == 0)
        return 0;
    ssize_t n = send(fd, out->data + out->begin, rpc_output_len(out), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EINTR ? EAGAIN : errno;
    out->begin += (size_t)n;
    if (rpc_output_len(out) > 0)
        return EAGAIN;
    out->begin = out->end = 0;
    if (out->cap > OUTPUT_KEEP_BYTES)
        rpc_output_free(out);
    return 0;
}
