/* SPDX-License-Identifier: Apache-2.0 */
/* LMDB by itself, in a scratch directory: what the same records cost without a service. */
#ifndef CENOTE_BENCH_RAWSTORE_H
#define CENOTE_BENCH_RAWSTORE_H

#include <stdint.h>

/* Puts a second that one thread stores unsynced: for each the records of put_start (those of batch
 * puts share one change) and of put_commit, with so many changes in a transaction. 0: failed. */
double rawstore_puts(uint32_t batch, double changes_per_transaction);
/* Random gets a second among so many records. 0: failed. */
double rawstore_gets(uint64_t objects);

#endif
