/* SPDX-License-Identifier: Apache-2.0 */
/* The start: a new reign, durably; then everything from the store, and nothing else. */
#ifndef CENOTE_META_RECOVER_H
#define CENOTE_META_RECOVER_H

#include "meta/core/core.h"

struct recover {
    struct core *core;
    struct change change;
    void (*done)(struct recover *r, int status);
};

/* core is zero-filled but for its options, env and store. CENOTE_OK: done is told later. */
int recover_start(struct recover *r);

#endif
