/* SPDX-License-Identifier: Apache-2.0 */
/* One connection at the node: what connection.c and serve.c share. */
#ifndef CENOTE_TRANSPORT_TCP_CONNECTION_H
#define CENOTE_TRANSPORT_TCP_CONNECTION_H

#include "transport/tcp/server.h"

/*
 *   HELLO -> ANSWER -> REQUEST -> ANSWER (read) ---------------> REQUEST
 *                              -> BODY or SWALLOW -> ANSWER ---> REQUEST
 *                      whatever ends the connection -> ANSWER -> LINGER -> closed
 *
 * One request at a time, so a read that stands behind another one is looked at when the bytes of
 * the first have left: the order of payload and seal.
 */
enum connection_state {
    STATE_HELLO,
    STATE_REQUEST,
    STATE_BODY,    /* a write goes straight into the segment */
    STATE_SWALLOW, /* a write was refused */
    STATE_ANSWER,  /* a read comes straight from the segment */
    STATE_LINGER
};

enum step {
    STEP_ON,         /* something moved: go on */
    STEP_WAIT_READ,  /* nothing to read now */
    STEP_WAIT_WRITE, /* no room to write now */
    STEP_CLOSE
};

struct tcp_connection {
    struct tcp_connection *next, *prev; /* of the loop */
    struct tcp_loop *loop;
    int fd;
    struct event *readable, *writable, *again;
    enum connection_state state;
    bool last_answer; /* then close */
    uint64_t active_ms;
    struct xcopy_credentials who;
    struct tcp_request req;
    uint64_t begun_ns;  /* of req, on its way; 0: there is none */
    uint64_t traced_ns; /* the same, if somebody traces */
    uint8_t *body;      /* STATE_BODY: where the next byte goes */
    uint64_t body_left;
    int body_status;     /* what the answer will say */
    const uint8_t *data; /* STATE_ANSWER: behind the header */
    uint64_t data_left;
    const uint8_t *seal_at; /* where in memory data reaches the seal */
    size_t out_at, out_have;
    uint8_t out[TCP_RESPONSE_BYTES];
    size_t in_at, in_have;
    uint8_t in[TCP_SERVER_IN_BYTES];
};

_Static_assert(HELLO_ANSWER_BYTES == TCP_RESPONSE_BYTES, "one buffer for both");

/* serve.c: does the next bit of work; *moved counts the bytes. */
enum step tcp_connection_step(struct tcp_connection *c, uint64_t *moved);
/* Nobody waits any more for what is being done. */
void tcp_connection_give_up(struct tcp_connection *c);

#endif
