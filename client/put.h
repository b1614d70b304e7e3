/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The put machine: asks for extents for a batch of values, writes payload, sums and seal of every
 * replica, and commits what is readable. A value of which some stripe could not be written anywhere
 * is aborted, with the state of each extent, and begun again if another node may take it.
 */
#ifndef CENOTE_CLIENT_PUT_H
#define CENOTE_CLIENT_PUT_H

#include "client/putting.h"

/* Bytes of the replicas of one put_start (one value may be larger): a put has to be finished in its
 * time, so a large batch must not wait behind itself. */
#define PUT_WINDOW_BYTES (UINT64_C(1) << 30)

struct put;

/* Items must outlive the machine; their keys and buffers have been checked. flags: enum
 * cenote_put_flags. NULL: no memory. */
struct put *put_begin(const struct machine_env *env, struct cenote_put_item *items, size_t count,
                      unsigned flags);
/* Before its first step: how the values are kept. */
void put_keep(struct put *p, const struct keep *keep);
struct machine *put_machine(struct put *p);
/* After STEP_DONE, when every item has its status. */
void put_free(struct put *p);

#endif
