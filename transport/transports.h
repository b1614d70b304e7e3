/* SPDX-License-Identifier: Apache-2.0 */
/* The transports of this build, by name: for the table in xcopy.c alone. */
#ifndef CENOTE_TRANSPORT_TRANSPORTS_H
#define CENOTE_TRANSPORT_TRANSPORTS_H

#include "transport/xcopy.h"

extern const struct xcopy_transport xcopy_loop;
extern const struct xcopy_transport xcopy_shm;
extern const struct xcopy_transport xcopy_rdma;
extern const struct xcopy_transport xcopy_tcp;

#endif
