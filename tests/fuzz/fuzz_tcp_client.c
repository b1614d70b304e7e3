/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data wire as a client meets it: a node that answers anything, in pieces of any length. All
 * requests complete, at the latest when the connection breaks, and nothing outside their buffers
 * and tails is touched.
 *
 * Input: which requests are asked (1 byte, two bits each: none, read, write, read of a tail alone),
 * the number of pieces (1 byte), their lengths (1 byte each), the node's stream.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "transport/tcp/client.h"
#include "transport/transports.h"

#define REQUESTS_MAX 4u
#define BUFFER_BYTES 300u
#define STREAM_MAX   8192u
#define BOOT         7u

struct asked {
    struct xcopy_req req;
    struct cenote_buffer pieces[2];
    uint8_t guard_before[16], buffer[BUFFER_BYTES], guard[16], tail[SEAL_BYTES], guard_after[16];
};

static struct asked asked[REQUESTS_MAX];

static void seal_it(struct xcopy_req *req)
{
    memset(req->tail, 5, req->tail_len);
}

static void prepare(struct asked *a, unsigned kind)
{
    memset(a, 0, sizeof *a);
    a->pieces[0] = (struct cenote_buffer){a->buffer, 100};
    a->pieces[1] = (struct cenote_buffer){a->buffer + 100, 200};
    a->req = (struct xcopy_req){.op = kind == 2 ? XCOPY_WRITE : XCOPY_READ,
                                .gva = {GVA_FIRST + 4096},
                                .payload_len = BUFFER_BYTES,
                                .put_id = 3,
                                .grant = {.boot = BOOT, .mac = 1},
                                .len_bytes = kind == 3 ? 0 : BUFFER_BYTES,
                                .local = {.pieces = a->pieces, .count = 2},
                                .sums = kind == 3 ? NULL : sums_new(BUFFER_BYTES),
                                .tail = a->tail,
                                .tail_len = SEAL_BYTES,
                                .seal_it = kind == 2 ? seal_it : NULL};
}

static bool is_zero(const uint8_t *at, size_t len)
{
    return at[0] == 0 && memcmp(at, at + 1, len - 1) == 0;
}

static void judge(struct asked *a)
{
    assert(a->req.status != XCOPY_IN_PROGRESS && a->req.status <= 0);
    assert(is_zero(a->guard_before, sizeof a->guard_before));
    assert(is_zero(a->guard, sizeof a->guard) && is_zero(a->guard_after, sizeof a->guard_after));
    sums_free(a->req.sums);
}

static void drain(int fd)
{
    uint8_t bytes[4096];
    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
}

static void progress(struct tcp_channel *ch, int fd)
{
    while (ch->base.transport->progress(&ch->base))
        drain(fd);
    drain(fd);
}

static void converse(struct tcp_channel *ch, int fd, const uint8_t *cuts, size_t cut_count,
                     const uint8_t *stream, size_t size)
{
    progress(ch, fd);
    for (size_t at = 0, cut = 0; !ch->broken && at < size;) {
        size_t len = cut < cut_count ? cuts[cut++] + 1u : size - at;
        len = len < size - at ? len : size - at;
        if (send(fd, stream + at, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
        at += len;
        progress(ch, fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd[2];
    size_t count = size > 1 ? data[1] % 32u : 0;
    if (size < 2 + count || size - 2 - count > STREAM_MAX)
        return 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
        abort();
    struct tcp_channel *ch = calloc(1, sizeof *ch);
    assert(ch != NULL);
    ch->base = (struct xcopy_channel){.transport = &xcopy_tcp, .node = 1};
    ch->fd = fd[0];
    ch->boot = BOOT;
    ch->send.id = ch->recv.id = 1;
    unsigned kinds = data[0];
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        unsigned kind = kinds >> 2 * i & 3;
        if (kind == 0)
            continue;
        prepare(&asked[i], kind);
        xcopy_tcp.submit(&ch->base, &asked[i].req);
    }
    converse(ch, fd[1], data + 2, count, data + 2 + count, size - 2 - count);
    xcopy_tcp.cancel(&ch->base, CENOTE_TIMED_OUT);
    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        if ((kinds >> 2 * i & 3) != 0)
            judge(&asked[i]);
    xcopy_tcp.disconnect(&ch->base);
    close(fd[1]);
    return 0;
}
