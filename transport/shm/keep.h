/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots that outlive the node's process.
 *
 * When a node is killed, its clients may stand in the midst of a memcpy into its memory. If the
 * memory dies with the node, that is nobody's affair. If it is named, the next process goes on with
 * the same pages, and must know who may still write to them, and who looks at them. So beside named
 * memory each connection has its slots in a named file; the file's name tells whose they are, so
 * that it says so from the first moment on, and a client can't change it by writing into its slots.
 *
 * The next process, before it serves anything:
 *   1  raises the horizon of every file to the end of all numbers. A client that still has the old
 *      connection enters no slot any more: its grants are of an earlier boot, and nothing older is
 *      served. Nor does it hold anything any more. After that, slots only become empty.
 *   2  removes the files whose slots are empty, or whose process is proven dead.
 *   3  goes on with the others as with a connection that has hung up: fences wait for their slots,
 *      and extents for their holds, until they are empty or the process is dead.
 * If it can tell neither (the process lives in another pid namespace; the file isn't one of these),
 * the memory isn't taken over at all: the caller begins with fresh memory, which old mappings can't
 * reach. A want of descriptors or memory is no answer, though: the node doesn't start, and the next
 * one finds what this one has found.
 */
#ifndef CENOTE_TRANSPORT_SHM_KEEP_H
#define CENOTE_TRANSPORT_SHM_KEEP_H

#include "transport/shm/exporter.h"

/* Opens the directory of an exporter that keeps its slots (gate.slots_dir), and takes over what an
 * earlier one left there. CENOTE_OK; CENOTE_IO, CENOTE_NO_MEMORY: something is wanting, and
 * all is as it was; CENOTE_LOCKED: somebody may still write who can't be looked after. */
int shm_keep_open(struct shm_exporter *e);
/* Makes the slots of a connection, named where the exporter keeps them. CENOTE_OK,
 * CENOTE_NO_MEMORY, CENOTE_IO. */
int shm_keep_make(struct shm_exporter *e, struct shm_connection *c, struct slots **out, int *fd);
/* Nothing can be written or held through these slots any more: removes their file. */
void shm_keep_forget(const struct shm_exporter *e, const struct shm_connection *c);
void shm_keep_close(struct shm_exporter *e);

#endif
