/* SPDX-License-Identifier: Apache-2.0 */
/* The directory where nodes keep the sockets by which they hand out their memory. */
#ifndef CENOTE_SERVER_SHM_DIR_H
#define CENOTE_SERVER_SHM_DIR_H

#include <stddef.h>

#include "transport/xcopy.h"

/* Sockets of nodes that were killed are removed at this age. Younger ones may belong to a node that
 * is between bind and listen. */
#define SHM_DIR_STALE_SECONDS 60

/* Makes the directory (dir, or the default when that is ""), removes what dead nodes left in it,
 * and names the socket of one node: "unix:DIR/NAME.sock". CENOTE_OK; CENOTE_IO, CENOTE_DENIED (the
 * default directory isn't this user's alone) or CENOTE_INVALID (the path is too long), logged. */
int shm_dir_prepare(const char *dir, const char *node_name, char endpoint[XCOPY_ENDPOINT_MAX]);

#endif
