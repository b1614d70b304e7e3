/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/stream.h"

#include <assert.h>
#include <stdint.h>
#include <sys/socket.h>

/* Goes past n bytes that were moved. */
static void pass(struct msghdr *msg, size_t n)
{
    for (; msg->msg_iovlen > 0 && n >= msg->msg_iov->iov_len; msg->msg_iovlen--)
        n -= msg->msg_iov++->iov_len;
    if (msg->msg_iovlen > 0) {
        msg->msg_iov->iov_base = (uint8_t *)msg->msg_iov->iov_base + n;
        msg->msg_iov->iov_len -= n;
    }
}

bool stream_send(int fd, struct iovec *parts, size_t count)
{
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = count};

    while (msg.msg_iovlen > 0) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        pass(&msg, (size_t)n);
    }
    return true;
}

bool stream_receive(int fd, struct iovec *parts, size_t count)
{
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = count};

    while (msg.msg_iovlen > 0) {
        ssize_t n = recvmsg(fd, &msg, MSG_WAITALL);
        if (n <= 0)
            return false;
        pass(&msg, (size_t)n);
    }
    return true;
}

size_t stream_pieces(const struct cenote_buffer *pieces, size_t count, struct iovec *parts)
{
    assert(count <= STREAM_PIECES_MAX);
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct iovec){pieces[i].addr, pieces[i].len_bytes};
    return count;
}
