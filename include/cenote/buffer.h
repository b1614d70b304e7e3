/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file buffer.h
 * Registered buffers: memory that a client is told of before bytes travel to or from it.
 *
 * Concepts
 *   registered  An application that moves values in and out of the same memory again and again
 *               registers it once. Gets and puts find by address that their buffers, or parts of
 *               them, lie in it; nothing else changes in a call. Every function takes memory that
 *               isn't registered just as well.
 *
 * What it does: registering checks that the memory can be read and written, which makes a wrong
 * pointer an error instead of a crash; touches its pages, so that the first transfer doesn't wait
 * for them (Linux 5.14; earlier kernels leave that to the transfer); and makes unregistering wait
 * for transfers under way, so that memory isn't given back beneath them. With shm and tcp bytes
 * travel as fast without it. RDMA devices must know memory beforehand: they read and write
 * registered memory in place, and other memory by way of memory of their own, or after they have
 * been told of it on the way, which costs time.
 *
 * Caveats
 *   - Memory that is unmapped while a call uses it: with shm the calling thread gets SIGSEGV, as
 *     from memcpy(); with tcp the call answers CENOTE_BAD_ADDRESS. Fix: register it, and unregister
 *     it before it is unmapped.
 *   - Nothing notices when registered memory is unmapped without being unregistered. Fix:
 *     unregister it first.
 *
 * Threads: all functions may be called from any thread at once on one client.
 */
#ifndef CENOTE_BUFFER_H
#define CENOTE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include <cenote/cenote.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most registered buffers of one client. */
#define CENOTE_BUFFERS_MAX 4096

/** Kinds of memory. */
enum cenote_memory {
    CENOTE_MEMORY_HOST = 0,  /**< what processors address */
    CENOTE_MEMORY_DEVICE = 1 /**< not supported yet */
};

/**
 * Registers memory. It stays the caller's, and may be used for anything meanwhile.
 * @param addr      begin; needn't be aligned. The memory must be readable and writable.
 * @param kind      enum cenote_memory.
 * @param[out] id   names the registration; never reused by this client.
 * @return CENOTE_OK; CENOTE_INVALID (no bytes, or some of them are registered already),
 *         CENOTE_BAD_ADDRESS (not mapped, or not readable and writable, all of it),
 *         CENOTE_NOT_SUPPORTED (the kind), CENOTE_LIMIT, CENOTE_NO_MEMORY.
 * Ownership: ends with cenote_buffer_unregister() or with the client.
 */
CENOTE_API int cenote_buffer_register(struct cenote *client, void *addr, size_t len_bytes,
                                      unsigned kind, uint64_t *id);

/**
 * Ends a registration. Waits for the transfers that use the memory at this moment; calls that begin
 * meanwhile take it as memory that isn't registered.
 * @return CENOTE_OK; CENOTE_INVALID: there is no such registration.
 */
CENOTE_API int cenote_buffer_unregister(struct cenote *client, uint64_t id);

#ifdef __cplusplus
}
#endif
#endif
