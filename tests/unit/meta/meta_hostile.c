/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile peers: well-formed requests of every method, with bytes changed, cut and repeated, over
 * connections without a session, with one, and of a node. Whatever passes the scan of the frame
 * goes to the service, which answers every request once, and afterwards still agrees with its
 * store.
 *
 * Usage: meta_hostile [seed [rounds]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/metaworld.h"

#define SEEDS_MAX 32u
#define FRAME_MAX 4096u
#define WAIT_MS   10000u

static struct wire_buf seeds[SEEDS_MAX];
static unsigned seed_count;
static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % below;
}

static struct wire_buf *begin(const char *method)
{
    struct wire_buf *b = &seeds[seed_count++];
    *b = (struct wire_buf){0};
    wire_put_request(b, 1, method);
    return b;
}

static void make_seeds(const struct end *client, uint64_t put_id)
{
    static const char *const keyed[] = {METHOD_LOOKUP, METHOD_EXISTS, METHOD_STAT};
    static const char *const ends[] = {METHOD_PUT_COMMIT, METHOD_PUT_ABORT};
    static const char *const plain[] = {METHOD_STATUS, METHOD_SESSION_CLOSE, METHOD_NODE_LEAVE};
    uint64_t root = 5;
    uint8_t visible = EXTENT_VISIBLE;
    struct session_open_params open = {.protocol = PROTOCOL_VERSION, .name_space = "default"};
    struct session_resume_params resume = {.protocol = PROTOCOL_VERSION,
                                           .session = client->session.session,
                                           .token = client->session.token,
                                           .name_space = client->session.name_space};
    struct node_join_params join = node_params("n1", 7, 2, 1 << 20);
    struct node_heartbeat_params beat = {.segment_count = 2, .populated_bytes = {1 << 20, 1 << 20}};
    struct list_params list = {.prefix = (const uint8_t *)"k", .prefix_len = 1, .limit = 10};
    session_open_params_put(begin(METHOD_SESSION_OPEN), &open);
    session_resume_params_put(begin(METHOD_SESSION_RESUME), &resume);
    node_join_params_put(begin(METHOD_NODE_JOIN), &join);
    node_heartbeat_params_put(begin(METHOD_NODE_HEARTBEAT), &beat);
    list_params_put(begin(METHOD_LIST), &list);
    for (unsigned i = 0; i < 3; i++) {
        struct wire_buf *b = begin(keyed[i]);
        keys_params_put(b, 2);
        wire_put_bin(b, "key", 3);
        wire_put_bin(b, "other", 5);
        wire_put_array(begin(plain[i]), 0);
    }
    struct keep keep = {.ttl_ms = 5000, .pin = KEEP_PIN_SOFT, .group_len = 1};
    struct space_params space = {.seq = 1, .name = "space", .settings = {1, 2, 3, 4}};
    space_set_params_put(begin(METHOD_SPACE_SET), &space);
    space.flags = SPACE_SET_CREATE;
    space_set_params_put(begin(METHOD_SPACE_SET), &space);
    space_remove_params_put(begin(METHOD_SPACE_REMOVE), &space);
    wire_put_array(begin(METHOD_NAMESPACES), 0);
    struct wire_buf *b = begin(METHOD_KEEP);
    keep_params_put(b, 1, 1);
    wire_put_bin(b, "key", 3);
    keep_put(b, &keep);
    wire_put_uint(b, KEEP_ALL);
    b = begin(METHOD_PUT_START);
    put_start_kept_put(b, 1, 0, 1);
    put_start_key_put(b, "kept", 4, 70000);
    keep_put(b, &keep);
    b = begin(METHOD_REMOVE);
    remove_params_put(b, 1, 1);
    wire_put_bin(b, "key", 3);
    for (unsigned i = 0; i < 2; i++) {
        b = begin(ends[i]);
        put_end_params_put(b, 1, 1);
        put_end_item_put(b, put_id, SUM_XXH3, &root, 1, &visible, 1);
    }
    b = begin(METHOD_PUT_START);
    put_start_params_put(b, 1, 0, 2);
    put_start_key_put(b, "key", 3, 70000);
    put_start_key_put(b, "another", 7, 0);
    wire_put_uint(begin(METHOD_MAP), 0);
    wire_put_array(begin(METHOD_SLOTS), 0);
}

static size_t mutate(const struct wire_buf *from, uint8_t out[FRAME_MAX])
{
    size_t len = from->len;
    memcpy(out, from->data, len);
    for (uint32_t n = draw(4); n > 0; n--) {
        size_t at = draw((uint32_t)len);
        switch (draw(4)) {
        case 0:
            out[at] = (uint8_t)draw(256);
            break;
        case 1:
            out[at] ^= (uint8_t)(1u << draw(8));
            break;
        case 2: /* an element more */
            if (len < FRAME_MAX) {
                memmove(out + at + 1, out + at, len - at);
                len++;
            }
            break;
        default: /* an element less */
            if (len > 16) {
                memmove(out + at, out + at + 1, len - at - 1);
                len--;
            }
            break;
        }
    }
    return len;
}

static unsigned reached, unanswered;

static void drop_answers(struct end *e)
{
    while (e->answer_count > 0)
        answer_drop(e, &e->answers[0]);
}

static void attack(struct end *e)
{
    uint8_t frame[FRAME_MAX];
    struct wire_msg m;
    size_t len = mutate(&seeds[draw(seed_count)], frame);
    if (wire_scan(frame, len, WIRE_FRAME_MAX, NULL) != (int64_t)len ||
        wire_parse(frame, len, &m) != CENOTE_OK)
        return;
    reached++;
    drop_answers(e);
    service_peer_message(e->peer, &m);
    world_run(e->world);
    for (unsigned ms = 0; e->answer_count == 0 && ms < WAIT_MS; ms += 100)
        world_pass(e->world, 100); /* a put_start may wait for room */
    if (m.kind == WIRE_REQUEST && e->peer != NULL && e->answer_count != 1) {
        unanswered++;
        printf("%s was answered %u times\n", m.method, e->answer_count);
    }
    wire_msg_free(&m);
}

static struct end *fresh(struct world *w, unsigned kind)
{
    int status;
    struct node_join_params p = node_params("n1", 7, 2, 1 << 20);
    return kind == 0   ? end_open(w)
           : kind == 1 ? client_open(w, "default")
                       : node_join(w, &p, &status);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100000;
    struct world *w = world_new(NULL);
    struct put_start_item item;
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (world_start(w) != CENOTE_OK)
        return 1;
    struct end *keeper = client_open(w, "default"), *ends[3];
    node_up(w, "n0", 3, 1, 64 << 20);
    if (client_put_start(keeper, "key", 100, 0, &item, NULL) != CENOTE_OK)
        return 1;
    make_seeds(keeper, item.put_id);
    for (unsigned i = 0; i < 3; i++)
        ends[i] = fresh(w, i);
    for (unsigned round = 0; round < rounds; round++) {
        unsigned kind = draw(3);
        if (ends[kind]->peer == NULL || draw(50) == 0) {
            end_close(ends[kind]);
            ends[kind] = fresh(w, kind);
        }
        attack(ends[kind]);
        if (draw(100) == 0)
            world_pass(w, 100);
    }
    world_run(w);
    unsigned faults = service_check(w->service) + unanswered;
    printf("%u of %u mutated messages reached the service, %u faults\n", reached, rounds, faults);
    world_free(w);
    for (unsigned i = 0; i < seed_count; i++)
        wire_buf_free(&seeds[i]);
    return faults == 0 && reached > rounds / 20 ? 0 : 1;
}
