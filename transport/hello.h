/* SPDX-License-Identifier: Apache-2.0 */
/* The first words on every data connection, the same on TCP and UNIX sockets (doc/PROTOCOL.md). */
#ifndef CENOTE_TRANSPORT_HELLO_H
#define CENOTE_TRANSPORT_HELLO_H

#include "transport/xcopy.h"

#define HELLO_BYTES        64u
#define HELLO_ANSWER_BYTES 32u
#define HELLO_MAGIC        UINT32_C(0x44544e43) /* "CNTD" in memory */
#define DATA_WIRE_VERSION  1u
#define HELLO_TIMEOUT_MS   5000u /* a peer that hasn't said its hello by then is closed */

struct hello {
    struct xcopy_credentials who;
    uint64_t boot; /* that the client expects; 0: any */
};

void hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES]);
/* CENOTE_OK, CENOTE_PROTOCOL, CENOTE_VERSION. */
int hello_decode(const uint8_t in[HELLO_BYTES], struct hello *out);

/* The node's judgement of a hello's bytes; *out is set when it could be decoded. Statuses of
 * hello_decode(), CENOTE_OLD_BOOT, CENOTE_DENIED. */
int hello_admit(const uint8_t in[HELLO_BYTES], const struct xcopy_gate *gate, struct hello *out);

struct hello_answer {
    int status;
    uint64_t boot;
    uint32_t segments; /* over UNIX sockets: how many follow */
};

void hello_answer_encode(const struct hello_answer *a, uint8_t out[HELLO_ANSWER_BYTES]);
/* CENOTE_OK: *out is set, whatever its status says; CENOTE_PROTOCOL, CENOTE_VERSION. */
int hello_answer_decode(const uint8_t in[HELLO_ANSWER_BYTES], struct hello_answer *out);

/* Waits until the node has sent something; looks once at least. CENOTE_OK, CENOTE_TIMED_OUT,
 * CENOTE_NODE_DOWN. */
int hello_await(int fd, uint64_t deadline_ms);
/* The client's half on a blocking socket: sends the hello, waits for the answer. CENOTE_OK: the
 * node said CENOTE_OK; else its status, CENOTE_NODE_DOWN, CENOTE_TIMED_OUT or an error above. */
int hello_exchange(int fd, const struct xcopy_peer *peer, const struct xcopy_credentials *who,
                   uint64_t deadline_ms, struct hello_answer *out);

#endif
