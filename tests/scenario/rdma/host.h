/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's rdma exporter, over devices of the mock or of this machine, and clients that speak its
 * set-up protocol by hand over a socket.
 */
#ifndef CENOTE_SCENARIO_RDMA_HOST_H
#define CENOTE_SCENARIO_RDMA_HOST_H

#include <stdatomic.h>

#include "tests/scenario/check.h"
#include "transport/hello.h"
#include "transport/rdma/setup.h"

#define HOST_BOOT          UINT64_C(0x600d0001)
#define HOST_INCARNATION   4711u
#define HOST_NAMESPACE     3u
#define HOST_SESSIONS      64u
#define HOST_SEGMENT_BYTES (UINT64_C(1) << 20)
#define HOST_PATIENCE_MS   20000u

struct host {
    struct trace *trace; /* on */
    struct xcopy_gate gate;
    struct xcopy_exporter *exporter;
    char endpoint[XCOPY_ENDPOINT_MAX];
    struct xcopy_segment segments[XCOPY_SEGMENTS_MAX];
    unsigned segment_count;
    _Atomic uint64_t horizons[HOST_SESSIONS];
    /* Called by the gate when it is asked for a horizon; NULL: nothing. */
    void (*on_horizon)(struct host *h, uint64_t session);
};

/* Devices of this machine instead of the mock's; before anything else. */
extern bool host_is_real;

/* With the devices as they are, and one segment. */
void host_start(struct host *h);
int host_try_start(struct host *h, const char *settings, const char *endpoint);
/* So many spans of this stage. */
unsigned host_traced(const struct host *h, const char *stage);
/* Ends the exporter, no span of which may be under way; the memory stays. */
void host_stop_exporter(struct host *h);
/* And all else: nothing of the mock's may be left. */
void host_stop(struct host *h);
/* One more segment; returns what the exporter says. Device memory is a file that stands for it. */
int host_add_segment(struct host *h);
int host_add_device_memory(struct host *h);
/* How long the exporter is waited for then, from now on; at first HOST_PATIENCE_MS. */
void host_set_patience(struct host *h, uint32_t ms);
struct xcopy_report host_report(const struct host *h);
/* Waits until the exporter has so many. */
void host_await_connections(const struct host *h, uint64_t count);
void host_await_queue_pairs(const struct host *h, uint64_t count);

/* Raises the gate, fences, waits for the answer. */
void host_fence(struct host *h, uint64_t session, uint64_t horizon);
/* Without waiting; *done becomes true. */
void host_fence_begin(struct host *h, uint64_t session, uint64_t horizon, atomic_bool *done);
bool host_await(const atomic_bool *done, uint32_t wait_ms);

/* So much later than it is, for everybody (clock.h). */
void host_skip_time(uint64_t ms);

/* ---- clients --------------------------------------------------------------------------------- */

struct guest {
    int fd;
    uint64_t session;
    struct setup_ports ports;
    struct setup_key keys[SETUP_KEYS_MAX];
    uint8_t message[SETUP_HEADER_BYTES + SETUP_BODY_MAX];
};

/* What a node says. */
struct said {
    enum setup_type type; /* 0: it has closed the connection */
    struct setup_opened opened;
    struct setup_close closed;
};

/* A connection on which nothing has been said. */
struct guest *guest_new(const struct host *h);
void guest_free(struct guest *g);
void guest_send(struct guest *g, const void *data, size_t len);
/* Says hello; returns the status of the answer, CENOTE_NODE_DOWN when there is none. */
int guest_hello(struct guest *g, const struct hello *hello);
struct hello guest_credentials(uint64_t session);
/* hello, PORTS. */
void guest_greet(struct guest *g, uint64_t session);
/* new and greet */
struct guest *guest_connect(const struct host *h, uint64_t session);

/* Sends OPEN with an end that leads nowhere. */
struct setup_open guest_open_of(const struct guest *g, uint32_t tag, enum rdma_role role);
void guest_send_open(struct guest *g, const struct setup_open *open);
void guest_send_close(struct guest *g, uint32_t tag);
void guest_send_ask(struct guest *g, uint32_t tag);
/* The next message; keys are in g->keys. */
struct said guest_hear(struct guest *g);
/* OPEN and OPENED; returns its status. */
int guest_open(struct guest *g, uint32_t tag, enum rdma_role role, struct setup_opened *out);
/* The node closes the connection, and says nothing before. */
void guest_expect_end(struct guest *g);
void guest_expect_closed(struct guest *g, uint32_t tag);

#endif
