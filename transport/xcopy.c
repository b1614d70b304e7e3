/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/xcopy.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/testswitch.h"
#include "transport/copy.h"
#include "transport/segments.h"
#include "transport/transports.h"

/* loop can't be meant by accident: only peers of this very process name it. */
const struct xcopy_transport *const xcopy_transports[] = {&xcopy_loop, &xcopy_shm, &xcopy_rdma,
                                                          &xcopy_tcp, NULL};

static void read_host(char out[XCOPY_HOST_MAX])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, XCOPY_HOST_MAX - 1);
    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

/* Kept from the first time on: a process that has run out of descriptors is still on this host. */
void xcopy_this_host(char out[XCOPY_HOST_MAX])
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char host[XCOPY_HOST_MAX];
    pthread_mutex_lock(&lock);
    if (host[0] == '\0')
        read_host(host);
    memcpy(out, host, XCOPY_HOST_MAX);
    pthread_mutex_unlock(&lock);
}

int xcopy_hold(struct xcopy_channel *c, struct xcopy_hold *hold)
{
    if (!xcopy_holds(c->transport))
        return CENOTE_NOT_SUPPORTED;
    if (hold->payload_len > EXTENT_PAYLOAD_MAX || hold->gva.v % EXTENT_ALIGN != 0 ||
        hold->slot >= XCOPY_HOLDS_MAX)
        return CENOTE_BAD_RANGE;
    return c->transport->hold(c, hold);
}

void xcopy_unhold(struct xcopy_channel *c, uint32_t slot)
{
    c->transport->unhold(c, slot);
}

bool xcopy_holds(const struct xcopy_transport *t)
{
    return t->hold != NULL;
}

int xcopy_admit_read(const struct xcopy_segment *segments, size_t count, uint32_t name_space,
                     uint64_t put_id, struct gva gva, uint64_t payload_len, uint8_t **base)
{
    if (payload_len > EXTENT_PAYLOAD_MAX || gva.v % EXTENT_ALIGN != 0)
        return CENOTE_BAD_RANGE;
    const struct xcopy_segment *seg = segments_find(segments, count, gva, extent_size(payload_len));
    if (seg == NULL)
        return CENOTE_BAD_RANGE;
    uint8_t *at = (uint8_t *)seg->memory.base + (gva.v - seg->gva.v);
    uint8_t raw[SEAL_BYTES];
    struct seal seal;
    copy_load(raw, at + extent_seal_offset(payload_len), SEAL_BYTES);
    if (!test_off(TEST_SEAL)) {
        if (seal_decode(raw, &seal) != CENOTE_OK || seal.state != SEAL_STATE_LIVE ||
            seal.put_id != put_id || seal.gva.v != gva.v || seal.payload_len != payload_len ||
            seal.incarnation != seg->incarnation)
            return CENOTE_STALE;
        if (seal.name_space != name_space)
            return CENOTE_DENIED;
    }
    *base = at;
    return CENOTE_OK;
}
