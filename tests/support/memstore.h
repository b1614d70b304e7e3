/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store in memory for tests of the metadata service: changes wait in a queue until the test lets
 * them be done, one by one or all; they can be made to fail, and the store can be put back to what
 * it was at some moment (a crash: what was not done is lost, or is durable without its owner having
 * heard of it).
 */
#ifndef CENOTE_TESTS_MEMSTORE_H
#define CENOTE_TESTS_MEMSTORE_H

#include "meta/core/store.h"

struct memstore;

/* Whose code runs: the service's, or that of the test, its store and its connections? For tests in
 * which the service's requests for memory fail. */
extern bool in_service;

struct memstore *memstore_new(void);
void memstore_free(struct memstore *m); /* no change may wait */
struct store *memstore_store(struct memstore *m);

unsigned memstore_waiting(const struct memstore *m);
/* Does the oldest waiting change and tells its owner. False: none waits. */
bool memstore_step(struct memstore *m);
void memstore_run(struct memstore *m);
/* Does the oldest waiting change, and tells its owner with the next step. False: none waits, or it
 * has been done. */
bool memstore_apply(struct memstore *m);
/* The next count changes, from the oldest waiting one, fail with status. */
void memstore_fail(struct memstore *m, unsigned count, int status);
/* The same after skip others have been done. What a crash finds inherits it. */
void memstore_fail_later(struct memstore *m, unsigned skip, unsigned count, int status);
/* Writes past the service. */
void memstore_put(struct memstore *m, const struct store_write *w);
unsigned memstore_done(const struct memstore *m);                        /* changes done so far, */
uint32_t memstore_count(const struct memstore *m, enum store_tree tree); /* keys */

/* The service that owns it has died: the oldest applied waiting changes have just become durable,
 * the others never were, and nobody is told. */
void memstore_crash(struct memstore *m, unsigned applied);
/* What would be found after a crash now, if the oldest applied waiting changes had just become
 * durable. */
struct memstore *memstore_copy(const struct memstore *m, unsigned applied);

#endif
