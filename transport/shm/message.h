/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node sends over the UNIX socket behind the answer to the hello: messages of 32 bytes, each
 * with one descriptor. First the slots of this connection, then the segments, later ones too.
 */
#ifndef CENOTE_TRANSPORT_SHM_MESSAGE_H
#define CENOTE_TRANSPORT_SHM_MESSAGE_H

#include "transport/xcopy.h"

#define SHM_MESSAGE_BYTES 32u

enum shm_message_kind { SHM_SLOTS = 1, SHM_SEGMENT = 2 };

struct shm_message {
    uint32_t kind;
    struct gva gva; /* the rest: SHM_SEGMENT */
    uint64_t len_bytes;
    uint64_t incarnation;
};

/* Sends without blocking. CENOTE_OK, or CENOTE_NODE_DOWN: the connection is of no use any more. */
int shm_message_send(int fd, const struct shm_message *m, int descriptor);
/* Receives one message; the descriptor is the caller's. CENOTE_OK, CENOTE_TIMED_OUT,
 * CENOTE_NODE_DOWN, CENOTE_PROTOCOL, CENOTE_NO_MEMORY: there was no room for the descriptor. */
int shm_message_receive(int fd, uint64_t deadline_ms, struct shm_message *out, int *descriptor);

#endif
