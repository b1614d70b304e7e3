/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The warm view: a key whose lookup is in the cache, one stripe, on a node whose memory this
 * process has mapped, and bytes that needn't be summed (any more). No call to the service, no lock,
 * no allocation, no machine: a hold, and the same judgement as everywhere (client/reading.h).
 */
#ifndef CENOTE_CLIENT_WARM_VIEW_H
#define CENOTE_CLIENT_WARM_VIEW_H

#include "client/view.h"

struct warm_view_ops {
    /* Holds without waiting for anybody; false: it can't, and nothing was done. */
    bool (*hold)(void *arg, struct fabric_hold *hold, int *status);
    void (*unhold)(void *arg, const struct fabric_hold *hold);
    uint64_t (*now_ms)(void *arg);
};

/* True: out has the view. False: nothing is held, and a view machine has to look. */
bool warm_view(const struct machine_env *env, const struct warm_view_ops *ops, void *arg,
               const struct cenote_key *key, uint32_t slot, struct view_result *out);

#endif
