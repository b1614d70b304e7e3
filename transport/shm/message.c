/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/bytes.h"
#include "transport/base/log.h"
#include "transport/hello.h"

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

int shm_message_send(int fd, const struct shm_message *m, int descriptor)
{
    uint8_t raw[SHM_MESSAGE_BYTES];
    union control control = {.bytes = {0}};
    struct iovec iov = {.iov_base = raw, .iov_len = sizeof raw};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    struct bytes b = bytes_over(raw, sizeof raw);
    bytes_put_u32(&b, m->kind);
    bytes_put_u32(&b, 0);
    bytes_put_u64(&b, m->gva.v);
    bytes_put_u64(&b, m->len_bytes);
    bytes_put_u64(&b, m->incarnation);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(c), &descriptor, sizeof descriptor);
    ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n == (ssize_t)sizeof raw ? CENOTE_OK : CENOTE_NODE_DOWN;
}

static int descriptor_of(struct msghdr *msg)
{
    int descriptor = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof descriptor))
        memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
    return descriptor;
}

int shm_message_receive(int fd, uint64_t deadline_ms, struct shm_message *out, int *descriptor)
{
    uint8_t raw[SHM_MESSAGE_BYTES];
    union control control;
    struct iovec iov = {.iov_base = raw, .iov_len = sizeof raw};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    int status = hello_await(fd, deadline_ms);
    if (status != CENOTE_OK)
        return status;
    /* A message is sent by one call, so it is there as a whole or not at all. */
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return CENOTE_NODE_DOWN;
    *descriptor = descriptor_of(&msg);
    if (*descriptor < 0 && (msg.msg_flags & MSG_CTRUNC) != 0) {
        log_error("shm", "no descriptor is left for a node's memory");
        return CENOTE_NO_MEMORY;
    }
    if (n != (ssize_t)sizeof raw || *descriptor < 0) {
        if (*descriptor >= 0)
            close(*descriptor);
        return CENOTE_PROTOCOL;
    }
    struct bytes b = bytes_over(raw, sizeof raw);
    out->kind = bytes_get_u32(&b);
    (void)bytes_get_u32(&b);
    out->gva = gva_make(bytes_get_u64(&b));
    out->len_bytes = bytes_get_u64(&b);
    out->incarnation = bytes_get_u64(&b);
    return CENOTE_OK;
}
