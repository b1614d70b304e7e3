/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the contract suite of the transports runs on: a node (gate, one segment, an exporter) and
 * helpers that put and get values over a channel, with seals and sums as a client makes them.
 */
#ifndef CENOTE_TESTS_CONTRACT_RIG_H
#define CENOTE_TESTS_CONTRACT_RIG_H

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "transport/xcopy.h"

/* Ends the program: a contract that is broken can't be tested further. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_STATUS(got, want) rig_check_status(__FILE__, __LINE__, (got), (want))
void rig_check_status(const char *file, int line, int got, int want);

#define RIG_SESSIONS    64
#define RIG_SEGMENT     (UINT64_C(64) << 20)
#define RIG_GVA         (GVA_FIRST + 7 * GVA_ALIGN)
#define RIG_INCARNATION 4711u
#define RIG_BOOT        0x600d600d0001u
#define RIG_NAMESPACE   3u
#define RIG_TIMEOUT_MS  20000u

/* One node. */
struct rig {
    const struct xcopy_transport *transport;
    const struct xcopy_exporter_ops *ops;
    struct xcopy_exporter *exporter;
    struct xcopy_gate gate;
    struct xcopy_segment segment;
    struct xcopy_peer peer;
    void *context; /* of the transport */
    bool mocked;   /* its devices exist in this process only */
    /* Devices (--rdma) of either end; NULL: all. */
    const char *node_rdma, *client_rdma;
    pthread_mutex_t lock;
    uint64_t horizons[RIG_SESSIONS];
};

/* name: "loop", "shm", "rdma", "tcp", or as mocked.h has it. Ends the program with 77 (skipped)
 * where there are no devices. */
void rig_start(struct rig *r, const char *name);
/* Over devices that are named. */
void rig_start_rdma(struct rig *r, const char *node_rdma, const char *client_rdma);
/* Over two devices that are made up, made[]; change(), or NULL, may change them first. */
struct mock_device;
void rig_start_mocked(struct rig *r, struct mock_device *made[2], void (*change)(void));
/* The node's endpoint, as the transport knows it; makes peer one of another process. */
const char *rig_endpoint(const struct rig *r);
void rig_point_at(struct rig *r, const char *name, const char *endpoint);
/* Closes the transport's context of a rig that only points at a node. */
void rig_leave(struct rig *r);
/* The client's next life: nothing of the transport's context may be in use. */
void rig_return(struct rig *r);
void rig_stop(struct rig *r);
/* What has been sent to the node and isn't in its memory yet arrives there now, if it still can. */
void rig_land(const struct rig *r);
/* Says so, if the case can't be run: the node is in this process only. */
bool rig_needs_processes(const struct rig *r);
/* Stops the exporter and starts another one at the same place. */
void rig_restart(struct rig *r);
/* The exporter was stopped. */
void rig_start_again(struct rig *r);
/* In the node's process: address of an extent. */
uint8_t *rig_memory(struct rig *r, uint64_t offset);
struct gva rig_gva(uint64_t offset);
struct xcopy_credentials rig_who(uint64_t session);
/* The transport and the exporter with this name; false: none. */
bool rig_find(const char *name, const struct xcopy_transport **transport,
              const struct xcopy_exporter_ops **ops);

/* Gate: no put of the session up to the horizon from now on. */
void rig_refuse(struct rig *r, uint64_t session, uint64_t horizon);

/* A fence that can be waited for. */
struct rig_fence {
    sem_t done;
};
void rig_fence_begin(struct rig *r, struct rig_fence *f, uint64_t session, uint64_t horizon);
bool rig_fence_ended(struct rig_fence *f, uint32_t wait_ms);
void rig_fence_free(struct rig_fence *f);

struct xcopy_channel *rig_connect(struct rig *r, uint64_t session);
void rig_disconnect(struct xcopy_channel *c);

/* Moves the channel until the request is complete. One that takes RIG_TIMEOUT_MS is a failure,
 * unless this thread's patience is set: then it is cancelled after so long, as libcenote does. */
extern _Thread_local uint32_t rig_patience_ms;
void rig_finish(struct xcopy_channel *c, struct xcopy_req *req);
int rig_run(struct xcopy_channel *c, struct xcopy_req *req);

/* A value in one extent, as a client sees it. */
struct rig_value {
    uint64_t session, put_id;
    uint64_t offset; /* of the extent in the segment */
    uint64_t len_bytes;
    uint32_t name_space;
    uint8_t *data;     /* what is put */
    uint8_t *tail;     /* sums and seal */
    uint64_t tail_len; /* of all of it */
    struct sums *sums;
};

/* Fills the value with bytes that its put id determines. */
void rig_value_make(struct rig_value *v, uint64_t session, uint64_t put_id, uint64_t offset,
                    uint64_t len_bytes);
void rig_value_free(struct rig_value *v);
/* Encodes sums and seal into the tail, when all bytes have passed through the sums. */
void rig_seal(struct rig_value *v);
/* A write of the whole value, sealed on the way. v must stay where it is. */
struct xcopy_req rig_write_req(struct rig_value *v, const struct cenote_buffer *pieces,
                               size_t count);
struct xcopy_req rig_read_req(const struct rig_value *v, const struct cenote_buffer *pieces,
                              size_t count, uint8_t *tail, uint64_t tail_len);
/* Whole values in one piece; put expects success, get gives the status. */
void rig_put(struct xcopy_channel *c, struct rig_value *v);
int rig_get(struct xcopy_channel *c, const struct rig_value *v, uint8_t *out);
/* Puts the bytes and the seal into the node's memory directly; then all that is late arrives. */
void rig_plant(struct rig *r, struct rig_value *v);
/* Voids the seal, as a node does. */
void rig_void(struct rig *r, const struct rig_value *v);
/* Does anybody hold the extent? */
bool rig_held(struct rig *r, uint64_t offset);
/* Cuts a buffer into pieces of the given length. Free the result. */
struct cenote_buffer *rig_cut(uint8_t *data, uint64_t len_bytes, uint64_t piece, size_t *count);
/* Does the extent in memory hold exactly this value? */
bool rig_holds(struct rig *r, const struct rig_value *v);

uint64_t rig_next_put(void);

#endif
