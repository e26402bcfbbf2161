/* KERNEL(encode_x) is encode_x_SET, for the KERNEL_SET of the including file. For files that are compiled once per instruction set. */
#ifndef LATHE_KERNEL_NAME_H
#define LATHE_KERNEL_NAME_H

#define KERNEL_NAME_2(NAME, SET) NAME##_##SET
#define KERNEL_NAME_1(NAME, SET) KERNEL_NAME_2(NAME, SET)
#define KERNEL(NAME)             KERNEL_NAME_1(NAME, KERNEL_SET)

#define INLINE static inline __attribute__((always_inline))

#endif
