/* SPDX-License-Identifier: Apache-2.0 */
/* The start: a new reign, durably; then everything from the store, and nothing else. */
#ifndef CENOTE_META_RECOVER_H
#define CENOTE_META_RECOVER_H

#include "meta/core/core.h"

struct ending;

struct recover {
    struct core *core;
    struct change change;
    void (*done)(struct recover *r, int status);
};

/* core is zero-filled but for its options, env and store. CENOTE_OK: done is told later. */
int recover_start(struct recover *r);
/* The second half of it, on a store that a rebuild has made. */
int recover_run(struct recover *r);

/* Of an extent that is in use: CENOTE_OK; CENOTE_IO: it has two owners, or can't be; its
 * incarnation may have ended. */
int recover_reserve(struct core *c, struct gva gva, uint64_t payload_len);
/* An ending of an object that is durably REMOVED, before it begins: newer objects of the key wait
 * for it. CENOTE_OK or CENOTE_NO_MEMORY. */
int recover_removed(struct core *c, struct ending *e);

#endif
