/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view machine: looks one key up, holds a replica of the value where it lies, and judges it.
 */
#ifndef CENOTE_CLIENT_VIEW_H
#define CENOTE_CLIENT_VIEW_H

#include <cenote/cenote.h>

#include "client/machine.h"

/* Lookups of one put of the key until its view gives up. */
#define VIEW_ROUNDS_MAX 3u

struct view;

/* After STEP_DONE. */
struct view_result {
    int status; /* the rest only with CENOTE_OK */
    const void *data;
    uint64_t len_bytes, put_id;
    struct fabric_link *link; /* of the hold, which is the caller's now */
};

/* The key, which has been checked, must outlive the machine; slot is for the hold. NULL: no
 * memory. */
struct view *view_begin(const struct machine_env *env, const struct cenote_key *key, uint32_t slot);
struct machine *view_machine(struct view *v);
void view_take_result(const struct view *v, struct view_result *out);
/* After STEP_DONE. */
void view_free(struct view *v);

#endif
