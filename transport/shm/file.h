/* SPDX-License-Identifier: Apache-2.0 */
/* Files in memory that another process has sent, and whether it is safe to map them. */
#ifndef CENOTE_TRANSPORT_SHM_FILE_H
#define CENOTE_TRANSPORT_SHM_FILE_H

#include <stdbool.h>
#include <stdint.h>

/* Does it have this length at least, and keep it? A file that shrinks makes whoever has mapped it
 * fault. Either its size is sealed; or it is a named file in memory that belongs to this user (or
 * to root) alone: such a one can't be sealed, and only processes that are trusted anyway could
 * shrink it. */
bool shm_file_fits(int fd, uint64_t len_bytes);
/* The same with a reason: CENOTE_PROTOCOL: it doesn't; CENOTE_IO: it can't be looked at now. */
int shm_file_look(int fd, uint64_t len_bytes);

#endif
