/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "meta/service/peer.h"
#include "meta/stub/messages.h"

const struct method methods[] = {
    {METHOD_LOOKUP, method_lookup, NEEDS_SESSION, false},
    {METHOD_EXISTS, method_exists, NEEDS_SESSION, false},
    {METHOD_PUT_START, method_put_start, NEEDS_SESSION, false},
    {METHOD_PUT_COMMIT, method_put_commit, NEEDS_SESSION, false},
    {METHOD_PUT_ABORT, method_put_abort, NEEDS_SESSION, false},
    {METHOD_REMOVE, method_remove, NEEDS_SESSION, false},
    {METHOD_KEEP, method_keep, NEEDS_SESSION, false},
    {METHOD_STAT, method_stat, NEEDS_SESSION, false},
    {METHOD_LIST, method_list, NEEDS_SESSION, false},
    {METHOD_NAMESPACES, method_namespaces, NEEDS_SESSION, false},
    {METHOD_SPACE_SET, method_namespace_set, NEEDS_SESSION, false},
    {METHOD_SPACE_REMOVE, method_namespace_remove, NEEDS_SESSION, false},
    {METHOD_MAP, method_map, NEEDS_SESSION, false},
    {METHOD_SESSION_OPEN, method_session_open, NEEDS_NOTHING, false},
    {METHOD_SESSION_RESUME, method_session_resume, NEEDS_NOTHING, false},
    {METHOD_SESSION_CLOSE, method_session_close, NEEDS_SESSION, true},
    {METHOD_SLOTS, method_slots, NEEDS_NOTHING, false},
    {METHOD_STATUS, method_status, NEEDS_NOTHING, false},
    {METHOD_FSCK, method_fsck, NEEDS_SESSION, false},
    {METHOD_NODE_JOIN, method_node_join, NEEDS_NOTHING, false},
    {METHOD_NODE_HEARTBEAT, method_node_heartbeat, NEEDS_NODE, true},
    {METHOD_EXTENT_DAMAGED, method_extent_damaged, NEEDS_NODE, false},
    {METHOD_NODE_LEAVE, method_node_leave, NEEDS_NODE, true},
    {"unknown", NULL, NEEDS_NOTHING, true},
};

#define METHODS ((unsigned)(sizeof(methods) / sizeof(*methods)))

_Static_assert(METHODS <= TRAFFIC_METHODS_MAX, "each has a place");

const struct method *method_find(const char *name)
{
    unsigned i = 0;
    while (i < METHODS - 1 && strcmp(methods[i].name, name) != 0)
        i++;
    return &methods[i];
}

unsigned method_count(void)
{
    return METHODS;
}
