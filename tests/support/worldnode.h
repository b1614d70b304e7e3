/* SPDX-License-Identifier: Apache-2.0 */
/* What a node of metaworld.h does when the service calls. */
#ifndef CENOTE_TESTS_WORLDNODE_H
#define CENOTE_TESTS_WORLDNODE_H

#include "tests/support/metaworld.h"

/* Into the directory, and out of it. */
int world_node_entries(struct end *e, struct wire_value params);
void world_node_void(struct end *e, struct wire_value params);
/* Keeps them. */
int world_node_notes(struct end *e, struct wire_value params);
/* What a service asks that checks, or has lost its store. False: it is another method. */
bool world_node_asked(struct end *e, const struct call *call, struct wire_buf *result);

#endif
