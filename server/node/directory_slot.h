/* SPDX-License-Identifier: Apache-2.0 */
/* The format of a directory's file. All numbers are little-endian. */
#ifndef CENOTE_SERVER_NODE_DIRECTORY_SLOT_H
#define CENOTE_SERVER_NODE_DIRECTORY_SLOT_H

#include "meta/stub/directory.h"

#define DIRECTORY_MAGIC       UINT32_C(0x52444e43) /* "CNDR" in memory */
#define DIRECTORY_FORMAT      2u
#define DIRECTORY_HEAD_BYTES  4096u
#define DIRECTORY_CHUNK_BYTES 65536u
#define DIRECTORY_CHUNK_HEAD  64u

/* offset bytes  of a slot
 *      0     8  checksum of the bytes from 16 on, the file's name and the place; 0: no entry
 *      8     4  round in which it was set last     \ not in the checksum
 *     12     4  the next free slot of the chunk    /
 *     16     2  length of the key
 *     18     1  length of the namespace's name
 *     19     1  sum kind
 *     20     1  replicas
 *     21     1  flags
 *     22     2  length of what says how it is kept
 *     24     8  GVA
 *     32     8  payload length
 *     40     8  put id
 *     48     4  namespace id
 *     52     2  stripe
 *     54     2  stripes
 *     56    16  key hash
 *     72     8  length of the value
 *     80     8  created, ms
 *     88     8  offset of the stripe
 *     96     8  root
 *    104        the namespace's name, the key, and how it is kept */
#define SLOT_CHECK   0u
#define SLOT_ROUND   8u
#define SLOT_FREE    12u
#define SLOT_SUMMED  16u
#define SLOT_GVA     24u
#define SLOT_PUT_ID  40u
#define SLOT_FIXED   104u
#define SLOT_MAX     (SLOT_FIXED + CENOTE_NAMESPACE_MAX + CENOTE_KEY_MAX + DIRECTORY_KEPT_MAX)
#define SLOT_CLASSES 8u /* sizes of slots */

/* The smallest class that has room for so many bytes. */
uint32_t slot_class(uint32_t len_bytes);
/* Bytes of a slot; a multiple of 64. */
uint32_t slot_size(uint32_t class);

uint32_t slot_len(const struct directory_entry *e);
/* All but the first 16 bytes. */
void slot_encode(const struct directory_entry *e, uint8_t *slot);
/* Of a slot whose lengths fit it; see slot_check(). False: no entry that a service sends. */
bool slot_decode(const uint8_t *slot, struct directory_entry *out);
/* What the checksum must be; 0: the lengths in it don't fit the size. */
uint64_t slot_check(const uint8_t *slot, uint32_t size, uint64_t name, uint64_t place);

#endif
