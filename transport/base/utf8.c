/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/utf8.h"

#include <stdint.h>

size_t utf8_char_bytes(const char *s, size_t len_bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)s[0];
    size_t n = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (n <= 1)
        return n;
    if (first >= 0xf8 || n > len_bytes)
        return 0;
    uint32_t code = first & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        if ((c & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c & 0x3fu);
    }
    bool surrogate = code >= 0xd800 && code < 0xe000;
    return code < least[n] || code > 0x10ffff || surrogate ? 0 : n;
}

bool utf8_is_control(char first)
{
    return (unsigned char)first < ' ' || first == 0x7f;
}
