/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file status.h
 * Status codes of every Cenote call: 0 is success, errors are negative.
 *
 * The codes are grouped by what is lost: the operation only, the connection, or the node. They are
 * part of the ABI and of the control protocol; a number is never given a second meaning.
 */
#ifndef CENOTE_STATUS_H
#define CENOTE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CENOTE_API __attribute__((visibility("default")))
#else
#define CENOTE_API
#endif

/** X(name, number, text): the one list of all status codes. */
#define CENOTE_STATUS_MAP(X)                                                                       \
    X(OK, 0, "success")                                                                            \
    /* The operation failed; the next one may succeed. */                                          \
    X(NOT_FOUND, -1, "no such key")                                                                \
    X(EXISTS, -2, "the key is already there")                                                      \
    X(INVALID, -3, "invalid argument")                                                             \
    X(KEY_SIZE, -4, "a key has 1 to 1024 bytes")                                                   \
    X(VALUE_SIZE, -5, "the value is larger than the pool can hold")                                \
    X(BUFFER_SIZE, -6, "the buffers given are smaller than the value")                             \
    X(NO_SPACE, -7, "the pool is full")                                                            \
    X(NO_NODES, -8, "too few nodes offer memory to the pool")                                      \
    X(NO_MEMORY, -9, "out of memory or file descriptors")                                          \
    X(TIMED_OUT, -10, "the operation did not finish in its time")                                  \
    X(UNKNOWN, -11, "the answer was lost: whether the operation took effect is not known")         \
    X(CORRUPT, -12, "the bytes failed verification on every replica")                              \
    X(ABORTED, -13, "the put was aborted or has run out of time")                                  \
    X(NO_SUCH_PUT, -14, "no such put id")                                                          \
    X(DENIED, -15, "not allowed for this session")                                                 \
    X(NOT_SUPPORTED, -16, "not supported")                                                         \
    X(LIMIT, -17, "a limit of the service or of this session is reached")                          \
    X(STALE, -18, "the extent no longer holds what was looked up")                                 \
    X(FENCED, -19, "the writer was fenced")                                                        \
    X(WRONG_SHARD, -20, "another service owns this key")                                           \
    X(CLOSED, -21, "the handle is closed")                                                         \
    X(FORKED, -22, "the handle belongs to the parent process")                                     \
    X(INTERNAL, -23, "internal error")                                                             \
    X(BAD_ADDRESS, -24, "the memory given is not mapped, or not for this use")                     \
    X(CANCELLED, -25, "the operation was cancelled")                                               \
    X(QUOTA, -26, "the quota of the namespace is used up")                                         \
    X(IN_USE, -27, "the namespace still has sessions, values or memory in quarantine")             \
    /* The connection to the service is lost or unusable. */                                       \
    X(UNAVAILABLE, -40, "the metadata service cannot be reached")                                  \
    X(PROTOCOL, -41, "the peer broke the protocol")                                                \
    X(VERSION, -42, "the peer speaks another protocol version")                                    \
    X(NO_SESSION, -43, "the session is unknown or has ended")                                      \
    X(NO_METHOD, -44, "unknown method")                                                            \
    X(FRAME_SIZE, -45, "the message is larger than the limit")                                     \
    X(MALFORMED, -46, "the message is not valid MessagePack-RPC")                                  \
    /* A node is lost or refuses. */                                                               \
    X(NODE_DOWN, -60, "the node cannot be reached")                                                \
    X(NODE_KNOWN, -61, "a live node has this name already")                                        \
    X(NODE_UNKNOWN, -62, "the node is unknown or was declared dead")                               \
    X(OLD_REIGN, -63, "the call comes from an earlier life of the service")                        \
    X(OLD_BOOT, -64, "the grant is from an earlier life of the node")                              \
    X(BAD_GRANT, -65, "the write grant does not cover this write")                                 \
    X(BAD_RANGE, -66, "the range is outside what the node serves")                                 \
    /* Local files and the metadata store. */                                                      \
    X(IO, -80, "input/output error")                                                               \
    X(LOCKED, -81, "the data directory is in use by another process")                              \
    X(READ_ONLY, -82, "the data directory is not writable")                                        \
    X(FORMAT, -83, "the data directory has another format version")                                \
    X(META_FULL, -84, "the metadata store is full")                                                \
    X(UNTRUSTED, -85, "the metadata was not closed cleanly before the operating system restarted")

enum cenote_status {
#define CENOTE_STATUS_ENUM(name, number, text) CENOTE_##name = number,
    CENOTE_STATUS_MAP(CENOTE_STATUS_ENUM)
#undef CENOTE_STATUS_ENUM
};

/**
 * The text of a status code, in English, without a final stop.
 * @return a static string, also for a number that is no status. Any thread.
 */
CENOTE_API const char *cenote_status_text(int status);

/**
 * The name of a status code as in enum cenote_status without the prefix, e.g. "NOT_FOUND".
 * @return a static string; "?" for a number that is no status. Any thread.
 */
CENOTE_API const char *cenote_status_name(int status);

#ifdef __cplusplus
}
#endif
#endif
