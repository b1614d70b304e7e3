/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The get machine: looks a batch of keys up, reads all found values, or ranges of them, with as few
 * steps as possible into the callers' buffers, verifies, fails over, and asks anew where that
 * doesn't help.
 */
#ifndef CENOTE_CLIENT_GET_H
#define CENOTE_CLIENT_GET_H

#include <cenote/range.h>

#include "client/machine.h"

/* Keys of one lookup; larger batches go window by window. */
#define GET_WINDOW          512u
/* Lookups of one put of a key until its get gives up. While others go on replacing the value, only
 * time ends it. */
#define GET_ROUNDS_MAX      3u
/* Stripes and parts of them copied in one step, and the memory that parts take meanwhile (a single
 * one may need more). */
#define GET_COPIES_MAX      1024u
#define GET_PARTS_BYTES_MAX (UINT64_C(16) << 20)

struct get;

/* Items must outlive the machine; their keys and buffers have been checked. NULL: no memory. */
struct get *get_begin(const struct machine_env *env, struct cenote_get_item *items, size_t count);
/* The same for ranges. */
struct get *get_begin_ranges(const struct machine_env *env, struct cenote_range_item *items,
                             size_t count);
struct machine *get_machine(struct get *g);
/* After STEP_DONE, when every item has its status. */
void get_free(struct get *g);

#endif
