/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data wire as a node meets it: hello, requests and bodies in pieces of any length. Whatever
 * comes, no byte lands outside the extents that were granted, and every request that is whole is
 * answered in order by a header that can be read.
 *
 * Input: the number of pieces (1 byte), their lengths (1 byte each), the stream. The gate admits
 * tokens whose first byte is 1, and grants with mac 1 to puts above 2 (the others are fenced).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "transport/base/grant.h"
#include "transport/tcp/connection.h"

#define SEGMENT_BYTES 16384u
#define SEGMENT_GVA   (GVA_FIRST + 4096)
#define GUARD_BYTES   4096u
#define STEPS_MAX     100000u
#define STREAM_MAX    8192u

static int authenticate(void *arg, const struct xcopy_credentials *who)
{
    (void)arg;
    return who->token.b[0] == 1 ? CENOTE_OK : CENOTE_DENIED;
}

static int admit_write(void *arg, uint64_t session, uint64_t put_id, struct gva gva,
                       uint64_t extent_len, const struct write_grant *grant)
{
    (void)arg;
    (void)session;
    assert(gva_covers(gva_make(SEGMENT_GVA), SEGMENT_BYTES, gva, extent_len));
    if (grant->mac != 1)
        return CENOTE_BAD_GRANT;
    return put_id > 2 ? CENOTE_OK : CENOTE_FENCED;
}

static uint64_t horizon(void *arg, uint64_t session)
{
    (void)arg;
    (void)session;
    return 2;
}

struct node {
    struct tcp_server server;
    uint8_t memory[SEGMENT_BYTES + 2 * GUARD_BYTES]; /* guards on both sides */
    uint8_t scratch[TCP_SCRATCH_BYTES];
};

static struct node *node_make(void)
{
    struct node *n = calloc(1, sizeof *n);
    assert(n != NULL);
    n->server.gate = (struct xcopy_gate){
        .boot = 7, .authenticate = authenticate, .admit_write = admit_write, .horizon = horizon};
    n->server.loops[0].server = &n->server;
    n->server.loops[0].scratch = n->scratch;
    struct xcopy_segment segment = {
        .gva = {SEGMENT_GVA},
        .incarnation = 9,
        .memory = {.base = n->memory + GUARD_BYTES, .len_bytes = SEGMENT_BYTES, .fd = -1}};
    int status = segments_add(&n->server.segments, &segment);
    assert(status == CENOTE_OK);
    return n;
}

/* A live value in the segment, so that reads can succeed. */
static void plant(struct node *n)
{
    struct seal seal = {.sum_kind = SUM_XXH3,
                        .put_id = 3,
                        .gva = {SEGMENT_GVA},
                        .incarnation = 9,
                        .name_space = 3,
                        .stripes = 1,
                        .payload_len = 100,
                        .state = SEAL_STATE_LIVE};
    memset(n->memory, 0, sizeof n->memory);
    seal_encode(&seal, n->memory + GUARD_BYTES + extent_seal_offset(100));
}

static bool is_zero(const uint8_t *at, size_t len)
{
    return at[0] == 0 && memcmp(at, at + 1, len - 1) == 0;
}

/* Reads what the node has answered: headers, and the bytes that they promise. */
struct reader {
    uint8_t head[TCP_RESPONSE_BYTES];
    size_t have;
    uint64_t body_left;
    bool greeted;
};

static void read_head(struct reader *r)
{
    struct tcp_response response;
    struct hello_answer answer;
    int status = r->greeted ? tcp_response_decode(r->head, &response)
                            : hello_answer_decode(r->head, &answer);
    assert(status == CENOTE_OK);
    r->body_left = r->greeted ? response.len_bytes : 0;
    assert(r->body_left <= SEGMENT_BYTES);
    r->greeted = true;
    r->have = 0;
}

static void read_answers(struct reader *r, int fd)
{
    uint8_t bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        for (ssize_t at = 0; at < n;) {
            if (r->body_left > 0) {
                uint64_t take =
                    (uint64_t)(n - at) < r->body_left ? (uint64_t)(n - at) : r->body_left;
                r->body_left -= take;
                at += (ssize_t)take;
            } else {
                r->head[r->have++] = bytes[at++];
                if (r->have == TCP_RESPONSE_BYTES)
                    read_head(r);
            }
        }
    }
}

/* False: the node has closed. */
static bool turn(struct tcp_connection *c, struct reader *r, int fd)
{
    uint64_t moved = 0;
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum step step = tcp_connection_step(c, &moved);
        assert(c->body_left == 0 || c->state != STATE_BODY || c->body_left <= SEGMENT_BYTES);
        if (step == STEP_CLOSE)
            return false;
        if (step == STEP_WAIT_READ)
            return true;
        if (step == STEP_WAIT_WRITE)
            read_answers(r, fd);
    }
    abort();
}

static void serve(struct node *n, const int fd[2], const uint8_t *cuts, size_t cut_count,
                  const uint8_t *stream, size_t size)
{
    static struct tcp_connection c;
    struct reader r = {.greeted = false};
    bool open = true;
    memset(&c, 0, sizeof c);
    c.loop = &n->server.loops[0];
    c.fd = fd[1];
    for (size_t at = 0, cut = 0; open && at < size;) {
        size_t len = cut < cut_count ? cuts[cut++] + 1u : size - at;
        len = len < size - at ? len : size - at;
        ssize_t sent = send(fd[0], stream + at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        assert(sent == (ssize_t)len);
        at += len;
        open = turn(&c, &r, fd[0]);
    }
    read_answers(&r, fd[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct node *node;
    int fd[2];
    size_t count = size > 0 ? data[0] % 32u : 0;
    if (size < 1 + count || size - 1 - count > STREAM_MAX)
        return 0;
    if (node == NULL)
        node = node_make();
    plant(node);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
        abort();
    serve(node, fd, data + 1, count, data + 1 + count, size - 1 - count);
    close(fd[0]);
    close(fd[1]);
    assert(is_zero(node->memory, GUARD_BYTES));
    assert(is_zero(node->memory + GUARD_BYTES + SEGMENT_BYTES, GUARD_BYTES));
    return 0;
}
