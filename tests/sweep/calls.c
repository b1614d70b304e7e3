/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that may fail, each with the error that the system would give. */
#include <dirent.h>
#include <errno.h>
#include <lmdb.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <msgpack.h>

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

POINT(int, madvise, (void *at, size_t len, int what), (at, len, what), ENOMEM, -1)
POINT(int, poll, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms), ENOMEM, -1)
POINT(int, __poll_chk, (struct pollfd * fds, nfds_t count, int ms, size_t room),
      (fds, count, ms, room), ENOMEM, -1)
POINT(int, ppoll,
      (struct pollfd * fds, nfds_t count, const struct timespec *wait, const sigset_t *mask),
      (fds, count, wait, mask), ENOMEM, -1)
POINT(int, getrlimit, (int what, struct rlimit *out), (what, out), EPERM, -1)
POINT(int, setrlimit, (int what, const struct rlimit *to), (what, to), EPERM, -1)
POINT(struct evbuffer *, evbuffer_new, (void), (), ENOMEM, NULL)
POINT(int, evbuffer_add, (struct evbuffer * b, const void *data, size_t len), (b, data, len),
      ENOMEM, -1)
POINT(int, evbuffer_add_vprintf, (struct evbuffer * b, const char *format, va_list rest),
      (b, format, rest), ENOMEM, -1)
POINT(int, evbuffer_add_reference,
      (struct evbuffer * b, const void *data, size_t len, evbuffer_ref_cleanup_cb fn, void *arg),
      (b, data, len, fn, arg), ENOMEM, -1)
POINT(unsigned char *, evbuffer_pullup, (struct evbuffer * b, ev_ssize_t len), (b, len), ENOMEM,
      NULL)
POINT(int, evbuffer_remove_buffer, (struct evbuffer * from, struct evbuffer *to, size_t len),
      (from, to, len), ENOMEM, -1)
POINT(msgpack_zone *, msgpack_zone_new, (size_t chunk), (chunk), ENOMEM, NULL)
POINT(msgpack_unpack_return, msgpack_unpack,
      (const char *data, size_t len, size_t *at, msgpack_zone *zone, msgpack_object *out),
      (data, len, at, zone, out), ENOMEM, MSGPACK_UNPACK_NOMEM_ERROR)
POINT(msgpack_unpack_return, msgpack_unpack_next,
      (msgpack_unpacked * out, const char *data, size_t len, size_t *at), (out, data, len, at),
      ENOMEM, MSGPACK_UNPACK_NOMEM_ERROR)

/* Closed either way. */
int __real_fclose(FILE *f);
int __wrap_fclose(FILE *f);
int __wrap_fclose(FILE *f)
{
    bool fails = point_fails("fclose", FRAME);
    int rc = __real_fclose(f);
    if (!fails)
        return rc;
    errno = ENOMEM;
    return EOF;
}

/* Descriptors. */
POINT(DIR *, opendir, (const char *name), (name), EMFILE, NULL)
POINT(DIR *, fdopendir, (int fd), (fd), ENOMEM, NULL)
POINT(int, socket, (int family, int type, int protocol), (family, type, protocol), EMFILE, -1)
POINT(int, accept4, (int fd, struct sockaddr *from, socklen_t *len, int flags),
      (fd, from, len, flags), EMFILE, -1)
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

POINT(ssize_t, sendto,
      (int fd, const void *data, size_t len, int flags, const struct sockaddr *to,
       socklen_t to_len),
      (fd, data, len, flags, to, to_len), ENOBUFS, -1)
POINT(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
      (fd, level, name, value, len), ENOBUFS, -1)
POINT(int, getaddrinfo,
      (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out),
      (host, port, hints, out), ENOMEM, EAI_MEMORY)
POINT(int, evbuffer_read, (struct evbuffer * b, evutil_socket_t fd, int len), (b, fd, len),
      ECONNRESET, -1)
POINT(int, evbuffer_write, (struct evbuffer * b, evutil_socket_t fd), (b, fd), ECONNRESET, -1)

/* Files. */
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
POINT(int, stat, (const char *name, struct stat *st), (name, st), EIO, -1)
POINT(int, lstat, (const char *name, struct stat *st), (name, st), EIO, -1)
POINT(int, fstatat, (int dir, const char *name, struct stat *st, int flags), (dir, name, st, flags),
      EIO, -1)
POINT(int, fstatfs, (int fd, struct statfs *fs), (fd, fs), EIO, -1)
POINT(off_t, lseek, (int fd, off_t at, int from), (fd, at, from), EIO, -1)
POINT(int, unlink, (const char *name), (name), EIO, -1)
POINT(int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags), EIO, -1)
POINT(struct dirent *, readdir, (DIR * dir), (dir), EIO, NULL)
POINT(char *, fgets, (char *out, int size, FILE *f), (out, size, f), EIO, NULL)
POINT(size_t, fread, (void *out, size_t unit, size_t count, FILE *f), (out, unit, count, f), EIO, 0)
POINT(int, ferror, (FILE * f), (f), ENOMEM, 1) /* of a stream to memory */

/* An eventfd's reader and writer are never refused: these are for what has a kind. */
static bool is_file(int fd)
{
    struct stat st;
    return __real_fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) != 0;
}

ssize_t __real_read(int fd, void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len);
ssize_t __wrap_read(int fd, void *data, size_t len)
{
    if (!is_file(fd) || !point_fails("read", FRAME))
        return __real_read(fd, data, len);
    errno = EIO;
    return -1;
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
    if (!is_file(fd) || !point_fails("write", FRAME))
        return __real_write(fd, data, len);
    errno = ENOSPC;
    return -1;
}

/* LMDB. */
POINT(int, mdb_env_create, (MDB_env * *out), (out), ENOMEM, ENOMEM)
POINT(int, mdb_env_open, (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode),
      (env, path, flags, mode), EMFILE, EMFILE)
POINT(int, mdb_txn_begin, (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **out),
      (env, parent, flags, out), ENOMEM, ENOMEM)
POINT(int, mdb_txn_renew, (MDB_txn * txn), (txn), MDB_BAD_RSLOT, MDB_BAD_RSLOT)
POINT(int, mdb_dbi_open, (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *out),
      (txn, name, flags, out), ENOMEM, ENOMEM)
POINT(int, mdb_cursor_open, (MDB_txn * txn, MDB_dbi tree, MDB_cursor **out), (txn, tree, out),
      ENOMEM, ENOMEM)
POINT(int, mdb_cursor_get, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op what),
      (cursor, key, value, what), EIO, EIO)
POINT(int, mdb_cursor_put, (MDB_cursor * cursor, MDB_val *key, MDB_val *value, unsigned flags),
      (cursor, key, value, flags), ENOMEM, ENOMEM)
POINT(int, mdb_cursor_del, (MDB_cursor * cursor, unsigned flags), (cursor, flags), ENOMEM, ENOMEM)
POINT(int, mdb_cursor_renew, (MDB_txn * txn, MDB_cursor *cursor), (txn, cursor), EINVAL, EINVAL)
POINT(int, mdb_stat, (MDB_txn * txn, MDB_dbi tree, MDB_stat *st), (txn, tree, st), EIO, EIO)
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

int __real_fcntl(int fd, int what, void *arg);
int __wrap_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...)
{
    va_list rest;
    va_start(rest, what);
    void *arg = va_arg(rest, void *); /* as libc itself takes it */
    va_end(rest);
    if (!point_fails("fcntl", FRAME))
        return __real_fcntl(fd, what, arg);
    errno = EMFILE;
    return -1;
}

/* ---- those with a format -------------------------------------------------------------------- */

#define FORMATTED(name, parameters, last, real, code, failure)                                     \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        va_list rest;                                                                              \
        if (point_fails(#name, FRAME)) {                                                           \
            errno = (code);                                                                        \
            return (failure);                                                                      \
        }                                                                                          \
        va_start(rest, last);                                                                      \
        int n = real;                                                                              \
        va_end(rest);                                                                              \
        return n;                                                                                  \
    }
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the callers' are checked */
FORMATTED(asprintf, (char **out, const char *format, ...), format, vasprintf(out, format, rest),
          ENOMEM, -1)
FORMATTED(__asprintf_chk, (char **out, int flag, const char *format, ...), format,
          ((void)flag, vasprintf(out, format, rest)), ENOMEM, -1)
FORMATTED(fscanf, (FILE * f, const char *format, ...), format, vfscanf(f, format, rest), EIO, EOF)
FORMATTED(__isoc99_fscanf, (FILE * f, const char *format, ...), format, vfscanf(f, format, rest),
          EIO, EOF)
