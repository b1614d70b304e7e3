/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that puts and gets without a pause, whatever happens to the devices: every byte that it
 * is told it has is the right one, everything that it begins ends, and it tells how it fared.
 */
#ifndef CENOTE_TESTS_CONTRACT_TRAFFIC_H
#define CENOTE_TESTS_CONTRACT_TRAFFIC_H

#include <stdatomic.h>

#include "tests/contract/rig.h"

struct traffic {
    struct rig *rig;
    uint64_t session, value_bytes;
    uint32_t patience_ms;
    pthread_t thread;
    atomic_bool stopping;
    _Atomic uint64_t longest_ms; /* that a request or a connect took */
    atomic_uint rounds;          /* a put that was got again */
    atomic_uint failed;          /* requests ... */
    atomic_uint timed_out;       /* ... and of these, that had to be cancelled */
    atomic_uint refused;         /* connects */
    atomic_uint connects;
};

/* On a thread of its own. A request that takes longer than patience_ms is cancelled, and has
 * failed: software RoCE now and then tells nobody that it can't send. */
void traffic_start(struct traffic *t, struct rig *r, uint64_t session, uint64_t value_bytes,
                   uint32_t patience_ms);
/* Waits for so many more rounds; for a failure of either kind. */
void traffic_await_rounds(struct traffic *t, unsigned count);
void traffic_await_failure(struct traffic *t);
/* Nothing may have taken longer. */
void traffic_stop(struct traffic *t, uint64_t limit_ms);

#endif
