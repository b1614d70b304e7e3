/* SPDX-License-Identifier: Apache-2.0 */
/* A node in a process of its own, with nothing but a segment and an exporter: what a transport is
 * measured against. */
#ifndef CENOTE_BENCH_XCOPY_NODE_H
#define CENOTE_BENCH_XCOPY_NODE_H

#include <sys/types.h>

#include "transport/xcopy.h"

struct xcopy_node {
    const struct xcopy_transport *transport;
    const struct xcopy_exporter_ops *exporter;
    pid_t pid;
    int pipe; /* when it ends, so does the node */
    struct xcopy_peer peer;
};

struct xcopy_node_options {
    const char *transport, *listen, *rdma;
    uint64_t len_bytes; /* of the segment */
    int cpu;            /* that it runs on; -1: any */
};

/* Forks; the caller has no threads yet. False: it said why. */
bool xcopy_node_start(struct xcopy_node *n, const struct xcopy_node_options *o);
void xcopy_node_stop(struct xcopy_node *n);

/* For the other side. An extent at an offset of the segment, whose length of payload this is. */
struct xcopy_credentials xcopy_node_client(void);
struct gva xcopy_node_gva(uint64_t offset);
struct write_grant xcopy_node_grant(uint64_t put_id, uint64_t offset, uint64_t payload_len);
/* Its seal, live, of SEAL_BYTES. */
void xcopy_node_seal(uint64_t put_id, uint64_t offset, uint64_t payload_len, uint8_t *out);

/* Ties the calling thread, and those that it will start, to a processor; -1: none. */
bool xcopy_node_tie(int cpu);

#endif
