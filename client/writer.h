/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A value that is put range by range: machines for its beginning, for each range, and for its end.
 *
 * The ranges may come in any order and from many threads, each byte once (coverage.h). Whole chunks
 * go straight from the caller's memory to all replicas of their stripe, and are summed as they
 * pass. Of a chunk that a range covers in part, that part is kept until the rest has come; who
 * brings the last byte of it writes it. So when all bytes have been written, all sums are known,
 * and the commit writes nothing but lists and seals.
 *
 * A replica that didn't take a range is given up; what became of its extent is told to the service
 * at the end. When a stripe has none left, the put has failed.
 */
#ifndef CENOTE_CLIENT_WRITER_H
#define CENOTE_CLIENT_WRITER_H

#include <pthread.h>

#include <cenote/range.h>

#include "client/coverage.h"
#include "client/putting.h"

#define WRITER_BUCKETS 256u

/* A chunk of which not all bytes have come. */
struct writer_chunk {
    struct writer_chunk *next;
    uint64_t index; /* in the value */
    size_t len_bytes, have_bytes;
    bool claimed; /* some of it is on its way */
    uint8_t bytes[];
};

struct writer {
    struct machine machine; /* of beginning and end */
    struct putting putting;
    struct putting_value value;
    int status; /* of the put, once it has ended or couldn't begin */
    bool ended;

    pthread_mutex_t lock; /* of all below, and of the extents' states while ranges are written */
    struct coverage claimed;
    uint64_t written; /* bytes of ranges that are over */
    int failure;      /* CENOTE_OK, or why the put can't succeed any more */
    struct writer_chunk *chunks[WRITER_BUCKETS];
    uint64_t scratch_bytes; /* of these, and of those being written */
    uint64_t *sums_le;      /* of all chunks, encoded */

    struct cenote_key key;
    uint8_t key_bytes[CENOTE_KEY_MAX];
};

/* The arguments have been checked; key is copied. NULL: no memory. */
struct writer *writer_new(const struct machine_env *env, const struct cenote_key *key,
                          uint64_t len_bytes, unsigned flags);
/* Before it is opened: how the value is kept. */
void writer_keep(struct writer *w, const struct keep *keep);
/* No machine of it may be running. */
void writer_free(struct writer *w);

/* Asks for extents. After the run: CENOTE_OK or why there are none. */
struct machine *writer_open(struct writer *w);
int writer_opened(struct writer *w);

/* A range. CENOTE_OK and a machine, to be run and ended; CENOTE_INVALID (beyond the end, or of
 * bytes that were written before), CENOTE_LIMIT, CENOTE_NO_MEMORY: nothing has changed; or why the
 * put has failed. Any thread. */
struct writer_range;
int writer_range_begin(struct writer *w, uint64_t offset, const void *data, size_t len_bytes,
                       struct writer_range **out);
struct machine *writer_range_machine(struct writer_range *r);
int writer_range_end(struct writer_range *r);

/* Commits, or aborts a put that has failed: CENOTE_OK and a machine, after whose run status tells.
 * CENOTE_INVALID: bytes are missing. Otherwise how the put has ended before. */
int writer_commit(struct writer *w, struct machine **out);
/* Gives up: the machine that tells the service, or NULL: it needn't be told. */
struct machine *writer_abort(struct writer *w);

#endif
