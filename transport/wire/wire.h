/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MessagePack-RPC messages, without I/O (doc/PROTOCOL.md).
 *
 *   request       [0, msgid, method, params]
 *   response      [1, msgid, error, result]
 *   notification  [2, method, params]
 *
 * A frame is one message; on a stream frames follow each other without any prefix. The stream is
 * hostile: wire_scan() finds the end of the next frame and checks, before anything is allocated,
 * that every count is covered by bytes that are there, the depth, the size, and that only nil,
 * bool, integer, float64, str, bin, array and map occur (no ext). Only then wire_parse() builds a
 * tree.
 */
#ifndef CENOTE_WIRE_WIRE_H
#define CENOTE_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_FRAME_MAX  (16u << 20) /* bytes of one message */
#define WIRE_DEPTH_MAX  16u         /* nested containers */
#define WIRE_METHOD_MAX 64u         /* bytes of a method's name, NUL included */
/* Values in one message, containers counted: a parsed one takes 24 bytes, so that a message made
 * of one-byte values can't cost 24 times its size. */
#define WIRE_VALUES_MAX (1u << 20)

/* ---- writing ------------------------------------------------------------------------------- */

/* A growing buffer of encoded bytes. Zero-fill to begin. An allocation that fails or a size beyond
 * WIRE_FRAME_MAX makes it failed; writers then do nothing, and callers check once, at the end. */
struct wire_buf {
    uint8_t *data;
    size_t len, cap;
    bool failed;
    bool too_long; /* failed by its size; otherwise it was memory */
};

void wire_buf_free(struct wire_buf *b);
/* Empties it, keeps the memory. */
void wire_buf_clear(struct wire_buf *b);

void wire_put_nil(struct wire_buf *b);
void wire_put_bool(struct wire_buf *b, bool v);
void wire_put_uint(struct wire_buf *b, uint64_t v);
void wire_put_int(struct wire_buf *b, int64_t v);
void wire_put_str(struct wire_buf *b, const char *text); /* NUL-terminated */
void wire_put_bin(struct wire_buf *b, const void *data, size_t len_bytes);
void wire_put_array(struct wire_buf *b, uint32_t count); /* the elements follow */
void wire_put_map(struct wire_buf *b, uint32_t count);   /* key, value, key, value ... follow */
/* Values that another buffer holds already; one that failed makes this one fail. */
void wire_put_encoded(struct wire_buf *b, const struct wire_buf *values);

/* The heads of messages; params or result follow as the next value written. A request's msgid is
 * always written as 32 bits, so that the head of every request has the same length. */
void wire_put_request(struct wire_buf *b, uint32_t msgid, const char *method);
void wire_put_notification(struct wire_buf *b, const char *method);
void wire_put_result(struct wire_buf *b, uint32_t msgid);
/* A whole error response: error is [status, text]; text NULL: cenote_status_text(status). */
void wire_put_error(struct wire_buf *b, uint32_t msgid, int status, const char *text);

/* The head of a request up to and with its msgid. A transport that numbers requests itself sends
 * this one in place of the first WIRE_REQUEST_HEAD bytes that wire_put_request() wrote. */
#define WIRE_REQUEST_HEAD 7u
void wire_request_head(uint8_t out[WIRE_REQUEST_HEAD], uint32_t msgid);

/* ---- reading ------------------------------------------------------------------------------- */

/* Looks for one frame at the beginning of data.
 * > 0: its length in bytes; 0: incomplete, more bytes are needed; CENOTE_MALFORMED or
 * CENOTE_FRAME_SIZE: the stream is broken for good. *progress (may be NULL; zero it with each new
 * frame) carries the state of an incomplete scan, so that a slow sender costs linear time. */
struct wire_progress {
    size_t scanned;                    /* bytes of the values seen so far */
    uint32_t values;                   /* their number */
    uint32_t depth;                    /* open containers */
    uint64_t left[WIRE_DEPTH_MAX + 1]; /* values missing at each depth; [0]: the frame itself */
    uint64_t missing;                  /* values missing at all depths: at least a byte each */
};
int64_t wire_scan(const uint8_t *data, size_t len_bytes, size_t frame_max,
                  struct wire_progress *progress);

/* A value inside a parsed message; valid as long as the message and the frame's bytes. Reading from
 * a value of another type gives false and leaves the output alone; {NULL} is accepted and is no
 * type. */
struct wire_value {
    const void *node;
};

enum wire_kind { WIRE_REQUEST = 0, WIRE_RESPONSE = 1, WIRE_NOTIFICATION = 2 };

struct wire_msg {
    enum wire_kind kind;
    uint32_t msgid;               /* request, response */
    char method[WIRE_METHOD_MAX]; /* request, notification; NUL-terminated */
    struct wire_value params;     /* request, notification: always an array */
    int error;                    /* response: 0, or a status (CENOTE_PROTOCOL if it was none) */
    struct wire_value result;     /* response */
    void *memory;                 /* private */
};

/* Parses a frame that wire_scan() passed; str and bin values point into it, so it must outlive the
 * message. CENOTE_OK, CENOTE_MALFORMED (not an RPC message) or CENOTE_NO_MEMORY. */
int wire_parse(const uint8_t *frame, size_t len_bytes, struct wire_msg *out);
void wire_msg_free(struct wire_msg *m);

/* The same for who reads many, one after another: the message lies in memory that is used again, so
 * it is valid until the next one is parsed there, and wire_msg_free() needn't be called. */
struct wire_arena;
struct wire_arena *wire_arena_new(void); /* NULL: no memory */
void wire_arena_free(struct wire_arena *a);
int wire_parse_in(struct wire_arena *a, const uint8_t *frame, size_t len_bytes,
                  struct wire_msg *out);

/* One bare value instead of a message, e.g. in tests and for JSON; same rules. */
int wire_parse_value(const uint8_t *data, size_t len_bytes, struct wire_msg *holder,
                     struct wire_value *out);

bool wire_is_nil(struct wire_value v);
bool wire_bool(struct wire_value v, bool *out);
bool wire_uint(struct wire_value v, uint64_t *out);
bool wire_u32(struct wire_value v, uint32_t *out); /* false beyond the range, like the next two */
bool wire_u16(struct wire_value v, uint16_t *out);
bool wire_i32(struct wire_value v, int32_t *out);
bool wire_bin(struct wire_value v, const uint8_t **data, size_t *len_bytes); /* bin or str */
/* Copies a str (not bin) and terminates it; false if it has NULs or is longer than size - 1. */
bool wire_str(struct wire_value v, char *out, size_t size);
/* Exactly len bytes of bin. */
bool wire_fixed(struct wire_value v, void *out, size_t len_bytes);
bool wire_array(struct wire_value v, uint32_t *count);
struct wire_value wire_at(struct wire_value array, uint32_t i); /* {NULL} beyond the end */
/* Of a map, by a str; the first one of that name. {NULL}: there is none. */
struct wire_value wire_member(struct wire_value map, const char *name);

/* Text as JSON: maps, arrays, numbers, strings (bin as hexadecimal). Malloced; NULL: no memory. */
char *wire_to_json(struct wire_value v);

#endif
