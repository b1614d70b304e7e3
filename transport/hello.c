/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/hello.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "transport/base/bytes.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

void hello_encode(const struct hello *h, uint8_t out[HELLO_BYTES])
{
    struct bytes b = bytes_over(out, HELLO_BYTES);
    memset(out, 0, HELLO_BYTES);
    bytes_put_u32(&b, HELLO_MAGIC);
    bytes_put_u16(&b, DATA_WIRE_VERSION);
    bytes_put_u16(&b, 0);
    bytes_put_u64(&b, h->who.session);
    bytes_put_u32(&b, h->who.name_space);
    bytes_put_u32(&b, 0);
    bytes_put(&b, h->who.token.b, TOKEN_BYTES);
    bytes_put_u64(&b, h->boot);
}

int hello_decode(const uint8_t in[HELLO_BYTES], struct hello *out)
{
    struct bytes b = bytes_over_const(in, HELLO_BYTES);
    if (bytes_get_u32(&b) != HELLO_MAGIC)
        return CENOTE_PROTOCOL;
    if (bytes_get_u16(&b) != DATA_WIRE_VERSION)
        return CENOTE_VERSION;
    (void)bytes_get_u16(&b);
    out->who.session = bytes_get_u64(&b);
    out->who.name_space = bytes_get_u32(&b);
    (void)bytes_get_u32(&b);
    bytes_get(&b, out->who.token.b, TOKEN_BYTES);
    out->boot = bytes_get_u64(&b);
    return CENOTE_OK;
}

int hello_admit(const uint8_t in[HELLO_BYTES], const struct xcopy_gate *gate, struct hello *out)
{
    int status = hello_decode(in, out);
    if (status != CENOTE_OK)
        return status;
    if (gate->authenticate(gate->arg, &out->who) != CENOTE_OK)
        return CENOTE_DENIED;
    bool old = out->boot != 0 && out->boot != gate->boot && !test_off(TEST_BOOT);
    return old ? CENOTE_OLD_BOOT : CENOTE_OK;
}

void hello_answer_encode(const struct hello_answer *a, uint8_t out[HELLO_ANSWER_BYTES])
{
    struct bytes b = bytes_over(out, HELLO_ANSWER_BYTES);
    memset(out, 0, HELLO_ANSWER_BYTES);
    bytes_put_u32(&b, HELLO_MAGIC);
    bytes_put_u16(&b, DATA_WIRE_VERSION);
    bytes_put_u16(&b, 0);
    bytes_put_u32(&b, (uint32_t)a->status);
    bytes_put_u32(&b, a->segments);
    bytes_put_u64(&b, a->boot);
}

int hello_answer_decode(const uint8_t in[HELLO_ANSWER_BYTES], struct hello_answer *out)
{
    struct bytes b = bytes_over_const(in, HELLO_ANSWER_BYTES);
    if (bytes_get_u32(&b) != HELLO_MAGIC)
        return CENOTE_PROTOCOL;
    uint16_t version = bytes_get_u16(&b);
    (void)bytes_get_u16(&b);
    out->status = (int)(int32_t)bytes_get_u32(&b);
    out->segments = bytes_get_u32(&b);
    out->boot = bytes_get_u64(&b);
    if (version != DATA_WIRE_VERSION)
        return CENOTE_VERSION;
    return out->status > 0 ? CENOTE_PROTOCOL : CENOTE_OK;
}

int hello_await(int fd, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = clock_now_ms();
        uint64_t left = now < deadline_ms ? deadline_ms - now : 0;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
        if (n > 0)
            return CENOTE_OK;
        if (n == 0 && left == 0)
            return CENOTE_TIMED_OUT;
        if (n < 0 && errno != EINTR)
            return CENOTE_NODE_DOWN;
    }
}

static int receive(int fd, uint8_t *out, size_t len, uint64_t deadline_ms)
{
    size_t have = 0;
    while (have < len) {
        int status = hello_await(fd, deadline_ms);
        if (status != CENOTE_OK)
            return status;
        ssize_t n = recv(fd, out + have, len - have, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return CENOTE_NODE_DOWN;
        if (n > 0)
            have += (size_t)n;
    }
    return CENOTE_OK;
}

int hello_exchange(int fd, const struct xcopy_peer *peer, const struct xcopy_credentials *who,
                   uint64_t deadline_ms, struct hello_answer *out)
{
    uint8_t hello[HELLO_BYTES], answer[HELLO_ANSWER_BYTES];
    hello_encode(&(struct hello){.who = *who, .boot = peer->boot}, hello);
    /* 64 bytes fit into the send buffer of a new socket: this doesn't block. */
    if (send(fd, hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello)
        return CENOTE_NODE_DOWN;
    int status = receive(fd, answer, sizeof answer, deadline_ms);
    if (status == CENOTE_OK)
        status = hello_answer_decode(answer, out);
    if (status == CENOTE_OK) /* what the node lacks, this process may well have */
        status = out->status == CENOTE_NO_MEMORY ? CENOTE_NODE_DOWN : out->status;
    if (status != CENOTE_OK)
        log_debug("xcopy", "node %llu answers the hello with %s", (unsigned long long)peer->node,
                  cenote_status_name(status));
    return status;
}
