/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA, the node's side: one thread with an event loop agrees upon queue pairs with clients, over
 * set-up connections (setup.h), and ends them. It isn't on the data path: the devices answer READs
 * and WRITEs by themselves.
 *
 * Everything that makes or ends a queue pair happens on this thread. What other threads want of it
 * (fences, a new segment, the end) they leave with the exporter and wake it. Memory is registered
 * by a third thread (exporter_segments.c), which is there only while there is some to register.
 */
#ifndef CENOTE_TRANSPORT_RDMA_EXPORTER_H
#define CENOTE_TRANSPORT_RDMA_EXPORTER_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "transport/base/trace.h"
#include "transport/hello.h"
#include "transport/rdma/region.h"
#include "transport/rdma/setup.h"

#define EXPORTER_CONNECTIONS_MAX    4096u
#define EXPORTER_SESSION_QUEUES_MAX 512u   /* of one session, on all its connections */
#define EXPORTER_IN_BYTES           512u   /* that are read ahead of a connection */
#define EXPORTER_TURN_STEPS         16u    /* of a connection, then others have their turn */
#define EXPORTER_STALL_MS           30000u /* in the middle of a message, without a byte */
#define EXPORTER_LINGER_MS          1000u  /* for the client to read the last answer */

/* How long the node waits for the registration of what it adds: all of a small pool's, so that who
 * has started a node finds it served by RDMA. It has heartbeats to send. */
#define EXPORTER_PATIENCE_MS 2000u

/* Of events. What is more urgent is looked for after every callback that isn't: making a queue pair
 * may take a second, when the way to the client's port has to be found, and fences don't wait for
 * all that are asked for. */
#define EXPORTER_URGENT     0
#define EXPORTER_USUAL      1
#define EXPORTER_PRIORITIES 2

/*
 * A queue pair, as the node's side knows it.
 *
 * Nobody looks at a WRITE when it arrives, so the queue pair itself is the permission, and a fence
 * takes it away: it destroys all queue pairs of role write of the session, and is done when the
 * device has said of each that it is no more. What a client may use a new one for is said by the
 * session's horizon at that time: no put up to it. So a queue pair that is made while a fence comes
 * must either be destroyed by it, or bring a horizon that has been raised by it. Hence the order,
 * on both sides:
 *
 *   OPEN    the queue pair is put into the list; then the horizon is read from the gate.
 *   fence   the gate is raised; then the list is walked.
 *
 * If the walk doesn't find the queue pair, it came before the listing, the raise before the walk,
 * and the reading after both. Today both sides run on the exporter's thread and the raise comes
 * before the fence is posted, so the order could not be seen from outside; it is kept because it is
 * right without that.
 *
 * A queue pair whose destruction fails is stuck: it may still let writes through. It leaves its
 * connection, which is closed, and is tried again until it is destroyed; fences of its session stay
 * open until then. Only one failure counts as an end: that of a device which has been
 * removed, as nothing reaches memory through it any more.
 */
struct exporter_queue {
    struct exporter_queue *next; /* of the connection, or of all that are stuck */
    uint64_t session;
    uint32_t tag;
    enum rdma_role role;
    struct rdma_queue queue;
    bool ended;    /* the client is yet to be told by CLOSED */
    bool keys_due; /* a segment has come since the client was given the keys */
};

enum exporter_state {
    EXPORTER_HELLO,
    EXPORTER_GREETED, /* the answer is said, the ports aren't */
    EXPORTER_SERVING,
    EXPORTER_LINGER /* the last answer is sent, the client is to read it */
};

/* A client's connection; the thread's own. */
struct exporter_connection {
    struct exporter_connection *next, *prev;
    struct exporter *exporter;
    int fd;
    struct event *readable, *writable, *again;
    enum exporter_state state;
    bool last_answer; /* then linger */
    uint64_t active_ms;
    struct xcopy_credentials who;
    struct exporter_queue *queues;
    uint32_t queue_count; /* those not yet told by CLOSED included */
    bool due;             /* a queue pair has something to tell */
    bool broken;          /* a queue pair is stuck, which no message tells: to be closed */
    uint8_t in[EXPORTER_IN_BYTES];
    size_t in_have;
    /* What is left of the last message when the socket had no room for it. Nothing is read and
     * nothing else is sent before it is gone. */
    uint8_t *out;
    size_t out_at, out_have;
};

struct exporter_fence {
    struct exporter_fence *next;
    uint64_t session, horizon;
    void (*done)(void *arg);
    void *arg;
};

/* A segment with its registrations. */
struct exporter_segment {
    struct xcopy_segment x;
    struct rdma_region *readable; /* keys of queue pairs of role read */
    struct rdma_region *writable;
};

/*
 * Devices pin the memory that is registered with them, some tens of gigabytes in a second, and a
 * node may have a terabyte. So a thread does it, one segment after the other; it is started when
 * there is something to do, and ends when nothing is left. Whoever adds a segment waits for it, but
 * no longer than the patience lasts, which begins when the thread starts.
 *
 * The list only grows: entries below count are registered, and don't change; those from there up to
 * given wait for the thread. While there are any, hellos are answered with CENOTE_NOT_SUPPORTED,
 * and clients take other transports. Those who came before a segment was added are told its keys
 * when there are some, or, when the patience is at its end, have their connections closed: they
 * would ask for keys in vain.
 */
struct exporter_segments {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* count, or failure */
    struct exporter_segment at[XCOPY_SEGMENTS_MAX];
    _Atomic uint32_t given, count;
    int failure; /* of one; then no other is registered */
    bool busy;   /* the thread has something to do, or is about to find out */
    struct timespec patience_end;
    uint32_t patience_ms;
    uint32_t pieces; /* of all segments; the thread's */
    pthread_t thread;
    bool joinable; /* the owner's */
    atomic_bool ending;
};

/* What other threads have left for the exporter's. */
struct exporter_mail {
    pthread_mutex_t lock;
    struct exporter_fence *fences, **fences_end;
    bool segment_added;
    bool behind;    /* a segment takes long to be registered */
    bool withdrawn; /* a segment can't be served: clients are to go elsewhere */
    bool stopping;
};

struct exporter {
    struct xcopy_exporter base;
    struct xcopy_gate gate;
    struct rdma_devices *devices;
    struct ibv_cq *cqs[RDMA_DEVICES_MAX]; /* a queue pair must have one; nothing ever completes */
    struct event *device_events[RDMA_DEVICES_MAX]; /* NULL: the device was removed */
    struct exporter_segments segments;
    struct exporter_mail mail;
    int listener;
    int wake; /* eventfd */
    struct event_base *loop;
    struct event *wake_event, *tick, *accept_event, *accept_again;
    pthread_t thread;
    bool running;        /* the owner's */
    struct trace *trace; /* NULL: nobody traces */
    unsigned trace_register, trace_open, trace_close;

    /* The thread's own from here on. */
    struct exporter_connection *connections;
    _Atomic uint32_t connection_count; /* others read it */
    bool withdrawn;
    struct exporter_queue *stuck;
    uint64_t retried_ms;
    struct exporter_fence *fences; /* that wait for queue pairs that are stuck */
    uint8_t message[SETUP_HEADER_BYTES + SETUP_BODY_MAX]; /* what is being encoded */
    struct setup_key keys[SETUP_KEYS_MAX];
};

/* exporter_loop.c: the events and the thread. CENOTE_OK or CENOTE_NO_MEMORY, logged; what was made
 * is freed by exporter_loop_free(), which is harmless without. */
int exporter_loop_make(struct exporter *e);
int exporter_loop_run(struct exporter *e);
void exporter_loop_stop(struct exporter *e);
void exporter_loop_free(struct exporter *e);
void exporter_wake(const struct exporter *e);

/* exporter_accept.c. CENOTE_OK, CENOTE_INVALID, CENOTE_IO; logged. */
int exporter_listen(struct exporter *e, const char *endpoint, char bound[XCOPY_ENDPOINT_MAX]);
void exporter_on_accept(evutil_socket_t listener, short what, void *arg);
void exporter_on_accept_again(evutil_socket_t fd, short what, void *arg);

/* exporter_connection.c: the life of a connection. */
void exporter_connection_open(struct exporter *e, int fd);
void exporter_connection_close(struct exporter_connection *c);
/* It has something to tell: gives it a turn. */
void exporter_connection_kick(struct exporter_connection *c);
void exporter_connections_close_overdue(struct exporter *e);
/* Those that were admitted: they are to go elsewhere. Others hear it by their answer. */
void exporter_connections_dismiss(struct exporter *e);
void exporter_connections_close_all(struct exporter *e);

/* exporter_serve.c: what is said on it. */
enum exporter_step {
    EXPORTER_ON,         /* something moved: go on */
    EXPORTER_YIELD,      /* go on, but let others go first */
    EXPORTER_WAIT_READ,  /* nothing to read now */
    EXPORTER_WAIT_WRITE, /* no room to write now */
    EXPORTER_CLOSE
};
enum exporter_step exporter_connection_step(struct exporter_connection *c);

/* exporter_queues.c. Makes a queue pair as OPEN asks, lists it with the connection, and fills the
 * answer; what fails is logged. */
void exporter_queue_open(struct exporter_connection *c, const struct setup_open *open,
                         struct setup_opened *out);
struct exporter_queue *exporter_queue_find(const struct exporter_connection *c, uint32_t tag);
/* Destroys the queue pair; a stuck one leaves the connection. Returns whether it is no more. */
bool exporter_queue_end(struct exporter_connection *c, struct exporter_queue *q);
/* Forgets one that has ended. */
void exporter_queue_forget(struct exporter_connection *c, struct exporter_queue *q);
/* All of a connection that closes. */
void exporter_queues_drop(struct exporter_connection *c);
/* Ends those that a removed device had; their clients will be told. */
void exporter_queues_end_lost(struct exporter *e);
/* Tries those that are stuck again. */
void exporter_queues_retry(struct exporter *e);
/* The exporter ends: those that are still stuck are left to the kernel. */
void exporter_queues_leave(struct exporter *e);

/* exporter_fence.c */
void exporter_fence(struct xcopy_exporter *exporter, uint64_t session, uint64_t horizon,
                    void (*done)(void *arg), void *arg);
void exporter_fence_run(struct exporter *e, struct exporter_fence *f);
/* Answers those whose queue pairs are no longer stuck. */
void exporter_fences_retry(struct exporter *e);
void exporter_fences_drop(struct exporter *e);

/* exporter_segments.c. add(): the owner's; CENOTE_OK when the segment isn't registered in time,
 * too, and other statuses as exporters have them. */
void exporter_segments_init(struct exporter_segments *all);
int exporter_segment_add(struct exporter *e, const struct xcopy_segment *segment);
/* Are all registered that were added? Any thread. */
bool exporter_segments_ready(const struct exporter *e);
/* Waits until no piece of memory is being registered any more; nothing is added from then on. */
void exporter_segments_stop(struct exporter *e);
void exporter_segments_free(struct exporter *e);

/* exporter_keys.c. The keys that a queue pair of this role on this device may use, in e->keys.
 * Returns how many. */
uint32_t exporter_keys_list(struct exporter *e, unsigned device, enum rdma_role role);

#endif
