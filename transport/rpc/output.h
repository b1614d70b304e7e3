/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that wait until the socket takes them. */
#ifndef CENOTE_RPC_OUTPUT_H
#define CENOTE_RPC_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_output {
    uint8_t *data;
    size_t begin, end; /* the waiting bytes */
    size_t cap;
};

static inline size_t rpc_output_len(const struct rpc_output *out)
{
    return out->end - out->begin;
}

/* False: no memory. */
bool rpc_output_add(struct rpc_output *out, const void *data, size_t len_bytes);
/* One send() without waiting: 0, or an errno (EAGAIN when the socket took not all). */
int rpc_output_send(struct rpc_output *out, int fd);
void rpc_output_free(struct rpc_output *out);

#endif
