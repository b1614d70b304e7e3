/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections between simulated processes. Messages of one connection come in order, each after a
 * delay of its own; those of different connections overtake each other. While a host is cut off,
 * in one direction or in both, messages wait. A connection that breaks loses what was on its way,
 * and its ends learn of it at different times, one perhaps much later. Or one end gives it up, and
 * what it has sent arrives all the same, much later: after what it has sent again over the next
 * connection. A stopped process reads nothing and keeps its connections; those of a dead
 * one are closed behind what it has sent.
 */
#ifndef CENOTE_TESTS_SIM_NET_H
#define CENOTE_TESTS_SIM_NET_H

#include "tests/sim/world.h"

struct net_end;

/* What an end does, as its process. */
struct net_handler {
    /* frame is valid as long as the world. */
    void (*message)(void *arg, const uint8_t *frame, size_t len_bytes, uint32_t msgid);
    void (*closed)(void *arg);
};

struct net_message {
    struct net_message *next;
    const uint8_t *frame; /* NULL: the other end has closed */
    size_t len_bytes;
    uint32_t msgid;
};

struct net_end {
    struct net_end *other;
    struct process *who;
    uint64_t life;
    const struct net_handler *handler;
    void *arg;
    bool open;
    bool severed;                     /* nothing sent from here arrives any more */
    struct net_message *first, *last; /* on their way to here */
    uint64_t last_ns;                 /* when the last of them comes, or came */
    uint64_t late_ns;                 /* none comes before */
    struct net_end *next;             /* of all ends */
};

/* Makes a connection at once; the caller has waited for it, and sets arg of both before it lets
 * anything happen. */
void net_make(struct process *a, const struct net_handler *at_a, struct process *b,
              const struct net_handler *at_b, struct net_end **end_a, struct net_end **end_b);
/* The bytes are copied; msgid travels beside them. */
void net_send(struct net_end *e, const void *frame, size_t len_bytes, uint32_t msgid);
/* By its own process: what was sent still goes; closed() follows. */
void net_close(struct net_end *e);
/* A fault: the connection breaks. */
void net_break(struct net_end *e);
/* A fault: it breaks, and one end learns of it at once, the other one only after so long. */
void net_halve(struct net_end *e, uint64_t ns);
/* A fault: its process is told that it broke; what it has sent arrives so much later. */
void net_leave_late(struct net_end *e, uint64_t ns);
/* One of the process' open connections, or NULL. */
struct net_end *net_some_of(const struct process *p, struct chance *c);
/* The process has closed all of its descriptors, and goes on. */
void net_closed(struct process *p);
/* Its machine has stopped: nobody is told, some learn of it late. */
void net_vanished(struct process *p);
/* The process has died. */
void net_died(struct process *p);
void net_reset(void);

/* A delay between two hosts, as the world's fault plan has it now. */
uint64_t net_delay_ns(struct chance *c);
/* Nothing gets there. */
bool net_is_cut(const struct process *from, const struct process *to);
/* ... or nothing comes back: no connection can be made. */
bool net_is_apart(const struct process *a, const struct process *b);

#endif
