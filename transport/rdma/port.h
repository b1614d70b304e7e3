/* SPDX-License-Identifier: Apache-2.0 */
/* One port: what its device says about it, as settings want it used. */
#ifndef CENOTE_TRANSPORT_RDMA_PORT_H
#define CENOTE_TRANSPORT_RDMA_PORT_H

#include "transport/rdma/gid.h"

/* Fills everything but port->device, from port->number and port->gid_wanted. Returns NULL, or why
 * the port can't be used. */
const char *port_look(const struct rdma_verbs *verbs, struct ibv_context *context,
                      const struct rdma_settings *settings, const struct gid_own *own,
                      struct rdma_port *port);
/* Looks again, at a port in use, after an event: takes a changed LID or GID over, and notes whether
 * it is down. */
void port_refresh(const struct rdma_devices *d, struct rdma_port *port);
/* Notes and logs whether it is down. */
void port_set_down(struct rdma_port *port, bool down, const char *why);

#endif
