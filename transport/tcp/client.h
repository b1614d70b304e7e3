/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP, the side that copies. A request becomes one wire request for its part of the payload and one
 * for its tail. Everything that is in flight stands in one queue in the order of submission; the
 * sending half walks it ahead of the receiving half, and responses come in the same order.
 */
#ifndef CENOTE_TRANSPORT_TCP_CLIENT_H
#define CENOTE_TRANSPORT_TCP_CLIENT_H

#include <sys/uio.h>

#include "transport/tcp/wire.h"

/* Headers that are waiting to be sent; bytes that came with a header. */
#define TCP_OUT_BYTES          4096u
#define TCP_IN_BYTES           4096u
/* One system call moves at most so much: what has been moved is summed while it is in the cache. */
#define TCP_CLIENT_CHUNK_BYTES (UINT64_C(256) << 10)
/* One progress() moves at most so much in each direction: other channels have their turn. */
#define TCP_CLIENT_TURN_BYTES  (UINT64_C(4) << 20)
#define TCP_PIECES_MAX         64u /* pieces of a buffer in one system call */

enum tcp_part { PART_PAYLOAD, PART_TAIL, PART_NONE };

/* A walk over the wire requests of the queue. */
struct tcp_walk {
    struct xcopy_req *req; /* NULL: behind the last */
    enum tcp_part part;
    struct xcopy_cursor cursor; /* local bytes of the part ... */
    uint64_t left;              /* ... that haven't passed */
    uint64_t id;                /* of the part's wire request */
};

struct tcp_channel {
    struct xcopy_channel base;
    int fd;
    uint64_t boot;
    bool broken;
    struct xcopy_req *head, *tail; /* in flight */
    struct tcp_walk send;          /* the part whose header isn't in out, or whose bytes go out */
    bool sending_body;             /* send's header is in out already */
    struct tcp_walk recv;          /* the part whose response is expected */
    bool receiving_body;
    int recv_status; /* first error of recv.req */
    size_t out_at, out_have;
    size_t in_at, in_have;
    uint8_t out[TCP_OUT_BYTES];
    uint8_t in[TCP_IN_BYTES];
};

/* Moves to the first part of req, to the part after this one, and (over) to the next request's
 * first part when this request has no more. */
void tcp_walk_begin(struct tcp_walk *w, struct xcopy_req *req);
void tcp_walk_next(struct tcp_walk *w);
/* The next bytes of the part, at most limit, as pieces; without moving. Returns their number. */
size_t tcp_walk_pieces(const struct tcp_walk *w, uint64_t limit, struct iovec *iov, size_t max,
                       uint64_t *total);
/* Passes over bytes that were moved, feeding the sums. */
void tcp_walk_pass(struct tcp_walk *w, uint64_t len_bytes);

/* The two halves of progress(): whether something moved. On an error they break the channel. */
bool tcp_client_send(struct tcp_channel *ch);
bool tcp_client_receive(struct tcp_channel *ch);
/* Completes everything in flight with the status and marks the channel broken. */
void tcp_client_break(struct tcp_channel *ch, int status);
/* The same after a system call that failed with this errno in the midst of a request (NULL: of
 * none). Memory that isn't there is that request's fault, and no news of the node. */
void tcp_client_fail(struct tcp_channel *ch, struct xcopy_req *during, int error);

#endif
