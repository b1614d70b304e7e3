/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes seeds for the corpora, with the encoders that the product uses: what begins well-formed
 * reaches deeper. To be run again when a message changes.
 *
 * Usage: fuzz_seeds DIRECTORY     (tests/fuzz/corpus)
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/pool.h"
#include "tests/unit/server/entries.h"
#include "tests/unit/stub/samples.h"
#include "transport/base/bytes.h"
#include "transport/base/extent.h"
#include "transport/hello.h"
#include "transport/tcp/wire.h"

#define SEED_MAX 65536u

static const char *top;
static uint8_t seed[SEED_MAX];
static size_t seed_len;

static void add(const void *bytes, size_t len)
{
    assert(len <= SEED_MAX - seed_len);
    if (len > 0)
        memcpy(seed + seed_len, bytes, len);
    seed_len += len;
}

static void add_byte(unsigned b)
{
    uint8_t byte = (uint8_t)b;
    add(&byte, 1);
}

static void add_record(unsigned tag, unsigned aim, const void *body, size_t len)
{
    assert(len <= UINT16_MAX);
    add_byte(tag);
    add_byte(aim);
    add_byte(len & 255);
    add_byte((unsigned)len >> 8);
    add(body, len);
}

/* A record whose body was encoded, and the buffer empty again. */
static void add_encoded(unsigned tag, unsigned aim, struct wire_buf *b)
{
    assert(!b->failed);
    add_record(tag, aim, b->data, b->len);
    wire_buf_clear(b);
}

static void end(const char *corpus, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", top, corpus);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%s", top, corpus, name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(seed, 1, seed_len, f) != seed_len || fclose(f) != 0) {
        fprintf(stderr, "can't write %s\n", path);
        exit(1);
    }
    seed_len = 0;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void messages(void)
{
    struct wire_buf b = {0};
    for (size_t i = 0; i < sample_count; i++) {
        samples[i].put(&b);
        add_encoded((unsigned)i, 0, &b);
        end("messages", samples[i].name);
    }
    wire_buf_free(&b);
}

/* ---- the service ----------------------------------------------------------------------------- */

static struct wire_buf body;

static unsigned number_of(const char *method)
{
    for (unsigned i = 0; i < fuzz_method_count; i++)
        if (strcmp(fuzz_methods[i], method) == 0)
            return i;
    abort();
}

static void add_call(const char *method, enum fuzz_who who)
{
    add_encoded(number_of(method), who, &body);
}

static void call_empty(const char *method, enum fuzz_who who)
{
    wire_put_array(&body, 0);
    add_call(method, who);
}

static void call_keys(const char *method, enum fuzz_who who)
{
    keys_params_put(&body, 3);
    wire_put_bin(&body, "key", 3);
    wire_put_bin(&body, "other", 5);
    wire_put_bin(&body, "third", 5);
    add_call(method, who);
}

static void call_start(enum fuzz_who who, uint64_t seq, uint32_t flags, uint64_t len)
{
    put_start_params_put(&body, seq, flags, 2);
    put_start_key_put(&body, "key", 3, len);
    put_start_key_put(&body, "third", 5, 0);
    add_call(METHOD_PUT_START, who);
}

static void call_end(const struct fuzz_pool *p, const char *method, uint64_t seq, uint8_t state)
{
    uint64_t roots[4] = {1, 2, 3, 4};
    uint8_t states[4] = {state, state, state, state};
    put_end_params_put(&body, seq, 1);
    put_end_item_put(&body, p->put.put_id, SUM_XXH3, roots, p->put.stripe_count, states,
                     p->put.stripe_count);
    add_call(method, WHO_ALICE);
}

static void call_remove(uint64_t seq)
{
    remove_params_put(&body, seq, 1);
    wire_put_bin(&body, "key", 3);
    add_call(METHOD_REMOVE, WHO_ALICE);
}

static void call_join(enum fuzz_who who, const char *name, uint64_t boot)
{
    struct node_join_params join = node_params(name, boot, 2, FUZZ_NODE_BYTES);
    node_join_params_put(&body, &join);
    add_call(METHOD_NODE_JOIN, who);
}

static void call_beat(enum fuzz_who who)
{
    struct node_heartbeat_params beat = {.segment_count = 1,
                                         .populated_bytes = {FUZZ_NODE_BYTES},
                                         .has_directory = true,
                                         .holds = 2,
                                         .has_rdma = true,
                                         .rdma = {.rail_count = 1, .rails = {"mlx5_0/1"}}};
    node_heartbeat_params_put(&body, &beat);
    add_call(METHOD_NODE_HEARTBEAT, who);
}

static void call_session(const struct fuzz_pool *p)
{
    const struct session_open_result *s = &p->ends[WHO_ALICE]->session;
    struct session_open_params open = {.protocol = PROTOCOL_VERSION, .name_space = "default"};
    struct session_resume_params resume = {.protocol = PROTOCOL_VERSION,
                                           .session = s->session,
                                           .token = s->token,
                                           .name_space = s->name_space};
    session_open_params_put(&body, &open);
    add_call(METHOD_SESSION_OPEN, WHO_STRANGER);
    session_resume_params_put(&body, &resume);
    add_call(METHOD_SESSION_RESUME, WHO_BOB);
}

static void call_keep(uint64_t seq, const struct keep *keep)
{
    keep_params_put(&body, seq, 1);
    wire_put_bin(&body, "key", 3);
    keep_put(&body, keep);
    wire_put_uint(&body, KEEP_ALL);
    add_call(METHOD_KEEP, WHO_ALICE);
}

static void call_start_kept(uint64_t seq, const struct keep *keep)
{
    put_start_kept_put(&body, seq, PUT_START_REPLACE, 1);
    put_start_key_put(&body, "key", 3, 5000);
    keep_put(&body, keep);
    add_call(METHOD_PUT_START, WHO_ALICE);
}

static void call_space(const char *method, uint64_t seq, uint64_t quota_bytes)
{
    struct space_params p = {.seq = seq,
                             .name = "other",
                             .settings = {.quota_bytes = quota_bytes, .ttl_ms = 300},
                             .flags = seq == 3 ? SPACE_SET_CREATE : 0};
    if (strcmp(method, METHOD_SPACE_SET) == 0)
        space_set_params_put(&body, &p);
    else
        space_remove_params_put(&body, &p);
    add_call(method, WHO_ALICE);
}

static void call_list(void)
{
    struct list_params list = {.prefix = (const uint8_t *)"k", .prefix_len = 1, .limit = 10};
    list_params_put(&body, &list);
    add_call(METHOD_LIST, WHO_ALICE);
}

static void call_map(void)
{
    wire_put_array(&body, 1);
    wire_put_uint(&body, 0);
    add_call(METHOD_MAP, WHO_ALICE);
}

static void service_stories(const struct fuzz_pool *p)
{
    enum { PASS = 64, REPLY, REFUSE, LATER, AGAIN, NOTIFY, FRAME, CRASH };
    call_keys(METHOD_LOOKUP, WHO_ALICE);
    call_remove(3);
    add_record(PASS, 30, NULL, 0);
    call_keys(METHOD_EXISTS, WHO_ALICE);
    end("service", "lookup-remove");
    call_end(p, METHOD_PUT_COMMIT, 3, EXTENT_VISIBLE);
    call_start(WHO_ALICE, 4, PUT_START_REPLACE, 1000);
    add_record(CRASH, 1, NULL, 0);
    end("service", "commit-replace-crash");
    add_record(LATER, WHO_NODE, NULL, 0);
    add_record(LATER, WHO_OTHER_NODE, NULL, 0);
    call_end(p, METHOD_PUT_ABORT, 3, EXTENT_UNKNOWN);
    wire_put_nil(&body);
    add_encoded(REPLY, WHO_NODE, &body);
    add_record(REFUSE, WHO_OTHER_NODE, "\2", 1);
    add_record(PASS, 100, NULL, 0);
    end("service", "abort-fence");
    call_start(WHO_ALICE, 3, put_start_flags(true, 2), 200000);
    call_start(WHO_ALICE, 3, put_start_flags(true, 2), 200000);
    add_record(AGAIN, WHO_NODE, NULL, 0);
    add_record(PASS, 200, NULL, 0);
    end("service", "replicas-node-dies");
    struct keep keep = {.ttl_ms = 200, .pin = KEEP_PIN_HARD, .group_len = 1, .group = "g"};
    call_keep(3, &keep);
    call_start_kept(4, &keep);
    call_space(METHOD_SPACE_SET, 5, 100000);
    call_start(WHO_BOB, 1, 0, 90000);
    call_start(WHO_BOB, 2, 0, 90000);
    call_empty(METHOD_NAMESPACES, WHO_ALICE);
    add_record(PASS, 100, NULL, 0);
    call_space(METHOD_SPACE_REMOVE, 6, 0);
    end("service", "policies");
    for (uint64_t seq = 3; seq < 9; seq++)
        call_start(WHO_ALICE, seq, PUT_START_REPLACE, 900000);
    add_record(PASS, 60, NULL, 0);
    add_record(PASS, 200, NULL, 0);
    end("service", "evictions");
    call_session(p);
    call_keys(METHOD_STAT, WHO_BOB);
    call_empty(METHOD_SESSION_CLOSE, WHO_BOB);
    end("service", "sessions");
    call_join(WHO_STRANGER, "n2", 9);
    call_beat(WHO_STRANGER);
    call_beat(WHO_NODE);
    call_empty(METHOD_NODE_LEAVE, WHO_NODE);
    end("service", "nodes");
    call_join(WHO_STRANGER, "n0", 9);
    call_list();
    call_map();
    call_empty(METHOD_SLOTS, WHO_STRANGER);
    call_empty(METHOD_STATUS, WHO_STRANGER);
    end("service", "questions");
}

static void service(void)
{
    struct fuzz_pool p;
    fuzz_pool_up(&p);
    service_stories(&p);
    world_free(p.world);
}

/* ---- the store ------------------------------------------------------------------------------- */

struct dump {
    unsigned tree, records;
};

static bool dump_one(void *arg, const void *key, uint32_t key_len, const void *value,
                     uint32_t value_len)
{
    struct dump *d = arg;
    uint8_t both[4096];
    if (key_len > UINT8_MAX || key_len + value_len > sizeof both || d->records == FUZZ_RECORDS_MAX)
        return true;
    memcpy(both, key, key_len);
    memcpy(both + key_len, value, value_len);
    add_record(d->tree, key_len, both, key_len + value_len);
    d->records++;
    return true;
}

static void dump(const struct fuzz_pool *p, const char *name)
{
    struct store *s = memstore_store(p->world->store);
    struct dump d = {0};
    for (d.tree = 0; d.tree < STORE_TREES; d.tree++)
        s->ops->scan(s, (enum store_tree)d.tree, "", 0, dump_one, &d);
    end("store", name);
}

static void store(void)
{
    struct fuzz_pool p;
    fuzz_pool_up(&p);
    dump(&p, "pending");
    client_commit(p.ends[WHO_ALICE], &p.put, EXTENT_VISIBLE);
    client_remove(p.ends[WHO_ALICE], "key");
    dump(&p, "removed");
    client_put(p.ends[WHO_BOB], "other", 300000, put_start_flags(true, 2));
    p.ends[WHO_NODE]->holds_calls = true;
    client_remove_send(p.ends[WHO_BOB], "other");
    world_run(p.world);
    dump(&p, "replicas");
    world_free(p.world);
}

/* ---- a node ---------------------------------------------------------------------------------- */

#define NODE_GVA (GVA_FIRST + 5 * GVA_ALIGN)

static void node(void)
{
    enum {
        FENCE,
        VOID,
        DIRECTORY,
        DIRECTORY_READ,
        DIRECTORY_LOOK = 8,
        ANSWER = 16,
        PASS,
        BREAK,
        CONNECT,
        FENCED,
        HOLD,
        LEAVE,
        JOINED
    };
    struct fence_params fence = {.reign = 3, .session = 11, .horizon = 5};
    struct directory_entry e = entry_make(1, 7);
    struct directory_read_params read = {.reign = 3, .cursor = 0, .limit = 10};
    e.gva = gva_make(NODE_GVA + 4096);
    add_record(JOINED, 0, NULL, 0);
    wire_put_array(&body, 1);
    wire_put_uint(&body, 3);
    add_encoded(ANSWER, 0, &body);
    fence_params_put(&body, &fence);
    add_encoded(FENCE, 1, &body);
    add_record(FENCED, 0, NULL, 0);
    add_record(FENCED, 1, NULL, 0);
    add_record(HOLD, 0, NULL, 0);
    void_params_put(&body, 3, 2);
    void_extent_put(&body, gva_make(NODE_GVA), 100);
    void_extent_put(&body, gva_make(NODE_GVA + 4096), ENTRY_LEN);
    add_encoded(VOID, 2, &body);
    end("node", "fence-void");
    add_record(JOINED, 0, NULL, 0);
    for (enum directory_part part = DIRECTORY_NEWS; part <= DIRECTORY_LAST; part++) {
        directory_params_put(&body, 3, part, 1);
        directory_entry_put(&body, &e);
        add_encoded(DIRECTORY, 3, &body);
    }
    directory_read_params_put(&body, &read);
    add_encoded(DIRECTORY_READ, 4, &body);
    directory_look_params_put(&body, 3, 2);
    directory_name_put(&body, e.gva, e.put_id);
    directory_name_put(&body, e.gva, 8);
    add_encoded(DIRECTORY_LOOK, 5, &body);
    add_record(LEAVE, 0, NULL, 0);
    end("node", "directory");
    add_record(JOINED, 0, NULL, 0);
    fence_params_put(&body, &fence);
    add_encoded(FENCE, 1, &body);
    add_record(BREAK, 0, NULL, 0);
    add_record(PASS, 100, NULL, 0);
    add_record(CONNECT, 0, NULL, 0);
    add_record(FENCED, 0, NULL, 0);
    add_record(ANSWER, 63, NULL, 0);
    end("node", "break");
    for (unsigned i = 0; i < 3; i++)
        add_record(130, i * 9, "\0\1\2\3\4\5\6\7", 8);
    add_record(129, 3, "\377", 1);
    end("directory", "slots");
    add_record(0, 8, "\1", 1);
    end("directory", "name");
    add_record(128, 8, "\3", 1);
    end("directory", "class");
}

/* ---- answers --------------------------------------------------------------------------------- */

static void add_map(void)
{
    struct map_node n = {.node = 1, .name = "n", .boot = 2, .host = "here", .tcp = "127.0.0.1:1"};
    struct map_range r = {.gva = {NODE_GVA}, .len_bytes = GVA_ALIGN, .incarnation = 9, .node = 1};
    wire_put_array(&body, 3);
    wire_put_uint(&body, 1);
    wire_put_array(&body, 1);
    map_node_put(&body, &n);
    wire_put_array(&body, 1);
    map_range_put(&body, &r);
    add_encoded(0, 0, &body);
}

static void add_lookup(uint32_t items, uint64_t len, uint32_t sum_kind)
{
    struct lookup_item item = {
        .put_id = 77, .len_bytes = len, .sum_kind = sum_kind, .lease_ms = 1000, .stripe_count = 1};
    struct stripe s = {
        .payload_len = len, .root = 5, .replicas = 2, .gva = {{NODE_GVA}, {NODE_GVA + 65536}}};
    wire_put_array(&body, 2);
    wire_put_uint(&body, items);
    wire_put_array(&body, items);
    for (uint32_t i = 0; i < items; i++) {
        lookup_item_put(&body, &item);
        located_stripe_put(&body, &s);
    }
    add_encoded(0, 0, &body);
}

static void add_start(uint64_t len)
{
    struct put_start_item item = {.put_id = 77, .stripe_count = 1};
    struct stripe s = {
        .payload_len = len, .replicas = 1, .gva = {{NODE_GVA}}, .grant = {{.boot = 2, .mac = 3}}};
    wire_put_array(&body, 1);
    put_start_item_put(&body, &item);
    granted_stripe_put(&body, &s);
    add_encoded(0, 0, &body);
}

static void add_ended(void)
{
    wire_put_array(&body, 2);
    wire_put_array(&body, 1);
    wire_put_int(&body, 0);
    wire_put_nil(&body);
    add_encoded(0, 0, &body);
}

static void answers(void)
{
    enum { GET, RANGES, PUT, VIEW, MAP };
    add_record(GET, 0, NULL, 0);
    add_map();
    add_lookup(1, 100, SUM_NONE);
    add_record(1, 0, NULL, 0);
    end("answers", "get");
    add_record(GET, 1 + 64, NULL, 0);
    add_map();
    add_lookup(2, 70000, SUM_XXH3);
    for (unsigned i = 0; i < 4; i++)
        add_record(1, i & 1 ? 60 : 0, NULL, 0);
    add_lookup(2, 70000, SUM_XXH3);
    end("answers", "get-again");
    add_record(RANGES, 1, NULL, 0);
    add_map();
    add_lookup(2, 200000, SUM_XXH3);
    add_record(1, 0, NULL, 0);
    add_record(1, 0, NULL, 0);
    end("answers", "ranges");
    add_record(PUT, 0, NULL, 0);
    add_map();
    add_start(70000);
    add_record(1, 0, NULL, 0);
    add_ended();
    end("answers", "put");
    add_record(PUT, 0, NULL, 0);
    add_map();
    add_start(70000);
    add_record(1, 60, "x", 1);
    add_ended();
    end("answers", "put-aborted");
    add_record(VIEW, 64, NULL, 0);
    add_map();
    add_lookup(1, 100, SUM_NONE);
    add_record(1, 0, NULL, 0);
    end("answers", "view");
    add_record(MAP, 0, NULL, 0);
    add_map();
    add_map();
    end("answers", "map");
}

/* ---- the data wire --------------------------------------------------------------------------- */

#define WIRE_GVA (GVA_FIRST + 4096)

static void add_request(uint8_t op, uint64_t put_id, uint64_t gva, uint64_t offset, uint64_t len)
{
    uint8_t raw[TCP_REQUEST_BYTES];
    struct tcp_request r = {.op = op,
                            .id = seed_len,
                            .put_id = put_id,
                            .gva = {gva},
                            .payload_len = 100,
                            .offset = offset,
                            .len_bytes = len,
                            .mac = op == TCP_WRITE};
    tcp_request_encode(&r, raw);
    add(raw, sizeof raw);
}

static void tcp_node(void)
{
    static const uint8_t payload[256] = "payload";
    struct hello h = {.who = {.session = 1, .name_space = 3, .token = {{1}}}, .boot = 7};
    uint8_t raw[HELLO_BYTES];
    hello_encode(&h, raw);
    add_byte(0);
    add(raw, sizeof raw);
    add_request(TCP_READ, 3, WIRE_GVA, 0, 100);
    add_request(TCP_READ, 3, WIRE_GVA, extent_seal_offset(100), SEAL_BYTES);
    end("tcp_node", "read");
    add_byte(5);
    add("\10\100\77\20\3", 5);
    add(raw, sizeof raw);
    add_request(TCP_WRITE, 4, WIRE_GVA + 4096, 0, 100);
    add(payload, 100);
    add_request(TCP_WRITE, 2, WIRE_GVA + 4096, 0, 100);
    add(payload, 100);
    add_request(TCP_WRITE, 4, WIRE_GVA + 65536, 0, 10);
    add(payload, 10);
    end("tcp_node", "write");
}

static void add_response(int status, uint64_t id, uint64_t len)
{
    static const uint8_t bytes[512];
    uint8_t raw[TCP_RESPONSE_BYTES];
    struct tcp_response r = {.status = status, .id = id, .len_bytes = len};
    tcp_response_encode(&r, raw);
    add(raw, sizeof raw);
    add(bytes, len);
}

static void tcp_client(void)
{
    add_byte(1);
    add_byte(0);
    add_response(0, 1, 300);
    add_response(0, 2, SEAL_BYTES);
    end("tcp_client", "read");
    add_byte(2 | 3 << 2);
    add_byte(3);
    add("\5\20\100", 3);
    add_response(0, 1, 0);
    add_response(0, 2, 0);
    add_response(0, 3, SEAL_BYTES);
    end("tcp_client", "write-tail");
    add_byte(2 | 1 << 2);
    add_byte(0);
    add_response(CENOTE_FENCED, 1, 0);
    add_response(CENOTE_FENCED, 2, 0);
    add_response(CENOTE_STALE, 3, 0);
    end("tcp_client", "refused");
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void extents(void)
{
    struct seal s = {.sum_kind = SUM_XXH3,
                     .put_id = 3,
                     .gva = {WIRE_GVA},
                     .incarnation = 9,
                     .name_space = 3,
                     .stripes = 1,
                     .payload_len = 100,
                     .root = 5,
                     .state = SEAL_STATE_LIVE};
    for (unsigned i = 0; i < 2; i++) {
        uint8_t raw[SEAL_BYTES + 12];
        seal_encode(&s, raw);
        struct bytes b = bytes_over(raw + SEAL_BYTES, 12);
        bytes_put_u64(&b, i == 0 ? 100 : 150000);
        bytes_put_u16(&b, i == 0 ? 7 : 64000);
        bytes_put_u16(&b, 30000);
        add(raw, sizeof raw);
        add("payload", 7);
        end("extent", i == 0 ? "short" : "chunks");
        s.state = SEAL_STATE_VOID;
    }
}

static void text(unsigned what, const char *name, const char *words)
{
    add_byte(what);
    add(words, strlen(words));
    end("text", name);
}

static void texts(void)
{
    text(0, "size", "64KiB");
    text(0, "size-long", "16777215TiB");
    text(0, "time", "250ms");
    text(0, "minutes", "5m");
    text(1, "v4", "127.0.0.1:7400");
    text(1, "v6", "[::1]:7400");
    text(1, "path", "unix:/tmp/cenote");
    text(1, "abstract", "unix:@cenote");
    text(2, "slots", "0-8191=127.0.0.1:1,8192-16383=unix:/x 8192-16383");
    text(3, "file", "# a comment\nlease = 5s\nlisten = a:1, b:2\n\nroles=meta\n");
    text(4, "options", "--roles=both --data-dir=/d --dram=64MiB --listen=unix:/c --lease=400ms");
    text(4, "options-file",
         "--roles meta\n\ndata-dir = /d\nlisten = 127.0.0.1:0\ninsecure = true\n");
    text(4, "options-shards",
         "--data-dir=/d --shards=0-16383=127.0.0.1:7400 --slots=0-16383 "
         "--shard-epoch=3 --advertise=127.0.0.1 --rdma=mlx5_0 --zone=z");
    add("{\"timestamp\": 0, \"input_length\": 6, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}\n",
        75);
    add("{\"timestamp\": 1, \"input_length\": 6, \"output_length\": 5, \"hash_ids\": []}\n", 68);
    end("trace", "two");
}

static void streams(void)
{
    struct wire_buf b = {0};
    add_byte(4);
    add("\0\3\40\1", 4);
    wire_put_request(&b, 1, METHOD_STATUS);
    wire_put_array(&b, 0);
    wire_put_notification(&b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    wire_put_error(&b, 7, CENOTE_LIMIT, NULL);
    wire_put_result(&b, 8);
    wire_put_nil(&b);
    add(b.data, b.len);
    end("stream", "four");
    wire_buf_free(&b);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: fuzz_seeds DIRECTORY\n");
        return 2;
    }
    top = argv[1];
    messages();
    service();
    store();
    node();
    answers();
    tcp_node();
    tcp_client();
    extents();
    texts();
    streams();
    wire_buf_free(&body);
    return 0;
}
