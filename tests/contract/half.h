/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer that has stopped half-way, on any transport: where a copy is made by the submitting
 * thread, that thread stands between payload and seal; elsewhere the channel isn't moved any more
 * when the first bytes have arrived.
 */
#ifndef CENOTE_TESTS_CONTRACT_HALF_H
#define CENOTE_TESTS_CONTRACT_HALF_H

#include "tests/contract/rig.h"

/* More than sockets hold on their way. */
#define HALF_BYTES (UINT64_C(40) << 20)

struct half {
    struct rig *rig;
    struct xcopy_channel *channel;
    struct rig_value value;
    struct cenote_buffer whole;
    struct xcopy_req req;
    pthread_t thread;
    sem_t reached, resume;
};

/* Begins to write HALF_BYTES at offset 0 and stops half-way. */
void half_begin(struct half *h, struct rig *r, uint64_t session);
/* Lets the writer go on to its end; the request's status and may_land are set then. */
void half_resume(struct half *h);
void half_free(struct half *h);

#endif
