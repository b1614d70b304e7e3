/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered memory of one fabric, by address. Thread-safe.
 *
 * A transfer finds the registrations that its pieces lie in and pins them for as long as it runs.
 * Transports that must know memory beforehand are told of it through their ops. An empty registry
 * costs a transfer one load.
 */
#ifndef CENOTE_TRANSPORT_REGISTRY_H
#define CENOTE_TRANSPORT_REGISTRY_H

#include <cenote/buffer.h>

#include "transport/fabric.h"

struct registry;

/* Told of memory: these transports, NULL at the end. NULL: no memory. */
struct registry *registry_new(const struct xcopy_transport *const *transports);
/* Nothing may be pinned. */
void registry_free(struct registry *r);
/* In a forked child: gives back what is the child's own. */
void registry_abandon(struct registry *r);

/* As cenote_buffer_register(). */
int registry_add(struct registry *r, void *addr, size_t len_bytes, enum memory_kind kind,
                 uint64_t *id);
/* Waits until nobody has it pinned. CENOTE_OK or CENOTE_INVALID. */
int registry_drop(struct registry *r, uint64_t id);

/* Pins what the requests use; afterwards unpin() with the ticket and the same requests. */
uint64_t registry_pin(struct registry *r, const struct fabric_req *reqs, size_t count);
void registry_unpin(struct registry *r, const struct fabric_req *reqs, size_t count,
                    uint64_t ticket);

#endif
