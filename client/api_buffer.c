/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions on registered memory: the home has it, and the drives of other services share
 * it. */
#include <cenote/buffer.h>

#include "client/client.h"

int cenote_buffer_register(struct cenote *client, void *addr, size_t len_bytes, unsigned kind,
                           uint64_t *id)
{
    struct drive *d;
    int status = client_enter(client, &d);

    if (status == CENOTE_OK && (!id || kind > CENOTE_MEMORY_DEVICE))
        status = CENOTE_INVALID;
    if (status == CENOTE_OK && kind != CENOTE_MEMORY_HOST)
        status = CENOTE_NOT_SUPPORTED;
    return status == CENOTE_OK ? drive_register(d, addr, len_bytes, id) : status;
}

int cenote_buffer_unregister(struct cenote *client, uint64_t id)
{
    struct drive *d;
    int status = client_enter(client, &d);

    return status == CENOTE_OK ? drive_unregister(d, id) : status;
}
