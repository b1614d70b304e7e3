# SPDX-License-Identifier: Apache-2.0
# Turns files into a table in C: what a program serves is compiled into it.
#
# cmake -DOUTPUT=x.c -DHEADER=path.h -DTABLE=name "-DFILES=a;b" -P Embed.cmake writes x.c, which
# includes the header and defines
#   const struct embedded name[] = {{"a's name", bytes, length, "\"hash\""}, ..., {NULL}};
cmake_minimum_required(VERSION 3.25)
set(arrays "")
set(rows "")
set(number 0)
foreach(file ${FILES})
  file(READ ${file} hex HEX)
  file(SHA256 ${file} hash)
  string(SUBSTRING ${hash} 0 16 hash)
  string(LENGTH "${hex}" length)
  math(EXPR length "${length} / 2")
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
  get_filename_component(name ${file} NAME)
  string(APPEND arrays "static const unsigned char file_${number}[] = {\n${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", file_${number}, ${length}, \"\\\"${hash}\\\"\"},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "/* Made by deploy/cmake/Embed.cmake. */\n#include \"${HEADER}\"\n\n${arrays}\n"
     "const struct embedded ${TABLE}[] = {\n${rows}    {0}};\n")
