/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mock's insides.
 *
 * One lock over everything, mock_world.lock: whoever posts, polls or executes holds it for reading,
 * whoever makes, changes or ends an object holds it for writing. So an object that was found stays
 * as long as the lock is held, a destroyed queue pair touches nothing from then on, and still two
 * threads that only post and poll are not ordered by the mock: ThreadSanitizer sees their races.
 * Below it: a queue pair's lock, then a completion queue's, then a mailbox's or the faults'.
 */
#ifndef CENOTE_TESTS_MOCKVERBS_WORLD_H
#define CENOTE_TESTS_MOCKVERBS_WORLD_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/support/mockverbs.h"

#define MOCK_BUCKETS 1024u

/* Says what is wrong and ends the process. */
void mock_panic(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Events that wait, and a descriptor that is readable while there are any. */
struct mock_note {
    struct mock_note *next;
    void *subject; /* the queue pair or completion queue that it is about, or the context */
    _Atomic uint32_t *taken; /* of the subject: raised when the note is taken */
    struct ibv_async_event event;
};
struct mock_mailbox {
    pthread_mutex_t lock;
    int fd;
    struct mock_note *first;
};
int mock_mailbox_open(struct mock_mailbox *box); /* 0 or an errno */
void mock_mailbox_close(struct mock_mailbox *box);
void mock_mailbox_put(struct mock_mailbox *box, const struct mock_note *note);
/* 0; -1 with errno EAGAIN where the descriptor doesn't block. The world's lock isn't held: whoever
 * holds it for writing finds a note either waiting or counted as taken. */
int mock_mailbox_take(struct mock_mailbox *box, struct mock_note *out);
void mock_mailbox_forget(struct mock_mailbox *box, const void *subject);
/* An event that nobody has taken yet. */
bool mock_mailbox_has(struct mock_mailbox *box, enum ibv_event_type type);

struct mock_hardware {
    struct mock_device shown; /* first: what tests see */
    struct ibv_device device;
    bool removed, told;
    _Atomic bool silent;
    uint64_t locked_bytes;
    uint32_t mrs, qps;
};

struct mock_context {
    struct ibv_context verbs; /* first, as in all of these */
    struct mock_hardware *hardware;
    struct mock_mailbox mailbox;
    _Atomic uint32_t taken, acked; /* events that aren't a queue pair's */
    uint32_t children;
    struct mock_qp *ended; /* that went with the device */
    struct mock_context *next;
};

struct mock_pd {
    struct ibv_pd verbs;
    uint32_t children;
};

struct mock_region {
    struct ibv_mr verbs;
    uint64_t base; /* what requests call the first byte */
    uint8_t *host; /* where it is */
    int access;
    bool mapped; /* by the mock */
    uint64_t locked_bytes;
    struct mock_region *next; /* in its bucket */
};

struct mock_channel {
    struct ibv_comp_channel verbs;
    struct mock_mailbox mailbox;
    uint32_t children;
};

struct mock_completion {
    struct ibv_wc wc;
    uint64_t frees; /* slots of the send queue up to this one */
};
struct mock_cq {
    struct ibv_cq verbs;
    pthread_mutex_t lock;
    struct mock_completion *ring;
    uint32_t size, first, count;
    bool armed;
    _Atomic uint32_t taken, acked;
    uint32_t children;
};

struct mock_request {
    struct ibv_send_wr wr;
    struct ibv_sge *pieces;
    uint8_t *inlined; /* its bytes, if it was posted with them */
    bool sent;        /* its queue pair wasn't broken when it was posted */
    bool answered;    /* a READ that overtook others: its bytes are here */
};

/* A WRITE's bytes on their way into memory, at the queue pair that received them or is to. */
struct mock_landing {
    struct mock_landing *next;
    bool stray; /* not received yet */
    uint32_t rkey;
    uint64_t addr, len_bytes;
    uint8_t bytes[];
};

struct mock_qp {
    struct ibv_qp verbs;
    pthread_mutex_t lock; /* of what is posted */
    struct mock_request *ring;
    uint64_t posted, executed;
    _Atomic uint64_t freed;   /* slots ever given back */
    _Atomic uint32_t waiting; /* posted - executed */
    _Atomic int state;        /* enum ibv_qp_state; changed with the world's lock for writing, but
                               * to ERR with it for reading */
    struct mock_queue_pair shown; /* changed with the world's lock for writing */
    bool all_signalled;
    bool refused; /* to end, as its device was just being removed */
    bool stuck;   /* a request was wrong: its device has sent nothing of those behind it */
    _Atomic bool silent;
    pthread_mutex_t late_lock; /* below all others */
    struct mock_landing *late, **late_end;
    _Atomic uint32_t taken, acked; /* events */
    struct mock_qp *next;          /* in the order they were made */
    struct mock_qp *same_bucket;
};

enum mock_mode { MOCK_AT_ONCE, MOCK_HELD, MOCK_RUNNING };

struct mock_world {
    pthread_rwlock_t lock;
    struct mock_hardware *hardware[MOCK_DEVICES_MAX];
    unsigned hardware_count;
    struct mock_context *contexts;
    struct mock_region *regions[MOCK_BUCKETS];
    struct mock_qp *first;
    struct mock_qp *by_number[MOCK_BUCKETS];
    uint32_t next_number, next_key;
    _Atomic int mode; /* enum mock_mode */
    _Atomic unsigned quirks;
    _Atomic uint32_t strays; /* that haven't landed */
    /* mock_counts(): alive with the lock for writing, the others at any time */
    struct {
        uint32_t lists, contexts, pds, mrs, channels, cqs, qps;
        _Atomic uint64_t doorbells, requests, reads, writes, signalled, inlined, read_bytes,
            written_bytes, failed, flushed, late, strays, landed, lost, swapped, full, polls,
            empty_polls, armed, cq_events;
    } counts;
};
extern struct mock_world mock_world;

static inline void mock_count(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static inline struct mock_hardware *mock_hardware_of(const struct ibv_context *context)
{
    return ((const struct mock_context *)(const void *)context)->hardware;
}

/* Blocks until taken events are acknowledged, as the library does; not for ever. */
void mock_wait_acked(_Atomic uint32_t *taken, _Atomic uint32_t *acked, const char *what);

/* Faults: an errno with which this call is to fail, or 0. context NULL: no device is concerned. */
int mock_verb_fails(const struct ibv_context *context, enum mock_verb verb);
bool mock_request_fails(uint32_t number, enum ibv_wc_status *status, uint64_t *landed_bytes);
bool mock_is_forbidden(const void *addr, uint64_t len_bytes);
void mock_faults_reset(void);

/* Under the world's lock. by the address that requests name; NULL: the key isn't for that. */
struct mock_region *mock_region_local(const struct mock_qp *qp, const struct ibv_sge *piece,
                                      int access);
struct mock_region *mock_region_remote(const struct mock_qp *qp, uint32_t rkey, uint64_t addr,
                                       uint64_t len_bytes, int access);
struct mock_qp *mock_qp_find(uint32_t number);

/* To state ERR; what waits is flushed when it is executed. The world's lock is held. */
void mock_qp_fail(struct mock_qp *qp);
/* Executes up to count requests of it; returns how many there were. The world's lock is held. */
unsigned mock_execute(struct mock_qp *qp, unsigned count);
/* As much of it as the mode says now. */
void mock_execute_now(struct mock_qp *qp);
/* What waits will never be executed: what of it has been sent already? The world's lock is held for
 * writing. */
void mock_leave_strays(struct mock_qp *qp);
/* The device's removal has been told: the queue pairs that couldn't be ended before are no more.
 * Their memory stays, until somebody ends them again or closes the device. */
void mock_end_refused(struct mock_context *c);
void mock_free_ended(struct mock_context *c);
/* The thread has something to do, if it runs. */
void mock_wake(void);
/* As a device accesses memory, whole words where it can, and nothing that a tool would see. */
void mock_device_copy(uint8_t *to, const uint8_t *from, uint64_t len_bytes);

/* Bytes on their way to a queue pair: room for them, then they are added behind the others. Under
 * the world's lock. */
static inline bool mock_has_quirk(enum mock_quirk quirk)
{
    return (atomic_load_explicit(&mock_world.quirks, memory_order_relaxed) & (unsigned)quirk) != 0;
}
struct mock_landing *mock_landing_new(uint64_t len_bytes);
void mock_landing_add(struct mock_qp *to, struct mock_landing *landing);
void mock_landings_land(struct mock_qp *at);
void mock_landings_drop(struct mock_qp *at);
void mock_cq_put(struct mock_cq *cq, const struct mock_completion *completion);
/* Takes those of a queue pair away. */
void mock_cq_purge(struct mock_cq *cq, uint32_t number);

/* Waits while registering is held. */
void mock_await_registering(void);

/* What an open context's table is filled with. */
extern const struct ibv_context_ops mock_context_ops;

/* The verbs. */
struct ibv_device **mock_get_device_list(int *count);
void mock_free_device_list(struct ibv_device **list);
const char *mock_get_device_name(struct ibv_device *device);
struct ibv_context *mock_open_device(struct ibv_device *device);
int mock_close_device(struct ibv_context *context);
int mock_query_device(struct ibv_context *context, struct ibv_device_attr *out);
int mock_query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *out);
int mock_query_gid(struct ibv_context *context, uint32_t port, uint32_t index,
                   struct ibv_gid_entry *out);
int mock_get_async_event(struct ibv_context *context, struct ibv_async_event *out);
void mock_ack_async_event(struct ibv_async_event *event);
struct ibv_pd *mock_alloc_pd(struct ibv_context *context);
int mock_dealloc_pd(struct ibv_pd *pd);
struct ibv_mr *mock_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access);
struct ibv_mr *mock_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset, size_t length, uint64_t iova,
                                  int fd, int access);
int mock_dereg_mr(struct ibv_mr *mr);
struct ibv_comp_channel *mock_create_comp_channel(struct ibv_context *context);
int mock_destroy_comp_channel(struct ibv_comp_channel *channel);
struct ibv_cq *mock_create_cq(struct ibv_context *context, int entries, void *arg,
                              struct ibv_comp_channel *channel, int vector);
int mock_destroy_cq(struct ibv_cq *cq);
int mock_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **arg);
void mock_ack_cq_events(struct ibv_cq *cq, unsigned count);
struct ibv_qp *mock_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
int mock_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
int mock_destroy_qp(struct ibv_qp *qp);
int mock_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
int mock_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad);
int mock_poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *out);
int mock_req_notify_cq(struct ibv_cq *cq, int solicited_only);

#endif
