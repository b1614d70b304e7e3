/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all fabrics of a client have in common: the transports' contexts, and registered memory by
 * address. Thread-safe.
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

/* Opens these transports, NULL at the end, and tells them of memory. CENOTE_OK, CENOTE_NO_MEMORY,
 * CENOTE_INVALID: one of them refuses the settings. */
int registry_new(const struct xcopy_transport *const *transports,
                 const struct xcopy_settings *settings, struct registry **out);
/* Nothing may be pinned. */
void registry_free(struct registry *r);
/* In a forked child: gives back what is the child's own. */
void registry_abandon(struct registry *r);

/* The context of the i-th transport. */
void *registry_context(const struct registry *r, size_t i);
/* As fabric_report(). */
const char *registry_report(const struct registry *r, size_t i, struct xcopy_report *out);

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
