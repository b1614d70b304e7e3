/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of control messages that arrives in pieces of any length: the frames that come out are
 * the same as if all of it had come at once, and so is the end.
 *
 * Input: the number of pieces (1 byte), their lengths (1 byte each), the stream.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cenote/status.h>

#include "tests/fuzz/fuzz.h"
#include "transport/rpc/input.h"

#define FRAME_MAX  4096u
#define STREAM_MAX 8192u

struct cut {
    const uint8_t *lengths;
    size_t count, next;
};

/* Positions at which frames ended, and how the stream did. */
struct seen {
    size_t ends[STREAM_MAX];
    size_t count;
    int64_t last;
};

static size_t piece_length(struct cut *c, size_t left)
{
    size_t len = c->next < c->count ? c->lengths[c->next++] + 1u : left;
    return len < left ? len : left;
}

static void frames(struct rpc_input *in, struct seen *seen, size_t *at)
{
    const uint8_t *frame;
    while ((seen->last = rpc_input_next(in, &frame)) > 0) {
        struct wire_msg m;
        *at += (size_t)seen->last;
        seen->ends[seen->count++] = *at;
        if (wire_parse(frame, (size_t)seen->last, &m) == CENOTE_OK)
            wire_msg_free(&m);
    }
}

static void arrive(const int fd[2], const uint8_t *data, size_t size, struct cut *cut,
                   struct seen *seen)
{
    struct rpc_input in;
    size_t at = 0;
    rpc_input_init(&in, FRAME_MAX);
    seen->count = 0;
    seen->last = 0;
    while (size > 0 && seen->last == 0) {
        size_t n = piece_length(cut, size);
        ssize_t sent = send(fd[0], data, n, MSG_DONTWAIT);
        assert(sent == (ssize_t)n);
        for (size_t got = 0; got < n && seen->last == 0;) {
            ssize_t rc = rpc_input_read(&in, fd[1]);
            assert(rc > 0);
            got += (size_t)rc;
            frames(&in, seen, &at);
        }
        data += n;
        size -= n;
    }
    rpc_input_free(&in);
}

static void drain(int fd)
{
    uint8_t rest[STREAM_MAX];
    while (recv(fd, rest, sizeof rest, MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen whole, pieces;
    static int fd[2] = {-1, -1};
    size_t count = size > 0 ? data[0] % 64u : 0;
    if (fd[0] < 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
        abort();
    if (size < 1 + count || size - 1 - count > STREAM_MAX)
        return 0;
    struct cut none = {NULL, 0, 0}, cut = {data + 1, count, 0};
    const uint8_t *stream = data + 1 + count;
    arrive(fd, stream, size - 1 - count, &none, &whole);
    drain(fd[1]);
    arrive(fd, stream, size - 1 - count, &cut, &pieces);
    drain(fd[1]);
    assert(whole.count == pieces.count && whole.last == pieces.last);
    assert(memcmp(whole.ends, pieces.ends, whole.count * sizeof *whole.ends) == 0);
    return 0;
}
