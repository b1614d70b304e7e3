/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/meta/meta_rig.h"

#include <string.h>

struct world *world;
struct end *node, *alice, *bob;

void rig_up(void)
{
    struct service_options options = {.lease_ms = RIG_LEASE_MS,
                                      .put_timeout_ms = RIG_TIMEOUT_MS,
                                      .session_grace_ms = RIG_GRACE_MS,
                                      .heartbeat_ms = 100,
                                      .suspect_ms = RIG_SUSPECT_MS,
                                      .dead_ms = RIG_DEAD_MS};
    world = world_new(&options);
    cr_assert_eq(world_start(world), CENOTE_OK);
    node = node_up(world, "n1", 7, 1, RIG_SEGMENT);
    alice = client_open(world, "default");
    bob = client_open(world, "default");
}

void rig_down(void)
{
    world_run(world);
    cr_assert_eq(service_check(world->service), 0);
    world_free(world);
}

static void rejoin(void)
{
    int status;
    struct node_join_params p = node_params("n1", 7, 1, RIG_SEGMENT);
    p.segments[0].incarnation = node->joined.segments[0].incarnation;
    bool holds = node->holds_calls;
    struct directory *directory = node->directory;
    end_close(node);
    node = node_join(world, &p, &status);
    node->holds_calls = holds;
    node->directory = directory;
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
}

static void resume(struct end **client)
{
    int status;
    struct end *fresh = client_resume(world, *client, &status);
    cr_assert_eq(status, CENOTE_OK);
    end_close(*client);
    *client = fresh;
}

void rig_restart(unsigned applied)
{
    world_crash(world, applied);
    cr_assert_eq(world_start(world), CENOTE_OK);
    cr_assert_eq(service_check(world->service), 0);
    rejoin();
    resume(&alice);
    resume(&bob);
}

void rig_pass(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        world_pass(world, 100);
        cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
    }
}

char *rig_status_text(void)
{
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = end_request(alice, &b, METHOD_STATUS);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    char *json = wire_to_json(a->msg.result);
    cr_assert_not_null(json);
    answer_drop(alice, a);
    return json;
}

/* Maps have no reader in wire.h: the JSON text has. */
uint64_t rig_status(const char *map, const char *name)
{
    unsigned long long value = UINT64_MAX;
    char *json = rig_status_text(), quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\":", map);
    const char *at = strstr(json, quoted);
    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = at == NULL ? NULL : strstr(at, quoted);
    cr_assert(at != NULL && sscanf(at + strlen(quoted), "%llu", &value) == 1, "%s", json);
    free(json);
    return value;
}
