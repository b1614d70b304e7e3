/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The get machine: looks a batch of keys up, reads all found values with as few steps as possible
 * into the callers' buffers, verifies, fails over, and asks anew where that doesn't help.
 */
#ifndef CENOTE_CLIENT_GET_H
#define CENOTE_CLIENT_GET_H

#include "client/machine.h"

/* Keys of one lookup; larger batches go window by window. */
#define GET_WINDOW     512u
/* Lookups of one put of a key until its get gives up. While others go on replacing the value, only
 * time ends it. */
#define GET_ROUNDS_MAX 3u
/* Stripes copied in one step. */
#define GET_COPIES_MAX 1024u

struct get;

/* Items must outlive the machine; their keys and buffers have been checked. NULL: no memory. */
struct get *get_begin(const struct machine_env *env, struct cenote_get_item *items, size_t count);
struct machine *get_machine(struct get *g);
/* After STEP_DONE, when every item has its status. */
void get_free(struct get *g);

#endif
