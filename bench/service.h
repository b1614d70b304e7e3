/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service under measurement: a session on the control protocol, and what its process
 * uses. */
#ifndef CENOTE_BENCH_SERVICE_H
#define CENOTE_BENCH_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "transport/rpc/rpc.h"

#define SERVICE_TIMEOUT_MS 10000u

/* A blocking session for one asker. A status. */
int service_session(const char *meta, const char *name_space, struct rpc_client **out);
/* The request that opens a session. */
void service_session_request(struct wire_buf *b, const char *name_space);

/* Counters since its start, and what it occupies now. */
struct service_usage {
    pid_t pid;                 /* 0: not on this machine by a UNIX socket; then what follows is 0 */
    uint64_t cpu_ns;           /* of all threads */
    uint64_t anonymous_bytes;  /* of the resident set: what is neither a file nor a segment */
    uint64_t commits, changes; /* of the store: transactions, and changes in them */
};
bool service_usage(const char *meta, struct service_usage *out);

#endif
