/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing calls that wait to be sent again.
 *
 * The service remembers the answers to a session's last PROTOCOL_WINDOW calls. A thread that lost
 * an answer pauses before it asks again; meanwhile the others, who are luckier, could make so many
 * calls that its answer is forgotten. So new numbers wait while an old call is about to fall out of
 * the window: until it is answered, or its thread has not come back in time. Thread-safe.
 */
#ifndef CENOTE_CLIENT_LOST_H
#define CENOTE_CLIENT_LOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Beyond that many nobody waits for the others. */
#define LOST_CALLS_MAX 64u

struct lost {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic uint32_t count;
    struct {
        uint64_t seq, until_ms;
    } calls[LOST_CALLS_MAX];
};

/* Nothing is lost. */
void lost_init(struct lost *l);
/* Nobody may wait. */
void lost_destroy(struct lost *l);

/* The answer to this call was lost: its thread comes back soon. */
void lost_note(struct lost *l, uint64_t seq);
/* It has come back in vain, if it is one of the lost. */
void lost_again(struct lost *l, uint64_t seq);
/* It was answered, or will never be. */
void lost_forget(struct lost *l, uint64_t seq);
/* Before a new number is taken, somewhere from seq on. */
void lost_wait(struct lost *l, uint64_t seq);
/* Would that not wait? */
bool lost_is_free(struct lost *l, uint64_t seq);

#endif
