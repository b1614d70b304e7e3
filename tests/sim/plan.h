/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a simulated pool: its shape, the operations of its clients, the faults. It
 * follows from a seed, or is written by hand (schedules.c); what follows from a seed can be left
 * out piece by piece. */
#ifndef CENOTE_TESTS_SIM_PLAN_H
#define CENOTE_TESTS_SIM_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/chance.h"

#define PLAN_NODES_MAX   3u
#define PLAN_CLIENTS_MAX 4u
#define PLAN_THREADS_MAX 2u
#define PLAN_OPS_MAX     96u
#define PLAN_FAULTS_MAX  16u
#define PLAN_KEYS_MAX    6u

enum plan_kind {
    OP_PUT,
    OP_REPLACE,
    OP_REMOVE,
    OP_GET,
    OP_EXISTS,
    OP_VIEW,
    OP_PUTS,    /* several keys in one call */
    OP_GETS,    /* ... */
    OP_RANGES,  /* two parts of a value */
    OP_WRITER,  /* range by range */
    OP_REWRITE, /* ... in the place of an older value */
    OP_KINDS
};

/* Keys of one call. */
#define PLAN_BATCH_MAX 3u

struct plan_op {
    uint8_t client, thread;
    uint8_t kind; /* enum plan_kind */
    uint8_t key;
    uint8_t replicas;
    uint32_t len_bytes;
    uint32_t pause_us; /* before it */
    uint16_t ttl_ms;   /* PUT, REPLACE: 0: none */
    uint8_t pin;       /* likewise, enum cenote_pin */
    uint8_t group;     /* likewise, 0: none */
    bool seals;        /* whatever puts: its bytes hold seals of other extents */
    uint32_t look_us;  /* VIEW: how long it stays open */
    uint16_t number;   /* in the plan as it was made */
};

enum plan_fault_kind {
    FAULT_KILL_META,
    FAULT_STOP_META,
    FAULT_KILL_NODE,
    FAULT_STOP_NODE,
    FAULT_KILL_CLIENT,
    FAULT_STOP_CLIENT,
    FAULT_CLOSEFROM, /* a client closes all of its descriptors, and goes on */
    FAULT_BREAK,     /* a connection of a process */
    FAULT_HALF,      /* ... of which one end doesn't hear */
    FAULT_LATE,      /* ... and what was sent over it arrives all the same, later */
    FAULT_CUT,       /* a host from all others ... */
    FAULT_CUT_IN,    /* ... nothing gets there */
    FAULT_CUT_OUT,   /* ... nothing comes from there */
    FAULT_SLOW,      /* the network */
    FAULT_DISK,      /* the store refuses some changes */
    FAULT_MEMORY,    /* a request of a process for it fails */
    FAULT_FLIP,      /* a bit of a value, where it lies */
    FAULT_MACHINE,   /* a host restarts: nodes and clients on it, named memory too */
    FAULT_KINDS_DRAWN,
    /* in schedules only */
    FAULT_LOSE_META = FAULT_KINDS_DRAWN, /* the service is killed, its database gone: a rebuild */
    FAULT_CRASH_META,   /* its machine crashes, what wasn't synced is gone from its database */
    FAULT_RESTORE_META, /* it is stopped in order and its database copied; and the copy restored */
    FAULT_TWIN_META,    /* ... and the copy begins beside it */
    FAULT_KINDS
};

/* What a fault waits for, if not for a time. */
enum plan_moment {
    AT_TIME,
    AT_WRITING, /* a client is in the middle of a write, and some of it has landed */
    AT_READING, /* ... of a read */
    AT_VIEWING, /* a view is open */
    AT_LOOKUP,  /* a client has sent this */
    AT_START,
    AT_COMMIT,
    AT_REMOVE,
    AT_FENCE, /* a node is told this */
    AT_VOID,
    MOMENTS
};

/* Whoever the moment is about. */
#define TARGET_THERE 255u
/* KILL_META: the service's twin, if there is one. */
#define TARGET_TWIN  1u

struct plan_fault {
    uint8_t kind;
    uint8_t target;
    uint8_t moment;    /* enum plan_moment ... */
    uint8_t nth;       /* ... from 1 */
    uint32_t at_ms;    /* AT_TIME */
    uint32_t after_us; /* else */
    uint32_t lasts_ms;
    uint16_t number;
};

struct plan {
    uint64_t seed;
    unsigned nodes, clients, threads, keys, hosts;
    uint64_t segment_bytes;
    uint32_t lease_ms, put_timeout_ms, session_grace_ms, heartbeat_ms, suspect_ms, dead_ms;
    uint32_t client_timeout_ms;
    uint64_t stripe_bytes;
    bool named; /* nodes' memory */
    bool directories;
    unsigned ways; /* of nodes, bits of enum way */
    uint8_t node_host[PLAN_NODES_MAX], client_host[PLAN_CLIENTS_MAX];
    struct plan_op ops[PLAN_OPS_MAX];
    unsigned op_count;
    struct plan_fault faults[PLAN_FAULTS_MAX];
    unsigned fault_count;
    uint32_t quota_objects;         /* 0: none */
    uint32_t evict_high, evict_low; /* as in struct service_options */
    uint32_t later_lease_ms;        /* of the service's next lives; 0: the same */
};

/* Draws how a value is kept. */
void plan_keep(struct plan_op *o, struct chance *c);
void plan_draw(struct plan *p, uint64_t seed);
/* Leaves out what is named: "o12,f3". False: nonsense. */
bool plan_skip(struct plan *p, const char *what);
void plan_print(const struct plan *p);

#endif
