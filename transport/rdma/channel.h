/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RDMA, the side that copies: a client's channel to one node.
 *
 * It has a set-up connection (setup.h) and up to eight rails: pairs of a local and a remote port.
 * On each rail there are up to two queue pairs, one for READs and one for WRITEs, so that a fence,
 * which takes away a session's queue pairs of role write, doesn't touch its reads. Those for READs
 * are made when the channel is opened, the others when the first WRITE comes.
 *
 * Three things stand in three rings, each in the order of submission:
 *
 *   waiting   requests, linked, as many as there are
 *   jobs      requests that are being worked on: how far each has come
 *   entries   work requests that are with a device, of all queue pairs, in the order in which they
 *             were posted
 *
 * Entries are the spine. Each has a serial number, which is also the work request's wr_id. Devices
 * complete the entries of one queue pair in order, those of different ones in any order; entries
 * retire, at the end of the ring, in the order of their serials. Hence everything that must happen
 * in order does: bytes pass through sums from front to back although several rails bring them,
 * requests complete in the order of submission, and "all that this job has posted so far has
 * completed" is one comparison of two serials, without any counting.
 *
 * Completions are asked for once a chain, that is once for up to 32 work requests that go to the
 * device with one doorbell, and after every 256 KiB, so that sums and copies run while the rest is
 * still coming. A completion stands for all entries of its queue pair up to its own.
 *
 * A job goes through these steps:
 *
 *   PAYLOAD  is cut into work requests, until queues and bounce memory are full.
 *   SETTLE   (a WRITE that was divided over rails) a READ behind the last WRITE on each rail: the
 *            tail must not overtake what another rail carries.
 *   TAIL     READ: it must begin after the last byte of the payload has arrived, and two READs of
 *            one queue pair begin in order, but the second may be answered from memory before the
 *            first has been answered as a whole. So either the payload has retired, or the work
 *            request carries a fence: the device then holds it back until all earlier READs of its
 *            queue pair are complete. A fence costs a round trip in which nothing else is sent, so
 *            it is used only when there is nothing else to send, and once for all tails that wait
 *            (and never with devices that lose what they hold back: control.c).
 *            WRITE: when the payload has passed through the sums and the seal is made. WRITEs of
 *            one queue pair take effect in order.
 *   FLUSH    (WRITE) that a WRITE has completed says that the other device has it, not that it is
 *            in memory. A READ behind it, of the same queue pair, does: it can't be answered before
 *            what came ahead of it is there. One for all jobs that wait for it.
 *   POSTED   nothing is left to do but to wait for its last entry.
 *
 * When a queue pair fails, or the node takes it away, the channel heals: it posts nothing more,
 * the failed queue pair is drained and destroyed, the others come to rest, the node confirms that
 * its side of the failed one is gone too (a late packet could otherwise overwrite newer bytes), and
 * jobs that had anything on it go back: a READ to where its bytes have passed, a WRITE to its
 * beginning. Then work goes on, on what is left; requests don't notice. Only when no rail is left
 * does the channel break, and everything in flight fails.
 */
#ifndef CENOTE_TRANSPORT_RDMA_CHANNEL_H
#define CENOTE_TRANSPORT_RDMA_CHANNEL_H

#include "transport/rdma/context.h"
#include "transport/rdma/setup.h"

#define CHANNEL_JOBS   64u  /* a power of two */
#define CHANNEL_STAGES 64u  /* slots of bounce memory at a time */
#define CHANNEL_CHAIN  32u  /* work requests posted at once */
#define CHANNEL_PIECES 256u /* of all work requests of a chain */
#define CHANNEL_POLL   16u  /* completions taken at once */

/* Longest message, and how often a completion is asked for. */
#define CHANNEL_MESSAGE_BYTES (UINT64_C(1) << 20)
#define CHANNEL_SIGNAL_BYTES  (UINT64_C(256) << 10)
/* Requests of so many bytes are divided over rails. */
#define CHANNEL_SPREAD_BYTES  (UINT64_C(1) << 20)
/* Shorter pieces are copied: looking up their registration would cost as much. */
#define CHANNEL_DIRECT_BYTES  1024u
/* WRITEs up to this length are summed before they are posted, so that all goes in one chain. */
#define CHANNEL_PROMPT_BYTES  8192u
/* One progress() sums and copies about so much: others have their turn. */
#define CHANNEL_TURN_BYTES    (UINT64_C(4) << 20)

#define CHANNEL_FLUSH_BYTES 8u
/* Failed queue pairs give back what they have in microseconds; one that doesn't is destroyed. */
#define CHANNEL_DRAIN_MS    250u
/* A queue pair that requests keep breaking is made anew so often without a success in between. */
#define CHANNEL_STRIKES     3u
/* While completions are polled for, the set-up connection is looked at every so many times. */
#define CHANNEL_LOOK_TURNS  64u
/* Longer waits aren't worth spinning for. */
#define CHANNEL_SPIN_US     50u
/* A node answers on the set-up connection in milliseconds; one that doesn't for so long is away. */
#define CHANNEL_ANSWER_MS   5000u

struct rdma_channel;

enum channel_kind { ENTRY_PAYLOAD, ENTRY_TAIL, ENTRY_FLUSH };

/* A work request. */
struct channel_entry {
    struct channel_job *job; /* NULL: a flush, which is several jobs' */
    struct rdma_held *held;  /* memory that it uses; NULL: nothing to be given back */
    uint8_t *staged;         /* its bytes in bounce memory; NULL: they are where they belong */
    struct channel_queue *queue;
    uint32_t len_bytes;
    uint32_t next; /* of the same queue pair: index in the ring */
    uint8_t kind, stage;
    bool done, failed;
};

enum queue_state {
    QUEUE_NONE,
    QUEUE_OPENING, /* the node is to make its side */
    QUEUE_OPEN,
    QUEUE_CLOSING /* the node is to end its side */
};

/* A queue pair, with the chain that is to be posted to it next. */
struct channel_queue {
    struct channel_rail *rail;
    enum rdma_role role;
    unsigned bit; /* in sets of queues */
    enum queue_state state;
    struct rdma_queue q;
    uint32_t tag;
    int refused; /* why the node, or this process, can't have it */
    uint64_t horizon;
    struct setup_key *keys; /* by address */
    uint32_t key_count, key_hit;
    bool failed; /* what it has is flushed, and it is to be destroyed */
    bool gone;   /* the node has destroyed its side */
    bool keys_asked;

    bool fences;           /* its device holds fenced work requests back, and lets them go again */
    uint32_t room;         /* entries that it takes at a time ... */
    uint32_t listed;       /* ... that it has ... */
    uint32_t posted;       /* ... of these, with the device */
    uint32_t first, last;  /* in the ring, oldest and newest */
    uint64_t fenced_from;  /* READs before this serial are complete when the next begins */
    uint64_t flushed_from; /* WRITEs before this serial are visible when the last flush is done */

    uint32_t chain_max, chain_count, piece_count;
    uint64_t unsignalled_bytes;
    struct ibv_send_wr chain[CHANNEL_CHAIN];
    struct ibv_sge pieces[CHANNEL_PIECES];
};

/* A local and a remote port. */
struct channel_rail {
    struct rdma_port *port;
    unsigned remote; /* index in the node's list */
    struct ibv_comp_channel *events;
    struct ibv_cq *cq; /* of both queues; it has room for all that they can have */
    uint32_t cq_room;
    bool armed; /* an event will come, or has come */
    unsigned events_taken;
    bool lost;
    unsigned strikes;
    uint64_t load_bytes; /* on their way */
    struct channel_queue read, write;
};

enum job_step { JOB_PAYLOAD, JOB_SETTLE, JOB_TAIL, JOB_FLUSH, JOB_POSTED };

/* A request that is being worked on. */
struct channel_job {
    struct xcopy_req *req;
    enum job_step step;
    int status;
    bool sealed;  /* WRITE: the tail is ready */
    bool touched; /* WRITE: something of it has been posted, ever */
    bool holed;   /* a queue that it used has failed: what is under way doesn't count */
    bool asked;   /* the node was asked for keys */
    bool spread;  /* over all rails */
    struct channel_queue *queue;    /* that carries it; NULL: several do */
    unsigned queues;                /* set of those that have had something of it */
    unsigned unsettled;             /* set of those that must be flushed next */
    struct xcopy_cursor post, pass; /* local bytes that come next ... */
    uint64_t posted, passed;        /* ... and how many have gone: into work requests, and through
                                     * sums and to their place */
    uint64_t tail_posted, tail_passed;
    uint64_t payload_end; /* serial behind its payload's last entry */
    uint64_t settled;     /* serial behind its flushes */
    uint64_t end;         /* serial behind its last entry */
};

/* A slot of bounce memory, of which entries have parts. */
struct channel_stage {
    struct rdma_bounce_slot *slot; /* NULL: none */
    uint32_t used_bytes;
    uint32_t users;
};

/* Room for messages; large, and hardly ever touched beyond its beginning. */
struct channel_talk {
    uint8_t in[SETUP_HEADER_BYTES + SETUP_BODY_MAX];
    uint8_t out[SETUP_HEADER_BYTES + SETUP_BODY_MAX];
    struct setup_key keys[SETUP_KEYS_MAX];
};

enum channel_state { CHANNEL_RUNS, CHANNEL_HEALS, CHANNEL_BROKEN };

struct rdma_channel {
    struct xcopy_channel base;
    struct rdma_context *context;
    struct rdma_devices *devices;
    enum channel_state state;
    int doom; /* why it is to break; CENOTE_OK: it isn't */
    uint64_t boot, session;

    /* requests */
    struct xcopy_req *waiting, *waiting_last;
    struct channel_job jobs[CHANNEL_JOBS];
    uint64_t first_job, next_job;
    bool due;            /* there may be something to post */
    uint64_t turn_bytes; /* left of this progress() */

    /* entries */
    struct channel_entry *ring;
    uint32_t ring_size;
    uint64_t tail, head; /* serials: the oldest that hasn't retired, the next */

    struct channel_stage stages[CHANNEL_STAGES];
    unsigned stage; /* the one that parts are taken from */

    /* rails */
    unsigned rail_count, rails_live;
    unsigned rails_begun; /* as many lived when the channel was made */
    struct channel_rail *rails;

    /* the set-up connection (control.c) */
    int fd, epoll;
    bool ports_known;
    struct setup_ports ports;
    uint32_t last_tag;
    struct channel_talk *talk;
    uint32_t in_have;

    /* waiting */
    /* By the clock of ticks: since when nothing has come that is awaited (0: nothing is), and when
     * the devices' events were taken last. */
    uint64_t asked_ms, events_ms;
    bool look;            /* the set-up connection may have news */
    uint32_t quiet_turns; /* progress() without any */
    uint64_t quiet_ns;    /* since when */
    uint64_t wait_ns;     /* mean of late */
};

static inline struct channel_entry *channel_entry_at(struct rdma_channel *ch, uint64_t serial)
{
    return &ch->ring[serial & (ch->ring_size - 1)];
}

static inline struct channel_job *channel_job_at(struct rdma_channel *ch, uint64_t number)
{
    return &ch->jobs[number & (CHANNEL_JOBS - 1)];
}

static inline struct channel_queue *channel_queue_of(struct channel_rail *rail, enum rdma_role role)
{
    return role == RDMA_ROLE_READ ? &rail->read : &rail->write;
}

static inline enum rdma_role channel_role_of(const struct xcopy_req *req)
{
    return req->op == XCOPY_READ ? RDMA_ROLE_READ : RDMA_ROLE_WRITE;
}

/* connect.c */
int channel_connect(void *context, const struct xcopy_peer *peer,
                    const struct xcopy_credentials *who, uint32_t timeout_ms,
                    struct xcopy_channel **out);
void channel_free(struct rdma_channel *ch);
void channel_abandon(struct rdma_channel *ch);

/* control.c: the set-up connection. channel_look() takes what has come; an end or nonsense dooms
 * the channel. Returns whether anything came. */
bool channel_look(struct rdma_channel *ch);
/* Has the node been asked for something? */
bool channel_awaits(const struct rdma_channel *ch);
/* Asks for the queues of this role that there aren't on rails that live. Returns how many are on
 * their way. */
unsigned channel_open_queues(struct rdma_channel *ch, enum rdma_role role);
void channel_close_queue(struct rdma_channel *ch, struct channel_queue *queue);
void channel_ask_keys(struct rdma_channel *ch, struct channel_queue *queue);

/* keys.c: the key for an address, and how many bytes from there on it is good for. NULL: none. */
const struct setup_key *channel_key_find(struct channel_queue *queue, struct gva gva,
                                         uint64_t *left);
bool channel_key_covers(struct channel_queue *queue, struct gva gva, uint64_t len_bytes);
/* CENOTE_OK or CENOTE_NO_MEMORY. */
int channel_keys_set(struct channel_queue *queue, const struct setup_key *keys, uint32_t count);

/* job.c: a job's life but for posting. */
bool channel_admit(struct rdma_channel *ch);
/* Sends len bytes that were posted through sums (WRITE), or to their place from staged, where they
 * aren't there yet, and through sums (READ). */
void channel_pass(struct rdma_channel *ch, struct channel_job *job, const uint8_t *staged,
                  uint64_t len_bytes);
void channel_pass_tail(struct channel_job *job, const uint8_t *staged, uint64_t len_bytes);
/* Copies the next len bytes of a WRITE to bounce memory, and through sums if it is their turn. */
void channel_stage_payload(struct rdma_channel *ch, struct channel_job *job, uint8_t *staged,
                           uint64_t len_bytes);
/* Sums what has been posted, and seals: a WRITE; all of them. Returns whether anything moved. */
void channel_sum_write(struct rdma_channel *ch, struct channel_job *job);
bool channel_sum_writes(struct rdma_channel *ch);
/* The job won't go on; it completes when its entries have retired. */
void channel_fail_job(struct rdma_channel *ch, struct channel_job *job, int status);
/* Completes those in front that are finished. */
bool channel_finish_jobs(struct rdma_channel *ch);
/* After healing: back to where a job's bytes are safe. */
void channel_rewind_job(struct channel_job *job);
/* Completes all with the status, or the one they have. */
void channel_end_jobs(struct rdma_channel *ch, int status);

/* post.c: posts what can be posted. Returns whether anything was. */
bool channel_post(struct rdma_channel *ch);

/* cut.c: one more work request for a job's payload or tail, and a flush behind its WRITEs. FAILED:
 * the job has its status. */
enum channel_cut { CUT_DONE, CUT_FULL, CUT_FAILED };
enum channel_cut channel_cut_payload(struct rdma_channel *ch, struct channel_job *job,
                                     struct channel_queue *queue);
enum channel_cut channel_cut_tail(struct rdma_channel *ch, struct channel_job *job,
                                  struct channel_queue *queue, bool fenced);
enum channel_cut channel_cut_flush(struct rdma_channel *ch, struct channel_job *job,
                                   struct channel_queue *queue);

/* chain.c: work requests on their way to the device. has_room(): for one more; make_room(): in the
 * chain, for one with so many pieces, by posting what is there. The caller then fills chain_next()
 * (opcode, send_flags, num_sge, wr.rdma) and chain_pieces(), and add() makes it an entry. */
bool chain_has_room(const struct rdma_channel *ch, const struct channel_queue *queue);
void chain_make_room(struct rdma_channel *ch, struct channel_queue *queue, uint32_t pieces);
static inline struct ibv_send_wr *chain_next(struct channel_queue *queue)
{
    return &queue->chain[queue->chain_count];
}
static inline struct ibv_sge *chain_pieces(struct channel_queue *queue)
{
    return &queue->pieces[queue->piece_count];
}
struct channel_entry *chain_add(struct rdma_channel *ch, struct channel_queue *queue,
                                uint64_t len_bytes);
void chain_post(struct rdma_channel *ch, struct channel_queue *queue);

/* stage.c: parts of bounce memory. Returns the part, at most want bytes of it; *len its length,
 * *stage whom to give it back to. NULL: none now. */
uint8_t *stage_take(struct rdma_channel *ch, uint64_t want, uint64_t *len_bytes, unsigned *stage);
void stage_give(struct rdma_channel *ch, unsigned stage);
uint32_t stage_key(const struct rdma_channel *ch, unsigned stage,
                   const struct channel_queue *queue);
/* Nothing is in flight: gives all of it back. */
void stage_rest(struct rdma_channel *ch);

/* complete.c: takes completions; entries that are done at the end of the ring retire. Returns
 * whether there were any. */
bool channel_poll(struct rdma_channel *ch);
bool channel_retire(struct rdma_channel *ch);
/* A queue pair is no more: what it had is over. The channel breaks: nothing retires any more. */
void channel_give_up_entries(struct rdma_channel *ch, struct channel_queue *queue);
void channel_drop_entries(struct rdma_channel *ch);

/* heal.c */
void channel_fail_queue(struct rdma_channel *ch, struct channel_queue *queue);
void channel_lose_rail(struct rdma_channel *ch, struct channel_rail *rail, const char *why);
/* Looks whether the devices have told of something that ends a rail. */
void channel_check_rails(struct rdma_channel *ch);
bool channel_heal(struct rdma_channel *ch);
/* It is to break, when nobody is in the middle of a change: by healing. */
void channel_doom(struct rdma_channel *ch, int status);
/* Everything in flight fails; no buffer is touched any more. */
void channel_break(struct rdma_channel *ch, int status);

#endif
