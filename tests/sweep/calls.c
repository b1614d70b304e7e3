/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that may fail, each with the error that the system would give. */
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <event2/event.h>

#include "tests/sweep/points.h"

#define FRAME ((void *const *)__builtin_frame_address(0))

/* Of type, called name: gives failure with errno set to code, or what the real one gives. */
#define POINT(type, name, parameters, arguments, code, failure)                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        if (!point_fails(#name, FRAME))                                                            \
            return __real_##name arguments;                                                        \
        errno = (code);                                                                            \
        return (failure);                                                                          \
    }

/* Memory. */
POINT(void *, malloc, (size_t size), (size), ENOMEM, NULL)
POINT(void *, calloc, (size_t count, size_t size), (count, size), ENOMEM, NULL)
POINT(void *, realloc, (void *old, size_t size), (old, size), ENOMEM, NULL)
POINT(void *, aligned_alloc, (size_t unit, size_t size), (unit, size), ENOMEM, NULL)
POINT(char *, strdup, (const char *text), (text), ENOMEM, NULL)
POINT(char *, strndup, (const char *text, size_t len), (text, len), ENOMEM, NULL)
POINT(FILE *, open_memstream, (char **out, size_t *len), (out, len), ENOMEM, NULL)
POINT(void *, mmap, (void *at, size_t len, int protection, int flags, int fd, off_t from),
      (at, len, protection, flags, fd, from), ENOMEM, MAP_FAILED)
POINT(int, pthread_create,
      (pthread_t * out, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
      (out, attr, run, arg), EAGAIN, EAGAIN)
POINT(struct event_base *, event_base_new_with_config, (const struct event_config *config),
      (config), ENOMEM, NULL)
POINT(struct event_base *, event_base_new, (void), (), ENOMEM, NULL)
POINT(struct event_config *, event_config_new, (void), (), ENOMEM, NULL)
POINT(struct event *, event_new,
      (struct event_base * base, evutil_socket_t fd, short events, event_callback_fn fn, void *arg),
      (base, fd, events, fn, arg), ENOMEM, NULL)
POINT(int, event_add, (struct event * e, const struct timeval *after), (e, after), ENOMEM, -1)

/* Descriptors. */
POINT(int, socket, (int family, int type, int protocol), (family, type, protocol), EMFILE, -1)
POINT(int, accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags),
      (fd, from, len, flags), EMFILE, -1)
POINT(int, epoll_create1, (int flags), (flags), EMFILE, -1)
POINT(int, eventfd, (unsigned value, int flags), (value, flags), EMFILE, -1)
POINT(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, -1)
POINT(int, signalfd, (int fd, const void *mask, int flags), (fd, mask, flags), EMFILE, -1)
POINT(FILE *, fopen, (const char *name, const char *mode), (name, mode), EMFILE, NULL)

/* Sockets. */
POINT(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len), ECONNREFUSED,
      -1)
POINT(int, bind, (int fd, const struct sockaddr *at, socklen_t len), (fd, at, len), EADDRINUSE, -1)
POINT(int, listen, (int fd, int queue), (fd, queue), EADDRINUSE, -1)
POINT(ssize_t, send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags),
      ECONNRESET, -1)
POINT(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), ECONNRESET, -1)
POINT(ssize_t, recv, (int fd, void *data, size_t len, int flags), (fd, data, len, flags),
      ECONNRESET, -1)
POINT(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), ECONNRESET, -1)
POINT(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
      (fd, level, name, value, len), ENOBUFS, -1)
POINT(int, getsockname, (int fd, struct sockaddr *at, socklen_t *len), (fd, at, len), ENOBUFS, -1)
POINT(int, epoll_ctl, (int fd, int what, int of, void *event), (fd, what, of, event), ENOSPC, -1)

/* Files. */
POINT(ssize_t, pread, (int fd, void *data, size_t len, off_t at), (fd, data, len, at), EIO, -1)
POINT(ssize_t, pwrite, (int fd, const void *data, size_t len, off_t at), (fd, data, len, at),
      ENOSPC, -1)
POINT(int, ftruncate, (int fd, off_t len), (fd, len), ENOSPC, -1)
POINT(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len), ENOSPC, -1)
POINT(int, posix_fallocate, (int fd, off_t at, off_t len), (fd, at, len), ENOSPC, ENOSPC)
POINT(int, fsync, (int fd), (fd), EIO, -1)
POINT(int, mkdir, (const char *name, mode_t mode), (name, mode), EACCES, -1)
POINT(int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode), EACCES, -1)
POINT(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), EIO, -1)
POINT(int, fstat, (int fd, struct stat *st), (fd, st), EIO, -1)
POINT(int, fchmod, (int fd, mode_t mode), (fd, mode), EPERM, -1)
POINT(int, flock, (int fd, int what), (fd, what), ENOLCK, -1)

/* LMDB. */
POINT(int, mdb_env_create, (MDB_env * *out), (out), ENOMEM, ENOMEM)
POINT(int, mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode),
      (env, path, flags, mode), EMFILE, EMFILE)
POINT(int, mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **out),
      (env, parent, flags, out), ENOMEM, ENOMEM)
POINT(int, mdb_txn_renew, (MDB_txn * txn), (txn), MDB_BAD_RSLOT, MDB_BAD_RSLOT)
POINT(int, mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *out),
      (txn, name, flags, out), ENOMEM, ENOMEM)
POINT(int, mdb_put, (MDB_txn * txn, MDB_dbi tree, MDB_val *key, MDB_val *value, unsigned flags),
      (txn, tree, key, value, flags), ENOMEM, ENOMEM)
POINT(int, mdb_del, (MDB_txn * txn, MDB_dbi tree, MDB_val *key, MDB_val *value),
      (txn, tree, key, value), ENOMEM, ENOMEM)
POINT(int, mdb_get, (MDB_txn * txn, MDB_dbi tree, MDB_val *key, MDB_val *value),
      (txn, tree, key, value), EIO, EIO)
POINT(int, mdb_cursor_open, (MDB_txn * txn, MDB_dbi tree, MDB_cursor **out), (txn, tree, out),
      ENOMEM, ENOMEM)
POINT(int, mdb_cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op what),
      (cursor, key, value, what), EIO, EIO)
POINT(int, mdb_env_sync, (MDB_env * env, int force), (env, force), EIO, EIO)
POINT(int, mdb_env_set_flags, (MDB_env * env, unsigned flags, int on), (env, flags, on), EINVAL,
      EINVAL)
POINT(int, mdb_reader_check, (MDB_env * env, int *dead), (env, dead), EIO, EIO)

/* The transaction is over either way. */
int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn)
{
    if (!point_fails("mdb_txn_commit", FRAME))
        return __real_mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return EIO;
}

/* What libc has no name for: of these, pidfd_open() is of interest. */
long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    if (!point_fails("syscall", FRAME))
        return __real_syscall(number, a, b, c, d, e, f);
    errno = EMFILE;
    return -1;
}

#define OPEN(name, parameters, arguments)                                                          \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = va_arg(rest, mode_t);                                                        \
        va_end(rest);                                                                              \
        if (!point_fails(#name, FRAME))                                                            \
            return __real_##name arguments;                                                        \
        errno = EMFILE;                                                                            \
        return -1;                                                                                 \
    }
OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode))
