/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-sided copies ("xcopy") between local buffers and extents of donated memory.
 *
 * Two ops tables, one of each for every transport (loop, shm, rdma, tcp; ub later):
 *   xcopy_transport   the side that copies: a client, over channels to one node each
 *   xcopy_exporter    the side whose memory is copied: a node
 * Generic code sees only this header; transports are found in the table xcopy_transports[].
 *
 * A node that shares its memory also lets a client look at an extent where it lies (a hold): nobody
 * reuses it as long as it is held.
 *
 * A request names one extent (address and payload length: base/extent.h gives the layout), a part
 * of the payload, the local pieces, and a tail, which is the end of the extent: the seal, with the
 * list of chunk sums before it or without. The order that everything rests on:
 *   READ   the tail is read after the last byte of the payload has arrived.
 *   WRITE  the tail is written after the last byte of the payload; completion means that all of it
 *          is visible to every later reader, on every transport.
 */
#ifndef CENOTE_TRANSPORT_XCOPY_H
#define CENOTE_TRANSPORT_XCOPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cenote/cenote.h>

#include "transport/base/extent.h"
#include "transport/base/grant.h"
#include "transport/base/gva.h"
#include "transport/base/sums.h"
#include "transport/base/trace.h"
#include "transport/memory.h"

enum xcopy_op { XCOPY_READ, XCOPY_WRITE };

/* status of a request that has been submitted and has not completed */
#define XCOPY_IN_PROGRESS 1

/* Local bytes: the pieces in order, without their first skip bytes. */
struct xcopy_local {
    const struct cenote_buffer *pieces; /* for a WRITE they are only read */
    size_t count;
    uint64_t skip_bytes;
    enum memory_kind kind;
};

struct xcopy_req {
    enum xcopy_op op;
    struct gva gva;       /* of the extent */
    uint64_t payload_len; /* of the whole extent */
    uint64_t put_id;
    uint64_t session;         /* WRITE: that the grant was given to; a channel of another refuses */
    struct write_grant grant; /* WRITE */
    uint64_t offset;          /* part of the payload to copy ... */
    uint64_t len_bytes;       /* ... may be 0 */
    struct xcopy_local local; /* at least len_bytes */
    struct sums *sums;        /* fed with the payload's bytes as they pass; NULL: not wanted. For a
                               * READ it is fed with what lies in the local buffers. */
    uint8_t *tail;            /* the last tail_len bytes of the extent; tail_len 0: no tail */
    uint64_t tail_len;
    /* WRITE: called once, after all payload bytes have passed through sums and before the tail is
     * taken, so that the seal can carry the root; NULL: the tail is ready. */
    void (*seal_it)(struct xcopy_req *req);
    void *owner;            /* the submitter's */
    struct xcopy_req *next; /* the channel's, while in progress */

    /* Completion. When status is no longer XCOPY_IN_PROGRESS, nothing touches the buffers. */
    int status;
    bool may_land; /* a WRITE failed, and it isn't known that no byte of it will land any more */
    bool started;  /* a byte of a WRITE has left, or a byte of a READ's payload or tail has come; a
                    * failed request that hasn't may be sent again as it is */
};

/* Holds of one channel at a time. */
#define XCOPY_HOLDS_MAX 4096u

/* A mark on an extent that somebody looks at where it lies. */
struct xcopy_hold {
    struct gva gva;       /* of the extent */
    uint64_t payload_len; /* of the whole extent */
    uint64_t put_id;
    uint32_t slot; /* below XCOPY_HOLDS_MAX, and in use by no other hold of this channel */

    const void *data;         /* out: the payload */
    uint8_t seal[SEAL_BYTES]; /* out */
};

/* Who a client is, towards nodes. */
struct xcopy_credentials {
    uint64_t session;
    uint32_t name_space;
    struct session_token token;
};

#define XCOPY_ENDPOINT_MAX 128
#define XCOPY_HOST_MAX     64

/* How a node can be reached; learned from the service's map. Empty text: not by this transport. */
struct xcopy_peer {
    uint64_t node;
    uint64_t boot;
    char host[XCOPY_HOST_MAX];     /* the kernel's boot id: equal means the same machine */
    char shm[XCOPY_ENDPOINT_MAX];  /* "unix:PATH" or "unix:@abstract" */
    char rdma[XCOPY_ENDPOINT_MAX]; /* "host:port", where queue pairs are agreed upon */
    char tcp[XCOPY_ENDPOINT_MAX];  /* "host:port" */
    struct xcopy_exporter *loop;   /* in this very process (tests, simulator); NULL elsewhere */
};

/* ---- the side that copies ------------------------------------------------------------------ */

/* A connection to one node. A shared channel may be used by many threads at once; any other by one
 * thread at a time. */
struct xcopy_channel {
    const struct xcopy_transport *transport;
    uint64_t node;
    uint32_t spin_us; /* after progress() that moved nothing: how long calling it again is likely to
                       * be cheaper than poll(2). The transport adapts it; 0: never. */
};

/* What a process may say about transports; the text stays the caller's. */
struct xcopy_settings {
    const char *rdma;    /* as cenoted's --rdma (rdma/settings.h); NULL: "auto" */
    struct trace *trace; /* an exporter's; NULL: nobody traces */
};

/* What one end uses of its devices, for status and metrics. */
#define XCOPY_RAILS_MAX 8u
#define XCOPY_RAIL_TEXT 128u
struct xcopy_report {
    uint32_t rail_count;
    char rails[XCOPY_RAILS_MAX][XCOPY_RAIL_TEXT]; /* device, port, GID and state of each */
    uint64_t connections, queue_pairs, regions;   /* now */
    uint64_t errors;                              /* completions that told of one, ever */
    uint64_t fenced;                              /* queue pairs that fences ended, ever */
    uint64_t rails_lost;                          /* failovers, and devices that went, ever */
};

enum xcopy_caps {
    XCOPY_CAP_SHARED = 1,    /* one channel serves all threads of a process */
    XCOPY_CAP_IMMEDIATE = 2, /* submit() completes the request before it returns */
    /* the node looks at each request: it refuses wrong grants (CENOTE_BAD_GRANT) and reads of
     * what is no longer there (CENOTE_STALE) or not this namespace's (CENOTE_DENIED) */
    XCOPY_CAP_CHECKED = 4
};

struct xcopy_transport {
    const char *name;
    enum cenote_transport id;
    unsigned caps;

    /* What the channels of one client have in common, devices and memory: the first argument of
     * the operations that take one. All three NULL: nothing, and that argument is NULL. open() is
     * cheap and looks for no device: CENOTE_OK, CENOTE_INVALID (settings), CENOTE_NO_MEMORY.
     * close(): no channel is open, no memory registered. abandon_context(): in a forked child. */
    int (*open)(const struct xcopy_settings *settings, void **context);
    void (*close)(void *context);
    void (*abandon_context)(void *context);

    /* Could this peer be reached from this process? Cheap; connect() may fail all the same. */
    bool (*reaches)(void *context, const struct xcopy_peer *peer);
    /* CENOTE_OK, CENOTE_NODE_DOWN, CENOTE_TIMED_OUT, CENOTE_DENIED, CENOTE_OLD_BOOT (the node has
     * another boot than the peer says), CENOTE_VERSION, CENOTE_PROTOCOL, CENOTE_LIMIT (the node has
     * too many connections), CENOTE_NOT_SUPPORTED (not between these two processes: try another
     * transport), CENOTE_NO_MEMORY. */
    int (*connect)(void *context, const struct xcopy_peer *peer,
                   const struct xcopy_credentials *who, uint32_t timeout_ms,
                   struct xcopy_channel **out);
    /* Nothing may be in flight: cancel() first; and nothing may be held. */
    void (*disconnect)(struct xcopy_channel *c);

    /* In a forked child, instead of disconnect(): gives back what is the child's own memory and
     * descriptors. The parent goes on: nothing is sent, and shared memory isn't touched, not even
     * unmapped (it isn't mapped here). */
    void (*abandon)(struct xcopy_channel *c);

    /* Memory was registered that requests will use, on any channel; *handle is the transport's.
     * CENOTE_OK, CENOTE_NO_MEMORY, CENOTE_NOT_SUPPORTED. Any thread. Both NULL: the transport takes
     * memory as it comes. */
    int (*register_memory)(void *context, void *addr, uint64_t len_bytes, enum memory_kind kind,
                           void **handle);
    void (*forget_memory)(void *context, void *handle);

    /* Takes a request; sets its status (in progress, done or failed). Requests of one channel
     * complete in order. A failed request may break the channel: alive() tells. */
    void (*submit)(struct xcopy_channel *c, struct xcopy_req *req);
    /* Moves what can be moved without blocking. Returns whether anything moved. */
    bool (*progress)(struct xcopy_channel *c);
    /* To be called right before poll(2): what to wait for. -1: nothing; progress() has to do. */
    int (*poll_fd)(struct xcopy_channel *c, short *events);
    /* Completes everything in flight with the given status and breaks the channel. When it returns,
     * no buffer is touched any more. */
    void (*cancel)(struct xcopy_channel *c, int status);
    bool (*alive)(const struct xcopy_channel *c);

    /* Both or none; any thread. Call them by xcopy_hold() and xcopy_unhold(). Publishes the hold,
     * then reads the seal. If that is live and the right one, which the caller judges, the payload
     * stays as it is until unhold(), whatever becomes of the object, the channel and the node; else
     * the caller ends the hold at once. CENOTE_OK; otherwise nothing is held: CENOTE_BAD_RANGE,
     * CENOTE_NODE_DOWN, CENOTE_OLD_BOOT, CENOTE_NO_MEMORY; where nodes check, CENOTE_STALE and
     * CENOTE_DENIED. */
    int (*hold)(struct xcopy_channel *c, struct xcopy_hold *hold);
    void (*unhold)(struct xcopy_channel *c, uint32_t slot);

    /* What the context and its channels use; NULL: nothing worth telling. Any thread. */
    void (*report)(void *context, struct xcopy_report *out);
};

/* As the ops; CENOTE_NOT_SUPPORTED by transports that move bytes. */
int xcopy_hold(struct xcopy_channel *c, struct xcopy_hold *hold);
void xcopy_unhold(struct xcopy_channel *c, uint32_t slot);
bool xcopy_holds(const struct xcopy_transport *t);

/* This machine, as xcopy_peer.host names it: the same text in every process on this kernel. Empty
 * when the kernel doesn't say. */
void xcopy_this_host(char out[XCOPY_HOST_MAX]);

/* All transports of this build in the order of preference, NULL at the end. */
extern const struct xcopy_transport *const xcopy_transports[];

/* Walks local bytes: the next contiguous part, at most want bytes; 0 at the end. */
struct xcopy_cursor {
    const struct cenote_buffer *piece;
    size_t left;
    uint64_t skip_bytes;
};
struct xcopy_cursor xcopy_cursor_of(const struct xcopy_local *local);
size_t xcopy_cursor_next(struct xcopy_cursor *cursor, size_t want, uint8_t **part);

/* ---- the side whose memory is copied --------------------------------------------------------- */

/* What the node decides; called from the exporter's threads, must be thread-safe and quick. */
struct xcopy_gate {
    void *arg;
    uint64_t boot;
    /* CENOTE_OK or CENOTE_DENIED. */
    int (*authenticate)(void *arg, const struct xcopy_credentials *who);
    /* May this session write this extent for this put now? CENOTE_OK, CENOTE_FENCED,
     * CENOTE_OLD_BOOT, CENOTE_BAD_GRANT. */
    int (*admit_write)(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                       uint64_t extent_len, const struct write_grant *grant);
    /* The session's fence horizon: no put id up to it may be written any more. 0: none. */
    uint64_t (*horizon)(void *arg, uint64_t session);
    /* Named memory only, else NULL: a directory in memory where shm keeps what the exporter's next
     * life must know of writers (transport/shm/keep.h). It must outlive the exporter. */
    const char *slots_dir;
};

/* What a node's transport has moved, as far as the node's CPU sees it. */
struct xcopy_traffic {
    uint64_t read_bytes, written_bytes; /* of extents, seals included */
    uint64_t refused_reads, refused_writes;
    struct metric_view reads, writes; /* from a request to the end of its answer, or of its bytes */
};

/* One segment in its present incarnation. */
struct xcopy_segment {
    struct gva gva;
    uint64_t incarnation;
    struct memory memory; /* stays the node's; must outlive the exporter */
};

#define XCOPY_SEGMENTS_MAX 64

struct xcopy_exporter {
    const struct xcopy_exporter_ops *ops;
};

struct xcopy_exporter_ops {
    const char *name;
    /* Binds the endpoint and starts the exporter's threads. bound gets the endpoint as clients must
     * use it. CENOTE_OK, CENOTE_INVALID, CENOTE_IO, CENOTE_NO_MEMORY; CENOTE_LOCKED: a writer of an
     * earlier life may still write to this memory and can't be looked after (gate.slots_dir);
     * CENOTE_NOT_SUPPORTED: this machine lacks what the transport needs, and the settings don't
     * insist on it. */
    int (*start)(const char *endpoint, const struct xcopy_gate *gate,
                 const struct xcopy_settings *settings, struct xcopy_exporter **out,
                 char bound[XCOPY_ENDPOINT_MAX]);
    /* Serves one more segment from now on; where devices take longer than a moment to have it,
     * clients are answered CENOTE_NOT_SUPPORTED until they do. CENOTE_OK or CENOTE_LIMIT;
     * CENOTE_NO_MEMORY: devices can't have it, which was logged with the limit that forbids it. It
     * may turn out later, too: then clients are answered so for good. */
    int (*add_segment)(struct xcopy_exporter *e, const struct xcopy_segment *segment);
    /* The gate refuses the session up to the horizon already; session 0: all sessions, those that
     * connect later included. Calls done(arg), from any thread and
     * possibly before it returns, once no byte of the session's puts up to the horizon can land:
     * tcp closes the session's connections; shm waits until no slot names such a put or the process
     * that holds the slots is proven dead. May take for ever; stop() drops what is pending. */
    void (*fence)(struct xcopy_exporter *e, uint64_t session, uint64_t horizon,
                  void (*done)(void *arg), void *arg);
    /* The seals of these extents, in ascending order, are void already. Sets held[i] where somebody
     * may still look at extents[i], who found its seal live; leaves the others as they are. Any
     * thread. NULL: nobody can, by this transport. Call it by xcopy_held(). */
    void (*held)(struct xcopy_exporter *e, const struct gva *extents, size_t count, bool *held);
    /* How many holds there are; NULL: none. Call it by xcopy_hold_count(). */
    uint32_t (*hold_count)(struct xcopy_exporter *e);
    /* Each hold, by its extent's address; hold() must be quick. NULL: there are none. Call it by
     * xcopy_each_hold(). */
    void (*each_hold)(struct xcopy_exporter *e, void (*hold)(void *arg, struct gva extent),
                      void *arg);
    /* What it uses, for status and metrics; NULL: nothing worth telling. Any thread. */
    void (*report)(struct xcopy_exporter *e, struct xcopy_report *out);
    /* Adds to a zero-filled *out; NULL: the node's CPU sees nothing of a copy. Any thread. */
    void (*traffic)(struct xcopy_exporter *e, struct xcopy_traffic *out);
    /* Stops serving, joins the threads, frees. The memory isn't touched any more, but by those who
     * hold a part of it. */
    void (*stop)(struct xcopy_exporter *e);
};

static inline void xcopy_held(struct xcopy_exporter *e, const struct gva *extents, size_t count,
                              bool *held)
{
    if (e->ops->held != NULL)
        e->ops->held(e, extents, count, held);
}

static inline uint32_t xcopy_hold_count(struct xcopy_exporter *e)
{
    return e->ops->hold_count != NULL ? e->ops->hold_count(e) : 0;
}

static inline void xcopy_each_hold(struct xcopy_exporter *e,
                                   void (*hold)(void *arg, struct gva extent), void *arg)
{
    if (e->ops->each_hold != NULL)
        e->ops->each_hold(e, hold, arg);
}

extern const struct xcopy_exporter_ops xcopy_loop_exporter;
extern const struct xcopy_exporter_ops xcopy_shm_exporter;
extern const struct xcopy_exporter_ops xcopy_tcp_exporter;
extern const struct xcopy_exporter_ops xcopy_rdma_exporter;

/* Checks, at a node, that a live seal of this put closes the extent, and that the extent lies in
 * one of the segments. *base gets the extent's address. CENOTE_OK, CENOTE_STALE, CENOTE_BAD_RANGE,
 * CENOTE_DENIED (another namespace). */
int xcopy_admit_read(const struct xcopy_segment *segments, size_t count, uint32_t name_space,
                     uint64_t put_id, struct gva gva, uint64_t payload_len, uint8_t **base);

#endif
