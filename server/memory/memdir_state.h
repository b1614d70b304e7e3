/* SPDX-License-Identifier: Apache-2.0 */
/* The format of the state beside named memory. */
#ifndef CENOTE_SERVER_MEMDIR_STATE_H
#define CENOTE_SERVER_MEMDIR_STATE_H

#include "server/memory/memdir.h"
#include "transport/xcopy.h"

#define MEMDIR_FORMAT      1u
#define MEMDIR_STATE_BYTES (16u + XCOPY_HOST_MAX + 128u + 16u + 16u + SEGMENTS_MAX * 40u + 8u)

/* Whose memory it is; texts are padded with zeros. */
struct memdir_owner {
    char host[XCOPY_HOST_MAX]; /* the kernel: files in memory don't outlive it */
    char node[128];
};

void memdir_state_encode(const struct memdir_owner *owner, const struct memdir_state *state,
                         uint8_t out[MEMDIR_STATE_BYTES]);
/* CENOTE_OK; CENOTE_VERSION; CENOTE_CORRUPT: these bytes are no state. */
int memdir_state_decode(const uint8_t in[MEMDIR_STATE_BYTES], struct memdir_owner *owner,
                        struct memdir_state *state);

#endif
