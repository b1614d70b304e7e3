/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of puts or gets as libcenote takes it, made from Python's sequences. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_BATCH_H
#define CENOTE_CLIENT_PYTHON_NATIVE_BATCH_H

#include "client/python/native/keys.h"
#include "client/python/native/pieces.h"
#include "client/python/native/policy.h"

/* Everything that the items point at is kept until batch_free(). */
struct batch {
    struct keys keys;
    struct pieces pieces;
    struct cenote_get_item *gets; /* of PIECES_WRITE */
    struct cenote_put_item *puts; /* of PIECES_READ */
};

/* From as many keys as values. 0, or -1 with an exception, and nothing to free. */
int batch_make(struct batch *batch, const struct handle *h, enum pieces_use use, PyObject *keys,
               PyObject *values);
void batch_free(struct batch *batch);

/* Runs it, in parts if it is longer than libcenote takes. Without the interpreter's lock. Flags and
 * policy are of puts. */
void batch_run(struct batch *batch, struct cenote *client, unsigned flags,
               const struct policy *policy);

/* A list with a number for each value: its status, or of a get that succeeded the length. */
PyObject *batch_results(const struct batch *batch);

/* A list with the length that each value of a get has, 0 where it isn't known. */
PyObject *batch_lengths(const struct batch *batch);

#endif
