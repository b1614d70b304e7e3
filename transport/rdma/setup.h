/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What client and node say to each other about queue pairs, over a TCP connection to the node's
 * rdma endpoint (doc/PROTOCOL.md, "RDMA set-up"). The connection begins with the hello of all data
 * connections and lives as long as its queue pairs: when it ends, for whatever reason, the node
 * destroys them.
 *
 *   client  HELLO                       node  ANSWER, PORTS
 *   client  OPEN (several at once)      node  OPENED for each, in order; KEYS when a segment is new
 *   client  CLOSE                       node  CLOSED: no request by that queue pair touches memory
 *                                             any more. Also unasked, after a fence.
 *   client  ASK                         node  KEYS: as they are now. (An address was unknown; the
 *                                             news of its segment may be on its way.)
 */
#ifndef CENOTE_TRANSPORT_RDMA_SETUP_H
#define CENOTE_TRANSPORT_RDMA_SETUP_H

#include "transport/rdma/queue.h"

#define SETUP_HEADER_BYTES 8u
#define SETUP_MAGIC        UINT32_C(0x51524e43) /* "CNRQ" in memory */
#define SETUP_KEYS_MAX     1024u                /* pieces of all segments */
#define SETUP_KEY_BYTES    40u
#define SETUP_BODY_MAX     (64u + SETUP_KEYS_MAX * SETUP_KEY_BYTES)
#define SETUP_QUEUES_MAX   64u /* of one connection */

enum setup_type {
    SETUP_PORTS = 1,
    SETUP_OPEN = 2,
    SETUP_OPENED = 3,
    SETUP_KEYS = 4,
    SETUP_CLOSE = 5,
    SETUP_CLOSED = 6,
    SETUP_ASK = 7
};

struct setup_ports {
    uint32_t count;
    struct rdma_remote_port at[XCOPY_RAILS_MAX];
};

struct setup_open {
    uint32_t tag;  /* the client's, names the queue pair on this connection; not in use */
    uint32_t port; /* index in PORTS */
    enum rdma_role role;
    struct rdma_end end;
    struct rdma_remote_port from; /* the client's port */
};

/* One piece of a segment, as the queue pair may name it. */
struct setup_key {
    struct gva gva;
    uint64_t len_bytes;
    uint64_t addr; /* what a request calls its first byte */
    uint64_t incarnation;
    uint32_t rkey;
};

/* OPENED, and KEYS (tag and keys only): the whole list each time. */
struct setup_opened {
    uint32_t tag;
    int status; /* CENOTE_OK, or why there is no queue pair: CENOTE_LIMIT, ... */
    struct rdma_end end;
    uint64_t horizon; /* RDMA_ROLE_WRITE: puts up to it mustn't be written by this queue pair */
    uint32_t key_count;
    struct setup_key *keys; /* the caller's array of SETUP_KEYS_MAX */
};

/* CLOSE, CLOSED and ASK: the queue pair's tag. */
struct setup_close {
    uint32_t tag;
};

/* Encode a whole message, header included; out has SETUP_HEADER_BYTES + SETUP_BODY_MAX. They return
 * its length. */
size_t setup_encode_ports(const struct setup_ports *m, uint8_t *out);
size_t setup_encode_open(const struct setup_open *m, uint8_t *out);
size_t setup_encode_opened(enum setup_type type, const struct setup_opened *m, uint8_t *out);
size_t setup_encode_close(enum setup_type type, const struct setup_close *m, uint8_t *out);

/* CENOTE_OK: a header of a known type whose body isn't too long for it. CENOTE_PROTOCOL. */
int setup_decode_header(const uint8_t in[SETUP_HEADER_BYTES], enum setup_type *type,
                        uint32_t *body_len);
/* CENOTE_OK or CENOTE_PROTOCOL: all values are in their ranges. */
int setup_decode_ports(const uint8_t *body, uint32_t len, struct setup_ports *out);
int setup_decode_open(const uint8_t *body, uint32_t len, struct setup_open *out);
int setup_decode_opened(enum setup_type type, const uint8_t *body, uint32_t len,
                        struct setup_opened *out);
int setup_decode_close(const uint8_t *body, uint32_t len, struct setup_close *out);

#endif
