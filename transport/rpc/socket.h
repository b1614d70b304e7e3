/* SPDX-License-Identifier: Apache-2.0 */
/* Options that all of the control RPC's sockets want. */
#ifndef CENOTE_RPC_SOCKET_H
#define CENOTE_RPC_SOCKET_H

#include "transport/base/endpoint.h"

/* On TCP: no delay, and probes that find out when the other machine has gone. */
void rpc_socket_tune(int fd, const struct endpoint *e);

#endif
