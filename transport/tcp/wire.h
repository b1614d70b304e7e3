/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and responses on the data wire (doc/PROTOCOL.md, "Data wire"). */
#ifndef CENOTE_TRANSPORT_TCP_WIRE_H
#define CENOTE_TRANSPORT_TCP_WIRE_H

#include "transport/xcopy.h"

#define TCP_REQUEST_BYTES  64u
#define TCP_RESPONSE_BYTES 32u
#define TCP_REQUEST_MAGIC  UINT32_C(0x52584e43) /* "CNXR" in memory */
#define TCP_RESPONSE_MAGIC UINT32_C(0x41584e43) /* "CNXA" in memory */
#define TCP_OP_OFFSET      4u                   /* of the op in a request */

enum tcp_op { TCP_READ = 1, TCP_WRITE = 2 };

struct tcp_request {
    uint8_t op;
    uint64_t id;
    uint64_t put_id;
    struct gva gva; /* of the extent */
    uint64_t payload_len;
    uint64_t offset; /* in the extent */
    uint64_t len_bytes;
    uint64_t mac; /* of the grant; its boot is the connection's */
};

struct tcp_response {
    int status;
    uint64_t id;
    uint64_t len_bytes; /* that follow */
};

void tcp_request_encode(const struct tcp_request *r, uint8_t out[TCP_REQUEST_BYTES]);
/* CENOTE_OK, CENOTE_PROTOCOL (magic, op). */
int tcp_request_decode(const uint8_t in[TCP_REQUEST_BYTES], struct tcp_request *out);
/* Does the range lie inside the extent? */
bool tcp_request_in_extent(const struct tcp_request *r);

void tcp_response_encode(const struct tcp_response *r, uint8_t out[TCP_RESPONSE_BYTES]);
int tcp_response_decode(const uint8_t in[TCP_RESPONSE_BYTES], struct tcp_response *out);

#endif
