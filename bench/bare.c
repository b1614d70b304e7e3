/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bare.h"

#include <assert.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport/base/endpoint.h"

#define CONNECT_MS 5000

struct order {
    uint64_t put, offset, len_bytes;
};

/* Moves all of an iovec, which is used up. */
static bool move(int fd, struct iovec *iov, size_t count, bool out)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};

    while (msg.msg_iovlen > 0) {
        ssize_t n = out ? sendmsg(fd, &msg, MSG_NOSIGNAL) : recvmsg(fd, &msg, MSG_WAITALL);
        if (n <= 0)
            return false;
        for (; msg.msg_iovlen > 0 && (size_t)n >= msg.msg_iov->iov_len; msg.msg_iovlen--)
            n -= (ssize_t)msg.msg_iov++->iov_len;
        if (msg.msg_iovlen > 0) {
            msg.msg_iov->iov_base = (uint8_t *)msg.msg_iov->iov_base + n;
            msg.msg_iov->iov_len -= (size_t)n;
        }
    }
    return true;
}

static bool move_one(int fd, void *data, size_t len_bytes, bool out)
{
    return move(fd, &(struct iovec){data, len_bytes}, 1, out);
}

static void serve(int fd, uint8_t *memory)
{
    struct order order;
    uint8_t done = 1;

    while (move_one(fd, &order, sizeof order, false)) {
        if (!move_one(fd, memory + order.offset, order.len_bytes, !order.put))
            break;
        if (order.put && !move_one(fd, &done, sizeof done, true))
            break;
    }
}

static _Noreturn void peer_main(const struct endpoint *at, void *memory)
{
    int fd = endpoint_connect(at, CONNECT_MS);

    if (fd >= 0)
        serve(fd, memory);
    _exit(fd >= 0 ? 0 : 1);
}

bool bare_start(struct bare *b, void *memory)
{
    struct endpoint any, at;
    int listener;

    *b = (struct bare){.fd = -1};
    if (endpoint_parse("127.0.0.1:0", &any) != CENOTE_OK ||
        (listener = endpoint_listen(&any, 1, &at)) < 0)
        return false;
    b->pid = fork();
    if (b->pid == 0)
        peer_main(&at, memory);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    if (b->pid > 0 && poll(&p, 1, CONNECT_MS) == 1)
        b->fd = accept(listener, NULL, NULL);
    close(listener);
    return b->fd >= 0;
}

/* The order and the pieces behind it. */
static size_t gather(struct order *order, const struct cenote_buffer *buffers, size_t count,
                     struct iovec iov[BARE_PIECES_MAX + 1])
{
    assert(count <= BARE_PIECES_MAX);
    iov[0] = (struct iovec){order, sizeof *order};
    for (size_t i = 0; i < count; i++) {
        iov[i + 1] = (struct iovec){buffers[i].addr, buffers[i].len_bytes};
        order->len_bytes += buffers[i].len_bytes;
    }
    return count + 1;
}

bool bare_get(struct bare *b, uint64_t offset, const struct cenote_buffer *to, size_t count)
{
    struct iovec iov[BARE_PIECES_MAX + 1];
    struct order order = {.offset = offset};
    size_t parts = gather(&order, to, count, iov);

    return move(b->fd, iov, 1, true) && move(b->fd, iov + 1, parts - 1, false);
}

bool bare_put(struct bare *b, uint64_t offset, const struct cenote_buffer *from, size_t count)
{
    struct iovec iov[BARE_PIECES_MAX + 1];
    struct order order = {.put = 1, .offset = offset};
    size_t parts = gather(&order, from, count, iov);
    uint8_t done;

    return move(b->fd, iov, parts, true) && move_one(b->fd, &done, sizeof done, false);
}

void bare_stop(struct bare *b)
{
    if (b->fd < 0)
        return;
    close(b->fd);
    waitpid(b->pid, NULL, 0);
    b->fd = -1;
}
