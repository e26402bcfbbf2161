/* Is this build under the address sanitizer, which takes time and memory of its own? Of GCC and clang. */
#ifndef LATHE_TEST_SANITIZED_H
#define LATHE_TEST_SANITIZED_H

#if defined __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif
#else
#define SANITIZED 0
#endif

#endif
