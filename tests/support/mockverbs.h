/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA within one process: devices that a test makes up, behind the table of verbs that the
 * transport uses (rdma_verbs_replace(mock_verbs())) and the contexts' own operations, as a driver
 * fills them. Bytes really move between the memory of connected queue pairs, keys and access flags
 * are really checked, and what a real device answers to a mistake is answered here; what a program
 * must never do (overrun a completion queue, close what is in use, forget to acknowledge an event)
 * ends the test with a message.
 *
 * Devices are made before they are opened; their descriptions may be changed freely until then.
 * What a test does to open devices goes by functions. Everything but mock_reset() may be called by
 * any thread at any time.
 *
 * Two things are unlike a processor's copies, so that ThreadSanitizer judges rightly: the memory of
 * the other end is accessed as a device does it, unseen; the poster's own is accessed by the thread
 * that executes the request, and a request touched before it has completed is a race that is seen.
 *
 * Software RoCE (rxe of Linux 6.1) answers the same to all that scenario/rdma/rdma_queues.c does
 * over both. Known differences: it has no event for the end whose memory was to be accessed
 * wrongly; it doesn't tell of its removal, which waits until all have closed it and lets them work
 * on meanwhile.
 */
#ifndef CENOTE_TESTS_MOCKVERBS_H
#define CENOTE_TESTS_MOCKVERBS_H

#include <stdbool.h>

#include "transport/rdma/verbs.h"

#define MOCK_DEVICES_MAX 16u
#define MOCK_PORTS_MAX   2u
#define MOCK_GIDS_MAX    16u

/* ---- devices -------------------------------------------------------------------------------- */

struct mock_port {
    struct ibv_port_attr attr;
    struct ibv_gid_entry gids[MOCK_GIDS_MAX]; /* of zeroes: empty */
};

struct mock_device {
    char name[IBV_SYSFS_NAME_MAX];
    char ibdev_path[IBV_SYSFS_PATH_MAX]; /* a folder as in sysfs; it need not exist */
    struct ibv_device_attr attr;
    uint32_t inline_max;
    uint64_t locked_max_bytes; /* of memory that can be registered; 0: no limit */
    bool dmabuf;               /* can register dma-bufs; any descriptor that can be mapped is one */
    /* Completions of a queue pair stay in their queue when it is destroyed; otherwise they go. */
    bool keeps_completions;
    struct mock_port ports[MOCK_PORTS_MAX]; /* attr.phys_port_cnt of them */
};

const struct rdma_verbs *mock_verbs(void);

/* One more device at the end of the list: RoCE, one active port of 100 Gb/s with an MTU of 4096 and
 * GIDs v1 and v2 of a link-local and an IPv4 address (10.0.0.N for the Nth device, index 3), limits
 * as software RoCE has them. */
struct mock_device *mock_add(const char *name);
/* Makes InfiniBand of a port: one GID, of the default subnet. */
void mock_make_infiniband(struct mock_port *port, uint16_t lid);
/* address: IPv4 or IPv6 as text; NULL empties the entry. type: enum ibv_gid_type. */
void mock_set_gid(struct mock_port *port, unsigned index, uint32_t type, const char *address);
void mock_gid_of(const char *address, union ibv_gid *out);
/* Forgets all devices, modes and planned faults; nothing may be alive. */
void mock_reset(void);

/* ---- what happens to devices ---------------------------------------------------------------- */

/* To every context of the device: an event of a port or of the whole device. */
void mock_raise(struct mock_device *device, enum ibv_event_type type, int port);
/* An event of a queue pair; it stays as it is. */
void mock_raise_queue_pair(struct ibv_qp *qp, enum ibv_event_type type);
/* It breaks by itself: state ERR, and the event that tells. */
void mock_fail_queue_pair(uint32_t number);
/* State, and the event that tells. Queue pairs survive; requests that go by a port that isn't
 * active fail as unanswered. */
void mock_set_port_state(struct mock_device *device, int port, enum ibv_port_state state);
/* The device is taken away: it is no longer listed, tells of it, and every verb fails with EIO.
 * Requests in flight complete as flushed, or never (told: false). What queue pairs it had can't be
 * destroyed before the event has been taken: until then nobody knows that they are no more. Those
 * that were tried in vain end with it. */
void mock_remove(struct mock_device *device, bool told);
/* Nobody answers at the device's queue pairs any more (or again). */
void mock_silence(struct mock_device *device, bool silent);
void mock_silence_queue_pair(uint32_t number);

/* ---- when requests are executed --------------------------------------------------------------
 * By default at once, by the thread that posts. */

/* Held: a request's bytes move, and it completes, when mock_step() says so, in order for each queue
 * pair; what a queue pair has when it is put into state ERR is flushed at once. false: what is held
 * is executed, and further ones at once. */
void mock_hold(bool held);
/* Executes up to count requests, queue pairs in turn; returns how many there were. */
unsigned mock_step(unsigned count);
unsigned mock_step_queue_pair(uint32_t number, unsigned count);
/* A thread of the mock executes them, in random turn and with small random delays, until
 * mock_rest(), which executes what is left. */
void mock_run(uint64_t seed);
void mock_rest(void);

/* ---- what the specification allows, and devices at hand hardly ever do ----------------------- */

enum mock_quirk {
    /* The bytes of a WRITE aren't in memory when it has completed: they are kept back until a READ
     * (of a byte at least) behind them on the same queue pair has come, or until mock_land(). */
    MOCK_LATE = 1,
    /* WRITEs that were with the device when their queue pair failed or ended, and those that nobody
     * answered, are still on the wire. They arrive by mock_land(), or a moment later when a thread
     * runs, if the other end's queue pair is there still and in a state to receive. */
    MOCK_STRAY = 2,
    /* Of several READs in a row on one queue pair the last looks at the memory first, each in a
     * step of its own; completions keep their order. IBV_SEND_FENCE prevents it. */
    MOCK_SWAPPED = 4
};
/* From now on these, none for 0; what was kept back lands when MOCK_LATE goes. Bytes of either kind
 * are lost with the other end's queue pair, and with its registration. */
void mock_set_quirks(unsigned quirks);
/* Lets everything land that is late. */
void mock_land(void);
void mock_land_queue_pair(uint32_t number); /* what it has received, or is to receive */

/* ---- planned faults --------------------------------------------------------------------------*/

enum mock_verb {
    MOCK_GET_DEVICE_LIST,
    MOCK_OPEN_DEVICE,
    MOCK_QUERY_DEVICE,
    MOCK_QUERY_PORT,
    MOCK_QUERY_GID,
    MOCK_ALLOC_PD,
    MOCK_REG_MR,
    MOCK_REG_DMABUF_MR,
    MOCK_CREATE_COMP_CHANNEL,
    MOCK_CREATE_CQ,
    MOCK_CREATE_QP,
    MOCK_MODIFY_QP,
    MOCK_DESTROY_QP, /* it stays */
    MOCK_POST_SEND,
    MOCK_POLL_CQ,
    MOCK_REQ_NOTIFY_CQ,
    MOCK_VERBS
};

/* After skip calls that succeed, count calls of the verb fail with this errno. */
void mock_fail_verb(enum mock_verb verb, unsigned skip, unsigned count, int error);
/* As long as it is held, reg_mr() doesn't come to its end. */
void mock_hold_registering(bool held);
unsigned mock_registering(void); /* how many calls wait */
/* After skip more requests of the queue pair (0: of any), the next one fails with the status; of a
 * WRITE the first landed bytes arrive all the same. */
void mock_fail_request(uint32_t number, unsigned skip, enum ibv_wc_status status,
                       uint64_t landed_bytes);

/* ---- what a test can see ---------------------------------------------------------------------*/

struct mock_counts {
    /* alive */
    uint32_t lists, contexts, pds, mrs, channels, cqs, qps;
    uint64_t locked_bytes;
    /* so far */
    uint64_t doorbells, requests, reads, writes, signalled, inlined;
    uint64_t read_bytes, written_bytes;
    uint64_t failed, flushed;
    uint64_t late, strays; /* WRITEs whose bytes were kept back, or left on the wire */
    uint64_t landed, lost; /* of these */
    uint64_t swapped;      /* READs that overtook others */
    uint64_t full;         /* requests refused because the queue was full */
    uint64_t polls, empty_polls, armed, cq_events;
};
struct mock_counts mock_counts(void);
/* Lists, contexts and what is made by them. */
uint32_t mock_alive(void);

/* A queue pair as it was made and modified. */
struct mock_queue_pair {
    uint32_t number;
    enum ibv_qp_state state;
    struct ibv_qp_attr attr; /* as given by the last modify_qp() that set each of them */
    struct ibv_qp_cap cap;
    uint32_t waiting; /* requests that aren't executed yet */
};
bool mock_queue_pair_of(uint32_t number, struct mock_queue_pair *out);
/* Numbers of those that are alive, at most max, in the order they were made; returns how many. */
unsigned mock_queue_pairs(uint32_t *numbers, unsigned max);

/* From now on no request may touch this memory; the test ends when one does. */
void mock_forbid(const void *addr, uint64_t len_bytes);
void mock_permit(const void *addr);

#endif
