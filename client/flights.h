/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations in flight, from their submission to the fetching of their completion: ids, the limit,
 * what was asked to be cancelled, and the queue of completions with its descriptor. No I/O; who
 * carries operations out is the driver. Thread-safe.
 *
 *   submit --> INBOX --taken by the driver--> FLYING --land--> LANDED --fetch--> gone
 *
 * A flight that has landed may still be the driver's (it has something to tell the service): its
 * place is free when it was fetched and the driver has left it.
 */
#ifndef CENOTE_CLIENT_FLIGHTS_H
#define CENOTE_CLIENT_FLIGHTS_H

#include <cenote/async.h>
#include <stdbool.h>

struct flights;

/* Embedded in what the driver knows of the operation; zero-fill to begin. All but the first group
 * is flights.c's. */
struct flight {
    uint64_t user_data;
    /* Gives back the operation's memory, on whichever thread is the last one. */
    void (*release)(struct flight *f);
    /* Of a part of an operation, otherwise NULL: called by flights_land(), on the driver's thread,
     * and there is no completion. */
    void (*part_landed)(struct flight *f);

    uint64_t id;
    int status;
    bool landed, fetched, left; /* left by the driver */
    bool cancelled;             /* somebody asked for it */
    bool to_cancel;             /* in the list of those that the driver has not heard of */
    struct flight *next, *next_cancelled;
};

/* NULL: no memory, or no descriptor. wake(arg) tells the driver that something is new; from any
 * thread, with the lock held. */
struct flights *flights_new(void (*wake)(void *arg), void *arg);
/* Frees all flights that have landed; the driver has left all. */
void flights_free(struct flights *fs);
/* In a forked child, instead: closes the descriptor. */
void flights_abandon(struct flights *fs);

/* Gives the flight its id. CENOTE_OK, CENOTE_LIMIT, CENOTE_NO_MEMORY. */
int flights_submit(struct flights *fs, struct flight *f, uint64_t *id);
/* A part of an operation: it has no id and no completion, and doesn't count. It stays until whoever
 * submitted it has been told that it has landed, and has discarded it. */
void flights_submit_part(struct flights *fs, struct flight *f);
void flights_cancel_part(struct flights *fs, struct flight *f);
void flights_discard(struct flights *fs, struct flight *f);
/* CENOTE_OK or CENOTE_NOT_FOUND. */
int flights_cancel(struct flights *fs, uint64_t id);
int flights_fd(const struct flights *fs);
/* As cenote_completions(). */
int flights_fetch(struct flights *fs, struct cenote_completion *out, size_t max, uint32_t wait_ms);

/* The driver's: takes what was submitted, and the flights to be cancelled (none that has landed),
 * each list by its next pointer. Returns the number of flights that aren't gone. */
size_t flights_take(struct flights *fs, struct flight **submitted, struct flight **to_cancel);
/* The operation is over for its submitter: nothing touches his memory any more. */
void flights_land(struct flights *fs, struct flight *f, int status);
/* The driver needs the flight no longer, which has landed. */
void flights_leave(struct flights *fs, struct flight *f);

#endif
