/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The warm get: one key whose lookup is in the cache, one stripe, on a node whose memory this
 * process can read at once. No call to the service, no lock, no allocation, no machine: one copy
 * and the same judgement as everywhere (client/reading.h). It does no I/O of its own; the read and
 * the clock are given to it.
 */
#ifndef CENOTE_CLIENT_WARM_H
#define CENOTE_CLIENT_WARM_H

#include "client/machine.h"

/* Longer values gain nothing: their copy takes a hundred times longer than a machine's steps. */
#define WARM_BYTES_MAX (4u << 20)

struct warm_ops {
    /* Reads without waiting for anybody; false: it can't, and nothing was done. */
    bool (*read)(void *arg, struct fabric_req *req);
    uint64_t (*now_ms)(void *arg);
};

/* True: the item has its value and its status. False: nothing is known of it, and a get machine has
 * to look; its buffers may have been written to, and nothing touches them any more. */
bool warm_get(const struct machine_env *env, const struct warm_ops *ops, void *arg,
              struct cenote_get_item *item);

#endif
